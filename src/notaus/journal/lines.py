"""The lines to PostgreSQL: its connections' sockets, hung up where an answer does not come in time.

A thread that waits in the database's library cannot be interrupted; but a line that is shut down gives it an error.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.exc import SQLAlchemyError


class Lines:
    """Every open connection's socket, for as long as the connection lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: WeakKeyDictionary[Any, socket.socket] = WeakKeyDictionary()

    def kept(self, connection: Any) -> Any:
        """`connection` (psycopg's), whose socket is known from now on."""
        # A file descriptor of our own: the library may close its own at any moment, and the number be another's.
        own = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with self._lock:
            self._sockets[connection] = own
        return connection

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """What is begun here ends in time: a database that leaves one call unanswered is hung up on all lines.

        Raises TimeoutError in place of the error that comes of it.
        """
        over = threading.Event()
        timer = threading.Timer(seconds, self._hang_up, (over,))
        timer.daemon = True
        timer.start()
        try:
            yield
        except SQLAlchemyError as error:
            if over.is_set():
                raise TimeoutError(f"it did not answer within {seconds:g} s") from error
            raise
        finally:
            timer.cancel()

    def _hang_up(self, over: threading.Event) -> None:
        """Shut all lines down; whoever waits on one gets an error at once."""
        over.set()
        with self._lock:
            open_ = list(self._sockets.values())
        for line in open_:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
