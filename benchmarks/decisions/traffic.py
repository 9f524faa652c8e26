"""Traffic: requests and failures per grid step, by the ways in which failures come; the same seed gives the same traffic.

Each generator takes a random generator, the expected requests and the error rate of each step, and gives the requests
and failures of each step. The rate is the share of failures in the long run, whatever the way they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

STEP = 15
"""Seconds of the grid."""
WINDOW = 4
"""Steps of a trailing window (60 s)."""
DAY = 86400 // STEP
IN_BURSTS = 0.7
"""Share of the failures of bursty traffic that come in bursts; the others come alone."""
STILL_FAILING = 0.7
"""How likely a retry fails, at least."""
TRIES = 8
"""Of a client, at most."""

Array = np.ndarray
Failures = Callable[[Generator, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Series:
    """What a source would read at each grid time: failures among requests over the trailing window, and the rows seen."""

    of: Array
    among: Array
    seen: Array | None = None
    """Rows behind `among` where the source samples."""

    def __len__(self) -> int:
        return len(self.of)

    @property
    def rate(self) -> Array:
        """Failures per request; not a number where there were none."""
        with np.errstate(invalid="ignore"):
            return self.of / self.among

    def until(self, end: int) -> Series:
        return Series(self.of[:end], self.among[:end], None if self.seen is None else self.seen[:end])


def independent(rng: Generator, expected: Array, rate: Array) -> tuple[Array, Array]:
    """Each request fails by itself."""
    requests = rng.poisson(expected)
    return requests, rng.binomial(requests, rate)


def bursty(size: float) -> Failures:
    """Failures in bursts of geometric size with mean `size`, each a run of consecutive requests; the others alone."""

    def burst(rng: Generator, expected: Array, rate: Array) -> tuple[Array, Array]:
        requests = rng.poisson(expected)
        starts = rng.poisson(expected * rate * IN_BURSTS / size)
        begun = np.zeros(len(requests), np.int64)
        at = np.flatnonzero(starts)
        begun[at] = starts[at] + rng.negative_binomial(starts[at], 1 / size)  # a sum of geometric sizes
        in_bursts = _consecutive(begun, requests)
        alone = np.minimum(1, rate * (1 - IN_BURSTS) / (1 - rate * IN_BURSTS))
        return requests, in_bursts + rng.binomial(requests - in_bursts, alone)

    return burst


def _consecutive(begun: Array, room: Array) -> Array:
    """`begun` failures spread over the steps from where they began, at most `room` in each."""
    balance = np.cumsum(begun - room)
    left = balance - np.minimum(np.minimum.accumulate(balance), 0)
    return begun + np.concatenate(([0], left[:-1])) - left


def retrying(rng: Generator, expected: Array, rate: Array) -> tuple[Array, Array]:
    """A failed request is tried again half a minute later on average, and fails again more likely than not."""
    requests = rng.poisson(expected)
    tries = sum(STILL_FAILING**n for n in range(TRIES))  # failures for each first one
    first = rate / np.maximum(tries * (1 - rate), rate)  # among requests whose number the retries raise, too
    failures = new = rng.binomial(requests, np.minimum(first, 1))
    for _ in range(TRIES - 1):
        again = _later(rng, new)
        new = rng.binomial(again, np.maximum(rate, STILL_FAILING))
        requests, failures = requests + again, failures + new
    return requests, failures


def _later(rng: Generator, events: Array) -> Array:
    """Each event moved by one to eight steps, half of those left at each."""
    moved = np.zeros_like(events)
    at = np.flatnonzero(events)
    left = events[at]
    for delay in range(1, 9):
        go = rng.binomial(left, 0.5) if delay < 8 else left
        inside = at + delay < len(events)
        moved[at[inside] + delay] += go[inside]
        left = left - go
    return moved


def steady(rng: Generator, steps: int, requests: float, rate: float) -> tuple[Array, Array]:
    """Expected requests and error rate of each step, the same all the time."""
    return np.full(steps, requests * STEP / 60), np.full(steps, rate)


def daily(rng: Generator, steps: int, requests: float, rate: float) -> tuple[Array, Array]:
    """Nine times as much traffic at noon as at night, and an error rate that swings by 40 % six hours later."""
    angle = 2 * np.pi * (np.arange(steps) / DAY + rng.random())
    return requests * STEP / 60 * (1 - 0.8 * np.cos(angle)), rate * (1 + 0.4 * np.sin(angle))


def drifting(rng: Generator, steps: int, requests: float, rate: float) -> tuple[Array, Array]:
    """An error rate that rises from 60 to 140 % of `rate` over 6 to 72 hours, falls back at once, and rises again."""
    drift = np.empty(steps)
    at = -int(rng.integers(0, DAY))
    while at < steps:
        length = int(rng.uniform(0.25, 3) * DAY)
        first = max(at, 0)
        drift[first : max(first, at + length)] = np.linspace(0.6, 1.4, length)[first - at : max(first, steps) - at]
        at += length
    return np.full(steps, requests * STEP / 60), rate * drift


@dataclass(frozen=True)
class Kind:
    """A way in which requests and failures come."""

    name: str
    failures: Failures = independent
    shape: Callable[[Generator, int, float, float], tuple[Array, Array]] = steady
    keeps: tuple[tuple[float, int], ...] = ()
    """Sampled data: shares of the traffic, and one in how many of their requests is kept."""


KINDS = (
    Kind("independent"),
    Kind("bursts of 5", bursty(5)),
    Kind("bursts of 20", bursty(20)),
    Kind("retrying", retrying),
    Kind("daily rhythm", shape=daily),
    Kind("slow drift", shape=drifting),
    Kind("sampled 1 in 10", keeps=((1.0, 10),)),
    Kind("sampled unevenly", keeps=((0.8, 10), (0.2, 1))),
)


def window_sums(counts: Array) -> Array:
    """Sums over the trailing window of each step; the first steps have shorter ones."""
    total = np.concatenate((np.zeros(WINDOW, counts.dtype), np.cumsum(counts)))
    return total[WINDOW:] - total[:-WINDOW]


def healthy(kind: Kind, rng: Generator, steps: int, requests: float, rate: float) -> Series:
    """`steps` of a service that is well, with `requests` a minute of which `rate` fail."""
    return _read(kind, rng, *kind.failures(rng, *kind.shape(rng, steps, requests, rate)))


def cohorts(kind: Kind, rng: Generator, steps: int, requests: Sequence[float], rate: float) -> Iterator[Series]:
    """Cohorts of the same users, all well: the same rhythm, and failures of their own."""
    rhythm = int(rng.integers(2**62))
    for each in requests:
        expected = kind.shape(np.random.default_rng(rhythm), steps, each, rate)
        yield _read(kind, rng, *kind.failures(rng, *expected))


def faulty(kind: Kind, rng: Generator, before: int, after: int, requests: float, rate: float, bad: float) -> Series:
    """A service that is well for `before` steps; then `bad` of its requests fail, in the same way, for `after` steps."""
    expected, rates = kind.shape(rng, before + after, requests, rate)
    rates[before:] = bad
    return _read(kind, rng, *kind.failures(rng, expected, rates))


def _read(kind: Kind, rng: Generator, requests: Array, failures: Array) -> Series:
    if not kind.keeps:
        return Series(window_sums(failures), window_sums(requests))
    of, among, seen = (np.zeros(len(requests), np.int64) for _ in range(3))
    left, bad_left, share_left = requests, failures, 1.0
    for share, one_in in kind.keeps:
        part = rng.binomial(left, min(1.0, share / share_left))
        bad = rng.hypergeometric(bad_left, left - bad_left, part)
        left, bad_left, share_left = left - part, bad_left - bad, share_left - share
        kept_bad, kept_good = rng.binomial(bad, 1 / one_in), rng.binomial(part - bad, 1 / one_in)
        of += kept_bad * one_in
        among += (kept_bad + kept_good) * one_in
        seen += kept_bad + kept_good
    return Series(window_sums(of), window_sums(among), window_sums(seen))
