"""Steps: pulling a lever, what came of it, and the checks that follow. Act first, then page (spec 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from notaus.core.deployment import Doubt
from notaus.core.effect import (
    Action,
    ChecksResult,
    Collect,
    Deploy,
    Invoke,
    Kept,
    LeverResult,
    Outcome,
    PullLever,
    RunChecks,
    WriteKv,
)
from notaus.core.evidence import Evidence
from notaus.core.hold import Truth, answer_at
from notaus.core.incident import Cause, Phase, Step
from notaus.core.ladder import KvLever, Place, WorkflowLever
from notaus.core.limits import held
from notaus.core.page import Status
from notaus.core.paging import (
    by_hand,
    call_for_help,
    describe,
    fact,
    kv_command,
    notice,
    own_command,
    recovery,
    tell,
    tell_release,
)
from notaus.core.rule import INVESTIGATE, Rule, Severity
from notaus.core.state import Write
from notaus.core.turn import Turn
from notaus.core.verification import SignalCheck

PATIENCE = (15, 30, 60, 60)
"""Seconds between tries of a lever that failed for now; the last one goes on."""
HOURLY = 3600
"""Seconds after which people hear again that a lever of its own is not confirmed yet."""
EVIDENCE_BEFORE = 1800
"""Seconds before the action that evidence is kept of."""
_PULLING = (Phase.ACTING, Phase.RAMPING)


@dataclass(frozen=True, slots=True)
class Move:
    """A step that has been decided on: where to, why, and on whose word."""

    rung: str
    rules: tuple[Rule, ...]
    why: str
    by: str | None = None
    """None: automatic."""
    version: str | None = None
    """Rollback: the target's id."""
    away_from: str | None = None
    """Rollback: the version now in doubt."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    only_safer: bool = True
    accept_changed_secrets: bool = False
    undoes: str | None = None
    """The rung with a lever of its own that is taken back."""
    lesser: tuple[str, ...] = ()
    """Rules that it carries though they call for less."""
    blind: tuple[str, ...] = ()
    """Rules that call for it since they are blind."""

    @property
    def severity(self) -> Severity:
        ranked = [rule.severity for rule in self.rules]
        return Severity.CRITICAL if Severity.CRITICAL in ranked else Severity.WARNING


def stuck(turn: Turn) -> Step | None:
    """The step whose own lever did not get through in time, and is tried on."""
    incident = turn.incident
    step = incident.step if incident is not None and incident.phase is Phase.ACTING else None
    return step if step is not None and step.waiting and has_own_lever(turn, step) else None


def take(turn: Turn, move: Move, *, quiet: bool = False) -> None:
    """Decide a step: open or join the incident, write the intent, pull the lever."""
    left, given_up = stuck(turn), give_up(turn)
    if left is not None and move.rules:  # what is done in its place is judged by what called for it, too
        still = (turn.service.rule(name) for name in left.rules if turn.service.has_rule(name))
        move = replace(move, rules=tuple(dict.fromkeys((*move.rules, *still))), blind=(*move.blind, *left.blind))
    turn.open(move.severity, quiet=quiet)
    if turn.observing:  # also where a reload turned `act` into `observe` in the middle of it
        turn.update(shadow=True)
    turn.join(tuple(rule.name for rule in move.rules))
    for rule in move.rules:
        if rule.name not in move.blind:  # what its samples said before is not what it calls for
            handle(turn, rule)
    label = _label(turn, move)
    effect = turn.new_effect_id("pull")
    step = Step(
        turn.open_incident.steps + 1,
        move.rung,
        turn.at,
        tuple(rule.name for rule in move.rules),
        effect,
        by=move.by,
        label=label,
        version=move.version,
        away_from=move.away_from,
        accept_changed_secrets=move.accept_changed_secrets,
        undoes=move.undoes,
        lesser=move.lesser,
        blind=move.blind,
    )
    went = turn.open_incident.went_safest or move.rung == turn.service.ladder.safest.name
    turn.update(went_safest=went)
    turn.update(step=step, steps=step.number, settled_at=None, clear_since=None)
    turn.move(Cause.STEPPED)
    if given_up is not None and (given_up.rung, given_up.undoes) != (step.rung, step.undoes):
        tell_doubt(turn, given_up)
    if move.by is None:
        kept = turn.at - turn.service.max_actions_per
        turn.change(actions=(*(t for t in turn.state.actions if t > kept), turn.at))
        if move.version is not None:
            turn.update(deployed=tuple(dict.fromkeys((*turn.open_incident.deployed, move.version))))
    describe(turn, move.rules, move.evidence)
    tell_release(turn, move.away_from)
    fact(turn, reason=move.why, by_hand=by_hand(turn, move.rung, move.version))
    if any(rule.trigger for rule in move.rules):  # what was lost does not come back by stepping
        recovery(turn)
    turn.note(f"{_verb(step)}: {move.why}", step.rules)
    if turn.open_incident.shadow:
        _shadow(turn, step)
        return
    turn.issue(PullLever(effect, turn.service.name, _action(turn, move, label), turn.now))
    if turn.service.evidence and not turn.open_incident.quiet and not turn.open_incident.collected:
        _keep_evidence(turn, move)


def _label(turn: Turn, move: Move) -> str:
    if move.undoes is not None:
        return f"{move.rung}, without {move.undoes}"
    return move.rung if move.version is None else turn.state.registry.names[move.version].label


def _keep_evidence(turn: Turn, move: Move) -> None:
    """After the lever: keeping evidence never delays it."""
    incident, service = turn.open_incident, turn.service
    effect = turn.new_effect_id("collect")
    turn.update(collected=True)
    since = turn.at - EVIDENCE_BEFORE
    turn.issue(Collect(effect, service.name, incident.id, service.evidence, since, turn.now, move.away_from))


def collected(turn: Turn, effect: str, result: Kept) -> None:
    """Put on the page where the evidence lies, and what could not be had."""
    asked = turn.settle(effect)
    if not isinstance(asked, Collect) or turn.incident is None or turn.incident.id != asked.incident:
        return
    if not result.files and not result.problems:  # this daemon keeps none
        return
    missing = f"; missing: {'; '.join(result.problems)}" if result.problems else ""
    said = f"{result.files} files, {result.bytes} bytes in {result.where}{missing}"
    fact(turn, evidence_kept=said)
    turn.note(f"evidence kept: {said}")


def handle(turn: Turn, rule: Rule) -> None:
    """A hold acts once: remember that the standing one did."""
    hold = (turn.holds or {}).get(rule.name)
    if hold is not None and hold.standing is not None:
        turn.mark(rule.name, handled=hold.standing.start, told=hold.standing.start)


def _verb(step: Step) -> str:
    return f"rolling back to {step.label}" if step.version is not None else f"stepping to {step.label}"


def _action(turn: Turn, move: Move, label: str) -> Action:
    ladder = turn.service.ladder
    incident, step = turn.open_incident, turn.open_incident.step
    assert step is not None
    if has_own_lever(turn, step):
        key = f"{incident.id}-{step.number}"  # of the step, not of the try: a later one finds what an earlier one began
        rung, undo = move.undoes or move.rung, move.undoes is not None
        return Invoke(rung, key, move.why, step.action, incident.id, undo, again=step.tries > 1)
    if isinstance(ladder.lever, KvLever):
        expected = None if move.only_safer else turn.state.fields
        blind = move.only_safer and move.rung == ladder.safest.name
        return WriteKv(move.rung, move.only_safer, expected, blind)
    assert move.version is not None, "a rollback needs its target"
    live = turn.state.view.live if turn.state.view is not None else None
    message = f"notaus {incident.id}: {move.why}"[:900]
    # The deployment judged, also when it is tried again: one that came in between is somebody else's.
    judged = turn.state.accepted or (live.id if live is not None else None)
    return Deploy(move.version, label, message, judged, move.accept_changed_secrets)


def _shadow(turn: Turn, step: Step) -> None:
    turn.change(shadow=step.rung)
    turn.update(step=replace(step, outcome=Outcome.DONE, told=True))
    turn.move(Cause.PULLED)
    tell(turn, _verb(step), loud=True)


def lever_slow(turn: Turn, effect: str) -> None:
    """Ten seconds without an outcome: people are told what was begun; of a lever of its own, whose work takes its time,
    once an hour at a later try, too."""
    incident = turn.incident
    step = incident.step if incident is not None else None
    if effect not in turn.state.outbox or step is None or step.effect != effect:
        return
    tried_on = step.tries > 1 and has_own_lever(turn, step) and (step.slow is None or turn.now - step.slow >= HOURLY)
    if not step.told or tried_on:
        fact(turn, action=f"{_verb(step)}: not confirmed yet")
        turn.update(step=replace(step, told=True, slow=turn.now))
        tell(turn, f"{_verb(step)} (not confirmed yet)", loud=not step.told)


def lever_ended(turn: Turn, effect: str, result: LeverResult) -> None:
    """Take in what pulling a lever came to."""
    pulled = turn.settle(effect)
    if not isinstance(pulled, PullLever):
        return  # settled before: the same answer twice changes nothing
    _remember(turn, pulled, result)
    incident = turn.incident
    step = incident.step if incident is not None else None
    if incident is None or step is None or step.effect != effect or incident.phase not in _PULLING:
        _overtaken(turn, pulled, result)
        return
    turn.update(step=replace(step, outcome=result.outcome))
    for line in result.notes:
        turn.note(line)
    match result.outcome:
        case Outcome.DONE | Outcome.ALREADY:
            _took_effect(turn, pulled, result)
        case Outcome.FAILED | Outcome.UNKNOWN:
            _try_later(turn, result)
        case Outcome.REFUSED | Outcome.FOREIGN | Outcome.LOST:
            _not_done(turn, result)


def _overtaken(turn: Turn, pulled: PullLever, result: LeverResult) -> None:
    """A later step, a person or the end of the incident came first; what a lever of its own has done stands all the same."""
    if not isinstance(pulled.action, Invoke) or result.outcome in (Outcome.REFUSED, Outcome.FAILED):
        return
    rung = pulled.action.rung
    done = result.outcome in (Outcome.DONE, Outcome.ALREADY)
    title = f"{rung} {'is' if done else 'may be'} {'taken back' if pulled.action.undo else 'in force'} all the same"
    what = "It was overtaken while it was under way."
    if turn.incident is None:
        notice(turn, f"overtaken:{rung}", Severity.CRITICAL, title, what, result.detail)
        return
    if not done:
        _lost_sight(turn, rung)
    tell(turn, title, what, result.detail, loud=True, severity=Severity.CRITICAL)


def give_up(turn: Turn) -> Step | None:
    """The step under way is given up: it is returned if its own lever may have done its work all the same."""
    incident = turn.incident
    step = incident.step if incident is not None and incident.phase in _PULLING else None
    if step is None or turn.pulling or step.outcome is not Outcome.UNKNOWN or not has_own_lever(turn, step):
        return None
    _lost_sight(turn, step.undoes or step.rung)
    turn.update(step=replace(step, outcome=Outcome.LOST))
    return step


def tell_doubt(turn: Turn, given_up: Step | None) -> None:
    """People have to look: whoever decided otherwise did not know that it may come after all."""
    if given_up is not None:
        title = f"{_verb(given_up)} may have been done all the same"
        tell(
            turn,
            title,
            "Its end is unknown: look whether it is in force, and take it back by hand if it should not be.",
            loud=True,
            severity=Severity.CRITICAL,
        )


def _lost_sight(turn: Turn, rung: str) -> None:
    """Nobody knows whether the lever of `rung` did its work: in this incident it is pulled again on a person's word only."""
    turn.update(lost=tuple(dict.fromkeys((*turn.open_incident.lost, rung))))


