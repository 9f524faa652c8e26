"""Orders: what people (and hooks) ask for, each answered with a reply. A person's order is carried out at any time."""

from __future__ import annotations

from dataclasses import replace

from notaus.core import approval, deployment, foreign, restore
from notaus.core.action import Move, close, give_up, known_clear, take, tell_doubt
from notaus.core.decision import lift, safer
from notaus.core.deployment import Doubt
from notaus.core.event import (
    Answer,
    Cleared,
    Close,
    Deployed,
    Drilled,
    Hold,
    Judge,
    Order,
    Release,
    RestoreOrder,
    RollBack,
    SetRung,
    Trigger,
)
from notaus.core.incident import Incident, Phase, Step
from notaus.core.ladder import KvLever
from notaus.core.limits import Permit, held, rule_instead, rule_on
from notaus.core.paging import by_hand, describe, duration, end_notice, fact, notice, recovery, remark, tell
from notaus.core.release import REMEMBERED
from notaus.core.release import Release as Announced
from notaus.core.rule import Rule, Severity
from notaus.core.state import Lock, Reported
from notaus.core.turn import Turn
from notaus.core.world import Version

ONE_REPORT = "this was reported within the hour; it is one report"
SAME_REPORT = 3600
"""Seconds within which the same fingerprint is one report."""


def obey(turn: Turn, order: Order) -> None:
    """Carry out an order, and reply."""
    match order:
        case Hold():
            _hold(turn, order)
        case Release():
            _release(turn, order)
        case Answer():
            approval.answer(turn, order)
        case Trigger():
            _trigger(turn, order)
        case Cleared():
            _cleared(turn, order)
        case Deployed():
            _deployed(turn, order)
        case SetRung():
            _set(turn, order)
        case RollBack():
            _roll_back(turn, order)
        case RestoreOrder():
            _restore(turn, order)
        case Close():
            _close(turn, order)
        case Judge():
            _judge(turn, order)
        case Drilled():
            _drilled(turn, order)


def _hold(turn: Turn, order: Hold) -> None:
    lock = Lock(turn.at, turn.at + order.seconds, order.by, order.reason, order.all)
    turn.change(lock=lock)
    what = "every step" if order.all else "version rollbacks"
    turn.answer(True, f"{what} of {turn.service.name} held for {duration(order.seconds)}")
    if turn.incident is not None:
        turn.note(f"{order.by} holds {what} for {duration(order.seconds)}: {order.reason}")


def _release(turn: Turn, order: Release) -> None:
    lock, overridden = turn.state.lock, turn.overridden
    if lock is not None:
        lift(turn, lock)
    if overridden:
        foreign.end_override(turn, released_by=order.by)
    stopped = turn.state.stopped is not None
    turn.change(stopped=None)
    ended = [f"the hold by {lock.by} ({lock.reason})"] if lock is not None else []
    ended += ["the override"] * overridden + ["the halt"] * stopped
    if not ended:
        turn.answer(False, f"{turn.service.name} is neither on hold, nor overridden, nor stopped")
        return
    turn.answer(True, f"ended: {', '.join(ended)}; notaus acts again on {turn.service.name}")


def _trigger(turn: Turn, order: Trigger) -> None:
    rule = next((r for r in turn.service.rules if r.name == order.rule), None)
    if rule is None or not rule.trigger:
        known = ", ".join(r.name for r in turn.service.rules if r.trigger) or "none"
        turn.answer(False, f"{order.rule!r} is no trigger of {turn.service.name}; its triggers: {known}")
        return
    before = _reported(turn, order)
    if before == "":
        turn.answer(True, ONE_REPORT)
        return
    if turn.overridden and order.hook:
        _refuse(turn, rule, order, "an override is in force", before)
        return
    _remember(turn, order)
    if not safer(turn, rule.then):
        under_way = _under_way(turn)
        where = f"already at {rule.then} or safer" if under_way is None else f"on its way to {under_way.label}"
        _only_tell(turn, rule, order, f"the service is {where}")
        if under_way is not None:  # what was reported does not clear: the step is wanted until it gets through
            joined = tuple(dict.fromkeys((*under_way.rules, rule.name)))
            turn.update(step=replace(turn.open_incident.step or under_way, rules=joined))
        return
    rung, ruling = rule.then, rule_on(turn, rule, None, rule.then)
    instead = turn.service.ladder.instead_of(rung) if ruling.blocked else None
    if instead is not None:
        rung, ruling = instead.name, rule_instead(turn, rule, None, instead.name, ruling.reason)
    if ruling.permit is Permit.ASK:
        approval.ask(turn, rule, rung, ruling, None)
        turn.answer(True, f"approval is asked for: {ruling.reason}")
    elif ruling.permit is not Permit.ACT:
        _refuse(turn, rule, order, ruling.reason, before)
    else:
        approval.supersede(turn, rule)
        why = f"{rule.name}, reported by {order.by}: {order.reason}"
        take(turn, Move(rung, (rule,), why, order.by, ruling.version, ruling.away_from))
        turn.answer(True, f"{rung} has begun")


