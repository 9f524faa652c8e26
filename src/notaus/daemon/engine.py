"""The engine: takes one event of a service at a time, steps, writes down what follows, and only then has it carried out.

There is one writer, so the journal's order is the order of the world. Services are independent of one another: a few are
taken side by side and written down together, and whatever is more than a poll comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from notaus.clock import Clock
from notaus.core import fleet
from notaus.core.effect import Effect
from notaus.core.event import ChecksEnded, Collected, Event, LeverEnded, Polled, Pushed, Reply, Sent
from notaus.core.fleet import Stepped
from notaus.core.hold import Hold
from notaus.core.incident import Incident
from notaus.core.sample import History, Readings, Sample
from notaus.core.service import Service
from notaus.core.state import State
from notaus.daemon.calls import Calls, inline
from notaus.daemon.inbox import Inbox
from notaus.daemon.scribe import Scribe
from notaus.errors import JournalFailed, JournalRefused, JournalSilent, NotausError
from notaus.journal import IncidentRow, Journal, Lease, LeaseLost, Record, decode, encode
from notaus.metrics import Metrics

INBOX = 10_000
"""Letters waiting at most; the poller skips a tick rather than fill it."""
SIDE_BY_SIDE = 20
"""Services whose letters are written down together: few enough for the loop to turn ten times a second."""
REFUSAL_SECONDS = 30.0
"""A person waits this long for the journal before being told that it fails."""
STALE_SECONDS = 60.0
"""A poll that waited longer than this for the journal decides nothing: a step is dropped rather than taken late."""
UNKNOWN = "the journal has not answered, so it may be carried out all the same: look at `notaus status`"
LEAST_PATIENCE = 5.0
"""The machine's seconds that a poll may wait at the least, where the clock runs faster."""

log = structlog.get_logger(__name__)


class Starter(Protocol):
    """Carries effects out; each ends in an event."""

    def start(self, service: Service, effect: Effect) -> None: ...


class Alarm(Protocol):
    """The way to people when even the journal fails: unrecorded, at most now and then."""

    def raise_(self, service: Service, text: str) -> None: ...

    def calm(self) -> None:
        """What was raised is over."""
        ...


@dataclass(slots=True)
class Guarded:
    """One service in memory, as the journal has it."""

    service: Service
    state: State
    history: History = field(default_factory=History)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    unjudged: Readings = field(default_factory=dict)
    """What stale polls brought: it goes in with the next."""


