"""Evidence: tails against sums done slowly and exactly; episodes and pooling by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notaus.core.baseline import Baseline, healthy
from notaus.core.evidence import YEAR, Counts, Evidence, gather, often, percent, pooled, tail
from notaus.core.hold import Run
from notaus.core.rule import Rule
from notaus.core.sample import History, Sample
from notaus.core.signal import Shape, Unit
from tests.builders import STEP, T0, a_rate, a_rule, a_sample, a_service, a_signal, signals_of

RATES = st.fractions(Fraction(1, 1000), Fraction(999, 1000), max_denominator=1000)


def binomial_tail(of: int, among: int, p: Fraction) -> Fraction:
    return sum((math.comb(among, k) * p**k * (1 - p) ** (among - k) for k in range(of, among + 1)), Fraction(0))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), RATES)
def test_the_binomial_tail_is_exact(of: int, among: int, p: Fraction) -> None:
    """The gate would let chance act, or hold back a fault."""
    wanted = float(binomial_tail(of, among, p))
    assert tail(of, among, float(p), 1.0) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def negative_binomial_tail(of: int, mean: float, phi: float) -> float:
    """1 - the sum of the masses below `of`, each from the one before: P(k) / P(k-1) = (k-1+r) q / k, q = 1 - 1/φ."""
    size, q = mean / (phi - 1), 1 - 1 / phi
    mass, below = phi**-size, 0.0
    for k in range(of):
        below += mass
        mass *= (k + size) * q / (k + 1)
    return 1 - below


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(10, 2000), st.floats(0.001, 0.2), st.floats(1.1, 20))
def test_the_negative_binomial_tail_has_mean_np_and_variance_phi_np(of: int, among: int, p: float, phi: float) -> None:
    """A service whose failures come in bursts would be judged as if they came alone."""
    assert tail(of, among, p, phi) == pytest.approx(negative_binomial_tail(of, among * p, phi), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("mean", "phi"), [(5.0, 3.0), (0.5, 12.0), (40.0, 1.5)])
def test_the_tails_add_up_to_the_mean_and_the_variance(mean: float, phi: float) -> None:
    """Sum of P(X >= k) over k >= 1 is the mean; of (2k - 1) P(X >= k), the second moment."""
    tails = [tail(k, 100_000, mean / 100_000, phi) for k in range(1, 700)]
    first = sum(tails)
    second = sum((2 * k - 1) * t for k, t in enumerate(tails, 1))
    assert first == pytest.approx(mean, rel=1e-6)
    assert second - first**2 == pytest.approx(phi * mean, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.floats(0.001, 0.5), st.sampled_from([1.0, 1.05, 1.06, 2.0, 15.0]))
def test_more_failures_are_never_better_explained_by_chance(among: int, p: float, phi: float) -> None:
    """A worse fault held back where a milder one acts."""
    tails = [tail(k, among, p, phi) for k in range(among + 2)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(tails))
    assert tails[0] == 1.0
    assert all(0 <= t <= 1 for t in tails)


def test_more_dispersion_makes_a_burst_likelier() -> None:
    """Bursts are what the gate is for."""
    assert tail(20, 1000, 0.003, 1.0) < tail(20, 1000, 0.003, 1.06) < tail(20, 1000, 0.003, 5.0)


@pytest.mark.parametrize(
    ("of", "among", "p", "phi", "chance"),
    [(0, 10, 0.5, 1, 1.0), (1, 10, 0.0, 1, 0.0), (1, 0, 0.5, 1, 0.0), (3, 10, 1.0, 1, 1.0), (11, 10, 0.5, 1, 0.0)],
)
def test_tails_at_the_edges(of: int, among: int, p: float, phi: float, chance: float) -> None:
    """A logarithm of nothing, in the middle of an incident."""
    assert tail(of, among, p, phi) == chance


def test_the_smallest_tails_keep_their_size() -> None:
    """1 - (nearly 1) would be 0, and "practically never" said of what is not."""
    assert tail(40, 1000, 0.003, 1.0) == pytest.approx(float(binomial_tail(40, 1000, Fraction(3, 1000))), rel=1e-9)


# Pooling


def rates(*shares: float | None, requests: int = 100, start: int = T0, name: str = "native.error_rate") -> History:
    samples = tuple(
        a_rate(start + i * STEP, share or 0, requests if share is not None else 0) for i, share in enumerate(shares)
    )
    return History().merged({name: samples}, 0)


def test_counts_are_pooled_over_disjoint_windows_that_fit_counted_back_from_the_end() -> None:
    """Overlapping samples counted twice would make four times the evidence."""
    history = rates(*(i / 100 for i in range(20)))
    # Grid times 0, 15, … 285; windows of 60 s that end at 285, 225, 165, 105 hold samples 19, 15, 11, 7.
    assert pooled("native.error_rate", history, T0 + 105, T0 + 285, 60) == Counts(Fraction(45), Fraction(300), 3)
    assert pooled("native.error_rate", history, T0 + 45, T0 + 285, 60) == Counts(Fraction(52), Fraction(400), 4)
    assert pooled("native.error_rate", history, T0 + 46, T0 + 285, 60).windows == 3
    assert pooled("native.error_rate", history, T0 + 285, T0 + 285, 60) == Counts(Fraction(19), Fraction(100), 1)
    assert pooled("native.error_rate", rates(None, None), T0, T0 + 15, 60).among == 0


def test_the_effective_number_of_samples_counts_and_not_the_estimate() -> None:
    """A sampled source would pass for a hundred times the evidence it has."""
    sample = a_rate(T0, 0.05, 6000, effective=60)
    history = History().merged({"native.error_rate": (sample,)}, 0)
    assert pooled("native.error_rate", history, T0, T0, 60) == Counts(Fraction(3), Fraction(60), 1)


def evidence(
    rule: Rule, history: History, run: Run, first: int = T0, usual: Baseline | None = None, **signals: object
) -> Evidence:
    service = a_service(rules=(rule,), **signals)
    baseline = healthy(0.003, 1000, 1440, T0) if usual is None else usual
    return gather(rule, run, service, history, {"native.error_rate": baseline}, first)


def run_of(seconds: int, start: int = T0) -> Run:
    return Run(start, start + seconds, seconds, start + seconds)


def test_three_of_sixty_is_the_specs_own_example() -> None:
    """Spec 4: 3 of 60 with the usual 0.3 % is no evidence, and happens by chance about once a day."""
    rule = a_rule("native.error_rate > 3%", hold=60)
    found = evidence(rule, rates(*[0.05] * 5, requests=60), run_of(60))
    assert not found.sufficient
    assert found.text == (
        "not enough evidence: 3 of 60 requests failed; with the usual 0.3 % that happens by chance about once a day"
    )
    p = 0.003 + 1.96 * math.sqrt(0.003 * 0.997 / 1_440_000)
    assert found.per_year == pytest.approx(float(binomial_tail(3, 60, Fraction(p))) * YEAR / 60, rel=1e-2)


def test_the_gate_opens_exactly_where_chance_is_rarer_than_allowed() -> None:
    """`false_actions` is a promise: how often a year chance may act."""
    history = rates(*[0.05] * 13, requests=20)
    chance = evidence(a_rule(hold=180), history, run_of(180)).per_year
    assert chance is not None
    for allowed, enough in ((Fraction(chance) * 2, True), (Fraction(chance), False), (Fraction(chance) / 2, False)):
        assert evidence(a_rule(hold=180, false_actions=allowed), history, run_of(180)).sufficient is enough
    off = evidence(a_rule(hold=180, false_actions=None), history, run_of(180))
    assert off.sufficient
    assert off.per_year == chance


def test_the_year_is_divided_by_the_hold_or_one_window() -> None:
    """A rule without `for` is tried once a window, not infinitely often."""
    history = rates(*[0.05] * 13, requests=20)
    at_once = evidence(a_rule(hold=0), history, Run(T0 + 180, T0 + 180, 0, T0 + 180), first=T0 + 180)
    assert at_once.per_year == pytest.approx(tail(1, 20, 0.00309, 1.0) * YEAR / 60, rel=1e-2)


def test_the_episode_is_the_longest_stretch_in_which_more_than_half_was_true() -> None:
    """Evidence of a fault that comes and goes is more than its last hold."""
    # Fine for 20 samples, bad for 4, fine for 3, bad for 13 (the hold): the stretch reaches over the gap.
    shares = [0.0] * 20 + [0.05] * 4 + [0.0] * 3 + [0.05] * 13
    start = T0 + 27 * STEP
    found = evidence(a_rule(hold=180), rates(*shares, requests=20), run_of(180, start))
    # 17 samples are true: with 33 of the 40 that is more than half, with 34 no more. 33 samples are 8 minutes.
    assert "of 160 requests" in found.text
    none = evidence(a_rule(hold=180), rates(*shares, requests=20), run_of(180, start), first=start)
    assert "3 of 60 requests" in none.text


def test_true_of_exactly_half_is_not_most_of_an_episode() -> None:
    """A stretch as healthy as it is bad, pooled as one fault."""
    # From the newest back: 4 bad, 1 fine, 1 unknown, 3 fine. All nine, two windows, would be half and half.
    shares = [0.0] * 3 + [None] + [0.0] + [0.05] * 4
    found = evidence(a_rule(hold=45), rates(*shares), run_of(45, T0 + 5 * STEP))
    assert "5 of 100 requests" in found.text


def test_an_episode_is_at_most_half_an_hour_and_at_least_the_hold() -> None:
    """A chronic fault pooled over a day would hide that it is over."""
    shares = [0.05] * 200
    newest = T0 + 199 * STEP
    long = evidence(a_rule(hold=180), rates(*shares, requests=20), Run(T0, newest, newest - T0, T0 + 180))
    assert "30 of 600 requests" in long.text
    slow = evidence(a_rule(hold=2400), rates(*shares, requests=20), Run(T0, newest, newest - T0, T0 + 2400))
    assert "40 of 800 requests" in slow.text


def test_unknown_samples_count_neither_way_in_an_episode() -> None:
    """No data taken for healthy would cut the episode short."""
    shares: list[float | None] = [*[0.05] * 8, *[None] * 16, 0.05, 0.05]
    found = evidence(a_rule(hold=15), rates(*shares, requests=20), Run(T0 + 360, T0 + 375, 15, T0 + 375))
    assert "of 40 requests" in found.text  # the windows that end at 375 and at 75 s; those between are unknown


def test_a_chronic_near_miss_is_judged_against_the_bound_and_not_its_own_rate() -> None:
    """Spec 4: never beyond the rule's bound, so that a chronic near-miss is judged strictly."""
    usual = healthy(0.05, 1000, 1440, T0)
    found = evidence(a_rule(hold=180), rates(*[0.06] * 13, requests=1000), run_of(180), usual=usual)
    assert found.per_year == pytest.approx(tail(180, 3000, 0.03, 1.0) * YEAR / 180)
    assert found.sufficient


