"""Rules: exact comparisons, and what a rule needs and says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notaus.core.hold import Truth, compare, truth
from notaus.core.rule import Bound, Operator, Rule, Severity
from tests.builders import T0, a_comparison, a_history, a_rule, a_service, a_signal


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [(">", False, False, True), (">=", False, True, True), ("<", True, False, False), ("<=", True, True, False)],
)
def test_operators_differ_at_the_bound_exactly(op: str, below: bool, equal: bool, above: bool) -> None:
    """`>` taken for `>=`: the runbook's strict rows would fire on their bound."""
    bound = Fraction(3, 200)
    hair = Fraction(1, 10**18)
    assert [Operator(op).holds(bound + d, bound) for d in (-hair, Fraction(0), hair)] == [below, equal, above]
    assert Operator(op).upward is (op in (">", ">="))


def test_480_against_400_and_20_percent_does_not_fire() -> None:
    """Spec 3: comparisons are exact; in binary fractions 400 × 1.2 is not quite 480."""
    comparison = a_comparison("native.latency_p90 > proxy.latency_p90 + 20%")
    for native, answer in ((480, Truth.FALSE), ("480.0000001", Truth.TRUE), (479, Truth.FALSE)):
        history = a_history(native__latency_p90=[native], proxy__latency_p90=[400])
        assert compare(comparison, history, T0) is answer


@given(st.fractions(0, 1000), st.fractions(0, 1000), st.fractions(-1, 1), st.fractions(-100, 100))
def test_a_bound_is_the_other_signal_times_its_factor_plus_a_constant(
    value: Fraction, other: Fraction, change: Fraction, constant: Fraction
) -> None:
    """A relative bound judged against another number than the one written."""
    bound = Bound(constant, "other", 1 + change)
    assert bound.value(other) == other + other * change + constant
    assert Bound(constant).value(None) == constant
    comparison = a_comparison("a > other + 0%")
    history = a_history(a=[value], other=[other])
    assert (compare(comparison, history, T0) is Truth.TRUE) == (value > other)


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [
        (2, 2, Truth.TRUE),
        (2, 0, Truth.FALSE),
        (0, 0, Truth.FALSE),
        (2, None, Truth.UNKNOWN),
        (0, None, Truth.FALSE),
        (None, None, Truth.UNKNOWN),
        (2, "pending", Truth.PENDING),
        (0, "pending", Truth.PENDING),
        (None, "pending", Truth.PENDING),
    ],
)
def test_all_conditions_at_the_same_sample(a: object, b: object, answer: Truth) -> None:
    """An unknown side taken for true or false; one known false settles it, one pending stops it."""
    history = a_history(a=[a], b=[b])  # type: ignore[list-item]
    assert truth(a_rule("a > 1 and b > 1").when, history, T0) is answer
    assert truth(a_rule("b > 1 and a > 1").when, history, T0) is answer


@pytest.mark.parametrize(
    ("native", "proxy", "answer"),
    [
        (1, None, Truth.UNKNOWN),
        (None, 1, Truth.UNKNOWN),
        ("pending", 1, Truth.PENDING),
        (1, "pending", Truth.PENDING),
        (None, "pending", Truth.PENDING),
    ],
)
def test_a_comparison_with_an_unknown_side_is_unknown(native: object, proxy: object, answer: Truth) -> None:
    """Missing data counted as healthy, or as a breach nobody asked for."""
    history = a_history(native=[native], proxy=[proxy])  # type: ignore[list-item]
    assert compare(a_comparison("native > proxy + 20%"), history, T0) is answer


def test_a_rule_names_its_signals_once_and_its_condition_in_words() -> None:
    """A query asked twice, or a page that does not say what was wrong."""
    rule = a_rule("a > b + 20% and a > 5")
    assert rule.signals == ("a", "b")
    assert rule.condition == "a > b + 20% and a > 5"
    assert a_rule(None).condition == "a person's report"
    assert Severity.CRITICAL.rank > Severity.WARNING.rank


def test_a_service_waits_for_the_slowest_signal_of_a_rule_and_sees_its_widest_window() -> None:
    """A rule judged on data that Cloudflare is still filling in; samples needed for the longest rule thrown away."""
    signals = {s.name: s for s in (a_signal("a", settle=60, window=60), a_signal("b", settle=180, window=3600))}
    rule: Rule = a_rule("a > 1 and b > 1", hold=600, hold_within=900)
    service = a_service(signals=signals, rules=(rule, a_rule(None)))
    assert (service.settle(rule), service.window(rule), service.lookback) == (180, 3600, 900 + 3600 + 180 + 4500)
    assert (service.settle(service.rules[1]), service.window(service.rules[1])) == (0, 0)
    assert a_service(rules=()).lookback == 4500
    assert service.has_rule("a report")
    assert not service.has_rule("another")
    assert (signals["a"].prefix, a_signal("native.error_rate").prefix) == ("a", "native")
