"""Limits: what stands between a breach and its step (spec 5, 7). Each gives a permit with its reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from notaus.core import deployment
from notaus.core.baseline import wilson
from notaus.core.deployment import Origin
from notaus.core.evidence import percent, pooled
from notaus.core.hold import Run
from notaus.core.ladder import KvLever
from notaus.core.paging import duration
from notaus.core.rule import Rule, Severity
from notaus.core.service import Requirement
from notaus.core.turn import Turn
from notaus.core.world import Deployment, Version

LATE = 900
"""Seconds beyond `within` + `for` after which a step comes so late that it asks first."""


class Permit(StrEnum):
    ACT = "act"
    ASK = "ask"
    """A person's approval first."""
    TELL = "tell"
    """People are told; nothing is done for this hold."""
    WAIT = "wait"
    """People are told; it acts when the reason is gone and the breach still stands."""
    HOLD_BACK = "hold back"
    """`notaus hold`: people are told, and asked at its end."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a breach may act, and why (not)."""

    permit: Permit
    reason: str = ""
    severity: Severity | None = None
    """Raises the page to it."""
    version: str | None = None
    """Rollback: the target."""
    away_from: str | None = None
    """Rollback: the version in doubt."""
    blocked: bool = False
    """The ladder's lever cannot do it, and nothing tells that it ever will."""


def rule_on(turn: Turn, rule: Rule, run: Run | None, rung: str) -> Ruling:
    """Whether the breach of `rule` (a trigger has no run) may take the step to `rung` now."""
    ladder = turn.service.ladder
    judge = _on_kv if isinstance(ladder.lever, KvLever) else _on_rollback
    if ladder.rung(rung).lever is not None:
        judge = _on_own
    ruling = judge(turn, rule, run)
    if ruling.permit is not Permit.ACT:
        return ruling
    if ladder.rung(rung).approval:
        return Ruling(Permit.ASK, f"the rung {rung} needs approval")
    if _lost(turn, rung):
        return Ruling(Permit.ASK, f"whether {rung} is in force already cannot be found out", Severity.CRITICAL)
    if rule.approval:
        return Ruling(Permit.ASK, "this rule needs approval", None, ruling.version, ruling.away_from)
    if not rule.trigger and budget_spent(turn, rung):
        limit = f"{turn.service.max_actions} actions in {duration(turn.service.max_actions_per)}"
        return Ruling(Permit.WAIT, f"the limit of {limit} is reached; it acts when there is room", Severity.CRITICAL)
    return ruling


def rule_instead(turn: Turn, rule: Rule, run: Run | None, rung: str, because: str) -> Ruling:
    """Whether the step to `rung` may be taken in place of one that could not be (`because`): by itself as far as
    `escalate_to` goes, else a person is asked. Nothing is done of what would not have been a reason for the first one."""
    ladder = turn.service.ladder
    doubt = _doubts_without_target(turn, rule, run)
    if doubt is not None and doubt.permit is Permit.TELL:
        return doubt
    ruling = rule_on(turn, rule, run, rung)
    if ruling.permit in (Permit.HOLD_BACK, Permit.TELL):
        return ruling
    if ruling.permit is Permit.ACT and ladder.allows(ladder.rung(rung)) and doubt is None:
        return Ruling(Permit.ACT, because)
    why = [because, doubt.reason if doubt is not None else "", "" if ruling.permit is Permit.ACT else ruling.reason]
    return Ruling(Permit.ASK, "; ".join(filter(None, why)), Severity.CRITICAL)


def _lost(turn: Turn, rung: str) -> bool:
    """Whether a step to `rung` was begun, and nobody knows how it ended."""
    return turn.incident is not None and rung in turn.incident.lost


def budget_spent(turn: Turn, rung: str) -> bool:
    """Never in the way of an incident's first step to the safest rung of a KV ladder."""
    ladder = turn.service.ladder
    went = turn.incident is not None and turn.incident.went_safest
    if isinstance(ladder.lever, KvLever) and rung == ladder.safest.name and not went:
        return False
    recent = [t for t in turn.state.actions if t > turn.at - turn.service.max_actions_per]
    return len(recent) >= turn.service.max_actions


