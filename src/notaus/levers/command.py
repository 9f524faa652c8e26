"""The `command` lever of a rung: a program of the team's own, run once, without a shell, within a time.

What a program did before it was cut off only its own `check` can tell. Where there is none, or it does not know, the
outcome is *lost*: nothing is run again without a person's word.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from notaus.core.effect import Invoke, LeverResult, Outcome
from notaus.core.ladder import CommandLever
from notaus.core.service import Service
from notaus.log import scrub

KEPT_BYTES = 2_000
"""Of the output: its end, where errors stand."""
CHECK_SECONDS = 20.0
GRACE_SECONDS = 5.0
"""Between the request to end and the end by force."""
LOOK_SECONDS = 0.05
PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "CREDENTIALS_DIRECTORY")
"""All that a program sees of the daemon's environment, which is full of secrets."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: `status` None where it was cut off, below 0 where a signal ended it."""

    status: int | None
    output: str = ""


Runner = Callable[[Sequence[str], Mapping[str, str], float], Awaitable[Ended]]
"""Runs argv in an environment for at most so many seconds; raises OSError where it cannot be started."""


async def run(argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> Ended:
    """Run a program in a process group of its own, which ends with it, with the time, and with whoever waits for it."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )
    tail, status = bytearray(), None
    reading = asyncio.ensure_future(_read(process, tail))
    try:
        async with asyncio.timeout(seconds):
            status = await _exit(process, reading)
    except TimeoutError:
        _signal(process, signal.SIGTERM)
        await _buried(process, reading)
    finally:
        _signal(process, signal.SIGKILL)
        await _buried(process, reading)
        reading.cancel()
    return Ended(status, tail.decode("utf-8", "replace"))


async def _read(process: asyncio.subprocess.Process, tail: bytearray) -> None:
    assert process.stdout is not None
    while chunk := await process.stdout.read(65_536):
        tail += chunk
        del tail[:-KEPT_BYTES]


async def _exit(process: asyncio.subprocess.Process, reading: asyncio.Future[None]) -> int:
    """The program's own exit status; what it has started may hold its output open for long after."""
    while process.returncode is None:
        if reading.done():
            return await process.wait()
        await asyncio.wait((reading,), timeout=LOOK_SECONDS)
    return process.returncode


async def _buried(process: asyncio.subprocess.Process, reading: asyncio.Future[None]) -> None:
    """Wait for the program's end, and for that of everybody who holds its output."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await _exit(process, reading)
            await asyncio.wait((reading,))
            await asyncio.sleep(0)  # lets its pipes be closed


def _signal(process: asyncio.subprocess.Process, which: signal.Signals) -> None:
    """To the whole group: what the program has started ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, which)


class CommandPuller:
    """Runs the programs of rungs."""

    def __init__(self, runner: Runner = run, before: Callable[[], None] = lambda: None) -> None:
        """`before` is called before a program is started; it raises where another acts by now."""
        self._run, self._before = runner, before

    async def pull(self, service: Service, action: Invoke, lever: CommandLever) -> LeverResult:
        """Never raises for what a program does. After a crash only `check` is run."""
        environment = _environment(service, action)
        seen = await self._in_force(lever, environment)
        wanted = not action.undo
        if seen is wanted:
            ours = action.again or action.look_only
            return _result(action, Outcome.DONE if ours else Outcome.ALREADY, "its check says that it is so")
        if action.look_only:
            return _result(action, *_uncertain(seen, "it was under way when notaus ended"))
        argv = lever.undo if action.undo else lever.argv
        self._before()
        try:
            ended = await self._run(argv, environment, lever.timeout)
        except (OSError, ValueError) as error:
            return _result(action, Outcome.REFUSED, f"{argv[0]} cannot be run: {error}")
        return await self._judged(lever, action, environment, ended)

    async def ready(self, service: Service, rung: str, lever: CommandLever) -> tuple[str, str]:
        """Whether its programs are there (`yes`, `no`, `?`), and what `check` says; the program itself is not run."""
        for argv in filter(None, (lever.argv, lever.check, lever.undo)):
            if shutil.which(argv[0]) is None:
                return "no", f"{argv[0]} is no program that can be run here"
        if not lever.check:
            return "yes", f"{lever.argv[0]} is there; it is not run"
        asked = Invoke(rung, "check", "notaus check", 0, look_only=True)
        seen = await self._in_force(lever, _environment(service, asked))
        if seen is None:
            return "?", f"{lever.argv[0]} is there; its check `{' '.join(lever.check)}` says neither yes (0) nor no (1)"
        return "yes", f"{lever.argv[0]} is there; its check says that it is {'' if seen else 'not '}in force"

    async def _judged(
        self, lever: CommandLever, action: Invoke, environment: Mapping[str, str], ended: Ended
    ) -> LeverResult:
        seen, wanted = await self._in_force(lever, environment), not action.undo
        how = f"it was ended after {lever.timeout} s" if ended.status is None else f"it ended with {ended.status}"
        if seen is wanted or (ended.status == 0 and seen is None):
            return _result(action, Outcome.DONE, how, ended.output)
        if ended.status is None:
            return _result(action, *_uncertain(seen, how), ended.output)
        denied = f"{how}, and its check says that it is not so" if seen is not None else how
        return _result(action, Outcome.REFUSED, denied, ended.output)

    async def _in_force(self, lever: CommandLever, environment: Mapping[str, str]) -> bool | None:
        """What `check` says: 0 yes, 1 no; None without one, or where it does not know."""
        if not lever.check:
            return None
        try:
            status = (await self._run(lever.check, environment, CHECK_SECONDS)).status
        except (OSError, ValueError):
            return None
        return {0: True, 1: False}.get(status) if status is not None else None


def _uncertain(seen: bool | None, how: str) -> tuple[Outcome, str]:
    """Of a program that was cut off: not done for certain, or nobody can tell."""
    if seen is None:
        return Outcome.LOST, f"{how}; whether it is so cannot be found out"
    return Outcome.FAILED, f"{how}, and its check says that it is not so"


def _environment(service: Service, action: Invoke) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **passed,
        "NOTAUS_SERVICE": service.name,
        "NOTAUS_RUNG": action.rung,
        "NOTAUS_INCIDENT": action.incident,
        "NOTAUS_KEY": action.key,
        "NOTAUS_REASON": action.reason.replace("\0", ""),
    }


def _result(action: Invoke, outcome: Outcome, how: str, output: str = "") -> LeverResult:
    which = f"{action.rung}, taken back" if action.undo else action.rung
    said = scrub(" ".join(output.split()))
    return LeverResult(outcome, f"{which}: {how}", notes=(f"output: {said}",) if said else ())
