"""The poller: what it asks for, how often, and that nothing makes it silent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from notaus.config.sources import AnalyticsEngine, Entry
from notaus.core.event import Polled
from notaus.core.hold import Run
from notaus.core.sample import History, Sample
from notaus.core.state import RuleState, State
from notaus.core.world import KvView, World
from notaus.daemon.engine import Guarded
from notaus.daemon.poller import Poller
from notaus.errors import ReadFailed
from notaus.metrics import Metrics
from tests.builders import T0, a_rollback_service, a_service
from tests.daemon.stand_ins import a_clock, on_virtual_time

SIGNALS = ("native.error_rate", "proxy.error_rate")


@dataclass
class Source:
    """A source and a key, that may fail, hang or leave times out."""

    asked: list[list[int]] = field(default_factory=list)
    looks: int = 0
    error: Exception | None = None
    world_error: Exception | None = None
    hangs: float = 0
    leaves_out: frozenset[int] = frozenset()

    async def read(self, *given: Any) -> Any:
        if len(given) == 1:
            return self._look()
        entry, times = given
        self.asked.append(list(times))
        await asyncio.sleep(self.hangs)
        if self.error is not None:
            raise self.error
        return {n: tuple(Sample(at) for at in times if at not in self.leaves_out) for n in entry.signals}

    def _look(self) -> World:
        self.looks += 1
        if self.world_error is not None:
            raise self.world_error
        return KvView(T0, {"canary_percent": 10, "emergency_proxy": False})


def an_entry(settle: int = 60, name: str = "canary", service: str = "pix", signals: Sequence[str] = SIGNALS) -> Entry:
    return Entry(service, "account", name, AnalyticsEngine("data"), tuple(signals), 60, settle)


class Rounds:
    """A poller and the service it polls; what it posts is taken in at once."""

    def __init__(self, *entries: Entry, state: State | None = None, tell_time: Any = None, **source: Any) -> None:
        self.clock = a_clock()
        self.source = Source(**source)
        self.guarded = Guarded(a_service(60), state or State("pix", world_at=T0))
        self.posted: list[Polled] = []
        self.poller = Poller(
            "account",
            entries or (an_entry(),),
            lambda entry: self.source,
            self.source,
            self.clock,
            Metrics(),
            self._post,
            tell_time,
        )

    def _post(self, service: str, event: Any) -> None:
        self.posted.append(event)
        self.guarded.history = self.guarded.history.merged(event.readings, 0)
        self.guarded.state = replace(self.guarded.state, tick=event.tick)

    async def ring(self, after: float = 15, backlog: int = 0) -> None:
        await asyncio.sleep(after)
        await self.poller.poll([self.guarded], backlog)


@on_virtual_time
async def test_at_the_start_the_lookback_is_read_and_then_only_what_is_new() -> None:
    """Asked for again and again, old samples would eat the API budget."""
    rounds = Rounds()
    for _ in range(30):
        await rounds.ring()
    lookback = rounds.guarded.service.lookback
    every = sorted(at for times in rounds.source.asked for at in times)
    assert every == list(range(T0 + 15 - lookback + 15, T0 + 30 * 15 - 60 + 1, 15))
    assert rounds.source.asked[-1] == [T0 + 30 * 15 - 60]


@on_virtual_time
async def test_a_sample_that_is_not_settled_is_not_asked_for() -> None:
    """Cloudflare may still be filling it in: it would be judged on half its data."""
    rounds = Rounds()
    await rounds.ring()
    assert max(rounds.source.asked[0]) == T0 + 15 - 60


@on_virtual_time
async def test_a_hole_is_asked_for_until_it_is_filled() -> None:
    """Evaluation stops at a pending sample: never filled, the rule would stand still."""
    hole = T0
    rounds = Rounds(leaves_out=frozenset({hole}))
    for _ in range(8):
        await rounds.ring()
    assert rounds.source.asked[-1] == [hole, T0 + 60]
    rounds.source.leaves_out = frozenset()
    await rounds.ring()
    await rounds.ring()
    assert rounds.source.asked[-1] == [T0 + 90]


@on_virtual_time
async def test_after_an_outage_what_is_missing_is_read_in_one_go() -> None:
    """The same history must give the same answer, outage or not."""
    rounds = Rounds()
    await rounds.ring()
    rounds.source.error = ReadFailed("a 500")
    for _ in range(4):
        await rounds.ring()
    assert rounds.posted[-1].problems == dict.fromkeys(SIGNALS, "a 500")
    assert rounds.posted[-1].readings == {}
    rounds.source.error = None
    await rounds.ring()
    assert rounds.source.asked[-1] == list(range(T0 - 30, T0 + 31, 15))


@on_virtual_time
async def test_whatever_goes_wrong_in_a_read_is_a_problem_that_is_told() -> None:
    """An exception that nobody foresaw must not end the poll without a word: the service would be blind unseen."""
    rounds = Rounds(error=KeyError("surprise"), world_error=ValueError("no number"))
    await rounds.ring()
    (event,) = rounds.posted
    assert "surprise" in event.problems["native.error_rate"]
    assert event.world is None
    assert "no number" in event.problems["world"]


@on_virtual_time
async def test_why_the_key_cannot_be_read_goes_into_the_poll() -> None:
    """People would never be told that notaus is blind to what is in force."""
    rounds = Rounds(world_error=ReadFailed("a 500"))
    await rounds.ring()
    assert rounds.posted[-1].problems == {"world": "a 500"}


@on_virtual_time
async def test_a_read_that_hangs_ends_at_its_deadline() -> None:
    """One stuck connection would stop the service's polls for ever."""
    rounds = Rounds(hangs=3600)
    await rounds.ring()
    assert asyncio.get_running_loop().time() == 30
    assert rounds.posted[0].problems["native.error_rate"] == "no answer in time"