def _found_again(turn: Turn, rung: str) -> None:
    """Its lever has done its work now, or taken it back: there is no doubt any more."""
    if turn.incident is not None:
        turn.update(lost=tuple(name for name in turn.incident.lost if name != rung))


def _remember(turn: Turn, pulled: PullLever, result: LeverResult) -> None:
    """Our own writes are known field by field, so that others' are recognised."""
    ladder = turn.service.ladder
    if isinstance(pulled.action, Invoke):
        if result.outcome in (Outcome.DONE, Outcome.ALREADY):
            _stand_beyond(turn, pulled.action)
            _found_again(turn, pulled.action.rung)
    elif isinstance(pulled.action, WriteKv):
        names = ladder.ranked_fields
        found = None if result.found is None else {n: result.found[n] for n in names if n in result.found}
        if result.outcome is Outcome.DONE:
            fields = dict(ladder.rung(pulled.action.rung).fields)
            turn.change(fields=fields, write=Write(turn.now, fields, found))
        elif result.outcome is Outcome.ALREADY and found is not None:
            known = turn.state.write  # an earlier one is no longer our last: its fields would be others'
            turn.change(fields=found, write=known if known is not None and known.fields == found else None)
    elif result.outcome in (Outcome.DONE, Outcome.ALREADY):
        turn.change(rung=next(r.name for r in ladder.rungs if r.stable), accepted=result.deployment)


