"""Made-up traffic: counts per grid step, drawn from the seed, and the reader that turns them into samples.

A stand-in for the SQL and GraphQL readers: it keeps what notaus relies on (a sample covers its trailing window; what is
late stays pending; what was revised comes again) and leaves the wire away.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from notaus.config.sources import Entry
from notaus.core.sample import Readings, Sample
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal
from notaus.errors import ReadFailed
from tests.simulation.faults import EPOCH, Plan

TRAILING = 0.7
"""The part of the failures that come in bursts, where a service's failures are bursty."""
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one grid step: `of` among `among` rows, each standing for `weight` requests; and a quantile."""

    of: int = 0
    among: int = 0
    weight: int = 1
    latency: int | None = None
    """Milliseconds."""


def binomial(rng: random.Random, n: int, p: float) -> int:
    """How many of `n` come up with probability `p`; by the normal approximation where that is good."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if n * min(p, 1 - p) > 25:
        return min(n, max(0, round(rng.gauss(n * p, math.sqrt(n * p * (1 - p))))))
    if p > 0.5:
        return n - binomial(rng, n, 1 - p)
    count, place, scale = 0, -1, math.log1p(-p)
    while (place := place + 1 + int(math.log(1 - rng.random()) / scale)) < n:
        count += 1
    return count


