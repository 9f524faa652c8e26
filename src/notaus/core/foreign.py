"""Other people's hands: what the world shows that notaus did not write. Humans win (spec 7)."""

from __future__ import annotations

from collections.abc import Mapping

from notaus.core import approval, deployment
from notaus.core.action import Move, give_up, has_own_lever, known_clear, take, tell_doubt
from notaus.core.incident import Cause, Override, Phase, Step
from notaus.core.ladder import Place
from notaus.core.limits import budget_spent, held
from notaus.core.paging import announcement, duration, end_notice, notice, tell
from notaus.core.rule import Severity
from notaus.core.sample import History, Readings
from notaus.core.service import OverridePolicy, Service
from notaus.core.state import State
from notaus.core.turn import Turn
from notaus.core.world import Deployment, DeploymentsView, KvView, World

STALE = 60
"""Seconds after a write for which the value it replaced is merely stale."""

LISTED = 300
"""Seconds after a step in which a list of deployments without ours, and without a later one, is merely old."""


def look(turn: Turn, world: World) -> None:
    """Take in what the world shows."""
    turn.change(world_at=turn.now, world_failing=None)
    match world:
        case KvView():
            _look_at_kv(turn, world)
        case DeploymentsView():
            _look_at_deployments(turn, world)


def _look_at_kv(turn: Turn, view: KvView) -> None:
    names = turn.service.ladder.ranked_fields
    fields = None if view.value is None else {n: view.value[n] for n in names if n in view.value}
    if turn.incident is not None and turn.incident.phase is Phase.ACTING and not _weakened(turn, fields):
        return  # the lever itself looks before and after it leaps
    write = turn.state.write
    ranked = turn.service.ladder.place(fields or {}) is not None
    if ranked:
        end_notice(turn, "key")
    if fields == turn.state.fields:
        return
    if write is not None and fields == write.replaced and turn.now - write.at < STALE:
        return
    before = turn.underneath
    turn.change(fields=fields)
    if write is not None and fields == write.fields:
        return
    turn.change(write=None)  # overtaken: should our fields come back, somebody else wrote them
    after = turn.underneath
    incident = turn.incident
    if not ranked:
        said = view.problem or "a field is missing, or of another type"
        notice(turn, "key", Severity.CRITICAL, f"the steering key cannot be ranked: {said}", "No step can be taken.")
    if incident is not None and incident.acted and not incident.shadow and not incident.quiet:
        _foreign_value(turn, before, after, fields)


def _weakened(turn: Turn, fields: Mapping[str, object] | None) -> bool:
    """Whether a value less safe than the one known stands there while no pull of ours can be about to change it:
    the step waits for its next try, or has another lever."""
    step = turn.open_incident.step
    was, now = turn.underneath, turn.service.ladder.place(fields or {})
    if step is None or (step.retry_at is None and not has_own_lever(turn, step)):
        return False
    return was is not None and now is not None and now < was


def _foreign_value(turn: Turn, before: Place | None, after: Place | None, fields: Mapping[str, object] | None) -> None:
    seen = ", ".join(f"{name}={value}" for name, value in (fields or {}).items()) or "nothing usable"
    if after is not None and before is not None and after >= before:
        if turn.overridden:  # whoever decided otherwise is still at work
            forget(turn, turn.at)
            tell(turn, f"somebody else moved the service to a safer state: {seen}", "What was held stays so.")
            return
        turn.move(Cause.MOVED)
        turn.update(settled_at=turn.at)
        tell(turn, f"somebody else moved the service to a safer state: {seen}", "notaus guards on from there.")
        return
    step, ladder = turn.open_incident.step, turn.service.ladder
    ours = step is not None and ladder.rung(step.rung).lever is None and step.undoes is None
    safer = ours and step is not None and (after is None or ladder.place_of(step.rung) > after)
    if turn.service.override is OverridePolicy.ENFORCE and step is not None and safer and _may_enforce(turn, step):
        rules = tuple(turn.service.rule(name) for name in step.rules if turn.service.has_rule(name))
        take(turn, Move(step.rung, rules, f"override: enforce, against {seen}", blind=step.blind))
        return
    override(turn, turn.at, f"somebody else wrote {seen}")


def _may_enforce(turn: Turn, step: Step) -> bool:
    """Within the limits of any automatic step, and only while a rule behind it has not cleared."""
    earlier = turn.open_incident.override
    if earlier is not None and turn.at < earlier.until:
        return False  # it was left to people before, and still is
    rules = [turn.service.rule(name) for name in step.rules if turn.service.has_rule(name)]
    stands = not all(known_clear(turn, rule) for rule in rules)
    return stands and not held(turn, step.rung) and not budget_spent(turn, step.rung)


def override(turn: Turn, since: int, what: str) -> None:
    """A person's decision stands: nothing automatic for a while, and only samples after it count."""
    until = turn.at + turn.service.override_for
    given_up = give_up(turn)
    turn.move(Cause.OVERRIDDEN)
    turn.update(override=Override(since, until, what))
    approval.withdraw(turn, "a person has decided otherwise")
    forget(turn, since)
    tell(
        turn,
        f"held: {what}",
        f"Nothing automatic for {duration(turn.service.override_for)}.",
        f"`notaus release {turn.service.name}` hands back to notaus at once.",
        loud=True,
    )
    tell_doubt(turn, given_up)


def forget(turn: Turn, since: int) -> None:
    """Only samples from `since` on count, for every rule."""
    for rule in turn.service.rules:
        turn.mark(rule.name, since=max(since, turn.rule_state(rule.name).since))