def free_lesser(turn: Turn, step: Step) -> None:
    """The rules that call for less than the step that is not to be had act for themselves, while they stand."""
    for name in step.lesser:
        turn.mark(name, handled=None, blinded=False)


def has_own_lever(turn: Turn, step: Step) -> bool:
    """Whether the step's lever is the rung's own: what that did before it failed, only its own record shows."""
    return step.undoes is not None or turn.service.ladder.rung(step.rung).lever is not None


def _stand_beyond(turn: Turn, done: Invoke) -> None:
    """Nothing shows whether another lever's work is in force: it is remembered until it is taken back."""
    lever = turn.service.ladder.rung(done.rung).lever
    if isinstance(lever, WorkflowLever) and lever.deploys:
        return  # the deployment shows
    others = [name for name in turn.state.beyond if name != done.rung]
    standing = others if done.undo else [*others, done.rung]
    turn.change(beyond=tuple(sorted(standing, key=turn.service.ladder.index)))


def _took_effect(turn: Turn, pulled: PullLever, result: LeverResult) -> None:
    step = turn.open_incident.step
    assert step is not None
    slow = isinstance(pulled.action, Invoke) or step.waiting
    turn.update(step=replace(step, deployment=result.deployment, in_force=turn.at if slow else None, waiting=False))
    if step.away_from is not None:
        turn.change(registry=turn.state.registry.doubted(step.away_from, Doubt.SUSPECT))
    turn.move(Cause.PULLED)
    if turn.open_incident.ramp is not None:
        turn.update(ramp=replace(turn.open_incident.ramp, ready=True))
    _write_facts(turn, pulled, result)
    done = f"rolled back to {step.label}" if step.version is not None else f"{step.label} is in force"
    who = "" if step.by is None else f" (by {step.by})"
    lines = (result.detail, *result.notes)
    first = not step.told
    turn.update(step=replace(turn.open_incident.step or step, told=True))
    tell(turn, done + who, *lines, loud=first, severity=_severity(turn, step))
    _verify(turn, step)