def _under_way(turn: Turn) -> Step | None:
    """The step whose lever is being pulled, if there is one."""
    incident = turn.incident
    return incident.step if incident is not None and incident.phase is Phase.ACTING else None


def _reported(turn: Turn, order: Trigger) -> str | None:
    """Why nothing was done of the same report within the hour, empty where something was; None: there was none."""
    same = (r for r in turn.state.reports if r.fingerprint == order.fingerprint and r.at > turn.at - SAME_REPORT)
    return next((report.refused for report in same), None)


def _remember(turn: Turn, order: Trigger, refused: str = "") -> None:
    if order.fingerprint is None:
        return
    others = (r for r in turn.state.reports if r.at > turn.at - SAME_REPORT and r.fingerprint != order.fingerprint)
    turn.change(reports=(*others, Reported(turn.at, order.fingerprint, refused)))


def _refuse(turn: Turn, rule: Rule, order: Trigger, reason: str, before: str | None) -> None:
    """Nothing is done of the report now; when it is repeated, it is looked at again, and told of if the reason is new."""
    _remember(turn, order, reason)
    if before == reason:
        turn.answer(True, ONE_REPORT)
    else:
        _only_tell(turn, rule, order, reason)


def _cleared(turn: Turn, order: Cleared) -> None:
    """Told again, or of nothing that is open, it changes nothing."""
    said = f"{order.by} says that {order.rule} is over: {order.reason}"
    incident = turn.incident
    if incident is None or order.rule not in incident.rules:
        turn.answer(True, "no open incident is about it")
        return
    since = max((e.at for e in incident.timeline if f"{order.rule}, reported by {order.by}" in e.text), default=0)
    if not any(entry.text == said and entry.at >= since for entry in incident.timeline):
        turn.note(said)
    turn.answer(True, "noted; what has been done stays")


def _deployed(turn: Turn, order: Deployed) -> None:
    announced = Announced(order.by, order.version, order.tag, order.commit, order.message, order.link)
    if announced in turn.state.releases:
        turn.answer(True, "announced already")
        return
    turn.change(releases=(*turn.state.releases, announced)[-REMEMBERED:])
    if turn.incident is not None:
        turn.note(f"announced: {announced.text}")
    turn.answer(True, f"remembered: {announced.text}")


def _only_tell(turn: Turn, rule: Rule, order: Trigger, reason: str) -> None:
    turn.open(rule.severity)
    turn.join((rule.name,))
    describe(turn, [rule], {})
    fact(turn, by_hand=by_hand(turn, rule.then))
    recovery(turn)
    tell(turn, f"{rule.name}, reported by {order.by}", order.reason, reason, loud=True, severity=rule.severity)
    turn.answer(False, f"people are told, nothing was done: {reason}")


