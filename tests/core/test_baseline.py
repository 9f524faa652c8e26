"""The baseline: sums that give the pooled rate and Pearson's statistic, as if computed window by window."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notaus.core.baseline import Baseline, Tally, dispersion, effective_counts, healthy, wilson
from notaus.core.sample import Sample
from tests.builders import T0, a_rate, a_sample

WINDOWS = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=30)


def learned(windows: list[tuple[int, int]], start: int = T0) -> Baseline:
    baseline = Baseline()
    for i, (of, among) in enumerate(windows):
        baseline = baseline.learned(a_rate(start + 60 * i, Fraction(of, among), among))
    return baseline


@given(WINDOWS)
def test_the_tallies_give_what_pearson_gives_window_by_window(drawn: list[tuple[int, float]]) -> None:
    """A wrong dispersion: bursts taken for independent failures, or the other way round."""
    windows = [(round(share * among), among) for among, share in drawn]
    total = learned(windows).total
    of, among = sum(w[0] for w in windows), sum(w[1] for w in windows)
    assert (total.windows, total.of, total.among) == (len(windows), of, among)
    p = of / among
    if len(windows) < 2 or p in (0, 1):
        assert dispersion(total) == 1.0
        return
    pearson = sum((x - n * p) ** 2 / (n * p * (1 - p)) for x, n in windows)
    assert dispersion(total) == pytest.approx(max(1.0, pearson / (len(windows) - 1)), rel=1e-6, abs=1e-6)


@given(WINDOWS, WINDOWS)
def test_tallies_add_up(one: list[tuple[int, float]], other: list[tuple[int, float]]) -> None:
    """Hours are added up: the sum of two must be that of all their windows."""
    first = learned([(round(s * n), n) for n, s in one]).total
    second = learned([(round(s * n), n) for n, s in other]).total
    both = first.plus(second)
    assert both.windows == first.windows + second.windows
    assert both.of == first.of + second.of
    assert both.among == first.among + second.among
    assert both.squares == pytest.approx(first.squares + second.squares)
    assert first.plus(Tally()) == first


def test_a_day_is_remembered_and_no_more() -> None:
    """Last week's bad day would excuse today's."""
    baseline = learned([(3, 1000)] * 60).learned(a_rate(T0 + 3600, "0.01", 1000))
    assert sorted(baseline.hours) == [T0, T0 + 3600]
    assert baseline.hours[T0].windows == 60
    later = baseline.learned(a_rate(T0 + 86400 + 60, "0.01", 1000))
    assert sorted(later.hours) == [T0 + 3600, T0 + 86400]
    assert later.total.windows == 2


def test_samples_without_counts_teach_nothing() -> None:
    """An unknown sample learned as zero failures."""
    baseline = Baseline()
    for sample in (a_sample(T0, 0.5), a_rate(T0, 0, 0), Sample(T0)):
        assert baseline.learned(sample) is baseline


def test_a_sampled_window_counts_as_many_requests_as_were_seen() -> None:
    """Spec 4: where the source samples, the effective number of samples counts, not the estimate."""
    sample = a_rate(T0, "0.05", 6000, effective=60)
    assert effective_counts(sample) == (Fraction(3), Fraction(60))
    assert effective_counts(a_rate(T0, "0.05", 60)) == (Fraction(3), Fraction(60))
    assert effective_counts(a_rate(T0, 0, 0)) is None
    assert effective_counts(None) is None
    assert effective_counts(Sample(T0, None, Fraction(0), Fraction(0), Fraction(0))) == (0, 0)
    assert Baseline().learned(sample).total == Tally(1, 3.0, 60.0, 9 / 60)


@given(st.floats(0.001, 0.9), st.integers(10, 10_000), st.integers(2, 2000))
def test_a_healthy_baseline_has_the_rate_and_no_bursts(rate: float, requests: int, windows: int) -> None:
    """Scenarios rest on φ = 1 and the given rate (spec 18)."""
    total = healthy(rate, requests, windows, T0 + 17).total
    assert total.of / total.among == pytest.approx(rate)
    assert total.among == requests * windows
    assert dispersion(total) == pytest.approx(1.0, abs=1e-4)


def test_a_dispersion_needs_two_windows_and_both_kinds_of_outcome() -> None:
    """Division by nothing."""
    assert dispersion(Tally(1, 5, 10, 2.5)) == 1.0
    assert dispersion(Tally(5, 0, 0, 0)) == 1.0
    assert dispersion(Tally(5, 0, 100, 0)) == 1.0


@pytest.mark.parametrize(
    ("of", "among", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (3, 60, 0.01715, 0.13701),  # worked out by hand from (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3, like the three below
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_has_its_published_values(of: int, among: int, low: float, high: float) -> None:
    """The interval decides what is "clearly worse", and the gate where there is no history."""
    assert wilson(of, among) == pytest.approx((low, high), abs=6e-5)