def _severity(turn: Turn, step: Step) -> Severity:
    ranks = [turn.service.rule(name).severity for name in step.rules if turn.service.has_rule(name)]
    return Severity.CRITICAL if Severity.CRITICAL in ranks else Severity.WARNING


def _write_facts(turn: Turn, pulled: PullLever, result: LeverResult) -> None:
    fact(turn, action=result.detail, verified="not yet")
    lever = turn.service.ladder.lever
    if isinstance(lever, KvLever) and result.found is not None:
        fact(turn, replaced=_compact(result.found), undo=kv_command(lever, result.found))
    if isinstance(pulled.action, Invoke):
        own = turn.service.ladder.rung(pulled.action.rung).lever
        taken_back = pulled.action.undo or own is None or not own.undo
        fact(turn, undo="" if taken_back or own is None else own_command(turn, pulled.action.rung, own, undo=True))
    if isinstance(pulled.action, Deploy):
        fact(turn, mind="the main branch still holds the bad release; deploying it again is an override")


def _compact(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items())


def _verify(turn: Turn, step: Step) -> None:
    due = [c for c in turn.service.checks_at(step.rung) if not isinstance(c.kind, SignalCheck)]
    if not due or step.undoes is not None:
        turn.update(step=replace(turn.open_incident.step or step, verified=True))  # nothing more can be made sure of
        if turn.open_incident.quiet and turn.open_incident.ramp is None:
            close(turn, "done as ordered")
        return
    rung = turn.service.ladder.rung(step.rung)
    variables: dict[str, str | int | float | bool] = dict(turn.service.ladder.written(rung))
    if step.version is not None:
        variables |= {"target.tag": step.label, "target.id": step.version}
    deadline = turn.now + turn.service.deadline
    turn.issue(RunChecks(turn.new_effect_id("check"), turn.service.name, step.rung, deadline, variables))


