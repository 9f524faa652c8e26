"""Random walks over `fleet.step`: whatever happens, in whatever order, the invariants of spec 17 hold.

Each walk is one seed: polls with good, bad, missing and unread samples, lever outcomes early, late, twice or never,
orders of every kind, other people's writes, restarts. A second lane takes in the same events with its state through
the journal's codec and a history made afresh, and must never differ.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from notaus.core import fleet
from notaus.core.effect import ChecksResult, Effect, Outcome, PullLever, RunChecks, Send, WriteKv
from notaus.core.event import (
    Answer,
    ChecksEnded,
    Close,
    Event,
    Hold,
    Judge,
    LeverEnded,
    LeverSlow,
    Polled,
    Reconfigured,
    Release,
    RestoreOrder,
    RollBack,
    SendFailing,
    Sent,
    SetRung,
    Started,
    Trigger,
)
from notaus.core.fleet import Stepped
from notaus.core.incident import TRANSITIONS, Phase
from notaus.core.rule import NoData, Severity
from notaus.core.sample import History
from notaus.core.service import OverridePolicy, Service
from notaus.core.state import State
from notaus.core.turn import Turn
from notaus.core.verification import CheckResult, RampStep, Restore
from notaus.journal.codec import decode, encode
from tests.builders import (
    KV_RULES,
    READ_BACK,
    ROLLBACK_RULES,
    STEP,
    T0,
    Situation,
    Values,
    a_rollback_service,
    a_rule,
    a_service,
    a_situation,
)

WEATHER: tuple[Values, ...] = (
    {},
    {},
    {"native.error_rate": 0.02, "edge.error_rate": 0.07},
    {"native.error_rate": 0.05, "edge.error_rate": 0.2},
    {"native.error_rate": 0.2, "proxy.error_rate": 0.4, "api.cache_hit_rate": 0.1},
    {"native.error_rate": None, "edge.error_rate": None},
    {"native.latency_p90": 700, "health.failed": 1},
    {"r2.failures": 9, "native.share": 0},
)
PEOPLE = ("ann", "bob")


def walked_services() -> list[Service]:
    extra = (
        a_rule("native.error_rate > 4%", 60, "disabled", name="flickering", hold_within=120, no_data=NoData.IGNORE),
        a_rule("native.error_rate > 10%", 60, "reduced", name="asking", approval=True, severity=Severity.WARNING),
        a_rule("r2.failures > 8", 30, "disabled", name="blind", on_blind="disabled", no_data=NoData.BREACH),
    )
    restore = Restore((), (RampStep("reduced", 60), RampStep("normal", 60)))
    kv = a_service(rules=KV_RULES + extra, restore=restore, verify=(READ_BACK,), validate=120, override_for=300)
    blind = a_rule("health.failed >= 2", 60, "rolled_back", name="blind", on_blind="rolled_back")
    books = a_rollback_service(rules=(*ROLLBACK_RULES, blind), verify=(READ_BACK,), validate=120, override_for=300)
    return [kv, replace(kv, override=OverridePolicy.ENFORCE, max_actions=1), books, replace(books, max_actions=1)]


@dataclass
class Walk:
    """One walk, its checks, and the second lane."""

    situation: Situation
    chance: Random
    steps: int = 0
    ids: set[str] = field(default_factory=set)
    under_way: dict[str, Effect] = field(default_factory=dict)
    numbers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    asked_by: dict[str, str] = field(default_factory=dict)
    """Pull to the incident it belongs to: once a person has closed that, the next may ask again."""
    seen: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """One event on both lanes, with every check."""
        here = self.situation
        before, history = here.state, here.history
        stepped = fleet.step(here.service, before, history, event)
        here.events.append(event)
        here.state, here.history, here.last = stepped.state, stepped.history, stepped
        self._check_outbox(event, stepped)
        self._check_phase(before, stepped)
        for effect in stepped.effects:
            if isinstance(effect, PullLever):
                self._check_pull(effect, event, before, history, stepped)
            if isinstance(effect, Send):
                self._check_message(effect, event)
        self._second_lane(before, history, event, stepped)

    def _check_outbox(self, event: Event, stepped: Stepped) -> None:
        for effect in stepped.effects:
            assert effect.id not in self.ids, "an effect's id was used before"
            self.ids.add(effect.id)
            self.under_way[effect.id] = effect
        if isinstance(event, LeverEnded | ChecksEnded | Sent):
            self.under_way.pop(event.effect, None)
        assert dict(stepped.state.outbox) == self.under_way, "an effect was lost, or stays though it is settled"

    def _check_phase(self, before: State, stepped: Stepped) -> None:
        after = stepped.state.incident
        if before.incident is not None and after is not None and after.id == before.incident.id:
            assert after.timeline[: len(before.incident.timeline)] == before.incident.timeline
            assert after.severity.rank >= before.incident.severity.rank or before.incident.quiet
        if after is not None:
            self.seen.add(after.phase)
            assert after.phase is not Phase.CLOSED
            assert (after.override is not None) == (after.phase is Phase.HELD), "an override is what `held` means"
            assert (after.phase is Phase.AWAITING_APPROVAL) <= (stepped.state.request is not None)
            assert after.phase in TRANSITIONS
        if stepped.state.request is not None:
            assert after is not None, "a request without an incident is one that nobody sees"

    def _check_pull(self, pull: PullLever, event: Event, before: State, history: History, stepped: Stepped) -> None:
        service = self.situation.service
        incident = stepped.state.incident
        assert incident is not None
        step = incident.step
        assert step is not None
        if step.effect != pull.id:  # enforced, and then a breach that wants more
            assert service.override is OverridePolicy.ENFORCE
            return
        twins = [
            id
            for id, effect in self.under_way.items()
            if isinstance(effect, PullLever) and effect.action == pull.action and self.asked_by.get(id) == incident.id
        ]
        self.asked_by[pull.id] = incident.id
        if step.by is not None:
            assert isinstance(event, SetRung | RollBack | Answer | Trigger | RestoreOrder | Polled)
            assert not isinstance(event, Polled) or incident.ramp is not None or step.tries > 1
            return
        assert not twins, "the same step, twice, without an outcome in between"
        world = stepped.state if isinstance(event, Polled) else before
        place = Turn(service, replace(world, incident=before.incident), history, event.now, event.now).place
        if isinstance(pull.action, WriteKv):
            assert pull.action.only_safer, "automation never moves to a less safe rung"
            assert place is None or service.ladder.place_of(pull.action.rung) > place or step.tries > 1
        assert stepped.state.stopped is None
        enforced = service.override is OverridePolicy.ENFORCE
        held = before.incident is not None and before.incident.override is not None
        if held:
            assert before.incident is not None
            assert before.incident.override is not None
            assert isinstance(event, Polled)
            over = stepped.holds is not None and event.tick >= before.incident.override.until
            moved = stepped.state.fields != before.fields or stepped.state.accepted != before.accepted
            assert over or moved, "nothing automatic while a person has decided otherwise"
        lock = stepped.state.lock
        if lock is not None and step.tries == 1:
            assert not lock.all, "`notaus hold --all` blocks every step"
            assert isinstance(pull.action, WriteKv), "`notaus hold` blocks rollbacks"
        assert isinstance(event, Polled)
        assert step.rules or enforced, "an action without a rule"
        if step.tries > 1:
            return
        holds = stepped.holds or {}
        standing = [n for n in step.rules if n in holds and holds[n].breach is not None]
        blind = [n for n in step.rules if service.rule(n).on_blind == step.rung and stepped.state.rules[n].blind]
        judged = before.incident is not None and before.incident.phase is Phase.VALIDATING
        assert standing or blind or judged or enforced, "an action without a rule that held"

    def _check_message(self, send: Send, event: Event) -> None:
        key = (send.message.thread, str(send.contact), send.message.sequence)
        self.numbers[key] += 1
        if isinstance(event, Sent | SendFailing):
            return  # the same message, to the next contact
        assert self.numbers[key] == 1, "one message, twice to one contact"
        assert send.message.at == event.now

    def _second_lane(self, before: State, history: History, event: Event, stepped: Stepped) -> None:
        self.steps += 1
        if self.steps % 3:
            return
        text = json.dumps(encode(before))
        state = decode(State, json.loads(text))
        assert state == before, "a restart would change what is remembered"
        again = fleet.step(self.situation.service, state, History(history.series), event)
        assert again.state == stepped.state, "the same history and event, another answer"
        assert again.effects == stepped.effects
        assert again.reply == stepped.reply

    # Chance

    def something(self) -> None:
        here, chance = self.situation, self.chance
        for id, effect in list(self.under_way.items()):
            if chance.random() < 0.5:
                self._settle(id, effect)
        if chance.random() < 0.04:
            self._foreign()
        if chance.random() < 0.12:
            self.take(self._order(here.at))
        if chance.random() < 0.02:
            self.take(chance.choice([Started(here.at, "again"), Reconfigured(here.at, "new", ("errors",))]))

    def _settle(self, id: str, effect: Effect) -> None:
        here, chance, now = self.situation, self.chance, self.situation.at
        match effect:
            case PullLever():
                if chance.random() < 0.2:
                    self.take(LeverSlow(now, id))
                    return
                outcome = chance.choice([Outcome.DONE] * 6 + list(Outcome))
                if outcome is Outcome.ALREADY:
                    outcome = Outcome.FAILED
                ended = self._pulled(effect, outcome)
                self.take(ended)
                if chance.random() < 0.1:
                    self.take(ended)  # the same answer twice
            case RunChecks():
                results = (CheckResult("the check", chance.random() < 0.7, "seen"),)
                self.take(ChecksEnded(now, id, ChecksResult(results)))
            case Send():
                if chance.random() < 0.05:
                    self.take(SendFailing(now, id, "a timeout"))
                self.take(Sent(now, id, "refused" if chance.random() < 0.05 else None))
        assert here.state.outbox.keys() == self.under_way.keys()

    def _pulled(self, effect: PullLever, outcome: Outcome) -> Event:
        """What the stand-in for Cloudflare says, without its event being taken."""
        here = self.situation
        found: list[Event] = []
        keep, here.take = here.take, found.append  # type: ignore[method-assign, assignment, return-value]
        try:
            here.end_lever(effect, outcome)
        finally:
            here.take = keep  # type: ignore[method-assign]
        return found[0]

    def _foreign(self) -> None:
        here, chance = self.situation, self.chance
        if here.view is not None:
            here.deploy(chance.choice(["v1", "v2", f"v{chance.randrange(3, 99)}"]), id=f"foreign-{here.at}")
        elif chance.random() < 0.1:
            here.key = None
        else:
            here.key = {"canary_percent": chance.choice([0, 3, 5, 10]), "emergency_proxy": chance.random() < 0.2}

    def _order(self, now: int) -> Event:
        chance, state = self.chance, self.situation.state
        by = chance.choice(PEOPLE)
        request = state.request.id if state.request is not None else "none"
        incident = state.incident.id if state.incident is not None else "none"
        rungs = [r.name for r in self.situation.service.ladder.rungs]
        orders: list[Any] = [
            Hold(now, by, 120, "why", all=chance.random() < 0.5),
            Release(now, by),
            Answer(now, by, chance.random() < 0.7, chance.choice([request, None])),
            Answer(now, by, True),
            Trigger(now, by, chance.choice(["database errors", "data loss"]), "seen", chance.random() < 0.5),
            SetRung(now, by, chance.choice([*rungs, None])),
            RollBack(now, by, chance.choice([None, "v1", "v2", "v77"])),
            RestoreOrder(now, by),
            Judge(now, by, "v1", chance.random() < 0.3),
        ]
        if chance.random() < 0.2:
            return Close(now, by, incident, "done")
        return chance.choice(orders)  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(16))
def test_whatever_happens_the_invariants_hold(seed: int) -> None:
    """Spec 17: no step without a reason, none downward, none twice, none against a person, no page or step lost."""
    chance = Random(seed)
    service = walked_services()[seed % 4]
    live = "v2" if seed % 4 >= 2 else None
    situation = a_situation(service, live=live, levers=None, checks=None, delivering=False)
    walk = Walk(situation, chance, ids=set(situation.state.outbox), under_way=dict(situation.state.outbox))
    for _ in range(16):
        weather = chance.choice(WEATHER)
        situation.pending = frozenset(service.signals) if chance.random() < 0.1 else frozenset()
        situation.unread = "a 500" if chance.random() < 0.1 else None
        for _ in range(chance.randrange(4, 30)):
            situation.at += STEP
            walk.take(situation.poll(weather))
            if chance.random() < 0.05:
                walk.take(situation.poll(weather))  # the same tick again
            walk.something()
    assert situation.at > T0
    if seed % 4 == 3:
        return
    assert walk.seen, "a walk in which nothing happened tests nothing"


def test_the_same_events_give_the_same_state() -> None:
    """Every decision replays to the same decision (spec 12)."""
    first = a_situation()
    first.run(900, {"native.error_rate": 0.02})
    first.take(SetRung(first.at, "ann", "normal"))
    first.run(600, {"native.error_rate": 0.05})
    state, history = State(first.service.name), History()
    effects: list[Effect] = []
    for event in first.events:
        stepped = fleet.step(first.service, state, history, event)
        state, history = stepped.state, stepped.history
        effects += stepped.effects
    assert state == first.state
    assert [e for e in effects if isinstance(e, PullLever)] == first.pulled


def test_polls_that_come_late_or_twice_change_nothing() -> None:
    """A tick is taken in once, whoever rings."""
    situation = a_situation()
    situation.run(60, {"native.error_rate": 0.05})
    before = situation.state
    old = replace(situation.poll({}), tick=situation.at - 60)
    assert situation.take(old).state == replace(before, world_at=situation.at)
    assert isinstance(old, Polled)