@on_virtual_time
async def test_a_poll_under_way_is_not_doubled_and_holds_up_no_other_service() -> None:
    """Doubled, each ring would add a request to those that hang; shared, one slow source would blind all."""
    rounds = Rounds(an_entry(), an_entry(service="other"))
    other = Guarded(replace(a_service(60), name="other"), State("other"))
    slow = [True]

    async def read(*given: Any) -> Any:
        if len(given) == 1:
            return rounds.source._look()
        rounds.source.asked.append([0] if given[0].service == "pix" else [1])
        await asyncio.sleep(12 if slow and given[0].service == "pix" else 0)
        return {}

    rounds.source.read = read  # type: ignore[method-assign]
    first = asyncio.create_task(rounds.poller.poll([rounds.guarded, other], 0))
    await asyncio.sleep(1)
    await rounds.poller.poll([rounds.guarded, other], 0)
    assert rounds.source.asked.count([0]) == 1
    await first


@on_virtual_time
async def test_the_next_tick_of_a_service_waits_for_no_other_ones_slow_source() -> None:
    """A database that hangs would halve the guard of every service beside it."""
    rounds = Rounds(an_entry(), an_entry(service="other"))
    other = Guarded(replace(a_service(60), name="other", step=5), State("other"))
    looked: list[str] = []

    async def read(*given: Any) -> Any:
        if len(given) == 1:
            looked.append(given[0].name)
            return rounds.source._look()
        await asyncio.sleep(12 if given[0].service == "pix" else 0)
        return {}

    rounds.source.read = read  # type: ignore[method-assign]
    first = asyncio.create_task(rounds.poller.poll([rounds.guarded, other], 0))
    for _ in range(2):
        await asyncio.sleep(5)
        rounds.guarded.state = State("pix", world_at=T0)  # what it has taken is of no matter
        await rounds.poller.poll([rounds.guarded, other], 0)
    assert (looked.count("pix"), looked.count("other")) == (1, 3)
    await first


@on_virtual_time
async def test_a_ring_within_the_same_tick_polls_nothing() -> None:
    """Bells ring at the step of the fastest service."""
    rounds = Rounds()
    await rounds.ring()
    await rounds.ring(5)
    assert len(rounds.posted) == 1


