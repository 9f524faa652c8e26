"""The decision: of all breaches of a tick, what is done. Every rule is evaluated before anything is decided (spec 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from notaus.core import approval
from notaus.core.action import Move, free_lesser, has_own_lever, still_wanted, stuck, take
from notaus.core.breach import Breach, as_wanted, blind, evidence_of, standing
from notaus.core.deployment import Doubt
from notaus.core.hold import Hold, Run
from notaus.core.incident import HELPED, Cause, Incident, Phase, Step
from notaus.core.ladder import Place
from notaus.core.limits import Permit, Ruling, rule_instead, rule_on
from notaus.core.paging import by_hand, call_for_help, describe, fact, tell
from notaus.core.rule import INVESTIGATE, Rule, Severity
from notaus.core.state import Lock
from notaus.core.turn import Turn, stands
from notaus.core.verdict import Verdict, due_at, signal_checks, verdict
from notaus.core.watch import deployed_from


@dataclass(frozen=True, slots=True)
class Proposal:
    """A breach and the step it may take."""

    breach: Breach
    rung: str
    ruling: Ruling
    blocked: bool = False
    """The rung that it wanted is out of reach: this one, or nothing, is in its place."""

    def says_the_same_as(self, other: Proposal) -> bool:
        """Whether both are about blindness, and nothing is done for one reason."""
        blind = self.breach.run is None and other.breach.run is None
        return blind and (self.rung, self.ruling) == (other.rung, other.ruling)


def decide(turn: Turn) -> None:
    """A breach safer than the present rung first, then a verdict that is due, then a breach no safer than the rung."""
    as_wanted(turn)
    breaches = standing(turn)
    _propose(turn, [(b, b.wants) for b in (*breaches, *blind(turn, breaches)) if safer(turn, b.wants)])
    judge_step(turn)
    _no_safer(turn, [b for b in breaches if not b.handled(turn) and not safer(turn, b.wants)])


def safer(turn: Turn, rung: str) -> bool:
    """Whether `rung` is safer than the one in force, and than the one a step is under way to.

    One that waits for a lever of its own, such as a workflow, keeps no milder rung from being taken meanwhile.
    """
    wanted = _rank(turn, rung)
    incident, place = turn.incident, turn.place
    if incident is not None and incident.phase is Phase.ACTING and incident.step is not None:
        aim = _rank(turn, incident.step.rung)
        if stuck(turn) is None or wanted >= aim:
            place = aim if place is None else max(place, aim)
    return place is None or wanted > place


def _propose(turn: Turn, wanted: list[tuple[Breach, str]]) -> None:
    """Put breaches with the rungs they want before the limits, and carry out the outcome."""
    if not wanted:
        return
    if turn.overridden:
        _warn_of_override(turn, [breach for breach, _ in wanted])
        return
    proposals = [_proposal(turn, breach, rung) for breach, rung in wanted]
    acting = [p for p in proposals if p.ruling.permit is Permit.ACT]
    if acting:
        _act(turn, acting, proposals)
    for proposal in proposals:
        if proposal.breach.handled(turn) or (proposal.breach.run is None and not safer(turn, proposal.rung)):
            continue
        if proposal.ruling.permit is Permit.ASK:
            _ask(turn, proposal)
        else:
            _tell(turn, proposal, [p for p in proposals if p is not proposal and p.says_the_same_as(proposal)])


def _proposal(turn: Turn, breach: Breach, rung: str) -> Proposal:
    """The step to `rung`, or where that is blocked the one to the nearest rung with a lever of its own."""
    ruling = rule_on(turn, breach.rule, breach.run, rung)
    further = turn.service.ladder.instead_of(rung) if ruling.blocked else None
    if further is None:
        return Proposal(breach, rung, ruling, ruling.blocked)
    instead = rule_instead(turn, breach.rule, breach.run, further.name, ruling.reason)
    return Proposal(breach, further.name, instead, ruling.blocked)


def _rank(turn: Turn, rung: str) -> Place:
    return turn.service.ladder.place_of(rung)


def _act(turn: Turn, acting: list[Proposal], all_: list[Proposal]) -> None:
    """The safest wins, and one incident carries every breach that called for it or less.

    A blind rule would keep the step of another from its verdict: it joins only one that it could have caused.
    """
    best = max(acting, key=lambda p: _rank(turn, p.rung))
    joining = (Permit.ACT, Permit.ASK, Permit.WAIT)  # what would ask or wait for less has nothing left to ask for
    carried = [p for p in all_ if p.ruling.permit in joining and _rank(turn, p.rung) <= _rank(turn, best.rung)]
    if best.breach.run is not None:
        carried = [p for p in carried if p.breach.run is not None]
    request = turn.state.request
    if request is not None and _rank(turn, request.rung) <= _rank(turn, best.rung):
        approval.supersede(turn, best.breach.rule)
    move = Move(
        best.rung,
        tuple(p.breach.rule for p in carried),
        f"{best.breach.reason(turn)}{f'; {best.ruling.reason}' if best.ruling.reason else ''}",
        version=best.ruling.version,
        away_from=best.ruling.away_from,
        evidence={name: known for p in carried for name, known in p.breach.known.items()},
        lesser=tuple(p.breach.rule.name for p in carried if _rank(turn, p.rung) < _rank(turn, best.rung)),
        blind=tuple(p.breach.rule.name for p in carried if p.breach.run is None),
    )
    take(turn, move)
    for proposal in carried:
        proposal.breach.handle(turn)
    if best.blocked:
        call_for_help(turn)


def _refused(turn: Turn, rule: Rule) -> bool:
    """Whether people have said no (or nothing) to it, about this deployment, and its condition has not cleared since."""
    view = turn.state.view
    live = view.live.id if view is not None and view.live is not None else ""
    return turn.rule_state(rule.name).refused == live


def _ask(turn: Turn, proposal: Proposal) -> None:
    breach, ruling = proposal.breach, proposal.ruling
    breach.handle(turn)
    if breach.run is not None and _refused(turn, breach.rule):
        return
    if proposal.blocked:
        turn.open(ruling.severity or breach.rule.severity)
        call_for_help(turn)
    if breach.run is None:
        ruling = replace(ruling, reason=f"{breach.reason(turn)}; {ruling.reason}")
    approval.ask(turn, breach.rule, proposal.rung, ruling, breach.evidence, blind=breach.run is None)


def _tell(turn: Turn, proposal: Proposal, alike: list[Proposal]) -> None:
    """People hear once a hold, or a stretch of blindness, why nothing is done; `alike` is told along with it."""
    breach, ruling = proposal.breach, proposal.ruling
    rule = breach.rule
    if ruling.permit is Permit.HOLD_BACK and breach.run is not None:
        turn.mark(rule.name, held_back=breach.run.start)
    if breach.told(turn):
        return
    together = [breach, *(p.breach for p in alike)]
    for each in together:
        each.mark_told(turn)
        if ruling.permit is Permit.TELL:
            each.handle(turn)
    worst = Severity.CRITICAL if any(each.rule.severity is Severity.CRITICAL for each in together) else rule.severity
    turn.open(worst)
    turn.join(tuple(each.rule.name for each in together))
    describe(turn, [each.rule for each in together], breach.known)
    if proposal.blocked:
        call_for_help(turn)
    fact(turn, action=f"none: {ruling.reason}", by_hand=by_hand(turn, proposal.rung, ruling.version))
    severity = ruling.severity or worst
    what = rule.name if breach.run is not None else f"blind: {', '.join(each.rule.name for each in together)}"
    tell(turn, f"{what}: nothing was done", ruling.reason, loud=True, severity=severity)


def _warn_of_override(turn: Turn, breaches: list[Breach]) -> None:
    """A worse breach during an override: people get the command, and act themselves."""
    incident = turn.open_incident
    assert incident.override is not None
    for breach in breaches:
        rule = breach.rule
        if breach.told(turn):
            continue
        breach.mark_told(turn)
        turn.join((rule.name,))
        describe(turn, [breach.rule], breach.known)
        fact(turn, by_hand=by_hand(turn, rule.then))
        tell(
            turn,
            f"{rule.name} during an override: nothing was done",
            incident.override.text,
            f"`notaus release {turn.service.name}` hands back to notaus.",
            loud=True,
            severity=Severity.CRITICAL,
        )


def judge_step(turn: Turn) -> None:
    """Take the verdict on the newest step, if it is due."""
    incident = turn.incident
    if incident is not None and incident.step is not None and incident.phase is Phase.ACTING:
        _out_of_patience(turn, incident.step)
    if incident is None or incident.step is None or incident.phase is not Phase.VALIDATING:
        return
    found, end = verdict(turn.service, incident.step, turn.history, turn.at, _counted_from(turn))
    if found in (Verdict.NOT_YET, Verdict.CANNOT_TELL):
        return
    turn.update(settled_at=end)
    results = signal_checks(turn.service, incident.step, turn.history)
    lines = tuple(f"{'passed' if r.passed else 'FAILED'}: {r.name}: {r.detail}" for r in results)
    match found:
        case Verdict.RESOLVED:
            _resolved(turn, incident, lines, all(r.passed or r.advisory for r in results))
        case Verdict.NOT_RESOLVED:
            _not_resolved(turn, incident, lines)
        case _:
            turn.move(Cause.NOT_HELPED)
            tell(turn, f"cannot tell whether {incident.step.label} helped", "Data is missing.", *lines, loud=True)


def _counted_from(turn: Turn) -> dict[str, int]:
    return {rule.name: deployed_from(turn, rule) for rule in turn.service.rules}


def _resolved(turn: Turn, incident: Incident, lines: tuple[str, ...], checks_passed: bool) -> None:
    step = incident.step
    assert step is not None
    turn.move(Cause.RESOLVED)
    if step.away_from is not None:
        turn.change(registry=turn.state.registry.doubted(step.away_from, Doubt.FLAGGED))
    if step.verified is False:
        turn.update(step=replace(step, verified=None))
        fact(turn, verified="by the signals alone: the checks did not pass")
    describe(turn, [turn.service.rule(n) for n in step.rules if turn.service.has_rule(n)], {})
    tell(turn, f"{step.label} {HELPED}", *lines, loud=not checks_passed)


def _not_resolved(turn: Turn, incident: Incident, lines: tuple[str, ...]) -> None:
    """The next safer rung, as far as steps may go that no rule named; with none left, people."""
    step = incident.step
    assert step is not None
    named, further = _rules_of(turn, step), next_rung(turn)
    rules = tuple(rule for rule in named if rule.name not in step.blind or _holds(turn, rule))
    if further is not None and rules:
        run = _standing_run(turn, rules)
        ruling = rule_on(turn, replace(rules[0], approval=False), run, further)
        instead = turn.service.ladder.instead_of(further) if ruling.blocked else None
        if instead is not None:
            further, ruling = instead.name, rule_instead(turn, rules[0], run, instead.name, ruling.reason)
        if ruling.permit is Permit.ACT:
            if turn.service.ladder.rung(further).lever is not None:
                call_for_help(turn)
            take(turn, Move(further, rules, f"{step.label} did not help", version=ruling.version))
            return
        if ruling.permit is Permit.ASK:
            turn.move(Cause.NOT_HELPED)
            tell(turn, f"the action did not help: {step.label}", *lines)
            approval.ask(turn, rules[0], further, ruling, None)
            return
        _wait_for_room(turn, step, (*lines, f"The next rung would be {further}: {ruling.reason}."))
        return
    describe(turn, named, {})
    fact(turn, cohorts=cohorts(turn))
    call_for_help(turn)
    turn.move(Cause.NOT_HELPED)
    tell(turn, f"the action did not help: {step.label}", *lines, loud=True, severity=Severity.CRITICAL)
    asked = None if turn.place is None else turn.service.ladder.to_ask_for(turn.place)
    if asked is not None and rules:
        reason = Ruling(Permit.ASK, f"{step.label} did not help, and no step goes further by itself", Severity.CRITICAL)
        approval.ask(turn, rules[0], asked.name, reason, None)


def _holds(turn: Turn, rule: Rule) -> bool:
    """Whether a rule that was blind when the step was taken has held since, with evidence: before that it is no reason."""
    hold = _hold_of(turn, rule)
    run = hold.breach if hold is not None and rule.then != INVESTIGATE else None
    return run is not None and stands(turn, rule) and evidence_of(turn, rule, run).sufficient


def _out_of_patience(turn: Turn, step: Step) -> None:
    """A step that has not got through when its verdict would be due is tried on, and counts as one that cannot be taken."""
    if step.retry_at is None or step.waiting or turn.at < due_at(turn.service, step) or turn.overridden:
        return
    turn.update(step=replace(step, waiting=True))
    call_for_help(turn)
    if has_own_lever(turn, step):
        free_lesser(turn, step)
    tell(turn, f"{step.label} still does not get through", "It is tried on.", loud=True, severity=Severity.CRITICAL)
    not_taken(turn)


def not_taken(turn: Turn) -> None:
    """A step could not be taken: the nearest rung with a lever of its own, if limits allow it, or a question about it."""
    step = turn.open_incident.step
    assert step is not None
    rules, further = _rules_of(turn, step), turn.service.ladder.instead_of(step.rung)
    if further is None or not rules or step.undoes is not None or turn.observing or not still_wanted(turn, step):
        return
    run = _standing_run(turn, rules)
    ruling = rule_instead(turn, rules[0], run, further.name, f"{step.label} could not be reached")
    if ruling.permit is Permit.ACT:
        take(turn, Move(further.name, rules, ruling.reason, blind=step.blind))
    elif ruling.permit is not Permit.TELL:
        approval.ask(turn, rules[0], further.name, ruling, None, blind=rules[0].name in step.blind)


def lost(turn: Turn) -> None:
    """Nobody knows whether the step's command did its work: people are asked whether it is to be run again."""
    step = turn.open_incident.step
    assert step is not None
    rules = _rules_of(turn, step)
    if rules and not turn.observing and still_wanted(turn, step):
        why = f"whether {step.label} is in force cannot be found out; approved, its command is run again"
        ruling = Ruling(Permit.ASK, why, Severity.CRITICAL)
        approval.ask(turn, rules[0], step.rung, ruling, None, blind=rules[0].name in step.blind)


