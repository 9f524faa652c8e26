"""Commands in a scenario: nothing is run. A command takes ten seconds and works, unless told otherwise; its check knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from notaus.backtest.record import Happening
from notaus.core.ladder import CommandLever, Ladder
from notaus.levers.command import Ended

SECONDS = 10.0


@dataclass(slots=True)
class Commands:
    """Plays the commands of a ladder's rungs: a `Runner`."""

    ladder: Ladder
    now: Callable[[], float]
    """Seconds from the scenario's start."""
    failures: list[Any] = field(default_factory=list)
    """Of the next commands, in order: an exit status, or `timeout`."""
    happenings: list[Happening] = field(default_factory=list)
    in_force: set[tuple[str, ...]] = field(default_factory=set)

    async def __call__(self, argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> Ended:
        levers = [rung.lever for rung in self.ladder.rungs if isinstance(rung.lever, CommandLever)]
        checked = next((lever for lever in levers if lever.check == tuple(argv)), None)
        if checked is not None:
            return Ended(0 if checked.argv in self.in_force else 1)
        self.happenings.append(Happening(self.now(), "command", PurePath(argv[0]).name, f"command {' '.join(argv)}"))
        failure = self.failures.pop(0) if self.failures else 0
        await asyncio.sleep(seconds if failure == "timeout" else SECONDS)
        if failure != 0:
            return Ended(None if failure == "timeout" else int(failure), "it failed")
        undone = {lever.argv for lever in levers if lever.undo == tuple(argv)}
        self.in_force = self.in_force - undone if undone else self.in_force | {tuple(argv)}
        return Ended(0)
