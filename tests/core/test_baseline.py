"""The baseline: sums that give the pooled rate and Pearson's statistic, as if computed window by window."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notaus.core.baseline import Baseline, Scatter, Spread, Tally, effective_counts, healthy, wilson
from notaus.core.sample import Sample
from tests.builders import T0, a_rate, a_sample

WINDOWS = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=30)


def learned(windows: list[tuple[int, int]], start: int = T0) -> Baseline:
    baseline = Baseline()
    for i, (of, among) in enumerate(windows):
        baseline = baseline.learned(a_rate(start + 60 * i, Fraction(of, among), among))
    return baseline


def within(windows: list[tuple[int, int]], length: int) -> tuple[float, int]:
    """Squares of the blocks of `length` windows about the rate of all, and their degrees of freedom, worked out slowly."""
    blocks = [windows[i : i + length] for i in range(0, len(windows), length)]
    p = sum(of for of, _ in windows) / sum(among for _, among in windows)
    sums = [(sum(of for of, _ in block), sum(among for _, among in block)) for block in blocks]
    return sum((of - among * p) ** 2 / among for of, among in sums), len(blocks) - 1


@given(st.lists(WINDOWS, min_size=1, max_size=3), st.sampled_from([1, 2, 5, 6, 30, 40]))
def test_the_sums_give_what_pearson_gives_block_by_block(drawn: list[list[tuple[int, float]]], windows: int) -> None:
    """A wrong dispersion: bursts taken for independent failures, or the other way round."""
    hours = [[(round(share * among), among) for among, share in hour] for hour in drawn]
    baseline = Baseline()
    for number, hour in enumerate(hours):
        for i, (of, among) in enumerate(hour):
            baseline = baseline.learned(a_rate(T0 + 3600 * number + 60 * i, Fraction(of, among), among))
    of, among = sum(x for hour in hours for x, _ in hour), sum(n for hour in hours for _, n in hour)
    assert (baseline.of, baseline.among) == (of, among)
    if of in (0, among):
        assert baseline.dispersion(windows) == 1.0
        return
    p, highest = of / among, 1.0
    for length, shorter in ((1, 0), (5, 1), (30, 5)):
        parts = [within(hour, length) for hour in hours]
        freedom = sum(f for _, f in parts)
        if windows > shorter and freedom:
            highest = max(highest, sum(s for s, _ in parts) / freedom / (p * (1 - p)))
    assert baseline.dispersion(windows) == pytest.approx(highest, rel=1e-6, abs=1e-6)


def test_trouble_that_lasts_longer_than_a_window_is_seen_at_its_own_length() -> None:
    """Retries over minutes: no window differs much, five in a row do, and a hold pools three."""
    baseline = learned(
        [(4, 400), (5, 400), (6, 400), (5, 400), (4, 400), (0, 400), (1, 400), (0, 400), (1, 400), (0, 400)] * 6
    )
    assert baseline.dispersion(1) < 3
    assert baseline.dispersion(3) > 8


def test_what_changes_from_hour_to_hour_is_no_dispersion() -> None:
    """A daily rhythm taken for bursts would hold back every fault."""
    baseline = Baseline()
    for minute in range(24 * 60):
        share = "0.002" if minute // 60 % 2 else "0.004"
        baseline = baseline.learned(a_rate(T0 + 60 * minute, share, 10_000))
    assert baseline.dispersion(30) == 1.0
    assert baseline.rate(1.0) == pytest.approx(0.004, rel=0.05)
    assert baseline.rate(1.0) > wilson(baseline.of, baseline.among)[1]
    assert baseline.rate(1.0, upward=False) == pytest.approx(0.998, rel=0.001)


def test_the_usual_rate_is_no_surer_than_its_bursts_allow() -> None:
    """Three bursts a day are three observations, not sixty."""
    baseline = learned([(1, 100)] * 60)
    assert baseline.rate(1.0) == wilson(60, 6000)[1]
    assert baseline.rate(20.0) == wilson(3, 300)[1]


def test_bursts_are_remembered_for_about_a_week() -> None:
    """A service whose bursts are days apart would be rolled back at each of them."""
    baseline, found = Baseline(), []
    for hour in range(24 * 15):
        for minute in range(60):
            share = "1" if (hour, minute) == (0, 30) else "0.01" if minute % 2 else "0.04"
            baseline = baseline.learned(a_rate(T0 + 3600 * hour + 60 * minute, share, 100))
        found.append(baseline.dispersion(1))
    day, week, fortnight = found[23], found[24 * 7], found[-1]
    assert day > 2
    assert day > week > 1.1
    assert fortnight == 1.0


def test_a_day_is_remembered_and_no_more() -> None:
    """Last week's bad day would excuse today's."""
    baseline = learned([(3, 1000)] * 60).learned(a_rate(T0 + 3600, "0.01", 1000))
    assert sorted(baseline.hours) == [T0, T0 + 3600]
    assert baseline.hours[T0].windows == 60
    later = baseline.learned(a_rate(T0 + 86400 + 60, "0.01", 1000))
    assert sorted(later.hours) == [T0 + 3600, T0 + 86400]
    assert later.among == 2000


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
    first = Spread(1, 9 / 60, 1, 3.0, 60.0)
    assert Baseline().learned(sample).hours[T0] == Tally(1, 3.0, 60.0, (first, first, first))


@given(st.floats(0.001, 0.9), st.integers(10, 10_000), st.integers(2, 2000))
def test_a_healthy_baseline_has_the_rate_and_no_bursts(rate: float, requests: int, windows: int) -> None:
    """Scenarios rest on φ = 1 and the given rate (spec 18)."""
    baseline = healthy(rate, requests, windows, T0 + 17)
    assert baseline.of / baseline.among == pytest.approx(rate)
    assert baseline.among == requests * windows
    assert [baseline.dispersion(n) for n in (1, 5, 30)] == pytest.approx([1.0, 1.0, 1.0], abs=1e-4)


def test_a_dispersion_needs_two_windows_and_both_kinds_of_outcome() -> None:
    """Division by nothing."""
    assert Baseline().dispersion(1) == 1.0
    assert learned([(5, 10)]).dispersion(1) == 1.0
    assert learned([(0, 20)] * 5).dispersion(1) == 1.0
    assert learned([(20, 20)] * 5).dispersion(1) == 1.0
    assert Scatter().plus(Tally()) == Scatter()


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
