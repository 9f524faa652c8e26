"""What an incident has cost: each request counted once, whatever is read late or not at all."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from notaus.core.impact import Impact
from notaus.core.ladder import Share
from notaus.core.sample import History, Sample
from tests.builders import STEP, T0, a_kv_ladder, a_rate, a_service

NATIVE, SHARE = "native.error_rate", "native.share"
BARE = replace(a_service(), ladder=a_kv_ladder(share=None))


def a_minute_of(name: str, *samples: Sample) -> History:
    return History().merged({name: samples}, 0)


def failing(minutes: int, skip: frozenset[int] = frozenset()) -> History:
    """Ten of a thousand requests fail in every window, sampled at each step."""
    times = range(T0, T0 + minutes * 60 + 1, STEP)
    return a_minute_of(NATIVE, *(a_rate(at, 0.01) for at in times if at not in skip))


def test_windows_that_overlap_are_counted_once() -> None:
    """Four samples a minute would make four times the impact."""
    impact = Impact(T0).counted(BARE, failing(5))
    assert impact.totals(BARE) == (50, 5000)
    assert impact.counted(BARE, failing(5)) == impact
    assert impact.counted(BARE, failing(7)).totals(BARE) == (70, 7000)


def test_the_traffic_is_that_of_all_cohorts_where_their_share_is_read() -> None:
    """One failure in a tenth of the traffic would be told as a tenth of all."""
    service = replace(BARE, ladder=a_kv_ladder(share=Share(SHARE, "canary_percent")))
    history = failing(1).merged({SHARE: (a_rate(T0 + 60, 0.1, 10_000),)}, 0)
    assert Impact(T0).counted(service, history).totals(service) == (10, 10_000)
    unread = replace(BARE, ladder=a_kv_ladder(share=Share("gone.share", "canary_percent")))
    assert Impact(T0).counted(unread, history).totals(unread) == (10, 1000)


def test_a_window_not_read_yet_is_waited_for_and_later_passed_over() -> None:
    """Its failures would be lost, or all that followed them."""
    gap = frozenset({T0 + 120})
    assert Impact(T0).counted(BARE, failing(5, gap)).totals(BARE) == (10, 1000)
    assert Impact(T0).counted(BARE, failing(15, gap)).totals(BARE) == (140, 14_000)


def test_an_unknown_window_counts_nothing() -> None:
    """No data is no failure, and no request either."""
    history = a_minute_of(NATIVE, a_rate(T0 + 60, 0.01), Sample(T0 + 120), a_rate(T0 + 180, 0.01))
    assert Impact(T0).counted(BARE, history).totals(BARE) == (20, 2000)
    assert Impact(T0).totals(BARE) == (Fraction(0), Fraction(0))
