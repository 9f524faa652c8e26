"""`python -m benchmarks.decisions.relative`: how often chance acts where a rule compares two cohorts that are both well.

`native.error_rate > proxy.error_rate + 50%` for three minutes. Both cohorts are of the same users: they fail at the same rate,
with the same rhythm, each by itself. The bare threshold acts as soon as the rule has held; notaus where the core's
evidence is sufficient, tick by tick, with the usual behaviour of eight days behind it. Decisions within half an hour of
one another count once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.decisions.gate import PIX_IMMO, RESTORED, SIGNAL, START, Gate, time
from benchmarks.decisions.measure import HISTORY
from benchmarks.decisions.traffic import DAY, KINDS, STEP, WINDOW, Kind, cohorts
from notaus.core.evidence import gather
from notaus.core.hold import Run
from notaus.core.ladder import KvLever, Ladder, Rung
from notaus.core.rule import Bound, Comparison, Operator, Rule, Severity
from notaus.core.sample import History
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal, Unit

NATIVE, PROXY = "native.error_rate", "proxy.error_rate"
FACTOR = Fraction(3, 2)
HOLD = 180
LOADS = ((1000, 30), (30, 1000), (100, 100), (1000, 9000))
"""Requests a minute, native and proxy."""
RATES = (0.003, 0.01)


def a_service() -> Service:
    """A canary with the one rule."""
    signals = {
        name: Signal(name, "canary", "error_rate", Shape.RATE, Unit.RATIO, WINDOW * STEP, 0, name.partition(".")[0])
        for name in (NATIVE, PROXY)
    }
    when = Comparison(NATIVE, Operator.ABOVE, Bound(Fraction(0), PROXY, FACTOR), f"{NATIVE} > {PROXY} + 50%")
    rule = Rule("worse", Severity.CRITICAL, "emergency", (when,), HOLD)
    rungs = (Rung("normal", {"canary_percent": 10}), Rung("emergency", {"canary_percent": 0}))
    return Service("benchmark", "account", "worker", signals, (rule,), Ladder(KvLever("n", "k", {}), rungs))


def decisions(service: Service, native: Gate, proxy: Gate, first: int) -> tuple[int, int]:
    """Of notaus, and of the bare threshold, on two series that are well, from the index `first` on."""
    (rule,) = service.rules
    ours = bare = ours_until = bare_until = 0
    for start, end in _standing(native, proxy):
        for at in range(max(start + HOLD // STEP, first), end + 1):
            if at >= bare_until:
                bare, bare_until = bare + 1, at + RESTORED // STEP
            if at < ours_until:
                continue
            run = Run(time(start), time(at), (at - start) * STEP, time(start) + HOLD)
            past = History({NATIVE: native.history(at).series[SIGNAL], PROXY: proxy.history(at).series[SIGNAL]})
            usual = {NATIVE: native.baseline(at), PROXY: proxy.baseline(at)}
            if gather(rule, run, service, past, usual, START).sufficient:
                ours, ours_until = ours + 1, at + RESTORED // STEP
    return ours, bare


def _standing(native: Gate, proxy: Gate) -> Iterator[tuple[int, int]]:
    """The first and last index of each stretch in which the rule holds for its `for`."""
    ours, theirs = native.series, proxy.series
    known = (ours.among > 0) & (theirs.among > 0)
    true = known & (ours.of * theirs.among * FACTOR.denominator > theirs.of * ours.among * FACTOR.numerator)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], true.astype(np.int8), [0]))))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - 1 - start >= HOLD // STEP:
            yield start, end - 1


def counted(kind: Kind, load: tuple[int, int], rate: float, days: int, seed: int) -> tuple[int, int]:
    """Decisions in so many days after eight of history."""
    rng = np.random.default_rng([*kind.name.encode(), seed, *load, round(rate * 1e6)])
    native, proxy = (Gate(PIX_IMMO, each) for each in cohorts(kind, rng, HISTORY + days * DAY, load, rate))
    return decisions(a_service(), native, proxy, HISTORY)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions.relative", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=90, help="for each load")
    parser.add_argument("--only", default="", help="kinds of traffic whose name contains this")
    given = parser.parse_args()
    shown = Table("traffic", "requests/min, native and proxy", "error rate", "days", "notaus", "bare threshold")
    kinds = [kind for kind in KINDS if given.only in kind.name]
    for kind, load, rate in track([(k, load, r) for k in kinds for load in LOADS for r in RATES], transient=True):
        ours, bare = counted(kind, load, rate, given.days, given.seed)
        shown.add_row(
            kind.name, f"{load[0]:,} and {load[1]:,}", f"{rate:.1%}", str(given.days), f"{ours:,}", f"{bare:,}"
        )
    Console().print(shown)


if __name__ == "__main__":
    main()