def _on_kv(turn: Turn, rule: Rule, run: Run | None) -> Ruling:
    state, ladder = turn.state, turn.service.ladder
    if turn.underneath is None and state.world_at is not None and state.world_failing is None:
        key = ladder.lever.key if isinstance(ladder.lever, KvLever) else ""
        return Ruling(
            Permit.WAIT, f"the value of the key {key} cannot be ranked, so nothing is written", Severity.CRITICAL
        )
    if state.lock is not None and state.lock.all:
        return _held_back(turn)
    worse = _worse_cohort(turn, run) if run is not None else None
    if worse is not None:
        return Ruling(Permit.ASK, worse, Severity.CRITICAL)
    return Ruling(Permit.ACT)


def held(turn: Turn, rung: str) -> bool:
    """Whether a hold forbids the step to `rung`: one of every step does; any other lets values of the key through."""
    lock, ladder = turn.state.lock, turn.service.ladder
    key = isinstance(ladder.lever, KvLever) and ladder.rung(rung).lever is None
    return lock is not None and (lock.all or not key)


def _held_back(turn: Turn) -> Ruling:
    lock = turn.state.lock
    assert lock is not None
    return Ruling(Permit.HOLD_BACK, f"a hold by {lock.by} is in force: {lock.reason}")


def _worse_cohort(turn: Turn, run: Run) -> str | None:
    """Whether the cohort that would get the traffic is clearly worse than the one relieved, in words."""
    signals, relieved = turn.service.signals, _relieved(turn)
    if relieved is None or f"{relieved}.error_rate" not in signals:
        return None
    ours = _interval(turn, f"{relieved}.error_rate", run)
    alike = [s for s in signals.values() if s.of_version is signals[f"{relieved}.error_rate"].of_version]
    for signal in alike:
        if signal.measure != "error_rate" or signal.cohort in (None, relieved):
            continue
        theirs = _interval(turn, signal.name, run)
        if ours is not None and theirs is not None and theirs[0] > ours[1]:
            return (
                f"{signal.cohort}, which would get the traffic, is clearly worse than {relieved}: its error rate lies in "
                f"{percent(theirs[0])} to {percent(theirs[1])}, against {percent(ours[0])} to {percent(ours[1])}"
            )
    return None


def _relieved(turn: Turn) -> str | None:
    """The cohort that a step takes traffic from."""
    ladder, signals = turn.service.ladder, turn.service.signals
    if not isinstance(ladder.lever, KvLever):
        return deployment.SUSPECT
    if ladder.share is not None and not ladder.drains and ladder.share.signal in signals:
        return signals[ladder.share.signal].cohort
    return next(iter(ladder.drains.values()), None)


def _interval(turn: Turn, signal: str, run: Run) -> tuple[float, float] | None:
    counts = pooled(signal, turn.history, run.start, run.end, turn.service.signals[signal].window)
    return wilson(float(counts.of), float(counts.among)) if counts.among > 0 else None


def _on_own(turn: Turn, rule: Rule, run: Run | None) -> Ruling:
    """A lever that notaus knows nothing of may do anything: any hold blocks it."""
    if turn.state.lock is not None:
        return _held_back(turn)
    view = turn.state.view
    live = view.live if view is not None else None
    if view is not None and live is not None:
        late = _age(turn, rule, run, live if run is None else deployment.in_force(view, run.start) or live)
        if late is not None:
            return late
    return Ruling(Permit.ACT)


def _on_rollback(turn: Turn, rule: Rule, run: Run | None) -> Ruling:
    """The pre-rollback checklist, in the order in which its answers matter."""
    view, registry = turn.state.view, turn.state.registry
    live = view.live if view is not None else None
    if view is None or live is None:
        why = turn.state.world_failing or "they have not been read yet"
        return Ruling(Permit.WAIT, f"the deployments are not known: {why}", Severity.CRITICAL)
    blamed = deployment.suspect(registry, live)
    if blamed is not None and registry.stable(blamed) and not rule.trigger:
        label = view.version(blamed).label
        return Ruling(Permit.TELL, f"{label}, the live version, is itself known-stable: no deployment is to blame")
    late = _age(turn, rule, run, live if run is None else deployment.in_force(view, run.start) or live)
    if late is not None and late.permit is Permit.TELL:
        return late
    incident = turn.incident
    others = tuple(i for i in (incident.step.away_from,) if i) if incident is not None and incident.step else ()
    target = deployment.target(registry, view, but=others)
    if target.version is None or target.blocked:
        return Ruling(Permit.WAIT, target.reason or "there is no target", Severity.CRITICAL, blocked=True)
    if turn.state.lock is not None:
        return _held_back(turn)
    asked = late or _doubts(turn, rule, run, blamed) or _about(turn, target.version)
    if asked is None:
        return Ruling(Permit.ACT, version=target.version.id, away_from=blamed)
    if asked.permit is Permit.TELL:
        return asked
    return Ruling(Permit.ASK, asked.reason, asked.severity, target.version.id, blamed)