def _rules_of(turn: Turn, step: Step) -> tuple[Rule, ...]:
    return tuple(turn.service.rule(name) for name in step.rules if turn.service.has_rule(name))


def _standing_run(turn: Turn, rules: tuple[Rule, ...]) -> Run | None:
    return next((hold.standing for r in rules if (hold := _hold_of(turn, r)) and hold.standing), None)


def _hold_of(turn: Turn, rule: Rule) -> Hold | None:
    return (turn.holds or {}).get(rule.name)


def _wait_for_room(turn: Turn, step: Step, lines: tuple[str, ...]) -> None:
    """The verdict stands open: each tick asks again, and the step is taken when there is room and the breach stands."""
    turn.update(settled_at=None)
    if not step.waiting:
        turn.update(step=replace(step, waiting=True))
        tell(turn, f"{step.label} did not help, and the next step waits", *lines, loud=True, severity=Severity.CRITICAL)


def next_rung(turn: Turn) -> str | None:
    """The nearest rung safer than the present one, up to `escalate_to`."""
    place = turn.place
    if place is None:
        return None
    rung = turn.service.ladder.next_safer(place, turn.service.ladder.escalate_to)
    return rung.name if rung is not None else None


def cohorts(turn: Turn) -> str:
    """The newest numbers of every cohort, for the page that says it did not help."""
    names = [s.name for s in turn.service.signals.values() if s.measure in ("requests", "error_rate", "latency_p90")]
    parts = []
    for name in names:
        sample = turn.history.newest(name)
        if sample is not None and sample.value is not None:
            parts.append(f"{name} {float(sample.value):.4g}")
    return ", ".join(parts) or "unknown"


