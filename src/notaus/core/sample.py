"""Samples: a signal's value at one grid time, with the counts behind it; and the history they form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Sample:
    """A settled reading at grid time `at` (seconds): known if `value` is set, unknown otherwise.

    A grid time without a sample is *pending*: not settled yet, or not read successfully. Unknown is never 0.
    """

    at: int
    value: Fraction | None = None
    """In the signal's unit, exact."""
    of: Fraction | None = None
    """Rates only: how many of `among` (failures, hits). An estimate where the source samples."""
    among: Fraction | None = None
    """The number of requests behind the value."""
    effective: Fraction | None = None
    """Rows actually seen where the source samples (`among` is then an estimate); None: as many as `among`."""

    @property
    def known(self) -> bool:
        return self.value is not None


Readings = Mapping[str, tuple[Sample, ...]]
"""Samples by signal name, as one poll brings them."""


def exact(number: float | str | Fraction) -> Fraction:
    """`number` as people read it: 0.1 is 1/10, not the nearest binary fraction."""
    return number if isinstance(number, Fraction) else Fraction(str(number))


def rate(at: int, of: float | str | Fraction, among: float | str | Fraction, effective: int | None = None) -> Sample:
    """A rate sample from its two counts; unknown where there were no requests."""
    part, whole = exact(of), exact(among)
    if whole <= 0:
        return Sample(at, among=Fraction(0), effective=Fraction(0))
    return Sample(at, part / whole, part, whole, None if effective is None else Fraction(effective))


SLACK = 600
"""Seconds by which samples, and answers that follow from them, may outlive their time, so that they are dropped in batches."""


@dataclass(frozen=True, slots=True)
class History:
    """The recent samples of a service, by signal and grid time."""

    series: Mapping[str, dict[int, Sample]] = field(default_factory=dict)
    memo: dict[tuple[str, int], object] = field(default_factory=dict, compare=False, repr=False)
    """Answers that follow from the samples of one grid time, by rule and time, so that they are worked out once."""

    def at(self, signal: str, time: int) -> Sample | None:
        """The sample at grid time `time`; None while it is pending."""
        return self.series.get(signal, {}).get(time)

    def merged(self, readings: Readings, keep_from: int) -> History:
        """This history with `readings` added (a later reading wins) and samples before `keep_from` dropped."""
        series = dict(self.series)
        revised: set[int] = set()
        for name in readings.keys() | series.keys():
            old = series.get(name, {})
            new = {s.at: s for s in readings.get(name, ()) if s.at >= keep_from}
            revised |= {at for at, sample in new.items() if at in old and old[at] != sample}
            stale = bool(old) and next(iter(old)) < keep_from - SLACK
            if new or stale:
                kept = {at: s for at, s in old.items() if at >= keep_from} if stale else old
                merged = {**kept, **new}
                series[name] = dict(sorted(merged.items())) if _out_of_order(old, new) else merged
        return History(series, self._memo_without(revised, keep_from))

    def _memo_without(self, revised: set[int], keep_from: int) -> dict[tuple[str, int], object]:
        _, oldest = next(iter(self.memo), ("", keep_from))
        if not revised and oldest >= keep_from - SLACK:
            return self.memo
        return {key: answer for key, answer in self.memo.items() if key[1] not in revised and key[1] >= keep_from}

    def between(self, signal: str, first: int, last: int) -> Iterable[Sample]:
        """The samples of `signal` with `first <= at <= last`, oldest first."""
        return (s for at, s in self.series.get(signal, {}).items() if first <= at <= last)

    def newest(self, signal: str) -> Sample | None:
        """The latest sample of `signal` that was read."""
        samples = self.series.get(signal)
        return next(reversed(samples.values())) if samples else None


def _out_of_order(old: dict[int, Sample], new: dict[int, Sample]) -> bool:
    """Whether appending `new` to `old` would leave the times unsorted."""
    times = [at for at in new if at not in old]
    latest = next(reversed(old), None)
    return times != sorted(times) or (bool(times) and latest is not None and times[0] < latest)
