"""Work that blocks, off the event loop: each piece in a thread of its own, for which nothing waits longer than it wants.

The threads of a pool are joined at exit: a database that hangs would keep the daemon from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Threads(Executor):
    """An executor whose work goes on when nobody waits for it any more; its end is then lost."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # it cannot be called off

        def run() -> None:
            try:
                done.set_result(fn(*args, **kwargs))
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=run, daemon=True, name="notaus off the loop").start()
        return done
