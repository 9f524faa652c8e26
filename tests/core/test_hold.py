"""Holds: `judge` against the words of spec 3, taken literally and slowly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notaus.core.hold import Hold, Run, Truth, aligned, carried, cleared, judge, truths
from notaus.core.rule import NoData, Rule
from tests.builders import STEP, T0, a_history, a_rule, a_sample

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
ANSWERS = st.lists(st.sampled_from([T, T, T, F, U]), max_size=24)
HOLDS = st.sampled_from([0, 15, 30, 45, 60, 40])


def judged(rule: Rule, answers: list[Truth]) -> Hold:
    return judge(rule, [(T0 + i * STEP, a) for i, a in enumerate(answers)], STEP)


def at(index: int | None) -> int | None:
    return None if index is None else T0 + index * STEP


def oracle(rule: Rule, answers: list[Truth]) -> tuple[int | None, int | None]:
    """Start and breach of the run that stands at the last answer, by index: spec 3 word for word, for a plain `for`."""
    taken = [T if a is U and rule.no_data is NoData.BREACH else a for a in answers]
    # Ignored: neither breaks nor extends, as if it were not there.
    kept = [i for i, a in enumerate(taken) if a is not U or rule.no_data is not NoData.IGNORE]
    standing: tuple[int | None, int | None] = (None, None)
    for last in range(len(kept)):
        starts = [s for s in range(last + 1) if all(taken[kept[i]] is T for i in range(s, last + 1))]
        if not starts:
            standing = (None, None)
            continue
        start = min(starts)
        breaches = [e for e in range(start, last + 1) if (e - start) * STEP >= rule.hold]
        standing = (kept[start], kept[breaches[0]] if breaches else None)
    return standing


@given(ANSWERS, HOLDS, st.sampled_from(NoData))
@example([T, T, U, T], 30, NoData.IGNORE)
def test_a_hold_is_what_the_spec_says(answers: list[Truth], hold: int, no_data: NoData) -> None:
    """Prometheus' meaning of `for`, with each policy for missing data."""
    rule = a_rule(hold=hold, no_data=no_data)
    found = judged(rule, answers)
    start, breached = oracle(rule, answers)
    assert (found.standing.start if found.standing else None) == at(start)
    assert (found.standing.breached if found.standing else None) == at(breached)
    newest = answers[-1] if answers else None
    true_now = newest is T or (newest is U and no_data is NoData.BREACH)
    assert (found.breach is not None) == (breached is not None and true_now)


@given(ANSWERS, HOLDS, st.sampled_from(NoData))
def test_every_ended_run_is_a_run_that_stood_once(answers: list[Truth], hold: int, no_data: NoData) -> None:
    """A breach that ended while nobody could look is told from `past`; a run lost or invented there misleads."""
    rule = a_rule(hold=hold, no_data=no_data)
    stood = {}
    for n in range(1, len(answers) + 1):
        run = judged(rule, answers[:n]).standing
        if run is not None:
            stood[run.start] = run
    found = judged(rule, answers)
    ended = {run.start: run for run in found.past}
    if found.standing is not None:
        ended[found.standing.start] = found.standing
    assert ended == stood


def window_oracle(rule: Rule, answers: list[Truth]) -> int | None:
    """Index at which `for: M of N` is breached in the standing run: true samples of the trailing N count."""
    assert rule.hold_within is not None
    breached: int | None = None
    kept: list[int] = []
    for i, answer in enumerate(answers):
        taken = T if answer is U and rule.no_data is NoData.BREACH else answer
        if taken is U and rule.no_data is NoData.RESET:
            kept, breached = [], None
            continue
        if taken is T and not [k for k in kept if (i - 1 - k) * STEP <= rule.hold_within]:
            breached = None
            kept = []
        if taken is T:
            kept.append(i)
            inside = [k for k in kept if (i - k) * STEP <= rule.hold_within]
            if breached is None and (len(inside) - 1) * STEP >= rule.hold:
                breached = i
        elif not [k for k in kept if (i - k) * STEP <= rule.hold_within]:
            kept, breached = [], None
    return breached


@given(ANSWERS, st.sampled_from([15, 30, 45]), st.sampled_from([45, 60, 90]), st.sampled_from(NoData))
def test_m_of_n_counts_the_true_samples_of_the_trailing_n(
    answers: list[Truth], hold: int, within: int, no_data: NoData
) -> None:
    """`for: 3m of 5m` that fires on too few true samples, or never."""
    rule = a_rule(hold=hold, hold_within=within, no_data=no_data)
    found = judged(rule, answers)
    breached = window_oracle(rule, answers)
    assert (found.standing.breached if found.standing else None) == at(breached)


@given(ANSWERS)
def test_m_of_n_with_m_equal_to_n_breaches_where_the_plain_hold_does(answers: list[Truth]) -> None:
    """Two meanings of one `for`. A single false sample ends a plain run, and not one that counts a window."""
    plain = judged(a_rule(hold=60), answers)
    window = judged(a_rule(hold=60, hold_within=60), answers)
    assert (plain.breach is not None) <= (window.breach is not None)
    if plain.breach is not None and not plain.past and not window.past and window.standing is not None:
        assert window.standing.breached == plain.breach.breached


