"""Evidence: could the service's own usual behaviour have produced these counts? (spec 4)

A rate rule acts only where, under the baseline, so many failures among so many requests come up less often than
`false_actions` times a year: P(X >= x) below false_actions × D / year, with D the rule's `for`, at least one window.
The tail is the negative binomial's with mean n·p and variance φ·n·p, the binomial's where φ is about 1. With fewer than
1,000 requests of history the bound itself counts as the usual rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import count

from notaus.core.baseline import Z95, Baseline, effective_counts, wilson
from notaus.core.hold import Run, Truth, answer_at
from notaus.core.rule import Comparison, Rule
from notaus.core.sample import History
from notaus.core.service import Service
from notaus.core.signal import Shape

YEAR = 365.25 * 86400
EPISODE = 1800
"""Seconds; the longest episode that is pooled."""
MIN_HISTORY = 1000
"""Requests; with fewer the baseline says nothing."""
TOLD = 30
"""Failures; with fewer it is not known how they come: a burst may just not have come yet."""
UNTOLD = 3
"""The dispersion until then: 2m - 1 for bursts of geometric size with mean m, as if a failure brought another with it."""
SPARSE = 5
"""Requests in a window, below which a burst lasts for more than one."""
LOT = 6
"""Requests that count as one there, as if a burst were about as long."""
SURE = 5.0
"""Standard deviations: what lies beyond them by chance is rarer than any `false_actions` of a hold of minutes."""
POISSON_LIKE = 1.05
"""Dispersion up to which failures count as independent."""

Mass = Callable[[int], float]
"""The logarithm of a probability mass at a count."""


def tail(of: int, among: int, p: float, phi: float) -> float:
    """P(X >= of) for `among` requests failing at rate `p` with dispersion `phi`."""
    if of <= 0:
        return 1.0
    if p <= 0 or among <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    mass: Mass
    if phi <= POISSON_LIKE:
        if of > among:
            return 0.0
        mass = partial(_log_binomial, n=among, p=p)
    else:
        mass = partial(_log_negative_binomial, size=among * p / (phi - 1), phi=phi)
    if of <= among * p:  # below the mean the mass falls toward 0: sum what is left out
        return max(0.0, 1.0 - _sum(mass, range(of - 1, -1, -1)))
    return min(1.0, _sum(mass, range(of, among + 1) if phi <= POISSON_LIKE else count(of)))


def _log_binomial(k: int, n: int, p: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(p) + (n - k) * math.log1p(-p)


def _log_negative_binomial(k: int, size: float, phi: float) -> float:
    # Success probability 1/phi gives variance phi × mean.
    choose = math.lgamma(k + size) - math.lgamma(k + 1) - math.lgamma(size)
    return choose - size * math.log(phi) + k * math.log1p(-1 / phi)


def _sum(log_mass: Mass, numbers: Iterable[int]) -> float:
    """The mass at `numbers`, which lead away from the mode: terms fall geometrically, and are added while they matter."""
    total = 0.0
    for k in numbers:
        mass = math.exp(log_mass(k))
        total += mass
        if mass <= total * 1e-12:
            break
    return total


@dataclass(frozen=True, slots=True)
class Counts:
    """Failures among requests, pooled over disjoint windows; effective numbers where the source samples."""

    of: Fraction
    among: Fraction
    windows: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether the gate lets a breach act, and why, in words a person can judge."""

    sufficient: bool
    text: str
    per_year: float | None = None
    """How often chance would do this, by the usual behaviour; None where that is not known."""


def gather(
    rule: Rule, run: Run, service: Service, history: History, baselines: Mapping[str, Baseline], first: int
) -> Evidence:
    """The evidence for a breach of `rule` that stands in `run`, from samples not older than `first`."""
    found = [_of_comparison(c, rule, run, service, history, baselines, first) for c in rule.when]
    gated = [e for e in found if e is not None]
    if not gated:
        return Evidence(True, "the hold is the evidence")
    weakest = min(gated, key=lambda e: (e.sufficient, -(e.per_year or 0.0)))
    if rule.false_actions is None:
        return Evidence(True, weakest.text, weakest.per_year)
    return weakest


def _of_comparison(
    comparison: Comparison,
    rule: Rule,
    run: Run,
    service: Service,
    history: History,
    baselines: Mapping[str, Baseline],
    first: int,
) -> Evidence | None:
    match service.signals[comparison.signal].shape:
        case Shape.RATE:
            episode = _episode_start(rule, run, history, service.step, first)
            found = _of_rate(comparison, rule, (episode, run.end), service, history, baselines)
            if found.sufficient or found.per_year is not None:
                return found
            # Without history there is no usual behaviour to weigh the healthy half of the episode with: the hold alone may do.
            return _of_rate(comparison, rule, (max(run.start, episode), run.end), service, history, baselines)
        case Shape.QUANTILE:
            return _of_quantile(comparison, rule, run, service, history)
        case _:
            return None


def _episode_start(rule: Rule, run: Run, history: History, step: int, first: int) -> int:
    """Where the episode begins: the longest stretch to now, true of more than half of its known samples."""
    known = true = 0
    start = run.end
    for at in range(run.end, max(first, run.end - max(EPISODE, rule.hold)) - 1, -step):
        answer = answer_at(rule, history, at)
        known += answer in (Truth.TRUE, Truth.FALSE)
        true += answer is Truth.TRUE
        if true * 2 > known:
            start = at
    return min(start, max(run.start, run.end - max(EPISODE, rule.hold)))


