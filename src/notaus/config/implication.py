"""What one condition says of another: whether it implies it, excludes it, or can be met at all."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations

from notaus.core.rule import Comparison, Operator
from notaus.core.signal import Shape, Signal

STRICT = (Operator.ABOVE, Operator.BELOW)
PROBED = ("failed", "failure_rate")
"""Measures of a probe that go from 0 to 1."""


def implies(first: Comparison, second: Comparison) -> bool:
    """Whether `second` is true whenever `first` is: the same signal, the same direction, a bound no nearer."""
    if first.signal != second.signal or first.op.upward is not second.op.upward:
        return False
    if first.bound.other != second.bound.other:
        return False
    sign = 1 if first.op.upward else -1
    further = sign * (first.bound.constant - second.bound.constant), sign * (first.bound.factor - second.bound.factor)
    if min(further) < 0:
        return False
    return max(further) > 0 or first.op in STRICT or second.op not in STRICT


def overlap(first: Comparison, second: Comparison) -> bool:
    """Whether both can be true at once, of constant bounds on one signal that look toward each other."""
    if first.signal != second.signal or first.op.upward is second.op.upward:
        return False
    if first.bound.other is not None or second.bound.other is not None:
        return False
    low, high = (first, second) if first.op.upward else (second, first)
    if low.bound.constant == high.bound.constant:
        return low.op not in STRICT and high.op not in STRICT
    return low.bound.constant < high.bound.constant


def opposed(first: Comparison, second: Comparison) -> bool:
    """Whether they can never both be true."""
    toward = first.signal == second.signal and first.op.upward is not second.op.upward
    constant = first.bound.other is None and second.bound.other is None
    return toward and constant and not overlap(first, second)


def never(when: Iterable[Comparison]) -> bool:
    """Whether two of the comparisons exclude each other."""
    return any(opposed(a, b) for a, b in combinations(when, 2))


def range_of(signal: Signal, comparison: Comparison) -> bool | None:
    """Whether every value that the signal can have meets the comparison (True), or none (False); None: some do."""
    if comparison.bound.other is not None or signal.measure == "value":  # of what others compute, anything may come
        return None
    bound, op = comparison.bound.constant, comparison.op
    least = op.holds(Fraction(0), bound)
    most = op.holds(Fraction(1), bound) if signal.shape is Shape.RATE or signal.measure in PROBED else op.upward
    return least if least is most else None
