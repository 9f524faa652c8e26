"""The journal, read while no daemon runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notaus.errors import NotausError

if TYPE_CHECKING:
    from notaus.config import Configuration, Settings
    from notaus.core.service import Service
    from notaus.core.state import State
    from notaus.daemon.engine import Guarded
    from notaus.journal import Journal


class Records:
    """What the journal says of every configured service."""

    through = "journal"

    def __init__(self, configuration: Configuration, journal: Journal) -> None:
        self.configuration, self.journal = configuration, journal

    @classmethod
    @contextmanager
    def opened(cls, directory: Path, settings: Settings) -> Iterator[Records]:
        """The journal that is there; none is made. Raises NotausError."""
        from notaus.cli.remote import address
        from notaus.config import load
        from notaus.config.settings import SQLITE
        from notaus.journal import Journal

        configuration = load(directory, lenient=True)
        path = settings.store_url.removeprefix(SQLITE)
        if settings.store_url.startswith(SQLITE) and not Path(path).exists():
            raise NotausError(
                f"no daemon answers at {address(settings)}, and there is no journal at {path}: "
                "`notaus run` has not been here yet"
            )
        with Journal.open(settings.store_url) as journal:
            yield cls(configuration, journal)

    def state(self, service: str) -> State | None:
        """Where a service stood when the journal was last written; None if it was never guarded."""
        from notaus.core.state import State
        from notaus.journal import decode

        body = self.journal.state(service)
        return None if body is None else decode(State, body)

    async def status(self) -> Mapping[str, Any]:
        from notaus.daemon.status import describe

        now = int(time.time())
        return {
            "now": now,
            "ready": False,
            "services": {s.name: describe(self._guarded(s, now), now) for s in self.configuration.services},
        }

    def _guarded(self, service: Service, now: int) -> Guarded:
        """The service as the journal has it, with its rules as they stood at the last tick."""
        from notaus.core.turn import Turn
        from notaus.core.watch import evaluate
        from notaus.daemon.engine import recovered

        guarded = recovered(self.journal, service, now)
        if guarded.state.tick:
            tick = guarded.state.tick
            guarded.holds = evaluate(Turn(service, guarded.state, guarded.history, tick, tick))
        return guarded

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        from notaus.daemon.status import incident_body

        return [incident_body(row) for row in self.journal.incidents(limit=limit)]

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        from notaus.daemon.status import incident_body

        row = self.journal.incident(id)
        return None if row is None else incident_body(row)
