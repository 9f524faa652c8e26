"""The way back to normal: only a person starts it; prerequisites first, then rung by rung under watch (spec 11)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from notaus.core.action import close, give_up, tell_doubt
from notaus.core.effect import PullLever, WriteKv
from notaus.core.hold import Hold, Truth, compare
from notaus.core.incident import Cause, Phase, Ramp, Step
from notaus.core.ladder import KvLever
from notaus.core.paging import by_hand, duration, fact, tell
from notaus.core.rule import INVESTIGATE, Comparison, Rule, Severity
from notaus.core.turn import Turn
from notaus.core.verification import RampStep, RestoreNeed

RECENT = 120
"""Seconds over which a prerequisite on a signal must be known true."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A prerequisite and whether it is met, with how that is known."""

    text: str
    met: bool
    how: str


def start(turn: Turn, by: str, attest: tuple[str, ...]) -> None:
    """Begin the way back, or say which prerequisites are not met."""
    findings = [_check(turn, need, by, attest) for need in turn.service.restore.require]
    listed = "\n".join(f"{'met' if f.met else 'NOT MET'}: {f.text} ({f.how})" for f in findings)
    if not all(f.met for f in findings):
        turn.answer(False, f"not restored:\n{listed}")
        if turn.incident is not None:
            turn.note(f"{by} asked to restore; refused: {'; '.join(f.text for f in findings if not f.met)}")
        return
    if not isinstance(turn.service.ladder.lever, KvLever):
        _close_rollback(turn, by, listed)
        return
    if turn.observing:
        turn.answer(False, f"{turn.service.name} is in observe mode: notaus pulls no lever")
        return
    if turn.pulling:
        turn.answer(False, "a lever is being pulled; try again in a moment")
        return
    steps = _steps(turn)
    if not steps:
        turn.answer(False, f"nothing to restore: the service is at {turn.service.ladder.rungs[0].name}")
        return
    turn.open(Severity.WARNING, quiet=True)
    given_up = give_up(turn)
    turn.update(ramp=Ramp(by, 0), settled_at=turn.at)
    turn.move(Cause.RESTORING)
    tell_doubt(turn, given_up)
    turn.note(f"{by} started the way back: {listed}" if listed else f"{by} started the way back")
    present = _current(turn)
    if present is not None and present.watch > 0:  # already on a rung of the ramp: it is watched first, like any other
        turn.update(ramp=Ramp(by, 0, ready=True, since=turn.at))
        steps = (present, *steps)
    else:
        _pull(turn, steps[0], by)
    turn.answer(True, "\n".join(filter(None, (listed, f"restoring: {_plan(steps)}"))))


def _check(turn: Turn, need: RestoreNeed, by: str, attest: tuple[str, ...]) -> Finding:
    attested = any(_same(text, need.text) for text in attest)
    if need.condition is None:
        return Finding(need.text, attested, f"attested by {by}" if attested else f'--attest "{need.text}"')
    newest = _newest(turn, need.condition)
    times = range(0) if newest is None else range(newest - RECENT, newest + 1, turn.service.step)
    answers = [compare(need.condition, turn.history, at) for at in times]
    if Truth.FALSE in answers:
        return Finding(need.text, False, "it is not so")
    if answers and all(a is Truth.TRUE for a in answers):
        return Finding(need.text, True, f"so for {duration(RECENT)}")
    return Finding(
        need.text, attested, f"no data; attested by {by}" if attested else f'no data; --attest "{need.text}"'
    )


def _newest(turn: Turn, condition: Comparison) -> int | None:
    """The grid time up to which the condition's signals are known; None where that is too long ago to tell of now."""
    settle = max(turn.service.signals[name].settle for name in condition.signals)
    newest = [sample.at if (sample := turn.history.newest(name)) is not None else 0 for name in condition.signals]
    return min(newest) if turn.at - min(newest) <= settle + turn.service.step + 60 else None


def _same(given: str, wanted: str) -> bool:
    return " ".join(given.lower().split()) == " ".join(wanted.lower().split())