def _try_later(turn: Turn, result: LeverResult) -> None:
    step = turn.open_incident.step
    assert step is not None
    wait = PATIENCE[min(step.tries, len(PATIENCE)) - 1]
    turn.update(step=replace(step, retry_at=turn.now + wait, told=True, slow=None if step.tries == 1 else step.slow))
    fact(turn, action=f"{_verb(step)}: {result.outcome}, {result.detail}")
    if step.tries == 1:
        tell(turn, f"{_verb(step)} did not get through", result.detail, loud=True, severity=Severity.CRITICAL)
    else:
        turn.note(f"try {step.tries} of {_verb(step)} did not get through: {result.detail}")


def _not_done(turn: Turn, result: LeverResult) -> None:
    step = turn.open_incident.step
    assert step is not None
    turn.update(step=replace(step, told=True), settled_at=turn.at)
    if result.outcome is Outcome.LOST:
        _lost_sight(turn, step.undoes or step.rung)
    turn.move(Cause.NOT_PULLED)
    fact(turn, action=f"{_verb(step)}: {result.outcome}, {result.detail}")
    overtaken = result.outcome is Outcome.FOREIGN
    if not overtaken:
        call_for_help(turn)
        free_lesser(turn, step)
    said = {Outcome.FOREIGN: "was overtaken by somebody else's change", Outcome.LOST: "may have been done, or not"}
    changed = "Nothing was changed. " if not has_own_lever(turn, step) else ""
    tell(
        turn,
        f"{_verb(step)} {said.get(result.outcome, 'was refused')}",
        result.detail,
        f"{changed}The command that does it by hand is below.",
        loud=True,
        severity=Severity.CRITICAL,
    )
    if turn.open_incident.quiet:
        close(turn, "not done")


def retry(turn: Turn) -> None:
    """At a tick: try a step again that did not get through, or drop it: its condition has cleared, or a person holds it."""
    incident = turn.incident
    step = incident.step if incident is not None and incident.phase in (Phase.ACTING, Phase.RAMPING) else None
    if step is None or step.retry_at is None or turn.now < step.retry_at:
        return
    if turn.observing:
        _drop(turn, step, "the service only observes now")
    elif step.by is None and held(turn, step.rung):
        _drop(turn, step, "a hold is in force; if the breach still stands at its end, approval is asked for")
    elif step.by is None and not still_wanted(turn, step):
        _drop(turn, step, "the condition has cleared before it got through")
    else:
        again(turn, step)


def _drop(turn: Turn, step: Step, why: str) -> None:
    doubt = give_up(turn) is not None
    turn.update(settled_at=turn.at)
    turn.move(Cause.NOT_PULLED)
    for name in step.rules:  # one that joined, calls for less and still stands acts for itself
        turn.mark(name, handled=None, blinded=False, blind_told=False)
    if doubt:
        why = f"{why}; it may have been done all the same"
    severity = Severity.CRITICAL if doubt else None
    tell(turn, f"{_verb(step)} dropped: {why}", loud=doubt, severity=severity)
    if turn.open_incident.quiet:
        close(turn, "not done")