def test_bursts_of_the_past_raise_the_bar() -> None:
    """A service that fails in bursts anyway would be rolled back for one."""
    quiet = Baseline()
    bursty = Baseline()
    for i in range(1440):
        quiet = quiet.learned(a_rate(T0 - 86400 + 60 * i, "0.003", 1000))
        bursty = bursty.learned(a_rate(T0 - 86400 + 60 * i, "0.03" if i % 10 == 0 else 0, 1000))
    history = rates(*[0.035] * 13, requests=1000)
    found = [evidence(a_rule(hold=180), history, run_of(180), usual=usual).per_year for usual in (quiet, bursty)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] < 1e-20 < 1e-6 < found[1]


def test_without_history_the_bound_counts_as_usual() -> None:
    """A service watched for a minute has no usual behaviour yet."""
    thin = healthy(0.003, 999, 1, T0)
    few = evidence(a_rule(hold=180), rates(*[0.05] * 13, requests=20), run_of(180), usual=thin)
    assert not few.sufficient
    assert few.per_year is None
    assert few.text == (
        "not enough evidence: 3 of 60 requests failed; with fewer than 1000 requests in the last day, and 3 % taken as usual, "
        "that happens by chance about 5 times an hour"
    )
    many = evidence(a_rule(hold=180), rates(*[0.05] * 13, requests=1000), run_of(180), usual=Baseline())
    assert many.sufficient
    assert many.per_year is None
    assert many.text.startswith(
        "150 of 3000 requests failed; with fewer than 1000 requests in the last day, and 3 % taken as usual, that happens"
    )
    enough = healthy(0.003, 1000, 1, T0)
    assert "with the usual" in evidence(a_rule(hold=180), rates(*[0.05] * 13), run_of(180), usual=enough).text


