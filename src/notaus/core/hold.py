"""Holds: for how long a rule's condition has been true, worked out from the samples each time, never from a timer.

Prometheus' meaning of `for`: breached at the first grid time *e* such that the condition is true at every sample from
*s* to *e*, and *e - s* is at least the `for`. `for: M of N` counts the true samples of the trailing N instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from notaus.core.rule import Comparison, NoData, Rule
from notaus.core.sample import History


class Truth(StrEnum):
    """What the samples of one grid time say of a condition."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"
    PENDING = "pending"


def compare(comparison: Comparison, history: History, at: int) -> Truth:
    """One comparison at grid time `at`; with an unknown side it is unknown."""
    bound = comparison.bound
    sample = history.at(comparison.signal, at)
    other = sample if bound.other is None else history.at(bound.other, at)
    if sample is None or other is None:
        return Truth.PENDING
    if sample.value is None or other.value is None:
        return Truth.UNKNOWN
    beyond = comparison.op.holds(sample.value, bound.value(None if bound.other is None else other.value))
    return Truth.TRUE if beyond else Truth.FALSE


def truth(when: Iterable[Comparison], history: History, at: int) -> Truth:
    """A condition at grid time `at`: all its comparisons true; one that is known false settles it."""
    found = {compare(comparison, history, at) for comparison in when}
    for answer in (Truth.PENDING, Truth.FALSE, Truth.UNKNOWN):
        if answer in found:
            return answer
    return Truth.TRUE


def truths(rule: Rule, history: History, first: int, last: int, step: int) -> Iterator[tuple[int, Truth]]:
    """The rule's condition at each grid time from `first` to `last`, up to the first that is pending."""
    known: Mapping[tuple[str, int], Any] = history.memo
    name = rule.name
    for at in range(aligned(first, step), last + 1, step):
        answer = known.get((name, at)) or answer_at(rule, history, at)  # asked of hundreds of times at each tick
        if answer is Truth.PENDING:
            return
        yield at, answer


def answer_at(rule: Rule, history: History, at: int) -> Truth:
    """The rule's condition at grid time `at`, worked out once unless it is pending."""
    answer = history.memo.get((rule.name, at))
    if not isinstance(answer, Truth):
        answer = truth(rule.when, history, at)
        if answer is not Truth.PENDING:
            history.memo[rule.name, at] = answer
    return answer


