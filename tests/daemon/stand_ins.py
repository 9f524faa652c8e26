"""Stand-ins for what the daemon calls, and virtual time for its tests: waiting takes no time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from notaus.backtest.virtual_time import run
from notaus.clock import SystemClock
from notaus.core.effect import Effect, LeverResult, Outcome, PullLever, RunChecks, Send
from notaus.core.event import Event, Polled, Started
from notaus.core.page import Message
from notaus.core.service import Contact, Service
from notaus.core.state import State
from notaus.core.verification import CheckResult
from notaus.daemon.engine import Engine, Guarded
from notaus.errors import JournalFailed
from notaus.journal import Journal, Lease, Record
from notaus.metrics import Metrics
from tests.builders import T0, Situation, a_service

ACCOUNT = "account"


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test on a loop that jumps to whatever is due next."""

    @functools.wraps(test)
    def wrapper(*args: Any, **named: Any) -> None:
        run(lambda loop: test(*args, **named))

    return wrapper


def a_clock() -> SystemClock:
    """T0 at the loop's beginning."""
    loop = asyncio.get_running_loop()
    return SystemClock(wall=lambda: T0 + loop.time(), monotonic=loop.time)


async def turns(number: int = 10) -> None:
    """Let whatever can run do so, without letting time pass."""
    for _ in range(number):
        await asyncio.sleep(0)


class FaultyJournal:
    """A journal that a test may break; it counts what was written."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.real = journal or Journal.open("sqlite://")
        self.broken = False
        self.written: list[Record] = []
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        if self.broken:
            raise JournalFailed("the disk is full: make room")
        return getattr(self.real, name)

    def write_all(self, records: Sequence[Record], lease: Lease | None = None) -> None:
        self.tries += 1
        if self.broken:
            raise JournalFailed("the disk is full: make room")
        assert lease is not None, "a step was written without a lease"
        self.real.write_all(records, lease)
        self.written += records

    @property
    def kinds(self) -> list[str]:
        return [record.kind for record in self.written]


@dataclass
class Starter:
    """Remembers which effects were started, and whether they were written down by then."""

    journal: FaultyJournal
    started: list[Effect] = field(default_factory=list)

    def start(self, service: Service, effect: Effect) -> None:
        written = [id for record in self.journal.written for id, _, _ in record.effects]
        assert effect.id in written, f"{effect.id} began before it was written down"
        self.started.append(effect)

    @property
    def pulled(self) -> list[PullLever]:
        return [effect for effect in self.started if isinstance(effect, PullLever)]


@dataclass
class Alarm:
    raised: list[tuple[str, str]] = field(default_factory=list)
    calmed: int = 0

    def raise_(self, service: Service, text: str) -> None:
        self.raised.append((service.name, text))

    def calm(self) -> None:
        self.calmed += 1


class Desk:
    """An engine with everything around it, and one service."""

    def __init__(self, *services: Service) -> None:
        self.clock = a_clock()
        self.journal = FaultyJournal()
        self.starter, self.alarm, self.metrics = Starter(self.journal), Alarm(), Metrics()
        self.held = self.journal.acquire(ACCOUNT, "us", self.clock.now(), 10**9)
        self.lost: list[str] = []
        self.engine = Engine(
            self.journal,  # type: ignore[arg-type]
            self.clock,
            self.metrics,
            self.starter,
            self.alarm,
            lambda account: self.held,
            lost=self.lost.append,
        )
        self.plays: dict[str, Situation] = {}
        for service in services or (a_service(),):
            self.engine.guarded[service.name] = Guarded(service, State(service.name))
            self.plays[service.name] = Situation(service, State(service.name), key=dict(service.ladder.rungs[0].fields))
            self.engine.post(service.name, Started(T0, "config"))
        self.task = asyncio.create_task(self.engine.run())

    @property
    def guarded(self) -> Guarded:
        return next(iter(self.engine.guarded.values()))

    def poll(self, name: str = "pix", **values: Any) -> Polled:
        """The next tick's poll, with `values` of signals (`native_error_rate`) where they are not healthy."""
        play = self.plays[name]
        play.at += play.service.step
        changed = {key.replace("_", ".", 1): value for key, value in values.items()}
        return replace(play.poll(changed), now=int(self.clock.now()))

    async def tick(self, name: str = "pix", **values: Any) -> None:
        """15 seconds on, and a poll taken."""
        await asyncio.sleep(15)
        self.engine.post(name, self.poll(name, **values))
        await turns()

    async def take(self, event: Event, name: str = "pix") -> None:
        self.engine.post(name, event)
        await turns()


@dataclass
class Outside:
    """Levers, checks and channels that do what a test says."""

    clock: SystemClock
    lever: Callable[[PullLever], Coroutine[Any, Any, LeverResult]] | None = None
    passes_at: float = 0.0
    """Checks pass from this time on."""
    refuses: Callable[[Contact, Message], Exception | None] = lambda contact, message: None
    pulls: list[str] = field(default_factory=list)
    pulling: int = 0
    most_pulling: int = 0
    checked: list[float] = field(default_factory=list)
    sent: list[tuple[str, int]] = field(default_factory=list)
    tried: list[tuple[float, str, int]] = field(default_factory=list)
    answers: Callable[[Contact, Message], str | None] = lambda contact, message: None
    """The receipts of channels."""
    receipts: list[str | None] = field(default_factory=list)
    """Those that were given back with each message that was delivered."""

    async def pull(self, service: Service, effect: PullLever) -> LeverResult:
        self.pulls.append(effect.id)
        self.pulling += 1
        self.most_pulling = max(self.most_pulling, self.pulling)
        try:
            if self.lever is not None:
                return await self.lever(effect)
            return LeverResult(Outcome.DONE, "done")
        finally:
            self.pulling -= 1

    async def check(self, service: Service, effect: RunChecks) -> tuple[CheckResult, ...]:
        self.checked.append(self.clock.now() - T0)
        return (CheckResult("the check", self.clock.now() >= self.passes_at, "seen"),)

    async def send(self, contact: Contact, message: Message, receipt: str | None = None) -> str | None:
        self.tried.append((self.clock.now() - T0, contact.name, message.sequence))
        error = self.refuses(contact, message)
        if error is not None:
            raise error
        self.sent.append((contact.name, message.sequence))
        self.receipts.append(receipt)
        return self.answers(contact, message)


def sends(effects: list[Effect]) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send)]