def few(failed: int, requests: int, usual: Baseline, times: int) -> bool:
    """Whether so many failures among so many requests in each of `times` windows are evidence against a bound of 3 %."""
    history = rates(*[failed / requests] * (4 * times + 1), requests=requests)
    return evidence(a_rule(hold=60 * times), history, run_of(60 * times), usual=usual).sufficient


@pytest.mark.parametrize(
    ("failed", "requests", "times", "usual", "enough"),
    [
        (1, 2, 1, Baseline(), False),
        (1, 1, 4, Baseline(), False),  # a visitor whose every request fails
        (1, 1, 9, Baseline(), False),
        (1, 1, 15, Baseline(), False),
        (1, 1, 30, Baseline(), True),
        (4, 4, 15, Baseline(), True),
        (15, 30, 3, Baseline(), True),
        (13, 90, 1, healthy(0.0003, 100, 120, T0), False),  # four failures known in two hours: is that how they come?
        (13, 90, 1, healthy(0.0003, 100, 1440, T0), True),
        (13, 90, 3, healthy(0.0003, 100, 120, T0), True),
        (1, 1, 6, healthy(0.003, 1.2, 1440, T0), False),
        (1, 1, 6, healthy(0.003, 1.2, 14400, T0), True),
    ],
)
def test_one_burst_is_no_evidence_before_it_is_known_how_failures_come(
    failed: int, requests: int, times: int, usual: Baseline, enough: bool
) -> None:
    """A service that is well would be shut off on its first day, for one visitor's bad luck."""
    assert few(failed, requests, usual, times) is enough


