"""Verdicts: did the step help? Taken in event time, from samples that lie wholly after it took effect (spec 5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from notaus.core.hold import Truth, aligned, answer_at, compare, truth
from notaus.core.incident import Step
from notaus.core.ladder import Rung
from notaus.core.rule import Comparison, Rule
from notaus.core.sample import History
from notaus.core.service import Service
from notaus.core.verification import CheckResult, SignalCheck

DRAINED = Fraction(1, 100)
"""Below this share of the requests a cohort counts as drained."""


class Verdict(StrEnum):
    NOT_YET = "not yet"
    RESOLVED = "resolved"
    NOT_RESOLVED = "not resolved"
    CANNOT_TELL = "cannot tell"
    """Look again at the next tick."""
    GIVEN_UP = "given up"
    """Nobody could tell for one more `validate`."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one triggering rule says after the step."""

    cleared: bool
    standing: bool


def due_at(service: Service, step: Step) -> int:
    """The event time of the verdict."""
    return step.counted_from + service.propagation + service.validate


def verdict(service: Service, step: Step, history: History, at: int, since: dict[str, int]) -> tuple[Verdict, int]:
    """The verdict on `step` at tick `at`, and the grid time it rests on.

    `since` gives per rule the first sample that counts (the start of the deployment judged, for rollbacks).
    """
    rules = [service.rule(name) for name in step.rules if service.has_rule(name)]
    due = due_at(service, step)
    settle = max((service.settle(rule) for rule in rules), default=0)
    if at < due + settle:
        return Verdict.NOT_YET, due
    last = due + service.validate + settle
    end = newest_common(service, rules, history, at - settle)
    if at - settle < due + service.step:
        end = due
    elif end < due:  # what is due was not read yet: whatever was before it decides nothing
        return (Verdict.GIVEN_UP if at >= last else Verdict.CANNOT_TELL), end
    found = [_judged(service, step, rule, history, end, since.get(rule.name, 0)) for rule in rules]
    if all(judged.cleared for judged in found):
        return Verdict.RESOLVED, end
    if any(judged.standing for judged in found):
        return Verdict.NOT_RESOLVED, end
    return (Verdict.GIVEN_UP if at >= last else Verdict.CANNOT_TELL), end


def newest_common(service: Service, rules: Iterable[Rule], history: History, until: int) -> int:
    """The newest grid time up to `until` at which every rule's signals were read."""
    grid = until // service.step * service.step
    names = {name for rule in rules for name in rule.signals}
    for at in range(grid, grid - service.lookback, -service.step):
        if all(history.at(name, at) is not None for name in names):
            return at
    return grid


def _judged(service: Service, step: Step, rule: Rule, history: History, end: int, since: int) -> Judged:
    rung = service.ladder.rung(step.rung)
    if rule.trigger:
        return Judged(step.verified is True, False)
    first = max(end - rule.resolve_for, since)
    counted = step.counted_from + service.propagation + service.window(rule)
    looked_at = range(aligned(end - rule.resolve_for, service.step), end + 1, service.step)
    times = [at for at in looked_at if at >= max(first, counted)]
    if not times:
        return Judged(False, False)
    whole = times[0] == looked_at[0]
    cohort = drained(service, rung, rule)
    if cohort is not None:
        return _judged_drained(service, rule, history, times, cohort)
    answers = [_answer(service, rung, rule, history, at) for at in times]
    known = [answer for answer in answers if answer in (Truth.TRUE, Truth.FALSE)]
    cleared = whole and all(answer is Truth.FALSE for answer in answers)
    standing = bool(known) and len(known) * 2 >= len(answers) and all(answer is Truth.TRUE for answer in known)
    return Judged(cleared, standing)


def drained(service: Service, rung: Rung, rule: Rule) -> str | None:
    """The cohort that the rung drains, if the rule is about it."""
    cohort = service.ladder.drains.get(rung.name)
    if cohort is None or not rule.when:
        return None
    return cohort if service.signals[rule.when[0].signal].cohort == cohort else None