@dataclass(slots=True)
class Letter:
    """An event on its way, and who waits for the answer."""

    service: str
    event: Event
    reply: asyncio.Future[Reply] | None = None
    replaced: Service | None = None
    """A reload: the service as it is from this event on."""


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
        lost: Callable[[str], None] = lambda account: None,
        call: Calls = inline,
    ) -> None:
        """`lease` gives the lease held for an account, if any; `lost` is told when it turns out to be another's.

        `watchers` see each step once it is written down.
        """
        self.journal, self.clock, self.metrics = journal, clock, metrics
        self.starter, self.alarm, self.lease = starter, alarm, lease
        self.watchers, self.lost, self.call = watchers, lost, call
        self.guarded: dict[str, Guarded] = {}
        self.inbox: Inbox[Letter] = Inbox(INBOX)
        self.scribe = Scribe(journal, call)
        self.failing: str | None = None
        """Why the journal cannot be written, while it cannot."""
        self.turned_at = clock.now()
        """When the loop last took an event, for /healthz."""
        self.taking = False
        """Whether letters are being taken."""

    # Letters in

    def post(self, service: str, event: Event, replaced: Service | None = None) -> None:
        """Put an event into the inbox. Raises NotausError when it is full: nothing is lost silently."""
        self._put(Letter(service, event, replaced=replaced))

    def _put(self, letter: Letter) -> None:
        try:
            self.inbox.put(letter.service, letter, urgent=not isinstance(letter.event, Polled))
        except asyncio.QueueFull:
            raise NotausError("the inbox is full: the journal has been failing for long") from None

    async def order(self, service: str, event: Event) -> Reply:
        """Hand in a person's order and wait until its answer is written down. Raises NotausError."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._put(Letter(service, event, reply))
        await asyncio.wait([reply], timeout=REFUSAL_SECONDS)
        if not reply.done():
            reply.cancel()  # told that it failed: it must not happen after all
            raise NotausError(self.failing or "the daemon did not take the order in time; see its log")
        return reply.result()

    @property
    def backlog(self) -> int:
        return len(self.inbox)

    # The loop

    async def run(self) -> None:
        """Take letters until cancelled."""
        while True:
            letters = await self.inbox.take(SIDE_BY_SIDE)
            self.turned_at, self.taking = self.clock.now(), True
            try:
                await asyncio.gather(*(self._take_safely(letter) for letter in letters))
            finally:
                self.taking = False

    async def _take_safely(self, letter: Letter) -> None:
        """One letter that cannot be taken must not end the guard of every service."""
        try:
            await self._take(letter)
        except Exception as error:
            log.exception("an event could not be taken", service=letter.service, kind=type(letter.event).__name__)
            self._refuse(letter, f"{type(error).__name__}: {error}")
            if letter.service in self.guarded:
                self.alarm.raise_(self.guarded[letter.service].service, f"an event could not be taken: {error}")

    async def _take(self, letter: Letter) -> None:
        guarded = self.guarded.get(letter.service)
        if guarded is None or self.lease(guarded.service.account) is None:
            self._refuse(letter, self.failing or "this replica does not own the account now")
            if guarded is not None:  # its event is lost to what we hold in memory: the journal is read anew
                self.lost(guarded.service.account)
            return
        if self._overtaken(letter, guarded):
            return
        if letter.replaced is not None:
            guarded.service = letter.replaced
            guarded.history = History(guarded.history.series)  # answers of the old rules are forgotten
        if isinstance(letter.event, Polled) and guarded.unjudged:
            readings = joined(guarded.unjudged, letter.event.readings)
            letter = replace(letter, event=replace(letter.event, readings=readings))
        stepped, record = self._step(guarded, letter.event)
        try:
            try:
                written = await self._write_down(letter, guarded, record)
            except JournalRefused as refused:
                stepped = self._refused(guarded, letter.event, refused)
                written = await self._write_stop(letter, guarded, stepped)
        except LeaseLost as lost:
            log.warning("lease lost", service=letter.service, reason=str(lost))
            self._refuse(letter, str(lost))
            if self._is_current(guarded):
                self.lost(guarded.service.account)
            return
        if not self._is_current(guarded):  # lost while it was being written: whoever owns the account now goes on
            self._refuse(letter, UNKNOWN)
        elif written:
            self._commit(guarded, letter, stepped)
        else:
            guarded.history = History(guarded.history.series)  # answers that a step left behind which never was

    def _is_current(self, guarded: Guarded) -> bool:
        """Whether it still is what the journal has: not after the account was lost, nor after it was recovered anew."""
        return self.guarded.get(guarded.service.name) is guarded

    def _overtaken(self, letter: Letter, guarded: Guarded) -> bool:
        """Whether time has passed the letter by. Its readings are kept: a probe's cannot be read again."""
        if letter.reply is not None:
            return letter.reply.cancelled()  # the person was told that it failed: it must not happen after all
        patience = max(STALE_SECONDS, LEAST_PATIENCE * self.clock.speed)
        if not isinstance(letter.event, Polled) or self.clock.now() - letter.event.now <= patience:
            return False
        guarded.unjudged = joined(guarded.unjudged, letter.event.readings)
        return True

    def _refuse(self, letter: Letter, reason: str) -> None:
        if letter.reply is not None and not letter.reply.done():
            letter.reply.set_result(Reply(False, reason))

    def _step(self, guarded: Guarded, event: Event) -> tuple[Stepped, Record]:
        """The pure step. A failed assertion stops acting for this service, never the daemon."""
        try:
            stepped = fleet.step(guarded.service, guarded.state, guarded.history, event)
            return stepped, record_of(guarded, event, stepped)
        except Exception as error:
            log.exception("a step failed; notaus stops acting on this service", service=guarded.service.name)
            stepped = _halted(guarded, event, f"{type(error).__name__}: {error}")
            return stepped, record_of(guarded, event, stepped)

    def _refused(self, guarded: Guarded, event: Event, refused: JournalRefused) -> Stepped:
        """A step that can never be written ends the acting for its service: the others must not wait for it."""
        log.error("the journal refuses a step; notaus stops acting on this service", reason=str(refused))
        self.metrics.journal_failures_total.inc()
        self.alarm.raise_(guarded.service, f"notaus has stopped acting: {refused}")
        return _halted(guarded, event, f"the journal refuses its step: {refused}")

    async def _write_stop(self, letter: Letter, guarded: Guarded, stepped: Stepped) -> bool:
        """Write down that the acting has ended, and nothing of what the journal may have refused. Raises LeaseLost."""
        bare = replace(record_of(guarded, letter.event, stepped), event={"now": letter.event.now}, readings={})
        try:
            return await self._write_down(letter, guarded, bare)
        except JournalRefused:
            guarded.state = replace(guarded.state, stopped="the journal refuses its steps")  # people have the alarm
            self._refuse(letter, guarded.state.stopped or "")
            return False

    async def _write_down(self, letter: Letter, guarded: Guarded, record: Record) -> bool:
        """Write until it is written: nothing is done that is not in the journal. Raises LeaseLost, JournalRefused.

        False where time has passed the letter by meanwhile; then nothing has come of it.
        """
        account, wait, silent = guarded.service.account, 0.5, False
        while not self._overtaken(letter, guarded):
            lease = self.lease(account)
            if lease is None or not self._is_current(guarded):  # another replica may have it by now
                raise LeaseLost(UNKNOWN if silent else self.failing or f"the lease of account {account} has run out")
            try:
                await self.scribe.write(record, lease)
            except JournalRefused:
                raise
            except JournalFailed as failed:
                silent = silent or isinstance(failed, JournalSilent)
                self.journal_failed(failed, [guarded.service])
                await self.clock.sleep(wait * self.clock.speed)
                wait = min(wait * 2, 5.0)
            else:
                self._journal_works()
                return True
        if silent:  # it may yet be written: the journal is read anew, under a fence that keeps it out
            raise LeaseLost(UNKNOWN)
        return False

    def journal_failed(self, failed: JournalFailed, services: Iterable[Service]) -> None:
        """Say so: in the log once, to people now and then, and to whoever asks."""
        self.metrics.journal_failures_total.inc()
        if self.failing is None:
            log.error("the journal cannot be written; nothing is done until it can", reason=str(failed))
        self.failing = str(failed)
        for service in services:
            self.alarm.raise_(service, f"the journal cannot be written: {failed}")

    def journal_answers(self) -> None:
        """A replica that owns nothing writes nothing; for the others a step being written says more."""
        if not self.taking:
            self._journal_works()

    def _journal_works(self) -> None:
        if self.failing is not None:
            log.info("the journal can be written again")
            self.failing = None
            self.alarm.calm()

    def _commit(self, guarded: Guarded, letter: Letter, stepped: Stepped) -> None:
        guarded.state, guarded.history = stepped.state, stepped.history
        if isinstance(letter.event, Polled):
            guarded.unjudged = {}
        if stepped.holds is not None:
            guarded.holds = stepped.holds
        for effect in stepped.effects:
            self.starter.start(guarded.service, effect)
        if letter.reply is not None and not letter.reply.done():
            letter.reply.set_result(stepped.reply or Reply(True, "taken"))
        for watcher in self.watchers:
            try:
                watcher(guarded, letter.event, stepped)
            except Exception:
                log.exception("a step could not be shown", service=letter.service)


