"""`notaus sandbox`: the emulated Cloudflare account, served until stopped."""

from __future__ import annotations

import signal
import socket
from types import FrameType
from typing import Annotated

import typer

from notaus.cli.options import Json
from notaus.cli.terminal import errors
from notaus.errors import ConfigurationError, NotausError

PORT = 8787


def command(
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes any free port.")] = PORT,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    json_: Json = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Everything random follows from it.")] = 0,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", help="Seconds of the sandbox's clock per second.")
    ] = 1.0,
    clock: Annotated[
        str | None,
        typer.Option("--clock", metavar="REAL,VIRTUAL,SPEED", help="A clock shared with other processes."),
    ] = None,
    traffic: Annotated[bool, typer.Option("--traffic/--no-traffic", help="Users of the example services.")] = True,
) -> None:
    """Serve an emulated Cloudflare account with two example services.

    With --json the first line of output is one JSON object: api, token, account, kv_namespace, workers, admin, pages.
    """
    from notaus.sandbox import server

    if speed <= 0:
        raise ConfigurationError(f"--speed {speed:g}: must be more than 0")
    _claim(host, port)
    signal.signal(signal.SIGTERM, _stopped)
    if not json_:
        errors().print("[dim]the sandbox serves until stopped (Ctrl-C)[/]")
    try:
        server.main(port, json_, speed, seed, host=host, clock=clock, traffic=traffic)
    except ValueError as error:
        raise ConfigurationError(f"--clock: {error}") from None
    except KeyboardInterrupt:
        raise typer.Exit from None


def _stopped(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _claim(host: str, port: int) -> None:
    """Find out before anything else whether the address can be had. Raises NotausError."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        why = "another process listens there; stop it, or give another --port (0: any free one)"
        reason = why if error.errno in (48, 98) else error.strerror or str(error)
        raise NotausError(f"cannot listen on {host}:{port}: {reason}") from None