def again(turn: Turn, step: Step) -> None:
    """Pull the lever of `step` once more. It looks before it leaps, so nothing is done twice."""
    effect = turn.new_effect_id("pull")
    turn.update(step=replace(step, effect=effect, tries=step.tries + 1, retry_at=None))
    rules = tuple(turn.service.rule(name) for name in step.rules if turn.service.has_rule(name))
    move = Move(
        step.rung,
        rules,
        turn.open_incident.facts.get("reason", step.label),
        step.by,
        step.version,
        step.away_from,
        only_safer=step.by is None,
        accept_changed_secrets=step.accept_changed_secrets,
        undoes=step.undoes,
    )
    turn.issue(PullLever(effect, turn.service.name, _action(turn, move, step.label), turn.now))


def still_wanted(turn: Turn, step: Step) -> bool:
    """Whether a rule behind the step has not cleared, as far as is known."""
    rules = [turn.service.rule(name) for name in step.rules if turn.service.has_rule(name)]
    if any(rule.trigger for rule in rules):
        return True
    named = [rule for rule in rules if _named(turn, rule, step) >= turn.service.ladder.place_of(step.rung)]
    return any(_not_cleared(turn, rule, step) for rule in named or rules)


def _named(turn: Turn, rule: Rule, step: Step) -> Place:
    """The place of the rung that the rule called for."""
    rung = rule.on_blind if rule.name in step.blind and rule.on_blind is not None else rule.then
    return turn.service.ladder.place_of(rung) if rung != INVESTIGATE else ()


def _not_cleared(turn: Turn, rule: Rule, step: Step) -> bool:
    hold = (turn.holds or {}).get(rule.name)
    if hold is None or hold.newest is None or hold.newest + turn.service.settle(rule) < step.action:
        return True  # nothing was read since: missing data clears nothing
    return answer_at(rule, turn.history, hold.newest) is not Truth.FALSE


def known_clear(turn: Turn, rule: Rule) -> bool:
    """Whether the rule's condition is known to be false now; a report does not clear, and old data tell nothing."""
    samples = [turn.history.newest(name) for name in rule.signals]
    newest = min((sample.at for sample in samples if sample is not None), default=None)
    if rule.trigger or newest is None or turn.at - newest > turn.service.settle(rule) + turn.service.step + 60:
        return False
    return answer_at(rule, turn.history, newest) is Truth.FALSE


def checks_ended(turn: Turn, effect: str, result: ChecksResult) -> None:
    """Take in how the checks of a step ended; unverified is paged, never retried in a loop."""
    run = turn.settle(effect)
    incident = turn.incident
    step = incident.step if incident is not None else None
    if not isinstance(run, RunChecks) or incident is None or step is None or run.rung != step.rung:
        return
    turn.update(step=replace(step, verified=result.passed))
    lines = tuple(f"{'passed' if r.passed else 'FAILED'}: {r.name}: {r.detail}" for r in result.results)
    if result.passed:
        fact(turn, verified="all checks passed")
        tell(turn, f"{step.label} is verified", *lines)
    else:
        failed = "; ".join(f"{r.name}: {r.detail}" for r in result.results if not r.passed and not r.advisory)
        fact(turn, verified=f"NO: {failed}")
        tell(turn, f"{step.label} is unverified", *lines, loud=True)
    if incident.quiet and incident.ramp is None:
        close(turn, "done as ordered" if result.passed else "done as ordered, unverified")


def close(turn: Turn, why: str, *, title: str = "closed") -> None:
    """Close the open incident."""
    if not turn.open_incident.quiet and not turn.open_incident.shadow:
        fact(turn, document=f"notaus report {turn.open_incident.id} --to docs/INCIDENTS")
    turn.update(closed_at=turn.now)
    turn.move(Cause.CLOSED)
    tell(turn, f"{title}: {why}", status=Status.RESOLVED)
    turn.closed = (*turn.closed, turn.open_incident)
    turn.change(incident=None, calm_since=turn.at, request=None, shadow=None)
