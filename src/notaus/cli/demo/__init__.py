"""`notaus demo`: the sandbox, the daemon and two incidents, in about a minute. `stage` builds them, `story` tells it."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from notaus.cli.options import Json
from notaus.cli.terminal import NO
from notaus.errors import ConfigurationError

SPEED = 30.0
FASTEST = 60.0
"""Beyond that the processes of an ordinary machine cannot keep up with their clock."""


def command(
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", help="Seconds of the demo's clock per second; 30: about a minute.")
    ] = SPEED,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Everything random in the sandbox follows.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave both running afterwards, to look around.")] = False,
    workerd: Annotated[
        bool, typer.Option("--workerd", help="The example Worker in Cloudflare's own runtime, where it is installed.")
    ] = False,
    json_: Json = False,
) -> None:
    """Sandbox, daemon and two incidents, live: no account and no configuration needed.

    Exit code 0 only if both were handled as the runbooks say. With --json, one event a line. With --workerd (in a
    checkout, after `make judges`) real requests to a real Worker take the place of the sandbox's own users.
    """
    if not 1 <= speed <= FASTEST:
        raise ConfigurationError(f"--speed {speed:g}: must be from 1 to {FASTEST:g}")
    raise typer.Exit(asyncio.run(_show(speed, seed, keep, json_, workerd)))


async def _show(speed: float, seed: int, keep: bool, machine: bool, workerd: bool) -> int:
    from notaus.cli.demo.stage import RealWorker, Stage
    from notaus.cli.demo.story import Story
    from notaus.cli.demo.teller import Teller
    from notaus.cli.demo.worker import WorkerStory

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    teller = Teller(machine)
    try:
        worker = RealWorker.found() if workerd else None
        async with Stage.built(speed, seed, teller, keep=keep, real_worker=worker) as stage:
            missing = await (WorkerStory if workerd else Story)(stage, teller).tell()
            if keep:
                teller.keeping(stage)
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        if teller.missing is None:
            raise KeyboardInterrupt from None
        missing = teller.missing  # stopped after --keep: the story was told
    return NO if missing else 0