def hits(share: float, usual: Baseline, windows: int = 4, requests: int = 100) -> Evidence:
    rule = a_rule("api.hits < 30%", hold=180)
    service = a_service(rules=(rule,), signals=signals_of(a_signal("api.hits", Shape.RATE, Unit.RATIO)))
    history = rates(*[share] * 13, requests=requests, name="api.hits")
    return gather(rule, run_of(180), service, history, {"api.hits": usual}, T0)


def test_a_rule_with_a_lower_bound_looks_at_the_lower_tail() -> None:
    """Too few cache hits judged as too many would always, or never, act."""
    usual = healthy(0.8, 1000, 1440, T0)
    low = hits(0.2, usual)
    assert low.sufficient
    assert low.text.startswith("240 of 300 requests missed; with the usual 20 %")
    assert low.per_year == pytest.approx(0, abs=1e-30)
    assert not hits(0.2, Baseline(), requests=5).sufficient
    assert hits(0.05, Baseline()).sufficient
    assert hits(0.05, Baseline()).text.startswith(
        "285 of 300 requests missed; with fewer than 1000 requests in the last day, and 70 % taken as usual"
    )


def test_a_relative_rate_is_judged_against_the_other_cohorts_counts() -> None:
    """`native.error_rate > proxy.error_rate + 50%` with a bound of 0."""
    rule = a_rule("native.error_rate > proxy.error_rate + 50%", hold=180)
    history = rates(*[0.05] * 13, requests=1000)
    proxy = tuple(a_rate(T0 + i * STEP, 0.02, 9000) for i in range(13))
    both = history.merged({"proxy.error_rate": proxy}, 0)
    said = evidence(rule, both, run_of(180), usual=Baseline()).text
    assert "and 3.26 % taken as usual" in said  # 2 % of 27,000 may be 2.17 %
    plain = history.merged({"proxy.error_rate": (a_sample(T0 + 180, 0.04),)}, 0)
    assert "and 6 % taken as usual" in evidence(rule, plain, run_of(180), usual=Baseline()).text
    nothing = evidence(rule, history, run_of(180), usual=Baseline())
    assert "not enough evidence" in nothing.text


@pytest.mark.parametrize("usual", [healthy(0.003, 1000, 1440, T0), Baseline()])
def test_another_cohort_without_a_failure_shows_no_rate_of_zero(usual: Baseline) -> None:
    """Each healthy half hour in which thirty requests of the other side happened to succeed would be an emergency."""
    rule = a_rule("native.error_rate > proxy.error_rate + 50%", hold=180)
    history = rates(*[0.003] * 13, requests=1000)
    both = history.merged({"proxy.error_rate": tuple(a_rate(T0 + i * STEP, 0, 30) for i in range(13))}, 0)
    assert not evidence(rule, both, run_of(180), usual=usual).sufficient
    bad = rates(*[0.3] * 13, requests=1000)
    worse = bad.merged({"proxy.error_rate": tuple(a_rate(T0 + i * STEP, 0, 30) for i in range(13))}, 0)
    assert evidence(rule, worse, run_of(180), usual=usual).sufficient


def test_a_half_hour_without_a_failure_on_the_other_side_is_luck() -> None:
    """At 1 % and thirty requests a minute it comes up twenty times a year."""
    rule = a_rule("native.error_rate > proxy.error_rate + 50%", hold=180)
    history = rates(*[0.01] * 121, requests=1000)
    both = history.merged({"proxy.error_rate": tuple(a_rate(T0 + i * STEP, 0, 30) for i in range(121))}, 0)
    usual = healthy(0.01, 1000, 1440, T0)
    assert not evidence(rule, both, run_of(1800), usual=usual).sufficient