def poisson(rng: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, product, bound = 0, rng.random(), math.exp(-mean)
    while product > bound:
        count, product = count + 1, product * rng.random()
    return count


def failures(rng: random.Random, n: int, p: float, burst: int) -> int:
    """Failures among `n` requests: independent, or most of them in bursts of mean `burst`."""
    if burst <= 1 or p > 0.3:
        return binomial(rng, n, p)
    count = binomial(rng, n, p * (1 - TRAILING))
    for _ in range(poisson(rng, n * p * TRAILING / burst)):
        count += 1 + int(rng.expovariate(1 / (burst - 1)))
    return min(n, count)


@dataclass(slots=True)
class Users:
    """What the users of both services do, step by step, as the edge serves them at that moment."""

    plan: Plan
    world: Any
    """Asked for the canary, the live versions, and the weather."""
    steps: dict[str, dict[int, Counts]] = field(default_factory=dict)
    """Series to grid time to what happened in the step that ends there."""

    def happen(self, at: int) -> None:
        """The step that ends at `at`."""
        rng = random.Random(f"{self.plan.seed} users {at}")
        self._pix(at, rng)
        self._books(at, rng)

    def _requests(self, rng: random.Random, at: int, per_minute: float) -> int:
        time_of_day = at - EPOCH + 3600 * self.plan.hour
        daily = 1 + 0.4 * math.sin(2 * math.pi * time_of_day / DAY)
        factor = self.weather("traffic", at, 1.0)
        return poisson(rng, per_minute * daily * factor * self.plan.step / 60)

    def weather(self, kind: str, at: int, usual: float = 0.0) -> float:
        """The strength of the trouble of that kind in force at `at`."""
        found = [t.size for t in self.plan.troubles if t.kind == kind and t.at < at <= t.until]
        return found[-1] if found else usual

    def _put(self, name: str, at: int, of: int, among: int, latency: float | None = None) -> None:
        weight = max(1, int(self.weather("sampling", at, 1.0)))
        if weight > 1:
            rng = random.Random(f"{self.plan.seed} rows {name} {at}")
            bad, good = binomial(rng, of, 1 / weight), binomial(rng, among - of, 1 / weight)
            of, among = bad, bad + good
        seen = round(latency) if latency is not None and among else None
        self.steps.setdefault(name, {})[at] = Counts(of, among, weight, seen)

    def _pix(self, at: int, rng: random.Random) -> None:
        plan, world = self.plan, self.world
        canary = world.canary(at)
        requests, behind = self._requests(rng, at, plan.pix_per_minute), world.page_up(at)
        if behind and plan.page == "hides":
            requests = 0
        native = 0 if behind or canary.emergency else binomial(rng, requests, canary.percent / 100)
        if canary.emergency and not behind and self.weather("sticky", at):
            native = binomial(rng, requests, 0.05)
        everyone = self.weather("both", at)
        for cohort, count in (("native", native), ("proxy", requests - native)):
            p = 0.0 if behind else min(1.0, plan.pix_errors + everyone + self.weather(f"{cohort} errors", at))
            latency = 400 * (1 + self.weather(f"{cohort} slow", at)) * rng.uniform(0.97, 1.03)
            self._put(cohort, at, failures(rng, count, p, plan.burst), count, latency)
        self._put("share", at, native, requests)
        r2 = self.weather("uploads", at, 0.02) * plan.step / 60
        self.steps.setdefault("r2", {})[at] = Counts(poisson(rng, r2))
        self.steps.setdefault("intents", {})[at] = Counts(poisson(rng, 2.0 + self.weather("intents", at)))

    def _books(self, at: int, rng: random.Random) -> None:
        plan, world = self.plan, self.world
        requests = self._requests(rng, at, plan.books_per_minute)
        bad = world.badness(at)
        everyone = self.weather("books", at)
        p = min(1.0, plan.books_errors + everyone + bad["errors"])
        errors = failures(rng, requests, p, plan.burst)
        latency = 300 + self.weather("books slow", at) + bad["latency"]
        self._put("edge", at, errors, requests, latency * rng.uniform(0.95, 1.05))
        self._put("edge 5xx", at, binomial(rng, errors, 0.7), requests)
        hits = max(0.0, 0.8 - self.weather("cold cache", at) - bad["cache"])
        self._put("cache", at, binomial(rng, requests, hits), requests)
        sockets = binomial(rng, requests, 0.05)
        self._put("sockets", at, failures(rng, sockets, min(1.0, 0.005 + bad["sockets"]), 1), sockets)
        asked = binomial(rng, requests, 0.2)
        self._put("providers", at, failures(rng, asked, min(1.0, 0.01 + self.weather("providers", at)), 1), asked)
        down = p > 0.6 or bad["down"] > 0
        known = rng.random() > 0.002
        self.steps.setdefault("health", {})[at] = Counts(int(down), int(known))


SERIES = {
    "native.error_rate": "native",
    "native.latency_p90": "native",
    "proxy.error_rate": "proxy",
    "proxy.latency_p90": "proxy",
    "native.share": "share",
    "proxy.share": "share",
    "r2.failures": "r2",
    "orphaned_intents": "intents",
    "edge.error_rate": "edge",
    "edge.error_5xx_rate": "edge 5xx",
    "edge.latency_p95": "edge",
    "api.cache_hit_rate": "cache",
    "api.websocket_failure_rate": "sockets",
    "api.provider_timeout_rate": "providers",
    "health.failed": "health",
}


class SyntheticReader:
    """Answers the poller from `Users`; fails, hangs, lags and revises as the plan says."""

    def __init__(self, users: Users, plan: Plan, services: Mapping[str, Service], world: Any) -> None:
        self.users, self.plan, self.services, self.world = users, plan, services, world
        self.unsettled: list[str] = []
        """Reads of grid times that had not settled by true time: a promise broken."""
        self.revised: dict[tuple[str, int], int] = {}
        self.given: dict[tuple[str, int], list[Sample]] = {}
        """Every sample ever handed out, by signal and time."""

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        world = self.world
        await asyncio.sleep(world.latency())
        await world.trouble_reading(entry.name)
        now = world.true_time()
        lag = self.users.weather("lag", int(now))
        here = [at for at in times if at <= now and (at + lag <= now or entry.name == "health")]
        if times and not here and lag > 600:
            raise ReadFailed("no row has come in yet")
        for at in times:
            if at > now - entry.settle and not world.clock_wrong:
                self.unsettled.append(f"{entry.name} at {at}, {at - now + entry.settle:.0f} s too early")
        service = self.services[entry.service]
        found = {name: [self.sample(service.signals[name], at) for at in here] for name in entry.signals}
        for name in entry.signals:
            fresh = [at for (n, at), since in self.revised.items() if n == name and since >= 0]
            for at in fresh:
                found[name].append(self.sample(service.signals[name], at))
                self.revised[name, at] = -1
        for name, samples in found.items():
            for sample in samples:
                self.given.setdefault((name, sample.at), []).append(sample)
        return {name: tuple(samples) for name, samples in found.items()}

    def revise(self, name: str, at: int, add: int) -> None:
        """More rows come in after the fact."""
        series = self.users.steps.get(SERIES[name], {})
        if at in series:
            old = series[at]
            among = max(old.among, old.of + add)
            series[at] = Counts(min(old.of + add, among), among, old.weight, old.latency)
            self.revised[name, at] = 1

    def sample(self, signal: Signal, at: int) -> Sample:
        """The sample of the trailing window that ends at `at`."""
        series = self.users.steps.get(SERIES[signal.name], {})
        count = max(1, signal.window // self.plan.step)
        parts = [series.get(at - i * self.plan.step, Counts()) for i in range(count)]
        if signal.shape is Shape.SCALAR:
            last = parts[0]
            if signal.name == "health.failed":
                return Sample(at, Fraction(last.of)) if last.among else Sample(at)
            return Sample(at, Fraction(last.of))
        if signal.shape is Shape.COUNT:
            return Sample(at, Fraction(sum(p.of for p in parts)))
        among = Fraction(sum(p.among * p.weight for p in parts))
        rows = Fraction(sum(p.among for p in parts))
        sampled = rows if rows != among else None
        if among == 0:
            return Sample(at, among=among, effective=sampled)
        if signal.shape is Shape.QUANTILE:
            known = [(p.latency, p.among) for p in parts if p.latency is not None and p.among]
            if not known:  # only what came in late
                return Sample(at, among=among, effective=sampled)
            value = Fraction(sum(latency * n for latency, n in known), sum(n for _, n in known))
            return Sample(at, value, among=among, effective=sampled)
        of = Fraction(sum(p.of * p.weight for p in parts))
        if signal.name == "proxy.share":
            of = among - of
        return Sample(at, of / among, of, among, sampled)
