"""Thresholds against healthy noise: how often a year the usual behaviour alone would hold a rule's condition (spec 4).

A condition holds for its `for` where it is true in each of the disjoint windows that the hold spans. With the failures
of a window drawn as the evidence gate draws them (negative binomial, mean n·p, variance φ·n·p), that is P(window)^k,
k windows, tried once in each such span. Trailing windows make it rarer, overlapping tries more frequent: simulated (700
days each, seven thresholds at 20 to 400 requests a minute, a sample each quarter of a window), 0.6 to 1.4 of what comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from notaus.core.baseline import Baseline
from notaus.core.evidence import MIN_HISTORY, YEAR, often, percent, tail
from notaus.core.rule import INVESTIGATE, Comparison, Operator, Rule
from notaus.core.service import Service
from notaus.core.signal import Shape

BOTHERSOME = 12.0
"""Times a year that people are told for nothing: more than once a month is too often."""
LONGER = (1, 2, 3, 5, 10, 15, 20, 30)
"""Minutes that a hold may have instead."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What healthy traffic does to a rule."""

    rule: str
    per_year: float | None
    """How often its condition would hold by chance; None where too little is known to tell."""
    bothers: bool
    """Whether that is too often, or what the traffic lacks keeps the rule from ever acting."""
    text: str
    right: str = ""


def noise(
    rule: Rule, service: Service, baselines: Mapping[str, Baseline], requests: Mapping[str, float]
) -> Noise | None:
    """What the usual behaviour does to `rule`; None where it has nothing to do with chance.

    `requests` gives the usual number of requests in a window, by signal.
    """
    found = [_of(comparison, rule, service, baselines, requests) for comparison in rule.when]
    told = [each for each in found if each is not None]
    return min(told, key=lambda each: (not each.bothers, each.per_year or 0.0)) if told else None


def _of(
    comparison: Comparison,
    rule: Rule,
    service: Service,
    baselines: Mapping[str, Baseline],
    requests: Mapping[str, float],
) -> Noise | None:
    match service.signals[comparison.signal].shape:
        case Shape.RATE if comparison.bound.other is None:
            return _rate(comparison, rule, service, baselines.get(comparison.signal, Baseline()))
        case Shape.QUANTILE:
            return _quantile(comparison, rule, service, requests)
    return None


def _rate(comparison: Comparison, rule: Rule, service: Service, usual: Baseline) -> Noise:
    if usual.among < MIN_HISTORY:
        return Noise(rule.name, None, False, f"{usual.among:,.0f} counted requests in a day are too few to tell")
    window = service.signals[comparison.signal].window
    per_year = crossings(comparison, usual, window, rule.hold)
    n, p = _traffic(usual), usual.of / usual.among
    seen = f"at {n * 60 / window:,.0f} counted requests a minute with the usual {percent(p)}"
    said = f"`{comparison.text}` would hold by chance {often(per_year)} {seen}"
    gated = rule.false_actions is not None and rule.then != INVESTIGATE
    allowed = BOTHERSOME if gated else float(rule.false_actions or 1)
    if per_year < allowed:
        return Noise(rule.name, per_year, False, said)
    then = "the evidence gate makes that notices" if gated else f"each time it would {_does(rule)}"
    return Noise(rule.name, per_year, True, f"{said}; {then}", _instead(comparison, rule, usual, window, allowed))


def _does(rule: Rule) -> str:
    return "tell people" if rule.then == INVESTIGATE else f"take the step to {rule.then}"


def crossings(comparison: Comparison, usual: Baseline, window: int, hold: int, bound: Fraction | None = None) -> float:
    """How often a year a rate's condition would hold for `hold` seconds, by the usual behaviour alone."""
    bound = comparison.bound.constant if bound is None else bound
    n, among = round(_traffic(usual)), usual.among
    p, op = usual.of / among, comparison.op
    if n < 1:
        return 0.0
    if not op.upward:  # too few hits are too many misses
        p, bound, op = 1 - p, 1 - bound, Operator.ABOVE if op is Operator.BELOW else Operator.AT_LEAST
    least = bound * n
    needed = int(least) + 1 if op is Operator.ABOVE else -int(-least // 1)
    windows = 1 + hold // window
    chance = tail(needed, n, p, usual.dispersion(windows))
    return float(chance**windows * YEAR / (hold + window))


def _traffic(usual: Baseline) -> float:
    """Requests in a window."""
    return usual.among / sum(tally.windows for tally in usual.hours.values())


def _instead(comparison: Comparison, rule: Rule, usual: Baseline, window: int, allowed: float) -> str:
    """A hold, or a bound, that chance leaves alone."""
    longer = next(
        (m for m in LONGER if m * 60 > rule.hold and crossings(comparison, usual, window, m * 60) < allowed), None
    )
    bound = comparison.bound.constant
    further = None
    for step in range(1, 40):
        other = bound * (10 + step) / 10 if comparison.op.upward else bound * (40 - step) / 40
        if other < 1 and crossings(comparison, usual, window, rule.hold, other) < allowed:
            further = f"a bound of {percent(float(other))}"
            break
    ways = [way for way in (f"`for: {longer}m`" if longer else None, further) if way is not None]
    return " or ".join(ways) or "more traffic, or a wider `window`"


def _quantile(comparison: Comparison, rule: Rule, service: Service, requests: Mapping[str, float]) -> Noise | None:
    if rule.then == INVESTIGATE:
        return None
    known = [name for name in comparison.signals if name in requests and service.signals[name].shape is Shape.QUANTILE]
    if not known:
        return None
    least = min(known, key=lambda name: requests[name])
    window = service.signals[least].window
    in_hold = requests[least] * max(1, rule.hold // window)
    said = f"about {in_hold:,.0f} requests stand behind {least} in a hold, {rule.min_requests} are needed"
    if in_hold >= rule.min_requests:
        return Noise(rule.name, 0.0, False, said)
    return Noise(rule.name, 0.0, True, f"{said}: it could not act", "a longer `for`, or a lower `min_requests`")