def test_a_rate_below_another_is_judged_by_the_lowest_that_the_other_may_be() -> None:
    """Thirty hits in a row on the other side would be taken for a hit rate of one."""
    rule = a_rule("native.error_rate < proxy.error_rate + 0%", hold=180)
    history = rates(*[0.97] * 13, requests=1000)
    both = history.merged({"proxy.error_rate": tuple(a_rate(T0 + i * STEP, 1, 30) for i in range(13))}, 0)
    assert "of 3000 requests missed; that is beyond" not in evidence(rule, both, run_of(180), usual=Baseline()).text


@pytest.mark.parametrize(("native", "proxy", "enough"), [(34, 900, True), (33, 900, False), (900, 33, False)])
def test_a_quantile_needs_its_requests_in_the_hold_of_both_cohorts(native: int, proxy: int, enough: bool) -> None:
    """The 90th percentile of eleven requests is one request."""
    rule = a_rule("native.latency_p90 > proxy.latency_p90 + 20%", hold=180)
    history = History().merged(
        {
            "native.latency_p90": tuple(a_sample(T0 + i * STEP, 600, native) for i in range(13)),
            "proxy.latency_p90": tuple(a_sample(T0 + i * STEP, 400, proxy) for i in range(13)),
        },
        0,
    )
    found = evidence(rule, history, run_of(180))
    assert found.sufficient is enough
    assert ("100 are needed" in found.text) is not enough
    assert str(3 * min(native, proxy)) in found.text


@pytest.mark.parametrize(("requests", "enough"), [(100, True), (99, False)])
def test_min_requests_are_enough(requests: int, enough: bool) -> None:
    """ "100 requests, 100 are needed"."""
    history = History().merged({"native.latency_p90": (a_sample(T0, 700, requests),)}, 0)
    assert evidence(a_rule("native.latency_p90 > 600", hold=0), history, run_of(0)).sufficient is enough


def test_a_quantile_of_a_sampled_source_counts_what_was_seen() -> None:
    """An estimate of 10,000 requests from 30 rows."""
    rule = a_rule("native.latency_p90 > 600", hold=0)
    sample = Sample(T0, Fraction(700), None, Fraction(10_000), Fraction(30))
    history = History().merged({"native.latency_p90": (sample, a_sample(T0 + 15, 700))}, 0)
    assert evidence(rule, history, run_of(0)).text.startswith("not enough evidence: 30 requests")
    assert evidence(rule, history, run_of(0, T0 + 15)).text.startswith("not enough evidence: 0 requests")


def test_counts_and_probes_need_nothing_more_than_the_hold() -> None:
    """`r2.failures > 5/min` has no requests to be judged by."""
    found = evidence(a_rule("r2.failures > 5", hold=180), History(), run_of(180))
    assert found == Evidence(True, "the hold is the evidence")


def test_of_several_conditions_the_weakest_decides() -> None:
    """One condition with evidence would carry another without."""
    rule = a_rule("native.error_rate > 3% and native.latency_p90 > 600", hold=180)
    latency = tuple(a_sample(T0 + i * STEP, 700, 10) for i in range(13))
    history = rates(*[0.2] * 13, requests=1000).merged({"native.latency_p90": latency}, 0)
    assert evidence(rule, history, run_of(180)).text.startswith("not enough evidence: 30 requests")


@pytest.mark.parametrize(
    ("per_year", "words"),
    [
        (20_000, "about 2 times an hour"),
        (8766, "about once an hour"),
        (5 * 365.25, "about 5 times a day"),
        (365, "about once a day"),
        (52, "about once a week"),
        (100, "about 2 times a week"),
        (12, "about once a month"),
        (24, "about 2 times a month"),
        (2, "about 2 times a year"),
        (1, "about once a year"),
        (0.01, "about once in 100 years"),
        (1e-5, "about once in 100,000 years"),
        (1e-6, "practically never"),
        (0, "practically never"),
    ],
)
def test_a_frequency_in_words_a_person_can_judge(per_year: float, words: str) -> None:
    """The same figure stands on every page."""
    assert often(per_year) == words


def test_a_share_in_words() -> None:
    """0.003 as 0.3 %, 0.12 as 12 %."""
    assert [percent(p) for p in (0.003, 0.12, 1, 0.03456)] == ["0.3 %", "12 %", "100 %", "3.46 %"]
