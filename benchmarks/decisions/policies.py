"""Policies: what decides to act, each given the same series. A decision is the index of the grid time at which it is taken.

Argo Rollouts and Flagger judge a release for as long as it is rolled out; here one analysis follows the other all the time.
Their figures are those of their documentation, read in November 2026:

- Argo Rollouts v1.10, docs/features/analysis.md and the AnalysisTemplate's reference: `successCondition: result[0] >=
  0.95`, `interval: 5m` over `[5m]` as in its examples; `failureLimit` left out is 0 (one failed measurement ends it), and
  `consecutiveErrorLimit` 4 is about queries that do not answer, which does not happen here.
- Flagger, docs.flagger.app/usage/metrics and usage/how-it-works: `request-success-rate` at least 99 over `interval: 1m`,
  analysed each 1m, `threshold: 5` failed checks end it (its tutorials' number; counted over the analysis, not in a row),
  `maxWeight: 50` by `stepWeight: 5`: ten good checks and the release is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.decisions.gate import Gate
from benchmarks.decisions.traffic import STEP, WINDOW, Array, Series
from notaus.core.baseline import wilson

Decide = Callable[[Gate, int], Iterator[int]]
"""The decisions on a gate's series from a grid time on, in order."""

ARGO_SUCCESS, ARGO_INTERVAL = 0.95, 300
FLAGGER_SUCCESS, FLAGGER_INTERVAL, FLAGGER_THRESHOLD, FLAGGER_STEPS = 0.99, 60, 5, 10


def bare(gate: Gate, first: int) -> Iterator[int]:
    """Each hold acts when it is complete."""
    return iter(sorted({run.breached for run in gate.runs if run.breached >= first}))


def wilson_gate(gate: Gate, first: int) -> Iterator[int]:
    """A hold acts once the 95 % interval of its own counts, over disjoint windows, lies beyond the bound."""
    found = []
    for run in gate.runs:
        bound = float(run.rule.when[0].bound.constant)
        for at in range(max(run.breached, first), run.end + 1):
            of, among = gate.pooled(run.start, at)
            if wilson(of, among)[0] > bound:
                found.append(at)
                break
    return iter(sorted(found))


def notaus(gate: Gate, first: int) -> Iterator[int]:
    """notaus as built: the evidence of the core at each tick of a hold that stands."""
    return gate.decisions(first)


def argo(gate: Gate, first: int) -> Iterator[int]:
    """The first measurement below 95 %."""
    every = ARGO_INTERVAL // STEP
    of, among = _over(gate.series, every)
    bad = np.flatnonzero(of[::every] > (1 - ARGO_SUCCESS) * among[::every]) * every
    return iter(bad[bad >= first].tolist())


def flagger(gate: Gate, first: int) -> Iterator[int]:
    """The fifth check below 99 % before ten have been good."""
    every = FLAGGER_INTERVAL // STEP
    series = gate.series
    bad = series.of[::every] > (1 - FLAGGER_SUCCESS) * series.among[::every]
    failed = passed = 0
    for check, is_bad in enumerate(bad.tolist()):
        failed, passed = failed + is_bad, passed + (not is_bad)
        if failed == FLAGGER_THRESHOLD and check * every >= first:
            yield check * every
        if failed == FLAGGER_THRESHOLD or passed == FLAGGER_STEPS:
            failed = passed = 0


def _over(series: Series, steps: int) -> tuple[Array, Array]:
    """Failures and requests over the trailing `steps`, a multiple of the window; the first are shorter."""
    of, among = np.zeros_like(series.of), np.zeros_like(series.among)
    for back in range(0, steps, WINDOW):
        of[back:] += series.of[: len(series) - back]
        among[back:] += series.among[: len(series) - back]
    return of, among


POLICIES: dict[str, Decide] = {
    "notaus": notaus,
    "bare threshold": bare,
    "Wilson 95 %": wilson_gate,
    "Argo Rollouts": argo,
    "Flagger": flagger,
}
