"""The baseline: how a rate usually behaves: its rate over the last day, its dispersion over about a week (spec 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from notaus.core.sample import Sample

MEMORY = 86400
"""Seconds of usual behaviour that make the baseline."""
BUCKET = 3600
FADE = 1 - 1 / 168
"""What an hour leaves of the dispersion of hours before it, so that about a week counts: bursts may be days apart."""
Z95 = 1.959963984540054


LENGTHS = (1, 5, 30)
"""Windows in a block: one, about as many as a hold has, and as many as the longest episode."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the failures differ between blocks of a given number of windows, with the newest block being filled."""

    blocks: int = 0
    squares: float = 0.0
    """Sum over the blocks of of² / among."""
    windows: int = 0
    """Windows in the newest block; `of` and `among` are its counts."""
    of: float = 0.0
    among: float = 0.0

    def plus(self, of: float, among: float, length: int) -> Spread:
        """This spread with one more window, in the newest block or a block of its own."""
        if self.windows in (0, length):
            return Spread(self.blocks + 1, self.squares + of * of / among, 1, of, among)
        both, whole = self.of + of, self.among + among
        squares = self.squares - self.of * self.of / self.among + both * both / whole
        return Spread(self.blocks, squares, self.windows + 1, both, whole)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over the disjoint windows of an hour."""

    windows: int = 0
    of: float = 0.0
    among: float = 0.0
    spreads: tuple[Spread, ...] = (Spread(),) * len(LENGTHS)
    """By length of block (`LENGTHS`)."""

    def plus(self, of: float, among: float) -> Tally:
        """This tally with one more window."""
        spreads = tuple(s.plus(of, among, n) for s, n in zip(self.spreads, LENGTHS, strict=True))
        return Tally(self.windows + 1, self.of + of, self.among + among, spreads)


@dataclass(frozen=True, slots=True)
class Scatter:
    """Squares about the hours' own rates and their degrees of freedom, by length of block: what slow change leaves out."""

    of: float = 0.0
    among: float = 0.0
    squares: tuple[float, ...] = (0.0,) * len(LENGTHS)
    freedom: tuple[float, ...] = (0.0,) * len(LENGTHS)

    def plus(self, tally: Tally, fade: float = 1.0) -> Scatter:
        """This scatter, counting `fade` of what it did, and an hour more."""
        if tally.among <= 0:
            return self
        own = tally.of * tally.of / tally.among
        return Scatter(
            self.of * fade + tally.of,
            self.among * fade + tally.among,
            tuple(s * fade + spread.squares - own for s, spread in zip(self.squares, tally.spreads, strict=True)),
            tuple(f * fade + spread.blocks - 1 for f, spread in zip(self.freedom, tally.spreads, strict=True)),
        )

    def dispersion(self, windows: int) -> float:
        """φ of the failures in `windows` windows: the highest of all lengths up to the first that is as long, at least 1."""
        variance = self.of * (self.among - self.of)
        if variance <= 0:
            return 1.0
        needed = next((i for i, length in enumerate(LENGTHS) if length >= windows), len(LENGTHS) - 1) + 1
        pearson = (s / f for s, f in zip(self.squares[:needed], self.freedom[:needed], strict=True) if f > 0)
        return max([1.0, *(per * self.among * self.among / variance for per in pearson)])


@dataclass(frozen=True, slots=True)
class Baseline:
    """The usual behaviour of a rate, in tallies by the hour (epoch seconds of its start), and what remains of older ones."""

    hours: Mapping[int, Tally] = field(default_factory=dict)
    older: Scatter = Scatter()

    def learned(self, sample: Sample) -> Baseline:
        """This baseline with one more window; hours older than a day before it become part of what fades."""
        counts = effective_counts(sample)
        if counts is None or counts[1] <= 0:
            return self
        hours, older = dict(self.hours), self.older
        for at in [at for at in hours if at <= sample.at - MEMORY]:
            older = older.plus(hours.pop(at), FADE)
        hour = sample.at // BUCKET * BUCKET
        hours[hour] = hours.get(hour, Tally()).plus(float(counts[0]), float(counts[1]))
        return Baseline(hours, older)

    @property
    def of(self) -> float:
        return sum(tally.of for tally in self.hours.values())

    @property
    def among(self) -> float:
        return sum(tally.among for tally in self.hours.values())

    def dispersion(self, windows: int) -> float:
        """φ of the failures in so many windows, of about a week."""
        scatter = self.older
        for tally in self.hours.values():
            scatter = scatter.plus(tally)
        return scatter.dispersion(windows)

    @property
    def told(self) -> float:
        """How many failures are known, or, where it is the other way about, successes; of about a week."""
        of, among = self.older.of + self.of, self.older.among + self.among
        return min(of, among - of)

    def rate(self, phi: float, upward: bool = True) -> float:
        """The usual rate in doubt's favour: the upper end of the day's 95 % interval, or the lower one of its worst hour.

        Of what did not fail, where not `upward`.
        """
        counts = [(t.of if upward else t.among - t.of, t.among) for t in self.hours.values()]
        day = wilson(sum(of for of, _ in counts) / phi, self.among / phi)[1]
        return max(day, *(wilson(of / phi, among / phi)[0] for of, among in counts))


def healthy(rate: float, requests: float, windows: int, at: int) -> Baseline:
    """The baseline of `windows` windows of `requests` each, failing independently at `rate` (so φ = 1)."""
    among, variance = requests * windows, rate * (1 - rate)
    blocks = tuple(-(-windows // length) for length in LENGTHS)
    spreads = tuple(Spread(n, (n - 1) * variance + rate * rate * among) for n in blocks)
    return Baseline({at // BUCKET * BUCKET: Tally(windows, rate * among, among, spreads)})


def wilson(of: float, among: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927)."""
    if among <= 0:
        return 0.0, 1.0
    p = of / among
    centre = p + z * z / (2 * among)
    spread = z * math.sqrt(p * (1 - p) / among + z * z / (4 * among * among))
    scale = 1 + z * z / among
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def effective_counts(sample: Sample | None) -> tuple[Fraction, Fraction] | None:
    """Failures and requests of a rate sample, scaled to the rows actually seen; None where it has no counts."""
    if sample is None or sample.of is None or sample.among is None:
        return None
    if sample.effective is None or sample.among == 0:
        return sample.of, sample.among
    return sample.of * sample.effective / sample.among, sample.effective