def aligned(time: int, step: int) -> int:
    """The first grid time at or after `time`."""
    return -(-time // step) * step


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch for which the condition was true."""

    start: int
    end: int
    """The last grid time at which it was true."""
    held: int
    """Seconds that count toward the `for`."""
    breached: int | None = None
    """The grid time at which it had held for the whole `for`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What the samples say of a rule, oldest run first."""

    newest: int | None = None
    """The newest grid time that could be judged."""
    truth: Truth = Truth.PENDING
    """The condition there."""
    standing: Run | None = None
    """The run that goes on at `newest`."""
    past: tuple[Run, ...] = ()
    known: int | None = None
    """The newest grid time at which the condition was known true or false."""

    @property
    def breach(self) -> Run | None:
        """The standing run, if it has held for the whole `for` and is true at the newest sample."""
        run = self.standing
        return run if run is not None and run.breached is not None and self.truth is Truth.TRUE else None

    def ratio(self, rule: Rule) -> float:
        """How much of the `for` is used up, 0 to 1."""
        if self.standing is None:
            return 0.0
        return 1.0 if self.standing.breached is not None else self.standing.held / rule.hold


def judge(rule: Rule, answers: Iterable[tuple[int, Truth]], step: int) -> Hold:
    """Work out the runs of `rule` from its answers (`truths`), which lie `step` seconds apart."""
    scan = _Scan(rule, step) if rule.hold_within is None else _ScanOfWindow(rule, step, rule.hold_within)
    newest, counted, known = None, Truth.PENDING, None
    past: list[Run] = []
    for newest, answer in answers:
        counted = Truth.TRUE if answer is Truth.UNKNOWN and rule.no_data is NoData.BREACH else answer
        if scan.run is not None or counted is Truth.TRUE:
            past += scan.take(newest, counted)
        known = newest if answer is not Truth.UNKNOWN else known
    return Hold(newest, counted, scan.run, tuple(past), known)


class _Scan:
    """One pass over the answers for a plain `for`."""

    def __init__(self, rule: Rule, step: int) -> None:
        self.rule, self.step = rule, step
        self.run: Run | None = None

    def take(self, at: int, answer: Truth) -> tuple[Run, ...]:
        """Take the next answer; gives the run that it ended, if any."""
        match answer:
            case Truth.TRUE:
                self.run = self._grown(at)
            case Truth.UNKNOWN if self.rule.no_data is NoData.IGNORE:
                pass  # neither breaks the run nor extends it
            case _:
                ended, self.run = self.run, None
                return (ended,) if ended else ()
        return ()

    def _grown(self, at: int) -> Run:
        if self.run is None:
            return Run(at, at, 0, at if self.rule.hold == 0 else None)
        held = self.run.held + self.step
        breached = self.run.breached if self.run.breached is not None else at if held >= self.rule.hold else None
        return Run(self.run.start, at, held, breached)


class _ScanOfWindow:
    """One pass for `for: M of N`: true at as many samples of the trailing N as a plain `for: M` needs.

    The run starts at the first true sample and ends when the trailing N holds none.
    """

    def __init__(self, rule: Rule, step: int, within: int) -> None:
        self.rule, self.step, self.within = rule, step, within
        self.run: Run | None = None
        self.trues: list[int] = []

    def take(self, at: int, answer: Truth) -> tuple[Run, ...]:
        if answer is Truth.UNKNOWN and self.rule.no_data is NoData.RESET:
            self.trues = []
        self.trues = [t for t in self.trues if t >= at - self.within]
        if answer is Truth.TRUE:
            self.trues.append(at)
            held = (len(self.trues) - 1) * self.step
            run = self.run or Run(at, at, 0)
            breached = run.breached if run.breached is not None else at if held >= self.rule.hold else None
            self.run = replace(run, end=at, held=held, breached=breached)
            return ()
        assert self.run is not None, "where no run stands, only what is true is of interest"
        if not self.trues:
            ended, self.run = self.run, None
            return (ended,)
        self.run = replace(self.run, held=(len(self.trues) - 1) * self.step)
        return ()


def carried(hold: Hold, first: int, before: Run | None, gap: int = 0) -> Hold:
    """`hold`, scanned from `first` on, with the run that had begun earlier as it was known `before`.

    `gap`: for how many seconds a run may go on without a true sample (M of N, ignored samples): one that had begun
    before `first` then need not be true there.
    """
    if before is None or before.start >= first or before.end < first:
        return hold
    if hold.past and _goes_on(hold.past[0], first, before, gap):
        return replace(hold, past=(_longer(hold.past[0], before, gap), *hold.past[1:]))
    if not hold.past and hold.standing is not None and _goes_on(hold.standing, first, before, gap):
        return replace(hold, standing=_longer(hold.standing, before, gap))
    return hold


def _goes_on(run: Run, first: int, before: Run, gap: int) -> bool:
    return run.start - first <= gap and run.start <= before.end


def _longer(run: Run, before: Run, gap: int) -> Run:
    breached = before.breached if before.breached is not None else run.breached
    held = run.held if gap else max(run.held, run.end - before.start)
    return replace(run, start=before.start, held=held, breached=breached)


def cleared(rule: Rule, history: History, end: int, span: int, step: int) -> bool:
    """Whether the condition is known false at each sample of the closed interval `[end - span, end]`."""
    return all(answer_at(rule, history, at) is Truth.FALSE for at in range(end - span, end + 1, step))
