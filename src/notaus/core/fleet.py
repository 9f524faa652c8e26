"""The step: one service's state and one event in, the new state and the effects it asks for out. Synchronous and pure.

Services are independent of one another: a fleet is a mapping of names to states, and an event is about one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from notaus.core import action, approval, decision, foreign, orders, restore, split, watch
from notaus.core.effect import Effect, Outcome, Send
from notaus.core.event import (
    ChecksEnded,
    Collected,
    Event,
    LeverEnded,
    LeverSlow,
    Polled,
    Pushed,
    Reconfigured,
    Reply,
    SendFailing,
    Sent,
    Started,
)
from notaus.core.hold import Hold
from notaus.core.incident import Incident, Phase
from notaus.core.paging import by_hand, count_impact, end_notice, fact, keep_receipt, notice, tell
from notaus.core.rule import Severity
from notaus.core.sample import History
from notaus.core.service import Service
from notaus.core.state import RuleState, State
from notaus.core.turn import Turn

CLOCK_SET_BACK = 120
"""Seconds: a tick this far behind the newest is no repetition; the clock had been wrong, and was set right."""
UNREADABLE = 300
"""Seconds without a look at the key or the deployments after which people are told."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one event led to."""

    state: State
    history: History
    effects: tuple[Effect, ...] = ()
    """New ones; the state's outbox holds all that are under way."""
    reply: Reply | None = None
    """To an order."""
    closed: tuple[Incident, ...] = ()
    """Incidents that ended."""
    holds: Mapping[str, Hold] | None = None
    """What the samples say of each rule, at a tick."""


def step(service: Service, state: State, history: History, event: Event) -> Stepped:
    """Take in one event."""
    at = event.tick if isinstance(event, Polled) else event.now
    if isinstance(event, Polled | Pushed):
        history = history.merged(event.readings, at - service.lookback)
    turn = Turn(service, state, history, event.now, at)
    match event:
        case Started() | Reconfigured():
            _begin(turn, event)
        case Polled():
            _tick(turn, event)
        case Pushed():
            """The next tick judges what was pushed."""
        case LeverEnded():
            _lever_ended(turn, event)
        case LeverSlow():
            action.lever_slow(turn, event.effect)
        case ChecksEnded():
            action.checks_ended(turn, event.effect, event.result)
        case Collected():
            action.collected(turn, event.effect, event.result)
        case Sent():
            _sent(turn, event)
        case SendFailing():
            _next_contact(turn, event.effect, event.detail)
        case _:
            turn.holds = watch.evaluate(turn)
            orders.obey(turn, event)
    return Stepped(turn.state, history, turn.effects, turn.reply, turn.closed, turn.holds)


def _begin(turn: Turn, event: Started | Reconfigured) -> None:
    """A rule counts samples only since it came into force."""
    changed = event.changed if isinstance(event, Reconfigured) else ()
    rules = {
        rule.name: RuleState(turn.now)
        if rule.name not in turn.state.rules or rule.name in changed
        else turn.state.rules[rule.name]
        for rule in turn.service.rules
    }
    turn.change(config=event.config, rules=rules)
    if not turn.service.ladder.has(turn.state.rung):  # the first start: the least safe rung, whatever it is called
        turn.change(rung=turn.service.ladder.rungs[0].name)
    ladder = turn.service.ladder
    kept = tuple(name for name in turn.state.beyond if ladder.has(name) and ladder.rung(name).lever is not None)
    turn.change(beyond=kept)  # one that the file no longer has can neither be ranked nor taken back
    if isinstance(event, Reconfigured) and turn.incident is not None and turn.incident.shadow and not turn.observing:
        action.close(turn, "the service acts from now on")


def _tick(turn: Turn, event: Polled) -> None:
    """One tick of the grid: see, judge, decide, keep watch."""
    turn.problems = event.problems
    if event.world is not None:
        foreign.look(turn, event.world)
    elif "world" in event.problems:
        turn.change(world_failing=event.problems["world"])
    _tell_if_unreadable(turn)
    behind = turn.state.tick - event.tick
    if 0 <= behind < CLOCK_SET_BACK or turn.state.stopped is not None:
        return
    before = turn.state.tick
    turn.change(tick=event.tick)
    turn.holds = watch.evaluate(turn)
    watch.see(turn, before)
    lock = turn.state.lock
    if lock is not None and turn.at >= lock.until:
        decision.lift(turn, lock)
    foreign.end_override(turn)
    foreign.remember_before(turn, event.readings)
    approval.upkeep(turn)
    watch.notify(turn)
    split.watch(turn)
    decision.decide(turn)
    action.retry(turn)
    restore.watch(turn)
    count_impact(turn)
    watch.across_deployments(turn)
    watch.stability(turn)
    watch.settle_incident(turn)
    watch.learn(turn)
    watch.remember(turn)