def pooled(signal: str, history: History, start: int, end: int, window: int) -> Counts:
    """The counts of the whole windows that fit into `[start, end]`, counted back from its end, at least one."""
    of = among = Fraction(0)
    windows = 0
    at = end
    while windows == 0 or at - window >= start:
        counts = effective_counts(history.at(signal, at))
        if counts is not None:
            of, among = of + counts[0], among + counts[1]
        windows += 1
        at -= window
    return Counts(of, among, windows)


def _of_rate(
    comparison: Comparison,
    rule: Rule,
    span: tuple[int, int],
    service: Service,
    history: History,
    baselines: Mapping[str, Baseline],
) -> Evidence:
    window = service.signals[comparison.signal].window
    counts = pooled(comparison.signal, history, *span, window)
    bound = float(_pooled_bound(comparison, history, span, window, baselines))
    upward = comparison.op.upward
    usual = baselines.get(comparison.signal, Baseline())
    of, among = counts.of, counts.among
    if not upward:  # too few hits are too many misses
        of, bound = among - of, 1 - bound
    said = f"{round(of)} of {round(among)} requests {'failed' if upward else 'missed'}"
    known = usual.among >= MIN_HISTORY
    chance = _chance(of, among, counts.windows, usual, bound, upward)
    duration = max(rule.hold, window)
    per_year = chance * YEAR / duration
    allowed = float(rule.false_actions) if rule.false_actions is not None else math.inf
    rate = (usual.of if upward else usual.among - usual.of) / usual.among if known else bound
    usually = f"with the usual {percent(rate)}"
    if not known:
        usually = f"with fewer than {MIN_HISTORY} requests in the last day, and {percent(rate)} taken as usual,"
    enough = per_year < allowed
    text = f"{said}; {usually} that happens by chance {often(per_year)}"
    return Evidence(enough, text if enough else f"not enough evidence: {text}", per_year if known else None)


def _chance(of: Fraction, among: Fraction, windows: int, usual: Baseline, bound: float, upward: bool) -> float:
    """How likely the usual behaviour does this, or worse, in one such span.

    Before it is known how failures come, what one burst could fill counts for less: all of one or two windows; and of
    several with few requests each, where a burst goes on from one to the next, `LOT` requests for one.
    """
    phi, told = usual.dispersion(windows), usual.told >= TOLD
    if not told and windows <= 2:
        phi = max(phi, UNTOLD)
    p = min(usual.rate(phi, upward), bound) if usual.among >= MIN_HISTORY else bound
    if not told and windows > 2 and among < SPARSE * windows:
        return tail(int(of / LOT), int(among / LOT), p, max(phi / LOT, 1.0))
    return tail(round(of), round(among), p, phi)


def _pooled_bound(
    comparison: Comparison, history: History, span: tuple[int, int], window: int, baselines: Mapping[str, Baseline]
) -> Fraction:
    """The bound; one by another rate at the end of that rate's interval that says least against this one.

    A side without a single failure among thirty requests shows no rate of zero.
    """
    name, upward = comparison.bound.other, comparison.op.upward
    if name is None:
        return comparison.bound.constant
    other = pooled(name, history, *span, window)
    if other.among > 0:
        phi = baselines.get(name, Baseline()).dispersion(other.windows)
        sure = SURE if baselines.get(comparison.signal, Baseline()).among >= MIN_HISTORY else Z95
        ends = wilson(float(other.of) / phi, float(other.among) / phi, sure)
        return comparison.bound.value(Fraction(ends[1] if upward else ends[0]))
    sample = history.at(name, span[1])
    value = sample.value if sample is not None else None
    if value is None:
        return Fraction(int(upward))
    return comparison.bound.value(value)


def _of_quantile(comparison: Comparison, rule: Rule, run: Run, service: Service, history: History) -> Evidence:
    requests = {
        name: _requests(name, history, run, service.signals[name].window)
        for name in comparison.signals
        if service.signals[name].shape is Shape.QUANTILE
    }
    name, fewest = min(requests.items(), key=lambda item: item[1])
    if fewest >= rule.min_requests:
        return Evidence(True, f"{round(fewest)} requests behind {name}")
    return Evidence(
        False, f"not enough evidence: {round(fewest)} requests behind {name}, {rule.min_requests} are needed"
    )


def _requests(signal: str, history: History, run: Run, window: int) -> Fraction:
    total, at, windows = Fraction(0), run.end, 0
    while windows == 0 or at - window >= run.start:
        sample = history.at(signal, at)
        if sample is not None and sample.among is not None:
            total += sample.among if sample.effective is None else sample.effective
        windows += 1
        at -= window
    return total


def percent(share: float) -> str:
    """A share as people read it: 0.3 %, 12 %."""
    return f"{share * 100:.3g} %"


def often(per_year: float) -> str:
    """A yearly frequency in words."""
    if per_year >= 2 * 8766:
        return f"about {per_year / 8766:.0f} times an hour"
    for per, noun in ((8766, "an hour"), (365.25, "a day"), (52.18, "a week"), (12, "a month"), (1, "a year")):
        times = per_year / per
        if times >= 1.5:
            return f"about {times:.0f} times {noun}"
        if times >= 0.6:
            return f"about once {noun}"
    if per_year <= 1e-6:
        return "practically never"
    return f"about once in {1 / per_year:,.0f} years"