@on_virtual_time
async def test_a_full_inbox_makes_it_skip_a_tick() -> None:
    """What a failing journal cannot take must not pile up; the next poll reads what was missed."""
    rounds = Rounds()
    await rounds.ring()
    await rounds.ring(backlog=101)
    assert len(rounds.posted) == 1
    await rounds.ring()
    assert rounds.source.asked[-1] == [T0 - 30, T0 - 15]


@on_virtual_time
async def test_at_rest_the_world_and_slow_sources_are_read_every_thirty_seconds() -> None:
    """Ten requests a minute at rest; full speed as soon as something is going on."""
    rounds = Rounds(an_entry(), an_entry(180, "r2", signals=("r2.failures",)))
    await rounds.ring()
    assert rounds.source.looks == 1  # the first look after a start leaves nothing out
    assert len(rounds.source.asked) == 2
    rounds.source.looks, rounds.source.asked = 0, []
    for _ in range(8):
        await rounds.ring()
    assert rounds.source.looks == 4
    assert len(rounds.source.asked) == 8 + 4
    going_on = {"errors": RuleState(T0, run=Run(T0, T0 + 15, 15))}
    rounds.guarded.state = replace(rounds.guarded.state, rules=going_on)
    rounds.source.looks, rounds.source.asked = 0, []
    for _ in range(8):
        await rounds.ring()
    assert rounds.source.looks == 8
    assert len(rounds.source.asked) == 8 + 8


@on_virtual_time
async def test_the_time_is_asked_for_before_the_first_tick_is_named() -> None:
    """A machine an hour ahead would name ticks that Cloudflare has not reached."""
    rounds: Rounds

    async def tell_time() -> None:
        rounds.clock.observe(int(T0 - 3615 + asyncio.get_running_loop().time()), 0.0)

    rounds = Rounds(tell_time=tell_time)
    await rounds.ring()
    assert rounds.posted[0].tick == T0 - 3600


@on_virtual_time
async def test_one_absurd_answer_at_the_start_does_not_name_the_first_tick() -> None:
    """The lease, the first tick and every hold would be of another year."""
    rounds: Rounds
    told = [T0 + 50 * 365 * 86400]

    async def tell_time() -> None:
        now = int(T0 + asyncio.get_running_loop().time())
        rounds.clock.observe(told.pop() if told else now, 0.0)

    rounds = Rounds(tell_time=tell_time)
    await rounds.ring()
    assert rounds.posted[0].tick == T0 + 15


@on_virtual_time
async def test_without_an_answer_its_own_clock_has_to_do() -> None:
    """No network at the start must not mean no start."""

    async def tell_time() -> None:
        await asyncio.sleep(3600)

    rounds = Rounds(tell_time=tell_time)
    await rounds.ring()
    assert asyncio.get_running_loop().time() == 17
    assert rounds.posted[0].tick == T0 + 15


@on_virtual_time
async def test_ticks_taken_while_the_clock_was_an_hour_ahead_do_not_stop_the_polls() -> None:
    """Started without network on a wrong clock, then set right: an hour of silence."""
    rounds = Rounds(state=State("pix", tick=T0 + 3600, world_at=T0))
    await rounds.ring()
    assert [event.tick for event in rounds.posted] == [T0 + 15]


