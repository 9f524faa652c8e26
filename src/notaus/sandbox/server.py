"""Serving a sandbox over HTTP with uvicorn: dropped connections really drop, and time can run faster."""

from __future__ import annotations

import argparse
import asyncio
import json as json_format
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import Scope
from .box import Sandbox


@dataclass(frozen=True, slots=True)
class Clock:
    """Virtual now = ``virtual`` + (real now - ``real``) * ``speed``, all in seconds since the epoch."""

    real: float
    virtual: float
    speed: float = 1.0

    def __call__(self) -> float:
        return self.virtual + (time.time() - self.real) * self.speed

    @classmethod
    def parse(cls, text: str) -> Clock:
        """From ``ANCHOR_REAL,ANCHOR_VIRTUAL,SPEED``, by which several processes share one clock."""
        try:
            real, virtual, speed = (float(part) for part in text.split(","))
        except ValueError:
            raise ValueError(f"clock {text!r}: give ANCHOR_REAL,ANCHOR_VIRTUAL,SPEED, three numbers") from None
        if speed <= 0:
            raise ValueError(f"clock {text!r}: the speed must be more than 0")
        return cls(real, virtual, speed)


def _protocol(connections: dict[Any, asyncio.Transport]) -> type[H11Protocol]:
    """uvicorn's protocol, remembering each client's connection so that a fault can cut it."""

    class RememberingProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            connections[transport.get_extra_info("peername")[:2]] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.transport.get_extra_info("peername")[:2], None)
            super().connection_lost(exc)

    return RememberingProtocol


async def serving(
    box: Sandbox, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until cancelled; ``on_ready`` gets the base URL once the port (0: any free one) is open."""
    connections: dict[Any, asyncio.Transport] = {}

    def abort(scope: Scope) -> bool:
        transport = connections.get(tuple(scope.get("client") or ()))
        if transport is not None:
            transport.abort()
        return transport is not None

    box.app.abort = abort
    config = uvicorn.Config(
        box.app, host=host, port=port, log_level="error", access_log=False, http=_protocol(connections), lifespan="off",
        timeout_graceful_shutdown=1, server_header=False, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 (uvicorn offers nothing to wait on)
            await asyncio.sleep(0.005)
        if not task.done() and on_ready is not None:
            bound = server.servers[0].sockets[0].getsockname()[1]
            on_ready(f"http://{f'[{host}]' if ':' in host else host}:{bound}")
        await asyncio.shield(task)
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=5)


def serve(box: Sandbox, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until the process is told to stop; raises SystemExit(1) where the port cannot be had."""
    asyncio.run(serving(box, host, port, on_ready))


def main(
    port: int = 0,
    json: bool = False,
    speed: float = 1.0,
    seed: int = 0,
    *,
    host: str = "127.0.0.1",
    anchor: float | None = None,
    clock: str | None = None,
    traffic: bool = True,
) -> None:
    """Run a sandbox with traffic; with ``json`` the first line of output is one JSON object: `Sandbox.urls`."""
    now = time.time()
    running = Clock.parse(clock) if clock is not None else Clock(now, now if anchor is None else anchor, speed)
    box = Sandbox(running, seed=seed, traffic=traffic, speed=running.speed)

    def ready(base: str) -> None:
        urls = box.urls(base)
        line = json_format.dumps(urls) if json else "\n".join(f"{name:13}{value}" for name, value in urls.items())
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    serve(box, host, port, ready)


def command_line(arguments: list[str] | None = None) -> None:
    """``python -m notaus.sandbox``."""
    parser = argparse.ArgumentParser(prog="python -m notaus.sandbox", description="An emulated Cloudflare account.")
    parser.add_argument("--port", type=int, default=8787, help="0 takes any free port (default: 8787)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--json", action="store_true", help="first line of output: the addresses, as one JSON object")
    parser.add_argument("--speed", type=float, default=1.0, help="sandbox seconds per real second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--anchor", type=float, help="the sandbox's time at the start, in seconds since the epoch")
    parser.add_argument("--clock", help="ANCHOR_REAL,ANCHOR_VIRTUAL,SPEED: a clock shared with other processes")
    parser.add_argument("--no-traffic", action="store_true", help="no users, no history")
    given = parser.parse_args(arguments)
    if given.speed <= 0:
        parser.error("--speed must be more than 0")
    try:
        main(
            given.port, given.json, given.speed, given.seed,
            host=given.host, anchor=given.anchor, clock=given.clock, traffic=not given.no_traffic,
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        raise SystemExit(0) from None