def _no_safer(turn: Turn, breaches: list[Breach]) -> None:
    """Breaches whose `then` is no safer than the rung: they join the verdict, or take the next safer rung."""
    incident = turn.incident
    if incident is not None and incident.phase in (Phase.ACTING, Phase.VALIDATING) and not turn.overridden:
        for breach in breaches:
            _join(turn, breach)
        return
    if incident is not None and incident.settled_at is not None and not turn.overridden:
        unjudged = incident.step.blind if incident.step is not None else ()  # the verdict left out what had not held
        judged = [b for b in breaches if b.rule.name not in unjudged]
        before = [b for b in judged if b.run is not None and b.run.start <= incident.settled_at]
        for breach in before:
            _show(turn, breach)
        breaches = [b for b in breaches if b not in before]
    further = next_rung(turn)
    if further is not None:
        _propose(turn, [(breach, further) for breach in breaches])
        return
    if turn.overridden:
        _warn_of_override(turn, breaches)
        return
    for breach in breaches:
        _no_rung_left(turn, breach)


def _join(turn: Turn, breach: Breach) -> None:
    """A further breach joins the incident and its verdict."""
    step = turn.open_incident.step
    assert step is not None
    breach.handle(turn)
    turn.join((breach.rule.name,))
    joined = tuple(dict.fromkeys((*step.rules, breach.rule.name)))
    less = _rank(turn, breach.rule.then) < _rank(turn, step.rung)
    lesser = (*step.lesser, breach.rule.name) if less else step.lesser
    still_blind = tuple(name for name in step.blind if name != breach.rule.name)
    turn.update(step=replace(step, rules=joined, lesser=tuple(dict.fromkeys(lesser)), blind=still_blind))
    describe(turn, [turn.service.rule(n) for n in joined], breach.known)
    tell(turn, f"{breach.rule.name} has joined", breach.rule.condition, severity=breach.rule.severity)


