"""`python -m benchmarks.decisions.relative`: how often chance acts where a rule compares two cohorts that are both well.

`native.error_rate > proxy.error_rate + 50%` for three minutes, both cohorts failing independently at the same rate, at various
traffic. The bare threshold acts as soon as the rule has held; notaus where the core's evidence is sufficient, tick by
tick, with the usual behaviour of a day behind it. Decisions within half an hour of one another count once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.decisions.gate import RESTORED, START
from benchmarks.decisions.traffic import STEP, WINDOW
from notaus.core.baseline import healthy
from notaus.core.evidence import gather
from notaus.core.hold import Run
from notaus.core.ladder import KvLever, Ladder, Rung
from notaus.core.rule import Bound, Comparison, Operator, Rule, Severity
from notaus.core.sample import History, Sample
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal, Unit

NATIVE, PROXY = "native.error_rate", "proxy.error_rate"
BOUND = Bound(Fraction(0), PROXY, Fraction(3, 2))
HOLD = 180
DAY = 86_400 // STEP
LOADS = ((1000, 30), (30, 1000), (100, 100), (1000, 9000))
"""Requests a minute, native and proxy."""


def a_service() -> Service:
    """A canary with the one rule."""
    signals = {
        name: Signal(name, "canary", "error_rate", Shape.RATE, Unit.RATIO, WINDOW * STEP, 0, name.partition(".")[0])
        for name in (NATIVE, PROXY)
    }
    when = Comparison(NATIVE, Operator.ABOVE, BOUND, f"{NATIVE} > {PROXY} + 50%")
    rule = Rule("worse", Severity.CRITICAL, "emergency", (when,), HOLD)
    rungs = (Rung("normal", {"canary_percent": 10}), Rung("emergency", {"canary_percent": 0}))
    return Service("benchmark", "account", "worker", signals, (rule,), Ladder(KvLever("n", "k", {}), rungs))


def samples(rng: np.random.Generator, minute: float, rate: float) -> dict[int, Sample]:
    """A day's samples by grid time, each of the minute before it."""
    slots = rng.poisson(minute / WINDOW, DAY + WINDOW)
    failed = rng.binomial(slots, rate)
    among, of = (np.convolve(each, np.ones(WINDOW, int), "valid") for each in (slots, failed))
    found = {}
    for i, (n, k) in enumerate(zip(among.tolist(), of.tolist(), strict=True)):
        value = Fraction(k, n) if n else None
        found[START + i * STEP] = Sample(START + i * STEP, value, Fraction(k), Fraction(n))
    return found


def decisions(service: Service, rate: float, native: float, proxy: float, rng: np.random.Generator) -> tuple[int, int]:
    """Of notaus, and of the bare threshold, on one healthy day."""
    history = History({NATIVE: samples(rng, native, rate), PROXY: samples(rng, proxy, rate)})
    usual = {NATIVE: healthy(rate, native, 1440, START), PROXY: healthy(rate, proxy, 1440, START)}
    (rule,) = service.rules
    ours = bare = 0
    ours_until = bare_until = 0
    for run in _standing(history):
        if run.end >= bare_until:
            bare, bare_until = bare + 1, run.end + RESTORED
        if run.end >= ours_until and gather(rule, run, service, history, usual, START).sufficient:
            ours, ours_until = ours + 1, run.end + RESTORED
    return ours, bare


def _standing(history: History) -> Iterator[Run]:
    """The hold at each tick at which it is complete."""
    start = None
    for at, sample in history.series[NATIVE].items():
        other = history.series[PROXY][at]
        true = sample.value is not None and other.value is not None and sample.value > BOUND.value(other.value)
        start = (at if start is None else start) if true else None
        if start is not None and at - start >= HOLD:
            yield Run(start, at, at - start, start + HOLD)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions.relative", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=60, help="for each load")
    given = parser.parse_args()
    service = a_service()
    shown = Table("requests/min, native and proxy", "error rate", "days", "notaus", "bare threshold")
    for (native, proxy), rate in track([(load, rate) for load in LOADS for rate in (0.003, 0.01)], transient=True):
        rng = np.random.default_rng((given.seed, native, proxy, round(rate * 1e6)))
        days = [decisions(service, rate, native, proxy, rng) for _ in range(given.days)]
        ours, bare = (sum(each) for each in zip(*days, strict=True))
        shown.add_row(f"{native:,} and {proxy:,}", f"{rate:.1%}", str(given.days), f"{ours:,}", f"{bare:,}")
    Console().print(shown)


if __name__ == "__main__":
    main()