def _set(turn: Turn, order: SetRung) -> None:
    ladder = turn.service.ladder
    name = order.rung or ladder.safest.name
    if not ladder.has(name):
        turn.answer(False, f"{name!r} is no rung of {turn.service.name}; its rungs: {_rungs(turn)}")
        return
    if order.rung is not None and turn.state.beyond and _goes_back(turn, order, name):
        return
    own = ladder.rung(name).lever is not None
    if not own and not isinstance(ladder.lever, KvLever):
        if ladder.rung(name).stable:
            _roll_back(turn, RollBack(order.now, order.by, None, order.reason))
        else:
            turn.answer(False, f"{name} is what you deploy; notaus never redeploys what it rolled back")
        return
    if turn.observing:
        turn.answer(False, f"{turn.service.name} is in observe mode: notaus pulls no lever. {by_hand(turn, name)}")
        return
    place, stands = ladder.place_of(name), turn.place if own else turn.underneath
    if stands == place:
        turn.answer(False, f"{turn.service.name} is at {name} already")
        return
    under_way = _under_way(turn)
    if under_way is not None and under_way.by is not None and under_way.rung == name:
        turn.answer(True, f"{name} is on its way already, by {under_way.by}")
        return
    quiet = turn.incident is None and stands is not None and place < stands
    approval.withdraw(turn, f"{order.by} has decided")
    why = order.reason or f"ordered by {order.by}"
    take(turn, Move(name, (), why, order.by, only_safer=False), quiet=quiet)
    turn.answer(True, f"{name} has begun{_past_hold(turn, name)}")


def _goes_back(turn: Turn, order: SetRung, name: str) -> bool:
    """Whether the order is about the way back from a rung with a lever of its own, which is dealt with here.

    What is in force beneath it is where that way leads; a rung less safe than that comes after.
    """
    ladder, standing = turn.service.ladder, turn.state.beyond[-1]
    beneath = _beneath(turn)
    if ladder.place_of(name) > ladder.place_of(beneath):
        return False
    if name != beneath:
        hint = f"`notaus set {turn.service.name} {beneath}` takes that back first"
        turn.answer(False, f"{turn.service.name} stands at {standing}; {hint}")
    elif turn.observing:
        turn.answer(False, f"{turn.service.name} is in observe mode: notaus pulls no lever")
    elif turn.pulling:
        turn.answer(False, "a lever is being pulled; try again in a moment")
    else:
        _take_back(turn, order, standing, beneath)
    return True


def _beneath(turn: Turn) -> str:
    """The rung that is in force once the newest lever of a rung's own is taken back."""
    if len(turn.state.beyond) > 1:
        return turn.state.beyond[-2]
    ladder, place = turn.service.ladder, turn.underneath
    reached = [rung.name for rung in ladder.own if place is not None and ladder.place_of(rung.name) <= place]
    return reached[-1] if reached else ladder.rungs[0].name


def _take_back(turn: Turn, order: SetRung, standing: str, beneath: str) -> None:
    lever = turn.service.ladder.rung(standing).lever
    approval.withdraw(turn, f"{order.by} has decided")
    if lever is not None and lever.undo:
        why = order.reason or f"ordered by {order.by}"
        move = Move(beneath, (), why, order.by, only_safer=False, undoes=standing)
        take(turn, move, quiet=turn.incident is None)
        turn.answer(True, f"{standing} is being taken back")
        return
    turn.change(beyond=turn.state.beyond[:-1])
    if turn.incident is not None:
        foreign.override(turn, turn.at, f"{order.by} says that {standing} is taken back")
    turn.answer(True, f"{standing} has no `undo`: nothing was run, and {turn.service.name} counts as {beneath} again")


def _restore(turn: Turn, order: RestoreOrder) -> None:
    if not turn.state.beyond:
        restore.start(turn, order.by, order.attest)
        return
    standing, beneath = turn.state.beyond[-1], _beneath(turn)
    hint = f"`notaus set {turn.service.name} {beneath}` takes that back first"
    turn.answer(False, f"not restored: {turn.service.name} stands at {standing}; {hint}")


def _rungs(turn: Turn) -> str:
    return ", ".join(rung.name for rung in turn.service.ladder.rungs)


