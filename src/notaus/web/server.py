"""Serves the application with uvicorn as one task among the daemon's: it takes no signals, and stops when told to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from notaus.errors import NotausError

GRACE_SECONDS = 5
"""For requests that are under way when the server is told to stop."""
MOST_CONNECTIONS = 200


class AddressUnusable(NotausError):
    """The address to listen on cannot be had; the text says why, and what to do."""


class _Server(uvicorn.Server):
    """uvicorn without its hands on the process' signals; it says when it is up."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up()


async def serve(
    app: ASGIApp, host: str, port: int, *, stop: asyncio.Event, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until `stop` is set; `ready` is called once with the base URL. Port 0 takes a free one.

    Raises AddressUnusable before anything is served.
    """
    with contextlib.closing(listener(host, port)) as listening:
        url = base_url(listening)
        server = _Server(_config(app), lambda: None if ready is None else ready(url))
        stopping = asyncio.create_task(_stop(server, stop))
        try:
            await server.serve([listening])
        finally:
            stopping.cancel()


async def _stop(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def listener(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AddressUnusable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise AddressUnusable(f"cannot listen on {host}:{port}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "another process does already, perhaps another notaus; stop it, or set another port",
        errno.EACCES: "not permitted; ports below 1024 need the capability CAP_NET_BIND_SERVICE, 9464 does not",
        errno.EADDRNOTAVAIL: "this machine does not have that address; 127.0.0.1 and 0.0.0.0 always work",
    }
    if isinstance(error, socket.gaierror):
        return "the host name has no address; give an IP address such as 127.0.0.1"
    return reasons.get(error.errno or 0, error.strerror or str(error))


def base_url(listening: socket.socket) -> str:
    """Where the server is reached, such as `http://127.0.0.1:9464`."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