def _steps(turn: Turn) -> tuple[RampStep, ...]:
    """The rungs of the ramp that are less safe than the present one; without a ramp, normal at once."""
    ladder, place = turn.service.ladder, turn.place
    ramp = turn.service.restore.ramp or (RampStep(ladder.rungs[0].name, 0),)
    return tuple(step for step in ramp if place is None or ladder.place_of(step.rung) < place)


def _plan(steps: tuple[RampStep, ...]) -> str:
    return ", then ".join(f"{s.rung} for {duration(s.watch)}" if s.watch else s.rung for s in steps)


def _close_rollback(turn: Turn, by: str, listed: str) -> None:
    """notaus never redeploys what it rolled back: the incident closes once something else is live."""
    incident, view = turn.incident, turn.state.view
    if incident is None:
        turn.answer(False, "nothing to restore: no incident is open")
        return
    if view is not None and view.live is not None and view.live.id != turn.state.accepted:
        turn.answer(False, "the deployments are being read; try again in a moment")
        return
    away = incident.step.away_from if incident.step is not None else None
    live = view.live.versions if view is not None and view.live is not None else ()
    if away is not None and any(version == away for version, _ in live):
        turn.answer(False, "the version that was rolled back from is live")
        return
    turn.answer(True, "\n".join(filter(None, (listed, "the incident is closed"))))
    tell_doubt(turn, give_up(turn))
    close(turn, f"restored by {by}")


def _pull(turn: Turn, step: RampStep, by: str) -> None:
    effect = turn.new_effect_id("pull")
    number = turn.open_incident.steps + 1
    turn.update(step=Step(number, step.rung, turn.at, (), effect, by=by, label=step.rung), steps=number)
    fact(turn, reason=f"the way back, started by {by}", by_hand=by_hand(turn, step.rung))
    turn.issue(PullLever(effect, turn.service.name, WriteKv(step.rung, False, turn.state.fields), turn.now))


def watch(turn: Turn) -> None:
    """At a tick: count watched time, and go up a step when its time has passed."""
    incident = turn.incident
    if incident is None or incident.phase is not Phase.RAMPING or incident.ramp is None:
        return
    ramp = incident.ramp
    if not ramp.ready or (incident.step is not None and incident.step.retry_at is not None):
        return
    if turn.observing:
        _end(turn, "the service only observes now")
        return
    current = _current(turn)
    if _all_clear(turn) and turn.at > ramp.since:
        ramp = replace(ramp, watched=ramp.watched + turn.service.step)
        turn.update(ramp=ramp)
    if current is not None and ramp.watched < current.watch:
        return
    following = _steps(turn)
    if not following:
        close(turn, f"restored by {ramp.by}", title="resolved")
        return
    turn.update(ramp=Ramp(ramp.by, ramp.index + 1))
    tell(turn, f"the rung held; next is {following[0].rung}")
    _pull(turn, following[0], ramp.by)


def _end(turn: Turn, why: str) -> None:
    """The way back goes no further."""
    if turn.open_incident.quiet:
        close(turn, why)
        return
    turn.move(Cause.NOT_PULLED)
    tell(turn, f"the way back ends here: {why}")


def _current(turn: Turn) -> RampStep | None:
    rung = turn.rung
    return next((s for s in turn.service.restore.ramp if rung is not None and s.rung == rung.name), None)


def _all_clear(turn: Turn) -> bool:
    """Every rule known and false (one that only tells: not breached), and no notice standing: only such time counts."""
    if turn.state.notices:
        return False
    rules = [r for r in turn.service.rules if not r.trigger]
    return all(_clear(rule, (turn.holds or {}).get(rule.name, Hold())) for rule in rules)


def _clear(rule: Rule, hold: Hold) -> bool:
    if rule.then == INVESTIGATE:
        return hold.truth in (Truth.TRUE, Truth.FALSE) and hold.breach is None
    return hold.truth is Truth.FALSE
