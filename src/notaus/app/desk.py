"""What people see of the daemon and ask of it: the answers behind the web and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from notaus.config import Settings
from notaus.config.sources import Entry, Push
from notaus.core.event import Order, Pushed, Reply
from notaus.core.service import Service
from notaus.core.state import State
from notaus.daemon.status import describe, incident_body
from notaus.errors import NotausError, ReadFailed
from notaus.sources.push import PushReader
from notaus.sources.scalar import Number

if TYPE_CHECKING:
    from notaus.app.daemon import App

STALLED_SECONDS = 120.0
"""A loop that has not turned, or bells that have not rung, for this long (of the machine's time) are not healthy."""


class Desk:
    """Where a person's question or order meets the daemon (`web.ports.DaemonView`)."""

    def __init__(self, app: App) -> None:
        self._app = app

    def now(self) -> int:
        return int(self._app.clock.now())

    def healthy(self) -> tuple[bool, str]:
        if not self._app.turning:
            return False, "the loop has ended"
        stalled = STALLED_SECONDS * self._app.clock.speed
        idle = self._app.clock.now() - self._app.engine.turned_at
        if self._app.engine.backlog and self._app.engine.failing is None and idle > stalled:
            return False, f"the loop has not turned for {idle:.0f} s with {self._app.engine.backlog} events waiting"
        silent = self._app.clock.now() - self._app.rung_at
        if silent > stalled + max(service.step for service in self._app.configuration.services):
            return False, f"no poll has been rung for {silent:.0f} s"
        return True, "the loop turns"

    def ready(self) -> tuple[bool, str]:
        if self._app.engine.failing is not None:
            return False, f"the journal fails: {self._app.engine.failing}"
        missing = [account for account in self._app.outside.clients if self._app.lease(account) is None]
        nobodys = [account for account in missing if account not in self._app.leadership.elsewhere]
        if nobodys:
            return False, f"no lease for {', '.join(nobodys)}: no replica is known to hold it"
        if len(missing) == len(self._app.outside.clients):
            return False, f"no lease for {', '.join(missing)}: another replica holds it"
        held = "every lease is held" + (f", {len(missing)} of them by other replicas" if missing else "")
        return True, f"the journal can be written, and {held}"

    def services(self) -> Sequence[str]:
        return [service.name for service in self._app.configuration.services]

    def settings(self) -> Settings:
        return self._app.configuration.settings

    def configured(self) -> Sequence[Service]:
        return self._app.configuration.services

    def state(self, service: str) -> State | None:
        guarded = self._app.engine.guarded.get(service)
        return None if guarded is None else guarded.state

    def look(self, service: str) -> None:
        guarded = self._app.engine.guarded.get(service)
        if guarded is not None:
            self._app.pollers[guarded.service.account].look_soon(service)
            self._app.ring(guarded.service.account)

    def status(self) -> Mapping[str, Any]:
        now = self.now()
        return {
            "now": now,
            "ready": self.ready()[0],
            "services": {name: describe(guarded, now) for name, guarded in self._app.engine.guarded.items()},
        }

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return [incident_body(row) for row in await self._app.call(self._app.journal.incidents, limit=limit)]

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        row = await self._app.call(self._app.journal.incident, id)
        return None if row is None else incident_body(row)

    async def order(self, service: str, order: Order) -> Reply:
        if not self._app.turning:
            raise NotausError("the daemon is not running")
        return await self._app.engine.order(service, order)

    async def push(self, service: str, signal: str, values: Sequence[tuple[int, Number]]) -> Reply:
        """Take in values of a `push` source, and answer once they are written down. Raises NotausError.

        Refused is what the source's rules refuse (too old, from the future, no number), and then nothing is taken.
        """
        guarded = self._app.engine.guarded.get(service)
        if guarded is None:
            raise NotausError(f"{service} is not guarded here now")
        entry = self._pushed_to(service, signal)
        if entry is None:
            return Reply(False, f"{service} has no signal `{signal}` that takes values; {self._takes(service)}")
        reader = self._app.outside.reader(entry)
        assert isinstance(reader, PushReader)
        known = partial(guarded.history.at, signal)
        try:
            readings = reader.take(entry, guarded.service.step, values, lambda at: known(at) is not None)
        except ReadFailed as refused:
            return Reply(False, str(refused))
        return await self._app.engine.order(service, Pushed(self.now(), readings))

    def _pushed_to(self, service: str, signal: str) -> Entry | None:
        entries = (e for e in self._app.configuration.entries if e.service == service and signal in e.signals)
        return next((entry for entry in entries if isinstance(entry.source, Push)), None)

    def _takes(self, service: str) -> str:
        entries = [
            e.name for e in self._app.configuration.entries if e.service == service and isinstance(e.source, Push)
        ]
        return f"those that do: {', '.join(entries) or 'none'}"
