"""Samples and the history they form."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notaus.core.hold import judge, truths
from notaus.core.sample import SLACK, History, Sample, exact, rate
from tests.builders import STEP, T0, a_history, a_rate, a_rule, a_sample

SAMPLES = st.lists(
    st.builds(
        lambda i, v: a_sample(T0 + i * STEP, v),
        st.integers(0, 30),
        st.one_of(st.none(), st.integers(0, 9)),
    ),
    max_size=40,
    unique_by=lambda s: s.at,
)


def test_a_number_is_taken_as_people_write_it() -> None:
    """0.1 taken for its nearest binary fraction: 480 against 400 + 20 % would become a question of rounding."""
    assert exact(0.1) == Fraction(1, 10)
    assert exact("0.015") == Fraction(3, 200)
    assert exact(Fraction(1, 3)) == Fraction(1, 3)


def test_a_rate_over_no_requests_is_unknown_and_never_zero() -> None:
    """Missing data counted as healthy."""
    sample = rate(T0, 0, 0)
    assert not sample.known
    assert sample == Sample(T0, None, None, Fraction(0), Fraction(0))
    assert rate(T0, 0, 5).value == 0
    assert rate(T0, 3, 60, effective=20) == Sample(T0, Fraction(1, 20), Fraction(3), Fraction(60), Fraction(20))


@given(SAMPLES, st.randoms(use_true_random=False), st.integers(1, 7))
def test_samples_give_the_same_history_in_any_order_and_any_batches(
    samples: list[Sample], chance: object, size: int
) -> None:
    """A backfill, or an answer that came late, would change what is decided."""
    at_once = History().merged({"a": tuple(sorted(samples, key=lambda s: s.at))}, 0)
    shuffled = list(samples)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    bit_by_bit = History()
    rule = a_rule("a > 4", hold=30)
    for i in range(0, len(shuffled), size):
        bit_by_bit = bit_by_bit.merged({"a": tuple(shuffled[i : i + size])}, 0)
        list(truths(rule, bit_by_bit, T0, T0 + 31 * STEP, STEP))  # what was worked out early must not stay
    assert bit_by_bit == at_once
    assert list(bit_by_bit.series.get("a", {})) == sorted(s.at for s in samples)
    judged = [judge(rule, truths(rule, h, T0, T0 + 31 * STEP, STEP), STEP) for h in (at_once, bit_by_bit)]
    assert judged[0] == judged[1]


@given(SAMPLES, SAMPLES, st.integers(-2, 32))
def test_a_later_reading_wins_and_old_samples_are_dropped(
    first: list[Sample], second: list[Sample], kept_steps: int
) -> None:
    """Revised data ignored, or a history that grows for ever."""
    keep_from = T0 + kept_steps * STEP
    rule = a_rule("a > 4", hold=30)
    history = History().merged({"a": tuple(first)}, 0)
    list(truths(rule, history, T0, T0 + 31 * STEP, STEP))
    merged = history.merged({"a": tuple(second)}, keep_from)
    wanted = {s.at: s for s in (*first, *second) if s.at >= keep_from}
    found = merged.series.get("a", {})
    assert {at: s for at, s in found.items() if at >= keep_from} == wanted
    assert all(at >= keep_from - SLACK for at in found)
    assert all(a < b for a, b in pairwise(merged.series.get("a", {})))
    fresh = History().merged({"a": tuple(wanted.values())}, 0)
    start = max(T0, keep_from)
    assert list(truths(rule, merged, start, T0 + 31 * STEP, STEP)) == list(
        truths(rule, fresh, start, T0 + 31 * STEP, STEP)
    )


def test_reading_one_signal_keeps_the_others() -> None:
    """A poll that brings one dataset would forget the others."""
    history = a_history(a=[1, 2], b=[3, 4]).merged({"a": (a_sample(T0 + 30, 5),)}, 0)
    assert [s.value for s in history.between("a", 0, T0 + 99)] == [1, 2, 5]
    assert [s.value for s in history.between("b", 0, T0 + 99)] == [3, 4]


def test_old_samples_go_though_no_new_ones_come() -> None:
    """A signal whose reads fail for good would be judged on samples of last week."""
    merged = a_history(a=[1, 2]).merged({}, T0 + 15 + SLACK + 1)
    assert list(merged.series["a"]) == []
    assert merged.newest("a") is None


def test_a_history_gives_the_samples_of_a_stretch_both_ends_included() -> None:
    """Off by one sample: a hold a step longer or shorter than it is."""
    history = a_history(a=[1, 2, 3, 4])
    assert [s.value for s in history.between("a", T0 + 15, T0 + 30)] == [2, 3]
    assert list(history.between("b", 0, T0)) == []
    assert history.newest("a") == a_sample(T0 + 45, 4)
    assert history.newest("b") is None
    assert history.at("a", T0 + 60) is None


def test_remembered_answers_live_as_long_as_their_samples() -> None:
    """A daemon that guards a thousand services would need gigabytes for answers that nobody asks for any more."""
    history = a_history(a=[1])
    history.memo.update({("rule", T0 + i * 15): 1 for i in range(1000)})
    read = {"a": (a_sample(T0 + 15, 1),)}
    assert len(history.merged(read, T0 + SLACK).memo) == 1000
    later = history.merged(read, T0 + SLACK + 15)
    assert min(at for _, at in later.memo) == T0 + SLACK + 15
    assert len(later.memo) == 1000 - SLACK // 15 - 1
    assert history.merged({"a": (a_sample(T0, 2),)}, T0).memo == {k: 1 for k in history.memo if k[1] != T0}
    history.memo.clear()
    assert history.merged(read, T0).memo == {}


def test_a_rate_keeps_its_counts() -> None:
    """Evidence is pooled from counts; a ratio alone cannot be added up."""
    assert a_rate(T0, 0.05, 60) == Sample(T0, Fraction(1, 20), Fraction(3), Fraction(60))
