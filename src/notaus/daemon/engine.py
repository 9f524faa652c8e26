"""The engine: takes one event at a time, steps, writes down what follows, and only then has it carried out.

There is one writer, so the journal's order is the order of the world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from notaus.clock import Clock
from notaus.core import fleet
from notaus.core.effect import Effect
from notaus.core.event import ChecksEnded, Event, LeverEnded, Polled, Reply, Sent
from notaus.core.fleet import Stepped
from notaus.core.hold import Hold
from notaus.core.incident import Incident
from notaus.core.sample import History, Readings
from notaus.core.service import Service
from notaus.core.state import State
from notaus.errors import JournalFailed, NotausError
from notaus.journal import IncidentRow, Journal, Lease, LeaseLost, Record, decode, encode
from notaus.metrics import Metrics

INBOX = 10_000
"""Letters waiting at most; the poller skips a tick rather than fill it."""
REFUSAL_SECONDS = 30.0
"""A person waits this long for the journal before being told that it fails."""

log = structlog.get_logger(__name__)


class Starter(Protocol):
    """Carries effects out; each ends in an event."""

    def start(self, service: Service, effect: Effect) -> None: ...


class Alarm(Protocol):
    """The way to people when even the journal fails: unrecorded, at most now and then."""

    def raise_(self, service: Service, text: str) -> None: ...


@dataclass(slots=True)
class Guarded:
    """One service in memory, as the journal has it."""

    service: Service
    state: State
    history: History = field(default_factory=History)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    resting: frozenset[str] = frozenset()


@dataclass(slots=True)
class Letter:
    """An event on its way, and who waits for the answer."""

    service: str
    event: Event
    reply: asyncio.Future[Reply] | None = None
    replaced: tuple[Service, frozenset[str]] | None = None
    """A reload: the service as it is from this event on, and its resting rules."""


class Engine:
    """Steps the services of this daemon."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        metrics: Metrics,
        starter: Starter,
        alarm: Alarm,
        lease: Callable[[str], Lease | None],
        watchers: tuple[Callable[[Guarded, Event, Stepped], None], ...] = (),
    ) -> None:
        """`lease` gives the lease held for an account, if any; `watchers` see each step once it is written down."""
        self.journal, self.clock, self.metrics = journal, clock, metrics
        self.starter, self.alarm, self.lease = starter, alarm, lease
        self.watchers = watchers
        self.guarded: dict[str, Guarded] = {}
        self.inbox: asyncio.Queue[Letter] = asyncio.Queue(INBOX)
        self.failing: str | None = None
        """Why the journal cannot be written, while it cannot."""
        self.turned_at = clock.now()
        """When the loop last took an event, for /healthz."""

    # Letters in

    def post(self, service: str, event: Event, replaced: tuple[Service, frozenset[str]] | None = None) -> None:
        """Put an event into the inbox. Raises NotausError when it is full: nothing is lost silently."""
        try:
            self.inbox.put_nowait(Letter(service, event, replaced=replaced))
        except asyncio.QueueFull:
            raise NotausError("the inbox is full: the journal has been failing for long") from None

    async def order(self, service: str, event: Event) -> Reply:
        """Hand in a person's order and wait until its answer is written down. Raises NotausError."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self.inbox.put(Letter(service, event, reply))
        try:
            return await asyncio.wait_for(asyncio.shield(reply), REFUSAL_SECONDS)
        except TimeoutError:
            reply.cancel()
            raise NotausError(self.failing or "the daemon did not take the order in time; see its log") from None

    @property
    def backlog(self) -> int:
        return self.inbox.qsize()

    # The loop

    async def run(self) -> None:
        """Take letters until cancelled."""
        while True:
            letter = await self.inbox.get()
            self.turned_at = self.clock.now()
            if letter.reply is not None and letter.reply.cancelled():
                continue  # the person was told that it failed: it must not happen after all
            await self._take(letter)

    async def _take(self, letter: Letter) -> None:
        guarded = self.guarded.get(letter.service)
        if guarded is None or self.lease(guarded.service.account) is None:
            self._refuse(letter, "this replica does not own the account now")
            return
        if letter.replaced is not None:
            guarded.service, guarded.resting = letter.replaced
            guarded.history = History(guarded.history.series)  # answers of the old rules are forgotten
        stepped = self._step(guarded, letter.event)
        try:
            await self._write_down(guarded, letter.event, stepped)
        except LeaseLost as lost:
            log.warning("lease lost", service=letter.service, reason=str(lost))
            self._refuse(letter, str(lost))
            return
        self._commit(guarded, letter, stepped)

    def _refuse(self, letter: Letter, reason: str) -> None:
        if letter.reply is not None and not letter.reply.done():
            letter.reply.set_result(Reply(False, reason))

    def _step(self, guarded: Guarded, event: Event) -> Stepped:
        """The pure step. A failed assertion stops acting for this service, never the daemon."""
        try:
            return fleet.step(guarded.service, guarded.state, guarded.history, event, guarded.resting)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            log.exception("a step failed; notaus stops acting on this service", service=guarded.service.name)
            history = guarded.history
            if isinstance(event, Polled):
                history = history.merged(event.readings, event.tick - guarded.service.lookback)
            if guarded.state.stopped is not None:
                return Stepped(guarded.state, history)
            return fleet.halt(guarded.service, guarded.state, history, event.now, reason)

    async def _write_down(self, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        """Write until it is written: nothing is done that is not in the journal. Raises LeaseLost."""
        record = record_of(guarded, event, stepped)
        wait = 0.5
        while True:
            try:
                self.journal.write(record, self.lease(guarded.service.account))
            except JournalFailed as failed:
                self.metrics.journal_failures_total.inc()
                if self.failing is None:
                    log.error("the journal cannot be written; nothing is done until it can", reason=str(failed))
                self.failing = str(failed)
                self.alarm.raise_(guarded.service, f"the journal cannot be written: {failed}")
                await self.clock.sleep(wait)
                wait = min(wait * 2, 5.0)
            else:
                if self.failing is not None:
                    log.info("the journal can be written again")
                self.failing = None
                return

    def _commit(self, guarded: Guarded, letter: Letter, stepped: Stepped) -> None:
        guarded.state, guarded.history = stepped.state, stepped.history
        if stepped.holds is not None:
            guarded.holds = stepped.holds
        for watcher in self.watchers:
            watcher(guarded, letter.event, stepped)
        for effect in stepped.effects:
            self.starter.start(guarded.service, effect)
        if letter.reply is not None and not letter.reply.done():
            letter.reply.set_result(stepped.reply or Reply(True, "taken"))


def record_of(guarded: Guarded, event: Event, stepped: Stepped) -> Record:
    """What the journal keeps of a step; readings go to the samples, not into the event."""
    readings: Readings = {}
    kept = event
    if isinstance(event, Polled):
        readings = {
            name: tuple(s for s in samples if guarded.history.at(name, s.at) != s)
            for name, samples in event.readings.items()
        }
        kept = replace(event, readings={}, world=None if _seen_before(guarded, stepped) else event.world)
    settled = [(id, _outcome(event)) for id in guarded.state.outbox if id not in stepped.state.outbox]
    open_ = (stepped.state.incident,) if stepped.state.incident is not None else ()
    unchanged = guarded.state.incident is not None and guarded.state.incident == stepped.state.incident
    incidents = (*stepped.closed, *(() if unchanged else open_))
    return Record(
        guarded.service.name,
        event.now,
        type(event).__name__,
        encode(kept),
        encode(stepped.state),
        [(effect.id, type(effect).__name__, encode(effect)) for effect in stepped.effects],
        settled,
        readings,
        [incident_row(incident) for incident in incidents],
        stepped.state.config,
    )


def _seen_before(guarded: Guarded, stepped: Stepped) -> bool:
    """Whether the look at the world showed nothing new: it need not be kept again."""
    old, new = guarded.state, stepped.state
    if old.view is None or new.view is None:
        return old.fields == new.fields
    return (old.view.deployments, old.view.blocked) == (new.view.deployments, new.view.blocked)


def _outcome(event: Event) -> str:
    match event:
        case LeverEnded():
            return str(event.result.outcome)
        case ChecksEnded():
            return "passed" if event.result.passed else "failed"
        case Sent():
            return "sent" if event.failure is None else f"refused: {event.failure}"
        case _:
            return "void"


def incident_row(incident: Incident) -> IncidentRow:
    """An incident as the journal lists it."""
    summary = incident.timeline[-1].text if incident.timeline else ""
    return IncidentRow(
        incident.id,
        incident.service,
        incident.opened_at,
        str(incident.severity),
        summary,
        encode(incident),
        incident.closed_at,
    )


def recovered(journal: Journal, service: Service, resting: frozenset[str], now: int) -> Guarded:
    """A service as the journal has it; a new one where the journal has nothing."""
    body = journal.state(service.name)
    state = decode(State, body) if body is not None else State(service.name)
    since = fleet.keep_from(service, state, now)
    readings = {name: journal.samples(service.name, name, since) for name in service.signals}
    return Guarded(service, state, History().merged(readings, since), {}, resting)