def starved(service: Service, rung: Rung) -> str | None:
    """The cohort to which the rung gives no traffic: it drains it, or sets its share to 0."""
    ladder = service.ladder
    if rung.name in ladder.drains:
        return ladder.drains[rung.name]
    if ladder.share is None or rung.fields.get(ladder.share.field) != 0:
        return None
    signal = service.signals.get(ladder.share.signal)
    return signal.cohort if signal is not None else None


def _answer(service: Service, rung: Rung, rule: Rule, history: History, at: int) -> Truth:
    """The condition at `at`; a cohort that the rung gives nothing, and that gets nothing, counts as cleared."""
    answer = answer_at(rule, history, at)
    if answer is not Truth.UNKNOWN:
        return answer
    cohort = starved(service, rung)
    if cohort is None or service.signals[rule.when[0].signal].cohort != cohort:
        return answer
    return Truth.FALSE if _idle(history, rule.when[0].signal, at) else answer


def _idle(history: History, signal: str, at: int) -> bool:
    """Whether no request at all stood behind the signal."""
    sample = history.at(signal, at)
    return sample is not None and not sample.known and sample.among == 0


def _judged_drained(service: Service, rule: Rule, history: History, times: list[int], cohort: str) -> Judged:
    """At a draining rung: its share is below 1 %, and no such rule is true of the other cohort."""
    share = share_of(service, history, cohort, times[-1])
    if share is None:
        return Judged(False, False)
    others = _translated(service, rule, cohort)
    answers = [truth((c,), history, at) for c in others for at in times]
    bad = bool(answers) and all(a is Truth.TRUE for a in answers if a is not Truth.UNKNOWN)
    cleared = share < DRAINED and all(answer is Truth.FALSE for answer in answers)
    return Judged(cleared, share >= DRAINED or (bad and any(a is Truth.TRUE for a in answers)))


def share_of(service: Service, history: History, cohort: str, at: int) -> Fraction | None:
    """The cohort's share of all requests at `at`; None where it is not known."""
    ladder = service.ladder
    name = ladder.share.signal if ladder.share is not None else f"{cohort}.share"
    sample = history.at(name, at)
    if sample is None:
        return None
    return sample.value


def _translated(service: Service, rule: Rule, cohort: str) -> list[Comparison]:
    """The rule's absolute comparisons about `cohort`, asked of the other cohorts; relative ones count as cleared."""
    others = {s.cohort for s in service.signals.values() if s.cohort not in (None, cohort)}
    asked = []
    for comparison in rule.when:
        signal = service.signals[comparison.signal]
        if comparison.bound.other is not None or signal.cohort != cohort:
            continue
        for other in others:
            name = comparison.signal.replace(f"{cohort}.", f"{other}.", 1)
            if name in service.signals:
                asked.append(replace(comparison, signal=name))
    return asked


def signal_checks(service: Service, step: Step, history: History) -> tuple[CheckResult, ...]:
    """The signal conditions of `verify:` over their own time after the step took effect; reported with the verdict."""
    found = []
    for check in service.checks_at(step.rung):
        if not isinstance(check.kind, SignalCheck):
            continue
        condition = check.kind.condition
        first = step.counted_from + service.propagation + service.signals[condition.signal].window
        last = step.counted_from + service.propagation + check.kind.hold
        times = range(-(-first // service.step) * service.step, last + 1, service.step)
        answers = [compare(condition, history, at) for at in times]
        known = [a for a in answers if a in (Truth.TRUE, Truth.FALSE)]
        passed = bool(known) and all(a is Truth.TRUE for a in known)
        detail = f"true at {known.count(Truth.TRUE)} of {len(known)} known samples"
        found.append(CheckResult(check.name, passed, detail, check.advisory))
    return tuple(found)