def end_override(turn: Turn, *, released_by: str | None = None) -> None:
    """At a tick (or at once, when released): notaus acts again, from the rung found."""
    incident = turn.incident
    if incident is None or incident.override is None:
        return
    if released_by is None and turn.at < incident.override.until:
        return
    turn.move(Cause.HANDED_BACK)
    turn.update(settled_at=incident.override.since)
    tell(turn, f"released by {released_by}" if released_by else "the override is over", "notaus acts again.")


def _look_at_deployments(turn: Turn, view: DeploymentsView) -> None:
    state, incident = turn.state, turn.incident
    if _from_before_ours(turn, view):
        return
    if incident is not None and incident.phase is Phase.ACTING:
        turn.change(view=view)  # what is new in it must not pass for having served before, once the step is settled
        return
    lever = turn.service.ladder.lever
    stable_after = getattr(lever, "stable_after", 3600)
    registry = deployment.observed(state.registry, view, stable_after, state.clean_since)
    live = view.live
    # At the first look the live version's past is taken at its word, like that of the others.
    first_look = live.created if live is not None else turn.at
    turn.change(view=view, registry=registry, clean_since=state.clean_since or first_look)
    if live is None:
        return
    accepted = state.accepted
    turn.change(accepted=live.id)
    if accepted is not None and accepted != live.id:
        _foreign_deployment(turn, live, state.registry.of(live.versions[0][0]).served)


def _from_before_ours(turn: Turn, view: DeploymentsView) -> bool:
    """Whether the list was asked for before our own deployment was made, and arrives after it: it lacks ours."""
    step = turn.incident.step if turn.incident is not None else None
    if step is None or step.deployment is None or step.deployment != turn.state.accepted or view.live is None:
        return False
    lacks = all(each.id != step.deployment for each in view.deployments)
    return lacks and view.live.created <= step.action and turn.now - step.action < LISTED


def _foreign_deployment(turn: Turn, live: Deployment, served_before: bool) -> None:
    approval.withdraw(turn, "somebody deployed")
    incident = turn.incident
    ours = incident is not None and not served_before and _by_our_workflow(turn, live)
    _judge_anew(turn, live, new=not served_before and not ours)
    rolled_back = turn.state.rung != turn.service.ladder.rungs[0].name
    turn.change(rung=turn.service.ladder.rungs[0].name)
    if incident is None or not (incident.acted or rolled_back) or incident.shadow:
        return
    label = (
        turn.state.registry.names[live.versions[0][0]].label
        if live.versions[0][0] in turn.state.registry.names
        else "?"
    )
    if ours:
        turn.note(f"{label} was deployed while {incident.step.label if incident.step is not None else '?'} was at work")
        return
    if served_before:
        override(turn, live.created, f"somebody deployed {label}, which had served before")
        return
    turn.move(Cause.MOVED)
    turn.update(settled_at=turn.at)
    announced = announcement(turn, live.versions[0][0])
    lines = () if announced is None else (f"Announced: {announced}.",)
    tell(turn, f"{label} was deployed: a fix-forward, guarded afresh", *lines)


def _by_our_workflow(turn: Turn, live: Deployment) -> bool:
    """Whether a deployment came while the lever of a rung's own was at work: that is what some of them are for."""
    step = turn.open_incident.step
    if step is None or turn.service.ladder.rung(step.rung).lever is None:
        return False
    return step.action <= live.created <= (turn.now if step.in_force is None else step.in_force + STALE)


def _judge_anew(turn: Turn, live: Deployment, *, new: bool) -> None:
    """What was done and told about holds of `live` while it could not be seen was about the one before it.

    So was what was done about blindness; of a version that has served before, it was a person who undid that.
    """
    for rule in turn.service.rules:
        run = turn.rule_state(rule.name).run
        late = run is not None and run.end >= live.created + turn.service.window(rule)
        if late and turn.service.rolls_back(rule):
            turn.mark(rule.name, handled=None, told=None, thin=None)
        if new:
            turn.mark(rule.name, blinded=False, blind_told=False)


def remember_before(turn: Turn, readings: Readings) -> None:
    """Keep what each signal was in the ten minutes before the rollback target stopped serving, once they were read.

    What is older than the samples at hand is taken from `readings`, and goes with them.
    """
    view, registry = turn.state.view, turn.state.registry
    if view is None or view.live is None:
        return
    target = deployment.target(registry, view).version
    end = registry.of(target.id).served_until if target is not None else None
    if end is None:
        return
    if end != turn.state.before_end:
        turn.change(before_end=end, before={})
    missing = missing_before(turn.service, turn.state)
    if not missing:
        return
    first = end - deployment.BEFORE + 1
    past = turn.history.merged({name: readings[name] for name in missing & readings.keys()}, first)
    found = dict(turn.state.before)
    for name in sorted(missing):
        newest = past.newest(name)
        if newest is not None and newest.at >= end:
            average = deployment.average(name, past, first, end)
            if average is not None or _whole(past, name, first, end, turn.service.step):
                found[name] = average
    turn.change(before=found)


def missing_before(service: Service, state: State) -> frozenset[str]:
    """The signals whose ten minutes before the deployment were not read yet."""
    if state.before_end is None:
        return frozenset()
    wanted = {name for rule in service.rules if service.rolls_back(rule) for name in rule.signals}
    return frozenset(wanted - state.before.keys())


def _whole(history: History, signal: str, first: int, last: int, step: int) -> bool:
    """Whether nothing of that time is pending: what is unknown in all of it stays so."""
    return all(history.at(signal, at) is not None for at in range(last // step * step, first - 1, -step))
