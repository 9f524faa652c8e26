"""What calls for a step: a rule that held, on settled data, with evidence; or one that has been blind for long enough.

Each acts once, a hold like a stretch of blindness (spec 3, 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from notaus.core import action
from notaus.core.evidence import Evidence, gather
from notaus.core.hold import Run
from notaus.core.paging import end_notice, notice, readings
from notaus.core.rule import INVESTIGATE, Rule
from notaus.core.turn import Turn, stands
from notaus.core.watch import blind_for, first_counted


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that calls for a step."""

    rule: Rule
    run: Run | None
    """Its hold; None where it is blind, and its service wants a step then (`on_blind`)."""
    evidence: Evidence | None = None

    @property
    def wants(self) -> str:
        """The rung that it calls for by itself."""
        return self.rule.then if self.run is not None else self.rule.on_blind or self.rule.then

    @property
    def known(self) -> Mapping[str, Evidence]:
        """Its evidence, by the rule's name, where there is any."""
        return {} if self.evidence is None else {self.rule.name: self.evidence}

    def reason(self, turn: Turn) -> str:
        if self.run is None:
            return f"{self.rule.name} is blind"
        return f"{self.rule.name}: {self.rule.condition}; seen: {readings(turn, self.rule)}"

    def handled(self, turn: Turn) -> bool:
        """Whether, at an earlier tick or at this one, it has had what it may cause."""
        state = turn.rule_state(self.rule.name)
        return state.blinded if self.run is None else state.handled == self.run.start

    def handle(self, turn: Turn) -> None:
        """It has had what it may cause, and acts no more."""
        if self.run is None:
            turn.mark(self.rule.name, blinded=True, blind_told=True)
        else:
            action.handle(turn, self.rule)

    def told(self, turn: Turn) -> bool:
        """Whether people know why nothing is done about it."""
        state = turn.rule_state(self.rule.name)
        return state.blind_told if self.run is None else state.told == self.run.start

    def mark_told(self, turn: Turn, told: bool = True) -> None:
        """From now on people know why nothing is done about it; or it has to be told anew."""
        if self.run is None:
            turn.mark(self.rule.name, blind_told=told)
        else:
            turn.mark(self.rule.name, told=self.run.start if told else None)


def standing(turn: Turn) -> list[Breach]:
    """The rules whose hold may act now; one without evidence sends its notice instead."""
    found = []
    for rule in turn.service.rules:
        if rule.then == INVESTIGATE or rule.trigger or not stands(turn, rule):
            continue
        run = (turn.holds or {})[rule.name].breach
        assert run is not None
        breach = Breach(rule, run)
        if breach.handled(turn):
            continue
        evidence = evidence_of(turn, rule, run)
        if evidence.sufficient:
            end_notice(turn, f"evidence:{rule.name}")
            found.append(replace(breach, evidence=evidence))
        elif turn.rule_state(rule.name).thin != run.start:
            turn.mark(rule.name, thin=run.start)
            notice(turn, f"evidence:{rule.name}", rule.severity, f"{rule.name}: {evidence.text}", rule.condition)
    return found


def evidence_of(turn: Turn, rule: Rule, run: Run) -> Evidence:
    """The gate of spec 4, by the learned (or given) baseline."""
    baselines = turn.service.baselines if turn.service.baselines is not None else turn.state.baselines
    return gather(rule, run, turn.service, turn.history, baselines, first_counted(turn, rule))


def blind(turn: Turn, held: Sequence[Breach]) -> list[Breach]:
    """The rules whose blindness may act now (`on_blind`), the only step that missing data may cause.

    One that is `held` as well goes by its hold. What was not seen before the rule counted (the reload, the override, the
    deployment that it judges) is no reason.
    """
    found: list[Breach] = []
    by_hold = {breach.rule.name for breach in held}
    for breach in _blind(turn):
        if breach.rule.name in by_hold:
            continue
        counted = min(blind_for(turn, breach.rule), turn.at - first_counted(turn, breach.rule))
        if not turn.overridden and not breach.handled(turn) and counted >= breach.rule.blind_after:
            found.append(breach)
    return found


def _blind(turn: Turn) -> list[Breach]:
    rules = (rule for rule in turn.service.rules if rule.on_blind is not None)
    return [Breach(rule, None) for rule in rules if turn.rule_state(rule.name).blind is not None]


def as_wanted(turn: Turn) -> None:
    """What is in force is what a blind rule calls for: it has had its step, and is no reason to undo a person's later one."""
    for breach in _blind(turn):
        if turn.place is not None and turn.service.ladder.place_of(breach.wants) <= turn.place:
            breach.handle(turn)