def _roll_back(turn: Turn, order: RollBack) -> None:
    view = turn.state.view
    if isinstance(turn.service.ladder.lever, KvLever):
        turn.answer(False, f"{turn.service.name} is steered by a KV key; `notaus set` moves it: {_rungs(turn)}")
        return
    if turn.observing:
        turn.answer(False, f"{turn.service.name} is in observe mode: notaus pulls no lever")
        return
    if view is None or view.live is None:
        turn.answer(False, "the deployments have not been read yet; try again in a minute")
        return
    version, reason = _target(turn, order)
    if version is None:
        turn.answer(False, reason)
        return
    under_way = _under_way(turn)
    if under_way is not None and under_way.by is not None and under_way.version == version.id:
        turn.answer(True, f"{version.label} is on its way already, by {under_way.by}")
        return
    blamed = deployment.suspect(turn.state.registry, view.live)
    approval.withdraw(turn, f"{order.by} has decided")
    rung = next(r.name for r in turn.service.ladder.rungs if r.stable)
    why = order.reason or f"ordered by {order.by}"
    move = Move(rung, (), why, order.by, version.id, blamed, accept_changed_secrets=order.accept_changed_secrets)
    take(turn, move)
    turn.answer(True, f"rolling back to {version.label} has begun{_past_hold(turn, rung)}")


def _past_hold(turn: Turn, rung: str) -> str:
    """A hold stops automation, and no person; whoever orders the step in spite of one is told of it."""
    lock = turn.state.lock
    return f"; there is a hold by {lock.by}: {lock.reason}" if lock is not None and held(turn, rung) else ""


def _target(turn: Turn, order: RollBack) -> tuple[Version | None, str]:
    registry, view = turn.state.registry, turn.state.view
    assert view is not None
    assert view.live is not None
    if order.to is None:
        found = deployment.target(registry, view)
        blocked = found.blocked and not order.accept_changed_secrets
        return (None, found.reason or "") if found.version is None or blocked else (found.version, "")
    version = registry.find(order.to)
    if version is None:
        known = ", ".join(v.label for v in sorted(registry.names.values(), key=lambda v: -v.created)[:8])
        return None, f"no version is called {order.to!r}; the newest are {known}"
    if view.live.alone == version.id:
        return None, f"{version.label} is live already"
    return version, ""


def _close(turn: Turn, order: Close) -> None:
    incident = turn.incident
    if incident is None or incident.id != order.incident:
        open_ = f"; open is {incident.id}" if incident is not None else "; none is open"
        turn.answer(False, f"no open incident is called {order.incident!r}{open_}")
        return
    if turn.pulling:
        turn.answer(False, "a lever is being pulled; try again in a moment")
        return
    turn.answer(True, f"{incident.id} is closed")
    approval.withdraw(turn, f"{order.by} closes the incident")
    if turn.overridden:  # what was held meanwhile must hold anew before it acts
        foreign.forget(turn, turn.at)
    tell_doubt(turn, give_up(turn))
    left = ""
    if not _over(turn, incident):
        turn.update(closed_in=incident.phase)
        left = "; nothing showed that it is over: a public status page is left as it is"
    close(turn, f"by {order.by}: {order.reason}{left}")


def _over(turn: Turn, incident: Incident) -> bool:
    """Whether a step helped, or all that caused the incident is known to be clear by now."""
    if incident.quiet or incident.phase in (Phase.MITIGATED, Phase.RAMPING):
        return True
    rules = [turn.service.rule(name) for name in incident.rules if turn.service.has_rule(name)]
    return all(known_clear(turn, rule) for rule in rules)


def _judge(turn: Turn, order: Judge) -> None:
    version = turn.state.registry.find(order.version)
    if version is None:
        turn.answer(False, f"no version is called {order.version!r}")
        return
    doubt = Doubt.FLAGGED if order.flagged else None
    turn.change(registry=turn.state.registry.doubted(version.id, doubt))
    turn.answer(True, f"{version.label} is {'flagged: no rollback goes there' if order.flagged else 'cleared'}")


def _drilled(turn: Turn, order: Drilled) -> None:
    where = (f"Its report: {order.where}",) if order.where is not None else ()
    lines = (*order.text.splitlines(), *where, f"Held by {order.by}.")
    if order.restored:
        end_notice(turn, "drill")
        remark(
            turn, "drill", "a drill: every target is met" if order.passed else "a drill: NOT as it should be", *lines
        )
    else:
        notice(turn, "drill", Severity.CRITICAL, "a drill could NOT put everything back", *lines)
    turn.answer(True, "people are told")
