"""The gate: notaus as built on a whole series, fast. Holds are found on arrays; where one stands, the core itself decides.

The usual behaviour at a time is learned by the core's own `Baseline`, hour by hour and only when a hold asks for it.
`tests/benchmarks` holds the outcome against `fleet.step`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from benchmarks.decisions.traffic import STEP, WINDOW, Array, Series
from notaus.core.baseline import BUCKET, FADE, LENGTHS, MEMORY, Baseline, Scatter, Spread, Tally
from notaus.core.evidence import EPISODE, gather
from notaus.core.hold import Run
from notaus.core.ladder import KvLever, Ladder, Rung
from notaus.core.rule import Bound, Comparison, Operator, Rule, Severity
from notaus.core.sample import History, Sample
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal, Unit

HOUR = BUCKET // STEP
DAY_HOURS = MEMORY // BUCKET
START = 1_789_948_800
"""Midnight; the grid time of index 0."""
SIGNAL = "native.error_rate"
RESTORED = 1800
"""Seconds after a decision at which somebody has put things back; until then nothing is judged."""


def a_rule(percent: str, hold: int, severity: Severity) -> Rule:
    """`native.error_rate > percent` for `hold` seconds."""
    when = Comparison(SIGNAL, Operator.ABOVE, Bound(Fraction(percent) / 100), f"{SIGNAL} > {percent}%")
    return Rule(f"above {percent} %", severity, "emergency", (when,), hold)


def a_service(*rules: Rule) -> Service:
    """A service with one rate and these rules, its sample settled at once."""
    signal = Signal(SIGNAL, "canary", "error_rate", Shape.RATE, Unit.RATIO, WINDOW * STEP, 0, "native")
    rungs = (Rung("normal", {"canary_percent": 10}), Rung("emergency", {"canary_percent": 0}))
    ladder = Ladder(KvLever("namespace", "key", {}), rungs)
    return Service("benchmark", "account", "worker", {SIGNAL: signal}, rules, ladder)


PIX_IMMO = a_service(a_rule("1.5", 300, Severity.WARNING), a_rule("3", 180, Severity.CRITICAL))
BOOKSTRACK = a_service(a_rule("5", 300, Severity.WARNING), a_rule("10", 120, Severity.CRITICAL))
SERVICES = {"pix-immo": PIX_IMMO, "bookstrack": BOOKSTRACK}


@dataclass(frozen=True)
class Standing:
    """A hold of `rule`, by indices into the series: true from `start` to `end`, complete at `breached`."""

    rule: Rule
    start: int
    breached: int
    end: int


def standing(rule: Rule, series: Series) -> list[Standing]:
    """The holds of `rule` that were complete, by exact comparison."""
    bound = rule.when[0].bound.constant
    true = series.of * bound.denominator > bound.numerator * series.among
    edges = np.flatnonzero(np.diff(np.concatenate(([False], true, [False])).astype(np.int8)))
    need = rule.hold // STEP
    return [Standing(rule, s, s + need, e - 1) for s, e in edges.reshape(-1, 2).tolist() if e - 1 - s >= need]


@dataclass
class Gate:
    """One service on one series."""

    service: Service
    series: Series
    samples: dict[int, Sample] = field(default_factory=dict)
    """Those made lately, and what they say of each rule."""
    answers: dict[tuple[str, int], object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = sorted(
            (r for rule in self.service.rules for r in standing(rule, self.series)), key=lambda r: r.breached
        )
        self.usual = np.ones(len(self.series), bool)
        for run in self.runs:
            if (run.end + 1 - run.start) * STEP >= EPISODE:
                self.usual[run.start : run.end + 1] = False

    def decisions(self, first: int) -> Iterator[int]:
        """The decisions from `first` on; each makes the half hours before and after it unusual."""
        judged = first
        for run in self._by_tick():
            rule, start, at = run
            if at < judged:
                continue
            if self.sufficient(rule, start, at):
                yield at
                judged = at + RESTORED // STEP
                self.usual[max(0, at - EPISODE // STEP) : judged] = False
                self.__dict__.pop("learned", None)

    def _by_tick(self) -> Iterator[tuple[Rule, int, int]]:
        ticks = [(at, n) for n, run in enumerate(self.runs) for at in range(run.breached, run.end + 1)]
        for at, n in sorted(ticks):
            yield self.runs[n].rule, self.runs[n].start, at

    def sufficient(self, rule: Rule, start: int, at: int) -> bool:
        """Whether the core would let the hold of `rule` that began at `start` act at `at`."""
        run = Run(time(start), time(at), (at - start) * STEP, time(start) + rule.hold)
        return gather(rule, run, self.service, self.history(at), {SIGNAL: self.baseline(at)}, START).sufficient

    def history(self, at: int) -> History:
        """The samples of an episode that ends at `at`."""
        return History(
            {SIGNAL: {time(i): self.sample(i) for i in range(max(0, at - EPISODE // STEP - WINDOW), at + 1)}}
        )

    def sample(self, i: int) -> Sample:
        """The sample at an index."""
        if i not in self.samples:
            if len(self.samples) > 4 * HOUR:
                self.samples.clear()
                self.answers.clear()
            self.samples[i] = self._sample(i)
        return self.samples[i]

    def _sample(self, i: int) -> Sample:
        among = int(self.series.among[i])
        if among == 0:
            return Sample(time(i), among=Fraction(0), effective=Fraction(0))
        of = int(self.series.of[i])
        seen = None if self.series.seen is None else Fraction(int(self.series.seen[i]))
        return Sample(time(i), Fraction(of, among), Fraction(of), Fraction(among), seen)

    def baseline(self, at: int) -> Baseline:
        """What the core has learned by the tick before `at`: windows half an hour old and older."""
        newest = (time(at) - STEP - EPISODE) // (WINDOW * STEP) * WINDOW * STEP
        last = (newest - START) // BUCKET
        hours, older = self.learned
        partial = self._tally(last, newest)
        known = [hour for hour in range(max(0, last - DAY_HOURS), last) if hours[hour].windows]
        newest_hour = last if partial.windows else max(known, default=0)
        kept = {START + hour * BUCKET: hours[hour] for hour in known if hour > newest_hour - DAY_HOURS}
        if partial.windows:
            kept[START + last * BUCKET] = partial
        return Baseline(kept, older[max(0, newest_hour - DAY_HOURS + 1)])

    @cached_property
    def learned(self) -> tuple[list[Tally], list[Scatter]]:
        """The tally of each whole hour, and what remains of the hours before each. Thrown away when the past changes."""
        count = len(self.series) // HOUR
        of, among = self._effective()
        usual = self.usual[: count * HOUR : WINDOW].reshape(count, -1) & (among > 0)
        whole = usual.all(axis=1)
        squares = [_squares(of, among, length) for length in LENGTHS]
        hours, older = [], [Scatter()]
        for hour in range(count):
            if whole[hour]:
                spreads = tuple(
                    Spread(60 // n, float(s[hour]), n, 0.0, 1.0) for n, s in zip(LENGTHS, squares, strict=True)
                )
                hours.append(Tally(60, float(of[hour].sum()), float(among[hour].sum()), spreads))
            else:
                hours.append(self._tally(hour, START + (hour + 1) * BUCKET - WINDOW * STEP))
            older.append(older[-1].plus(hours[-1], FADE) if hours[-1].windows else older[-1])
        return hours, older

    def _effective(self) -> tuple[Array, Array]:
        """Failures and requests of the disjoint windows, a row for each whole hour, in rows seen."""
        every = slice(0, len(self.series) // HOUR * HOUR, WINDOW)
        of, among = self.series.of[every].astype(float), self.series.among[every].astype(float)
        if self.series.seen is not None:
            seen = self.series.seen[every].astype(float)
            of, among = of * seen / np.maximum(among, 1), seen
        return of.reshape(-1, HOUR // WINDOW), among.reshape(-1, HOUR // WINDOW)

    def _tally(self, hour: int, newest: int) -> Tally:
        """What the core makes of an hour's windows up to `newest`."""
        learned = Baseline()
        for at in range(START + hour * BUCKET, newest + 1, WINDOW * STEP):
            if self.usual[(at - START) // STEP]:
                learned = learned.learned(self.sample((at - START) // STEP))
        return learned.hours.get(START + hour * BUCKET, Tally())

    def pooled(self, start: int, end: int) -> tuple[float, float]:
        """Failures and requests, in rows seen, of the whole windows from `start` to `end`, at least one."""
        at = np.arange(end, min(start + WINDOW, end) - 1, -WINDOW)
        of, among = self.series.of[at], self.series.among[at]
        if self.series.seen is None:
            return float(of.sum()), float(among.sum())
        seen = self.series.seen[at]
        return float((of * seen / np.maximum(among, 1)).sum()), float(seen.sum())


def time(i: int) -> int:
    """The grid time of an index."""
    return START + i * STEP


def _squares(of: Array, among: Array, length: int) -> Array:
    """Sum of of² / among over the blocks of `length` windows of each hour."""
    blocks = (len(of), -1, length)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (of.reshape(blocks).sum(axis=2) ** 2 / among.reshape(blocks).sum(axis=2)).sum(axis=1)
