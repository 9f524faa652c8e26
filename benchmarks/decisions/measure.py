"""Measuring: false actions on traffic that is well, and the time from the onset of a fault to the decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from benchmarks.decisions.gate import PIX_IMMO, RESTORED, SERVICES, Gate
from benchmarks.decisions.policies import POLICIES
from benchmarks.decisions.traffic import DAY, KINDS, STEP, WINDOW, Array, Kind, Series, faulty, healthy
from notaus.core.service import Service

YEAR = DAY * 365
HOUR = 3600 // STEP
HISTORY = 8 * DAY
"""Steps of healthy traffic before anything is judged: a day and a week that have been learned."""
WATCHED = PIX_IMMO.lookback // STEP
"""Steps that a daemon reads back when it starts."""


REQUESTS = (30.0, 100.0, 1000.0, 10000.0)
"""A minute."""
RATES = (0.001, 0.003, 0.01)
FAULTS = (0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
BEFORE_A_FAULT = 0.003
"""The error rate of a service before its fault."""
CHUNK = YEAR // 4
"""Steps simulated at a time."""
SURELY = 0.95
"""Of the draws of a fault."""
STARTS = 25
"""First days simulated for each service-year of the plan."""


@dataclass(frozen=True)
class Load:
    """Traffic that is well."""

    kind: Kind
    requests: float
    """A minute."""
    rate: float

    def rng(self, what: str, *seed: int) -> np.random.Generator:
        """The generator of this load's traffic for `what`, number `seed`; no two share one."""
        words = [*self.kind.name.encode(), 0, *what.encode(), 0]
        return np.random.default_rng([*words, round(self.requests), round(self.rate * 1e5), *seed])


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    seed: int = 1
    years: float = 4
    draws: int = 40
    only: str = ""
    requests: tuple[float, ...] = REQUESTS

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if self.only in kind.name)

    @property
    def chunks(self) -> int:
        return max(1, round(self.years * YEAR / CHUNK))

    @property
    def steps(self) -> int:
        return min(CHUNK, round(self.years * YEAR))

    @property
    def starts(self) -> int:
        return max(1, round(self.years * STARTS))

    @property
    def total(self) -> int:
        """Units of work: loads, and faults by load."""
        return len(self.kinds) * len(self.requests) * (len(RATES) + len(FAULTS) + 1)


@dataclass
class Results:
    """What was measured."""

    plan: Plan
    false: dict[tuple[str, float, float, str, str], Count] = field(default_factory=dict)
    """By kind, requests, rate, service, policy."""
    first_day: dict[tuple[str, float, str], Count] = field(default_factory=dict)
    """By kind, requests and policy: actions in the first day of a service nobody has watched before, at the highest rate."""
    times: dict[tuple[str, float, float, str], Times] = field(default_factory=dict)
    """By kind, requests, share of the fault, policy."""
    failures: dict[tuple[str, float, float], list[int]] = field(default_factory=dict)
    """By kind, requests and share of the fault: in the first three minutes of each draw."""
    noise: dict[tuple[str, float], int] = field(default_factory=dict)
    """By kind and requests: the most failures in any three minutes of all the time in which the service was well."""

    def beyond(self, kind: str, requests: float, bad: float) -> bool:
        """Whether three minutes of the fault have more failures than the service ever had while it was well, in 95 of
        100 draws: the others cannot be told from health by their counts."""
        drawn, noise = self.failures[kind, requests, bad], self.noise[kind, requests]
        return sum(count > noise for count in drawn) >= SURELY * len(drawn)

    def beyond_on_average(self, kind: str, requests: float, bad: float) -> bool:
        """Whether that is so of the failures that three minutes of the fault are expected to have."""
        return bad * requests * 3 > self.noise[kind, requests]


def measure(plan: Plan, done: Callable[[int], None]) -> Results:
    """All of the plan; calls `done` with each unit of work done."""
    results = Results(plan)
    for kind, requests in product(plan.kinds, plan.requests):
        for rate in RATES:
            for chunk in range(plan.chunks):
                series = well(Load(kind, requests, rate), "year", plan.seed, chunk, plan.steps)
                if rate == BEFORE_A_FAULT:
                    results.noise[kind.name, requests] = max(results.noise.get((kind.name, requests), 0), noise(series))
                found = false_actions(series, SERVICES)
                for (service, policy), count in found.items():
                    results.false.setdefault((kind.name, requests, rate, service, policy), Count()).add(count)
            done(1)
        for start in range(plan.starts):
            load = Load(kind, requests, RATES[-1])
            series = well(load, "start", plan.seed, start, DAY, WATCHED)
            found = false_actions(series, {"pix-immo": PIX_IMMO}, WATCHED)
            for (_, policy), count in found.items():
                results.first_day.setdefault((kind.name, requests, policy), Count()).add(count)
        done(1)
        for bad in FAULTS:
            load = Load(kind, requests, BEFORE_A_FAULT)
            times, failures = time_to_mitigate(load, PIX_IMMO, bad, plan.draws, plan.seed)
            results.times |= {(kind.name, requests, bad, policy): found for policy, found in times.items()}
            results.failures[kind.name, requests, bad] = failures
            done(1)
    return results