def _tell_if_unreadable(turn: Turn) -> None:
    """Never silently blind: the key or the deployments could not be read for minutes."""
    failing, read_at = turn.state.world_failing, turn.state.world_at
    if failing is None:
        end_notice(turn, "blind:world")
        return
    begun = min((rule.since for rule in turn.state.rules.values()), default=turn.at)  # where it was never read
    blind_for = turn.at - (read_at if read_at is not None else begun)
    if blind_for >= UNREADABLE:
        severity = Severity.CRITICAL if blind_for >= watch.CRITICALLY_BLIND else Severity.WARNING
        notice(turn, "blind:world", severity, "blind: what is in force cannot be read", failing)


def _lever_ended(turn: Turn, event: LeverEnded) -> None:
    """A person's step to a less safe rung in an incident is their decision: it stands like any override."""
    before, ours = turn.place, event.effect in turn.state.outbox
    waiting = turn.incident is not None and turn.incident.step is not None and turn.incident.step.waiting
    action.lever_ended(turn, event.effect, event.result)
    incident, after = turn.incident, turn.place
    if ours and incident is not None and incident.step is not None and incident.step.effect == event.effect:
        _go_on(turn, event.result.outcome, waiting=waiting)
    if incident is None or incident.step is None or incident.phase is not Phase.VALIDATING or incident.quiet:
        return
    weaker = before is not None and after is not None and after < before
    if incident.step.by is not None and weaker:
        foreign.override(turn, turn.at, f"{incident.step.by} set {incident.step.label}")


def _go_on(turn: Turn, outcome: Outcome, *, waiting: bool) -> None:
    """What a lever's end means for other levers: one that refused has others in its place, one that got through none."""
    if outcome in (Outcome.REFUSED, Outcome.LOST) and turn.open_incident.phase is Phase.WATCHING:
        turn.holds = watch.evaluate(turn)
        decision.not_taken(turn) if outcome is Outcome.REFUSED else decision.lost(turn)
    elif waiting and turn.open_incident.phase is Phase.VALIDATING:
        approval.withdraw(turn, "the step before it got through after all")


def _sent(turn: Turn, event: Sent) -> None:
    effect = turn.settle(event.effect)
    if not isinstance(effect, Send):
        return
    keep_receipt(turn, effect, event.receipt)
    if event.failure is not None:
        turn.change(outbox={**turn.state.outbox, effect.id: effect})
        _next_contact(turn, effect.id, event.failure)
        turn.settle(effect.id)


def _next_contact(turn: Turn, effect: str, detail: str) -> None:
    """A channel fails: whoever comes next is told the same."""
    failing = turn.state.outbox.get(effect)
    if not isinstance(failing, Send):
        return
    contacts = turn.service.contacts
    told = {
        e.contact
        for e in turn.state.outbox.values()
        if isinstance(e, Send) and e.message.thread == failing.message.thread
    }
    unreachable = (*failing.instead_of, failing.contact)
    told.update(unreachable)
    everyone = (*contacts.escalate, *contacts.critical, *contacts.warning)
    candidates = [c for c in everyone if c.person and c not in told]
    if candidates:
        message = replace(
            failing.message, lines=(*failing.message.lines, f"{failing.contact} could not be reached: {detail}")
        )
        turn.issue(Send(turn.new_effect_id("send"), turn.service.name, candidates[0], message, unreachable))
        if turn.incident is not None and turn.incident.id == failing.message.incident:
            known = turn.incident.contacts  # whoever stands in hears the rest of it at once
            turn.update(contacts=tuple(dict.fromkeys((*known, candidates[0]))))


def halt(service: Service, state: State, history: History, now: int, reason: str) -> Stepped:
    """An assertion of ours failed: this service acts no more, people are told, and polling goes on."""
    turn = Turn(service, replace(state, stopped=reason), history, now, now)
    turn.open(Severity.CRITICAL)
    safest = service.ladder.safest.name
    fact(turn, by_hand=by_hand(turn, safest))
    tell(
        turn,
        "notaus has stopped acting on this service",
        reason,
        f"`notaus release {service.name}` lets it act again.",
        loud=True,
        severity=Severity.CRITICAL,
    )
    return Stepped(turn.state, history, turn.effects)
