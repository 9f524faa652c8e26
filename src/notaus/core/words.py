"""The runbooks' own words: what a page is called, and the facts they ask for, in their order. One place for all channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fractions import Fraction

from notaus.core.effect import Outcome
from notaus.core.evidence import percent
from notaus.core.impact import Impact, error_rates
from notaus.core.incident import Incident, Phase, Step
from notaus.core.page import Public, Remedy, Stage, Symptom
from notaus.core.signal import Shape
from notaus.core.turn import Turn
from notaus.core.verdict import due_at

FIRST = (
    "status", "time", "deployment", "reason", "action", "ETA", "impact", "verified", "error rate", "response time", "next",
    "rule", "values", "evidence", "cohorts", "approval", "approve",
)  # fmt: skip
"""What happened and what comes next, then what it rests on."""
LAST = ("by hand", "replaced", "undo", "mind", "status page", "dashboard")
"""What to type, then where to look."""
OF_THE_MOMENT = ("status", "time", "deployment", "ETA", "impact", "error rate", "response time", "next")
"""Facts that follow from where the incident stands: made anew for each message."""

STATUS: Mapping[Phase, str] = {
    Phase.WATCHING: "WATCHING",
    Phase.AWAITING_APPROVAL: "WAITING FOR APPROVAL",
    Phase.ACTING: "ACTING",
    Phase.VALIDATING: "VALIDATING",
    Phase.MITIGATED: "RESOLVED",
    Phase.UNRESOLVED: "NOT RESOLVED",
    Phase.HELD: "HELD, people have decided otherwise",
    Phase.RAMPING: "RETURNING TO NORMAL",
    Phase.CLOSED: "CLOSED",
}
_UNDER_WAY = (Phase.ACTING, Phase.VALIDATING)
_NOT_DONE = (Outcome.REFUSED, Outcome.FOREIGN)


def stage(incident: Incident) -> Stage:
    """The incident in the words of a status page; one that was closed while it lasted stays as it was.

    Nothing is in force yet, or it did not help: investigating. It is in force: identified, and once verified
    monitoring. The verdict is that it helped: resolved, though the way back to normal is still to come.
    """
    phase = incident.closed_in or incident.phase
    if phase in (Phase.MITIGATED, Phase.RAMPING, Phase.CLOSED):
        return Stage.RESOLVED
    if phase is not Phase.VALIDATING or incident.step is None:
        return Stage.INVESTIGATING
    return Stage.MONITORING if incident.step.verified else Stage.IDENTIFIED


def public(turn: Turn, *, ended: bool) -> Public:
    """The incident as outsiders may read of it."""
    incident = turn.open_incident
    step = incident.step
    remedy = Remedy.NONE
    if step is not None and incident.acted:
        remedy = _remedy(turn, step)
    minutes = _minutes(turn, step) if step is not None and incident.phase in _UNDER_WAY else None
    found = Stage.RESOLVED if ended and incident.closed_in is None else stage(incident)
    return Public(found, turn.service.title, _symptom(turn), remedy, minutes)


def _remedy(turn: Turn, step: Step) -> Remedy:
    if turn.service.ladder.rung(step.rung).lever is not None:
        return Remedy.PROTECTED
    return Remedy.DIVERTED if step.version is None else Remedy.ROLLED_BACK


def _symptom(turn: Turn) -> Symptom:
    """Errors before slowness: of several rules the worse decides."""
    rules = [turn.service.rule(name) for name in turn.open_incident.rules if turn.service.has_rule(name)]
    signals = [turn.service.signals[name] for rule in rules for name in rule.signals]
    if any(signal.measure == "error_rate" or signal.shape is Shape.COUNT for signal in signals):
        return Symptom.ERRORS
    return Symptom.SLOW if any(signal.shape is Shape.QUANTILE for signal in signals) else Symptom.DISRUPTED


def banner(turn: Turn) -> str | None:
    """What the runbook calls this message; None where it has no word for it."""
    incident = turn.open_incident
    step = incident.step
    if step is None:
        return None
    if incident.phase is Phase.CLOSED:
        return f"{turn.service.called} Incident - Closed"
    if incident.ramp is not None:
        return f"{turn.service.called} - Return to Normal Operation"
    standing = _standing(incident, step)
    if standing is None:
        return None
    if step.version is not None:
        return f"ROLLBACK {standing.upper()}"
    said = standing.replace("complete", "executed").title()
    if step.undoes is not None:
        return f"{turn.service.called} - {step.undoes} taken back"
    if turn.service.ladder.rung(step.rung).lever is not None:
        return f"{turn.service.called} Incident - {step.rung.title()} {standing.title()}"
    safest = step.rung == turn.service.ladder.safest.name
    return f"{turn.service.called} Incident - {'Emergency Rollback' if safest else f'Rollback to {step.rung}'} {said}"


def _standing(incident: Incident, step: Step) -> str | None:
    match incident.phase:
        case Phase.ACTING:
            return "in progress"
        case Phase.VALIDATING if step.version is not None and not (incident.quiet and step.verified):
            return "in progress"  # complete once the verdict says so
        case Phase.VALIDATING | Phase.MITIGATED:
            return "complete"
        case Phase.UNRESOLVED:
            return "did not help"
        case Phase.WATCHING if step.outcome in _NOT_DONE:
            return "not done"
        case _:
            return None


def arranged(turn: Turn) -> dict[str, str]:
    """The facts of the incident's page as of now, in the runbooks' order."""
    kept = {name: text for name, text in turn.open_incident.facts.items() if name not in OF_THE_MOMENT}
    facts = {**kept, **turn.service.links, **_of_the_moment(turn)}
    rest = [name for name in facts if name not in FIRST + LAST]
    return {name: facts[name] for name in (*FIRST, *rest, *LAST) if name in facts}


def _of_the_moment(turn: Turn) -> dict[str, str]:
    incident = turn.open_incident
    step = incident.step
    started = incident.opened_at if step is None else step.action
    found = {"status": STATUS[incident.phase], "time": clock(started), "next": _next(turn)}
    if step is not None and step.version is not None:
        found["deployment"] = _deployment(turn, step)
    if step is not None and step.by is None and incident.phase in _UNDER_WAY:
        found["ETA"] = _eta(turn, step)
    if incident.impact is not None and (cost := cost_of(turn, incident.impact)):
        found["impact"] = cost
    if incident.phase is Phase.MITIGATED:
        found |= _normal(turn)
    return found


def _deployment(turn: Turn, step: Step) -> str:
    if turn.open_incident.phase in (Phase.MITIGATED, Phase.RAMPING, Phase.CLOSED):
        return f"rolled back to {step.label}"
    if step.away_from is None:
        return step.label
    bad = turn.state.registry.names.get(step.away_from)
    return f"{bad.label} ({bad.id[:8]})" if bad is not None else step.away_from


def _due(turn: Turn, step: Step) -> int:
    """When the verdict comes, all its samples settled."""
    rules = [turn.service.rule(name) for name in step.rules if turn.service.has_rule(name)]
    return due_at(turn.service, step) + max((turn.service.settle(rule) for rule in rules), default=0)


def _minutes(turn: Turn, step: Step) -> int:
    return max(1, -(-(_due(turn, step) - turn.now) // 60))


def _eta(turn: Turn, step: Step) -> str:
    minutes = _minutes(turn, step)
    return f"{minutes} minute{'' if minutes == 1 else 's'} (verdict at {clock(_due(turn, step))})"


def _next(turn: Turn) -> str:
    incident, service = turn.open_incident, turn.service.name
    rolls_back = incident.step is not None and incident.step.version is not None
    match incident.phase:
        case Phase.AWAITING_APPROVAL:
            return "an answer to the request; without one nothing is done"
        case Phase.ACTING:
            return "the checks, then the verdict"
        case Phase.VALIDATING:
            return "the verdict on whether it helped; nobody has to do anything before"
        case Phase.MITIGATED if rolls_back:
            return "root cause analysis, fix-forward plan"
        case Phase.MITIGATED:
            return f"root cause analysis; then `notaus restore {service}`"
        case Phase.UNRESOLVED:
            return "a person has to act: the runbook's recovery plan"
        case Phase.HELD:
            return f"`notaus release {service}` hands back to notaus"
        case Phase.RAMPING:
            return "the way back goes on by itself while all is well"
        case Phase.CLOSED:
            return "nothing more; what was done stays in force"
        case _:
            return "investigation"


def cost_of(turn: Turn, impact: Impact) -> str | None:
    """The impact in words, such as `1,250 failed requests (0.05 % of the traffic) since 14:25 UTC`."""
    failed, among = impact.totals(turn.service)
    if among <= 0:
        return None
    return f"{round(failed):,} failed requests ({_share(failed / among)} of the traffic) since {clock(impact.since)}"


def _share(share: Fraction) -> str:
    return percent(float(share))


def _normal(turn: Turn) -> dict[str, str]:
    """The runbook's two figures of a rollback that helped: error rate and response time."""
    rates = _values(turn, error_rates(turn.service))
    times = _values(turn, [s.name for s in turn.service.signals.values() if s.shape is Shape.QUANTILE])
    return {
        **({"error rate": f"back to normal ({rates})"} if rates else {}),
        **({"response time": times} if times else {}),
    }


def _values(turn: Turn, names: Iterable[str]) -> str:
    """The known ones of the newest values, each said by whose and what it is: `edge 2 %`, `edge P95 400 ms`."""
    said = []
    for name in names:
        signal, sample = turn.service.signals[name], turn.history.newest(name)
        if sample is None or sample.value is None:
            continue
        value = float(sample.value)
        rank = signal.measure.rpartition("_")[2].upper()
        said.append(
            f"{signal.prefix} {percent(value) if signal.shape is Shape.RATE else f'{rank} {value:g} {signal.unit}'}"
        )
    return ", ".join(said)


def clock(at: int) -> str:
    """Epoch seconds as the runbooks write them: `14:30 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def told_at(at: int, text: str) -> str:
    """A line of the timeline, as a report has it."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC - {text}"