@dataclass
class Count:
    """False actions counted over service-years."""

    actions: int = 0
    years: float = 0.0

    def add(self, other: Count) -> None:
        self.actions, self.years = self.actions + other.actions, self.years + other.years

    @property
    def per_year(self) -> float:
        return self.actions / self.years

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the true frequency a year, of a Poisson count."""
        low, high = poisson_interval(self.actions)
        return low / self.years, high / self.years


def well(load: Load, what: str, seed: int, number: int, steps: int, warm: int = HISTORY) -> Series:
    """`steps` of a load that is well, after `warm` steps of history."""
    return healthy(load.kind, load.rng(what, seed, number), warm + steps, load.requests, load.rate)


def false_actions(series: Series, services: Mapping[str, Service], warm: int = HISTORY) -> dict[tuple[str, str], Count]:
    """False actions by service and policy on a series that is well, after its first `warm` steps."""
    found = {}
    for name, service in services.items():
        gate = Gate(service, series)
        for policy, decide in POLICIES.items():
            actions = list(apart(decide(gate, warm)))
            found[name, policy] = Count(len(actions), (len(series) - warm) / YEAR)
    return found


def in_three_minutes(series: Series) -> Array:
    """The failures in each three minutes, the `for` of the stricter rule of pix-immo; the first end three minutes in."""
    return series.of[2 * WINDOW :] + series.of[WINDOW:-WINDOW] + series.of[: -2 * WINDOW]


def noise(series: Series) -> int:
    """The most failures in any three minutes."""
    return int(in_three_minutes(series).max())


def apart(decisions: Iterable[int]) -> Iterator[int]:
    """The decisions that are not of the same half hour as the one before them."""
    last = -RESTORED
    for at in decisions:
        if at >= last + RESTORED // STEP:
            yield at
            last = at


@dataclass
class Times:
    """Seconds from onset to decision; None where there was none within the hour."""

    seconds: list[int | None] = field(default_factory=list)

    @property
    def share(self) -> float:
        return sum(s is not None for s in self.seconds) / len(self.seconds)

    def quantile(self, q: float) -> float:
        """Of all the faults; infinite where more than the rest were never acted on."""
        ordered = sorted(math.inf if s is None else float(s) for s in self.seconds)
        return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)]


def time_to_mitigate(
    load: Load, service: Service, bad: float, draws: int, seed: int, history: int = HISTORY
) -> tuple[dict[str, Times], list[int]]:
    """By policy, for faults of share `bad`, each policy seeing the same draws; and how many requests failed in the first
    three minutes of each."""
    found, failures = {policy: Times() for policy in POLICIES}, []
    for draw in range(draws):
        rng = load.rng("fault", seed, draw, round(bad * 1000))
        onset = history + int(rng.integers(0, 20))  # at any phase of everybody's five minutes
        series = faulty(load.kind, rng, onset, HOUR, load.requests, load.rate, bad)
        failures.append(int(in_three_minutes(series)[onset + WINDOW - 1]))
        gate = Gate(service, series)
        for policy, decide in POLICIES.items():
            at = next(iter(decide(gate, onset)), None)
            found[policy].seconds.append(None if at is None else (at - onset + 1) * STEP)
    return found, failures


def poisson_interval(count: int) -> tuple[float, float]:
    """Garwood's exact 95 % interval of a Poisson mean, by bisection on its tails."""
    low = 0.0 if count == 0 else _root(lambda mean: 1 - _below(count, mean), 0.025)
    return low, _root(lambda mean: 1 - _below(count + 1, mean), 0.975)


def _below(count: int, mean: float) -> float:
    """P(X < count)."""
    logs = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count))
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def _root(rising: Callable[[float], float], value: float) -> float:
    low, high = 1e-9, 10.0
    while rising(high) < value:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return high