def test_a_window_run_grows_shrinks_and_ends() -> None:
    """What the web page shows of a flapping rule's hold."""
    rule = a_rule(hold=45, hold_within=60)
    assert judged(rule, [T, T, F]).standing == Run(T0, T0 + 15, 15)
    ended = judged(rule, [T, F, F, F, F, F])
    assert ended.standing is None
    assert ended.past == (Run(T0, T0, 0),)
    assert judged(rule, [F]).standing is None


@pytest.mark.parametrize(("answers", "ratio"), [([], 0.0), ([T], 0.0), ([T, T, T], 0.5), ([T] * 6, 1.0), ([T, F], 0)])
def test_the_share_of_the_hold_that_is_used_up(answers: list[Truth], ratio: float) -> None:
    """The bar of the web page and `notaus_rule_hold_ratio`."""
    rule = a_rule(hold=60)
    assert judged(rule, answers).ratio(rule) == ratio


def test_evaluation_stops_at_the_first_pending_sample_and_goes_on_when_it_is_filled() -> None:
    """A hold counted across a gap that nobody has read."""
    rule = a_rule("a > 1", hold=30)
    history = a_history(a=[2, 2, "pending", 2])
    assert [at for at, _ in truths(rule, history, T0, T0 + 45, STEP)] == [T0, T0 + 15]
    filled = history.merged({"a": (a_sample(T0 + 30, 2),)}, 0)
    assert [a for _, a in truths(rule, filled, T0, T0 + 45, STEP)] == [T] * 4


def test_newest_and_newest_known_are_told_apart() -> None:
    """Blindness is counted from the newest sample that was known."""
    found = judged(a_rule(hold=30), [T, F, U])
    assert (found.newest, found.known, found.truth) == (T0 + 30, T0 + 15, U)
    assert judged(a_rule(hold=30), []) == Hold()


@given(st.lists(st.sampled_from([T, T, T, F]), min_size=12, max_size=40), st.integers(1, 10))
def test_a_run_older_than_the_samples_at_hand_keeps_its_start(answers: list[Truth], cut: int) -> None:
    """A hold acts once: under another name it would act again."""
    rule = a_rule(hold=45)
    before = judged(rule, answers[:-1]).standing
    first = T0 + cut * STEP
    whole = judged(rule, answers)
    part = judge(rule, [(T0 + i * STEP, a) for i, a in enumerate(answers)][cut:], STEP)
    found = carried(part, first, before)
    assert (found.standing.start if found.standing else None) == (whole.standing.start if whole.standing else None)
    scanned = whole.newest is not None and whole.newest - first > rule.hold  # the whole `for`, as the watch does
    if scanned and whole.standing and found.standing and before is not None and before.start < first:
        assert found.standing.breached == whole.standing.breached
        assert found.standing.held == whole.standing.end - whole.standing.start


def test_a_run_that_ended_in_between_is_not_carried() -> None:
    """A new hold under an old one's name would never act."""
    standing = Hold(T0 + 60, T, Run(T0 + 30, T0 + 60, 30))
    assert carried(standing, T0, Run(T0 - 60, T0, 60)) == standing
    at_first = replace(standing, standing=Run(T0, T0 + 60, 60))
    assert carried(at_first, T0, Run(T0 - 60, T0 - 15, 45)) == at_first
    assert carried(at_first, T0, None) == at_first
    assert carried(Hold(), T0, Run(T0 - 60, T0, 60)) == Hold()
    longer = carried(at_first, T0, Run(T0 - 60, T0 + 15, 75, T0))
    assert longer.standing == Run(T0 - 60, T0 + 60, 120, T0)


@pytest.mark.parametrize(("time", "grid"), [(0, 0), (1, 15), (14, 15), (15, 15), (16, 30)])
def test_a_time_is_moved_to_the_grid_time_at_or_after_it(time: int, grid: int) -> None:
    """Samples asked for off the grid are pending for ever."""
    assert aligned(time, 15) == grid


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([0, 0, 0], True),
        ([2, 0, 0], False),
        ([0, 0, 2], False),
        ([0, None, 0], False),
        ([0, "pending", 0], False),
    ],
)
def test_cleared_is_known_false_at_each_sample_of_the_closed_interval(values: list[object], answer: bool) -> None:
    """Missing data clears nothing; the interval includes both its ends."""
    history = a_history(a=values)  # type: ignore[arg-type]
    assert cleared(a_rule("a > 1"), history, T0 + 30, 30, STEP) is answer
    assert cleared(a_rule("a > 1"), a_history(a=[2, 0, 0]), T0 + 30, 15, STEP)


def test_a_breach_stands_only_while_its_newest_sample_is_true() -> None:
    """Spec 3: what is not true at the newest sample, or not known, acts no more, though its hold is not over."""
    hold = Hold(T0, T, Run(T0 - 60, T0, 60, T0))
    assert hold.breach == hold.standing
    assert replace(hold, truth=U).breach is None
    assert replace(hold, truth=F).breach is None