def _age(turn: Turn, rule: Rule, run: Run | None, live: Deployment) -> Ruling | None:
    """`within: 30m of deploy`."""
    began = run.start if run is not None else _blind_since(turn, rule)
    if rule.within_of_deploy is None or began is None:
        return None
    allowed = duration(rule.within_of_deploy)
    if began - live.created > rule.within_of_deploy:
        return Ruling(Permit.TELL, f"it began more than {allowed} after the deployment, which is then not to blame")
    if turn.at - live.created > rule.within_of_deploy + rule.hold + LATE:
        return Ruling(Permit.ASK, f"the step comes late: the deployment is older than {allowed}")
    return None


def _doubts_without_target(turn: Turn, rule: Rule, run: Run | None) -> Ruling | None:
    """What would have made a rollback ask, or not be one, whatever its target; None for other levers."""
    view = turn.state.view
    if isinstance(turn.service.ladder.lever, KvLever) or view is None or view.live is None:
        return None
    return _doubts(turn, rule, run, deployment.suspect(turn.state.registry, view.live))


def _doubts(turn: Turn, rule: Rule, run: Run | None, blamed: str | None) -> Ruling | None:
    """What makes an automatic rollback ask first, or not be one at all."""
    if blamed is None:
        return Ruling(Permit.ASK, "two versions are live, and neither alone can be blamed", Severity.CRITICAL)
    worse = _worse_cohort(turn, run) if run is not None else None
    if worse is not None:
        return Ruling(Permit.ASK, worse, Severity.CRITICAL)
    if not rule.trigger and Requirement.NEW_SINCE_DEPLOY in turn.service.require:
        return _origin(turn, rule, run) if run is not None else _origin_unseen(turn, rule)
    return None


def _origin_unseen(turn: Turn, rule: Rule) -> Ruling | None:
    asks = Ruling(Permit.ASK, "whether it is new since the deployment is not known", Severity.CRITICAL)
    return asks if _blind_since(turn, rule) is not None else None


def _blind_since(turn: Turn, rule: Rule) -> int | None:
    """When the rule that calls for a step without a hold could last be evaluated; None where it is not blind."""
    state = turn.rule_state(rule.name)
    return state.evaluated if rule.on_blind is not None and state.blind is not None else None


def _about(turn: Turn, version: Version) -> Ruling | None:
    """What makes a rollback to `version` ask first."""
    idle = turn.at - deployment.last_served(turn.state.registry, version.id, turn.at)
    if idle > deployment.OLD:
        return Ruling(Permit.ASK, f"{version.label} last served {idle // 86400} days ago")
    incident = turn.incident
    if incident is not None and incident.deployed and version.id not in incident.deployed:
        return Ruling(Permit.ASK, "this incident has already deployed another version")
    return None


def _origin(turn: Turn, rule: Rule, run: Run) -> Ruling | None:
    """`new_since_deploy`: the ten minutes before against the hold."""
    found = deployment.origin(rule.when, turn.state.before, turn.history, run.start, run.end)
    match found:
        case Origin.NEW:
            return None
        case Origin.UNKNOWN:
            return Ruling(Permit.ASK, "whether it was so before the deployment is not known", Severity.CRITICAL)
        case Origin.WORSE:
            return Ruling(Permit.ASK, f"it was so before the deployment, but less: {_intervals(turn, rule, run)}")
        case Origin.PRE_EXISTING:
            return Ruling(Permit.TELL, f"pre-existing, not this deployment's doing: {_intervals(turn, rule, run)}")


def _intervals(turn: Turn, rule: Rule, run: Run) -> str:
    """Before and after, in words, with 95 % intervals where there are counts."""
    parts = []
    for comparison in rule.when:
        was = turn.state.before.get(comparison.signal)
        now = deployment.average(comparison.signal, turn.history, run.start, run.end)
        parts.append(f"{comparison.signal} was {_spelled(was)}, is {_spelled(now)}")
    return "; ".join(parts)


def _spelled(found: deployment.Average | None) -> str:
    if found is None:
        return "unknown"
    if found.of is None or found.among is None:
        return f"{float(found.mean):g}"
    low, high = wilson(float(found.of), float(found.among))
    return f"{percent(float(found.mean))} ({percent(low)} to {percent(high)})"