@on_virtual_time
async def test_the_ten_minutes_before_a_deployment_are_read_once_in_five_minutes() -> None:
    """`new_since_deploy` compares with them; where there is no data, asking each tick would eat the budget."""
    service = a_rollback_service()
    end = T0 - 10_000
    rounds = Rounds(an_entry(0, signals=("edge.error_rate",), service="books"))
    rounds.guarded = Guarded(service, State("books", before_end=end, world_at=T0), History())
    rounds.source.leaves_out = frozenset(range(end - 700, end + 1))
    for _ in range(22):
        await rounds.ring()
    old = [times for times in rounds.source.asked if min(times) <= end]
    assert len(old) == 2
    assert [at for at in old[0] if at <= end] == list(range(end // 15 * 15 - 585, end + 1, 15))


class Fleet:
    """A poller of several services, and where it looked at each tick."""

    def __init__(self, number: int, looks_a_tick: int) -> None:
        self.clock = a_clock()
        self.guarded = [
            Guarded(replace(a_service(60), name=f"svc-{n}"), State(f"svc-{n}", world_at=T0)) for n in range(number)
        ]
        self.looks: list[list[str]] = []
        self.left = looks_a_tick
        self.plenty = True
        self.source = Source()
        self.poller = Poller(
            "account",
            [an_entry(180, service=each.service.name) for each in self.guarded],
            lambda entry: self.source,
            self,
            self.clock,
            Metrics(),
            self._post,
            affordable=lambda services, every: list(services)[: self.left],
            plenty=lambda: self.plenty,
        )

    async def read(self, service: Any) -> World:
        self.looks[-1].append(service.name)
        return KvView(T0, {"canary_percent": 10, "emergency_proxy": False})

    def _post(self, name: str, event: Any) -> None:
        guarded = next(each for each in self.guarded if each.service.name == name)
        guarded.history = guarded.history.merged(event.readings, 0)
        guarded.state = replace(guarded.state, tick=event.tick)

    async def ring(self, times: int = 1) -> None:
        for _ in range(times):
            await asyncio.sleep(15)
            self.looks.append([])
            await self.poller.poll(self.guarded, 0)


@on_virtual_time
async def test_where_the_budget_is_short_services_at_rest_are_looked_at_in_turn() -> None:
    """The first of the list would be looked at again and again, the last never."""
    fleet = Fleet(6, looks_a_tick=2)
    await fleet.ring(6)
    assert [sorted(looks) for looks in fleet.looks] == [["svc-0", "svc-1"], ["svc-2", "svc-3"], ["svc-4", "svc-5"]] * 2


@on_virtual_time
async def test_where_something_is_going_on_it_looks_first_and_at_every_tick() -> None:
    """An override would be noticed minutes late, in the middle of an incident."""
    fleet = Fleet(6, looks_a_tick=1)
    going_on = {"errors": RuleState(T0, run=Run(T0, T0 + 15, 15))}
    fleet.guarded[5].state = replace(fleet.guarded[5].state, rules=going_on)
    await fleet.ring(3)
    assert all("svc-5" in looks for looks in fleet.looks)
    assert {name for looks in fleet.looks for name in looks} == {"svc-0", "svc-1", "svc-2", "svc-5"}


@on_virtual_time
async def test_a_look_that_fails_takes_its_turn_like_others() -> None:
    """In an outage every service would be looked at at every tick, and use up what is left of the budget."""
    fleet = Fleet(4, looks_a_tick=1)
    fleet.guarded[0].state = replace(fleet.guarded[0].state, world_failing="no answer")
    await fleet.ring(4)
    assert fleet.looks == [["svc-0"], ["svc-1"], ["svc-2"], ["svc-3"]]


@on_virtual_time
async def test_slow_sources_are_read_less_often_while_their_budget_runs_low() -> None:
    """Close to the limit the cadence degrades before anything fails."""
    fleet = Fleet(1, looks_a_tick=1)
    await fleet.ring()
    fleet.source.asked, fleet.plenty = [], False
    await fleet.ring(16)
    assert len(fleet.source.asked) == 2
    assert [len(times) for times in fleet.source.asked][1] == 8  # what was left out comes with the next
    fleet.source.asked, fleet.plenty = [], True
    await fleet.ring(16)
    assert len(fleet.source.asked) == 8


@on_virtual_time
async def test_a_backfill_of_many_services_comes_in_pieces() -> None:
    """A thousand histories read in one go would hold up the ticks, and the memory of all of them would be needed at once."""
    assert Fleet(3, 1).poller.most == 600
    assert Fleet(2000, 1).poller.most == 100