def _halted(guarded: Guarded, event: Event, reason: str) -> Stepped:
    """What becomes of a step that failed: the service acts no more, and whoever gave an order hears why."""
    history = guarded.history
    if isinstance(event, Polled):
        history = history.merged(event.readings, event.tick - guarded.service.lookback)
    if guarded.state.stopped is not None:
        stepped = Stepped(guarded.state, history)
    else:
        stepped = fleet.halt(guarded.service, guarded.state, history, event.now, reason)
    return replace(stepped, reply=Reply(False, f"notaus has stopped acting on this service: {reason}"))


def joined(old: Readings, new: Readings) -> Readings:
    """The samples of both, by time; of two for one time the newer reading counts."""
    found: dict[str, tuple[Sample, ...]] = {}
    for name in (*old, *(name for name in new if name not in old)):
        samples = {s.at: s for s in (*old.get(name, ()), *new.get(name, ()))}
        found[name] = tuple(samples[at] for at in sorted(samples))
    return found


def record_of(guarded: Guarded, event: Event, stepped: Stepped) -> Record:
    """What the journal keeps of a step; readings go to the samples, not into the event."""
    readings: Readings = {}
    kept = event
    if isinstance(event, Polled | Pushed):
        readings = {
            name: tuple(s for s in samples if guarded.history.at(name, s.at) != s)
            for name, samples in event.readings.items()
        }
        kept = replace(event, readings={})
    if isinstance(kept, Polled) and _seen_before(guarded, stepped):
        kept = replace(kept, world=None)
    settled = [(id, _outcome(event)) for id in guarded.state.outbox if id not in stepped.state.outbox]
    open_ = (stepped.state.incident,) if stepped.state.incident is not None else ()
    unchanged = guarded.state.incident is not None and guarded.state.incident == stepped.state.incident
    incidents = (*stepped.closed, *(() if unchanged else open_))
    quiet = isinstance(kept, Polled) and _quiet(guarded.state, stepped, kept) and not settled
    return Record(
        guarded.service.name,
        event.now,
        type(event).__name__,
        None if quiet else encode(kept),
        encode(stepped.state),
        [(effect.id, type(effect).__name__, encode(effect)) for effect in stepped.effects],
        settled,
        readings,
        [incident_row(incident) for incident in incidents],
        stepped.state.config,
    )


def _quiet(before: State, stepped: Stepped, kept: Polled) -> bool:
    """Whether a poll brought nothing but samples, and nothing was or is going on: a thousand services have millions a day."""
    idle = not (before.going_on or stepped.state.going_on)
    return idle and not (stepped.effects or stepped.closed or kept.problems) and kept.world is None


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
        case Collected():
            return "kept" if not event.result.problems else "kept in part"
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


def recovered(journal: Journal, service: Service, now: int) -> Guarded:
    """A service as the journal has it; a new one where the journal has nothing."""
    body = journal.state(service.name)
    state = decode(State, body) if body is not None else State(service.name)
    since = now - service.lookback
    readings = {name: journal.samples(service.name, name, since) for name in service.signals}
    return Guarded(service, state, History().merged(readings, since))