def _show(turn: Turn, breach: Breach) -> None:
    """A hold that began before the verdict: shown, and acted on once it has broken and begun anew."""
    breach.handle(turn)
    turn.join((breach.rule.name,))
    tell(turn, f"{breach.rule.name} holds since before the verdict: no step", breach.rule.condition)


def _no_rung_left(turn: Turn, breach: Breach) -> None:
    breach.handle(turn)
    turn.open(breach.rule.severity)
    turn.join((breach.rule.name,))
    describe(turn, [breach.rule], breach.known)
    safest = turn.service.ladder.safest.name
    if turn.service.ladder.place_of(safest) > (turn.place or ()):
        fact(turn, by_hand=by_hand(turn, safest))
    fact(turn, action="none: no rung is left that notaus may take by itself", cohorts=cohorts(turn))
    tell(turn, f"{breach.rule.name}: no rung is left", loud=True, severity=Severity.CRITICAL)


def lift(turn: Turn, lock: Lock) -> None:
    """At the end of a hold: breaches that stood during it, and still stand, ask for approval."""
    back = _held_back(turn)
    turn.change(lock=None)
    for breach in back:
        ruling = rule_on(turn, breach.rule, breach.run, breach.wants)
        if ruling.permit not in (Permit.ACT, Permit.ASK):
            breach.mark_told(turn, False)  # the next decision tells why nothing is done
        else:
            breach.handle(turn)
            reason = f"the hold by {lock.by} is over, and the breach still stands"
            ruling, in_the_dark = replace(ruling, reason=reason), breach.run is None
            approval.ask(turn, breach.rule, breach.wants, ruling, breach.evidence, blind=in_the_dark)


def _held_back(turn: Turn) -> list[Breach]:
    """What the hold that is in force kept from acting, and still calls for a step."""
    found = []
    for rule in turn.service.rules:
        since = turn.rule_state(rule.name).held_back
        if since is None:
            continue
        turn.mark(rule.name, held_back=None)
        hold = (turn.holds or {}).get(rule.name)
        run = hold.breach if hold is not None else None
        if run is not None and run.start == since:
            found.append(Breach(rule, run, evidence_of(turn, rule, run)))
    found += [b for b in blind(turn, found) if rule_on(turn, b.rule, None, b.wants).permit is Permit.HOLD_BACK]
    return [breach for breach in found if safer(turn, breach.wants)]
