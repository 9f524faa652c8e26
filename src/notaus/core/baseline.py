"""The baseline: a rate's usual behaviour over the last day, pooled rate and dispersion (spec 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from notaus.core.sample import Sample

MEMORY = 86400
"""Seconds of usual behaviour that make the baseline."""
BUCKET = 3600
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over disjoint windows, enough for the pooled rate and Pearson's statistic."""

    windows: int = 0
    of: float = 0.0
    among: float = 0.0
    squares: float = 0.0
    """Sum over the windows of of² / among."""

    def plus(self, other: Tally) -> Tally:
        return Tally(
            self.windows + other.windows,
            self.of + other.of,
            self.among + other.among,
            self.squares + other.squares,
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """The usual behaviour of a rate, in tallies by the hour (epoch seconds of its start)."""

    hours: Mapping[int, Tally] = field(default_factory=dict)

    def learned(self, sample: Sample) -> Baseline:
        """This baseline with one more window, and hours older than a day before it dropped."""
        counts = effective_counts(sample)
        if counts is None or counts[1] <= 0:
            return self
        of, among = float(counts[0]), float(counts[1])
        hour = sample.at // BUCKET * BUCKET
        kept = {at: tally for at, tally in self.hours.items() if at > sample.at - MEMORY}
        kept[hour] = kept.get(hour, Tally()).plus(Tally(1, of, among, of * of / among))
        return Baseline(kept)

    @property
    def total(self) -> Tally:
        total = Tally()
        for tally in self.hours.values():
            total = total.plus(tally)
        return total


def healthy(rate: float, requests: float, windows: int, at: int) -> Baseline:
    """The baseline of `windows` windows of `requests` each, failing independently at `rate` (so φ = 1)."""
    among = requests * windows
    squares = (windows - 1) * rate * (1 - rate) + rate * rate * among
    return Baseline({at // BUCKET * BUCKET: Tally(windows, rate * among, among, squares)})


def wilson(of: float, among: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927)."""
    if among <= 0:
        return 0.0, 1.0
    p = of / among
    centre = p + z * z / (2 * among)
    spread = z * math.sqrt(p * (1 - p) / among + z * z / (4 * among * among))
    scale = 1 + z * z / among
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def dispersion(tally: Tally) -> float:
    """Pearson's statistic per degree of freedom of the failures per window, at least 1."""
    if tally.windows < 2 or tally.among <= 0:
        return 1.0
    p = tally.of / tally.among
    variance = p * (1 - p)
    if variance <= 0:
        return 1.0
    pearson = (tally.squares - 2 * p * tally.of + p * p * tally.among) / variance
    return max(1.0, pearson / (tally.windows - 1))


def effective_counts(sample: Sample | None) -> tuple[Fraction, Fraction] | None:
    """Failures and requests of a rate sample, scaled to the rows actually seen; None where it has no counts."""
    if sample is None or sample.of is None or sample.among is None:
        return None
    if sample.effective is None or sample.among == 0:
        return sample.of, sample.among
    return sample.of * sample.effective / sample.among, sample.effective
