"""The push source: what a posted value is the sample of, what is refused, and what comes late."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from notaus.config.sources import Entry, Push
from notaus.core.sample import Readings
from notaus.errors import ReadFailed
from notaus.sources.push import KEPT, PushReader

from .conftest import NOW, Lab


def entry(lab: Lab, **more: Any) -> Entry:
    return lab.entry(Push(**more), "queue", name="queue", settle=0)


def reader(lab: Lab) -> PushReader:
    return PushReader(lab.context)


def told(readings: Readings) -> dict[int, Fraction | None]:
    return {sample.at - NOW: sample.value for sample in readings["queue"]}


def nothing_known(at: int) -> bool:
    return False


def take(
    lab: Lab, pushes: PushReader, *values: tuple[int, Any], known: Callable[[int], bool] = nothing_known
) -> dict[int, Fraction | None]:
    return told(pushes.take(entry(lab), 15, [(NOW + at, value) for at, value in values], known))


async def test_a_value_is_good_for_one_window(lab: Lab) -> None:
    """It would be forgotten at once, or stand for ever."""
    pushes = reader(lab)
    assert take(lab, pushes, (1, 7)) == {15: 7, 30: 7, 45: 7, 60: 7}
    assert take(lab, pushes, (0, 6)) == {0: 6, 15: 7, 30: 7, 45: 7}
    found = await pushes.read(entry(lab), [NOW, NOW + 60, NOW + 75])
    assert told(found) == {0: 6, 60: 7, 75: None}


async def test_a_newer_value_takes_over_and_the_same_time_again_replaces(lab: Lab) -> None:
    """A sender that tries again would count twice, or in the wrong order."""
    pushes = reader(lab)
    assert take(lab, pushes, (-30, 5), (0, 6)) == {-30: 5, -15: 5, 0: 6, 15: 6, 30: 6, 45: 6}
    assert take(lab, pushes, (-30, 4)) == {-30: 4, -15: 4, 0: 6, 15: 6}
    assert take(lab, pushes, (-30, 4)) == {-30: 4, -15: 4, 0: 6, 15: 6}


async def test_a_value_that_comes_late_corrects_what_was_unknown(lab: Lab) -> None:
    """A poll on its way would write the unknown over it."""
    pushes = reader(lab)
    assert told(await pushes.read(entry(lab), [NOW - 15, NOW])) == {-15: None, 0: None}
    take(lab, pushes, (-20, 3))
    assert told(await pushes.read(entry(lab), [NOW + 15])) == {-15: 3, 0: 3, 15: 3}
    assert told(await pushes.read(entry(lab), [NOW + 60])) == {60: None}


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (-601, 1, "is 1 s too old"),
        (61, 1, "is 61 s ahead of the daemon's clock"),
        (0, float("nan"), "is no number"),
        (0, float("inf"), "is no number"),
        (0, "3", "gives str '3', and must give a number"),
        (0, None, "None is no number"),
    ],
)
async def test_what_is_refused_takes_nothing_with_it(lab: Lab, at: int, value: Any, said: str) -> None:
    """Half a batch would be taken, and the sender would not know which."""
    pushes = reader(lab)
    with pytest.raises(ReadFailed) as refused:
        take(lab, pushes, (0, 1), (at, value))
    assert said in str(refused.value)
    assert told(await pushes.read(entry(lab), [NOW])) == {0: None}


async def test_a_long_window_lets_values_come_as_late(lab: Lab) -> None:
    """An hourly job could not report."""
    pushes = reader(lab)
    hourly = lab.entry(Push(True), "queue", name="queue", window=7200, settle=0)
    found = told(pushes.take(hourly, 15, [(NOW - 7200, Decimal("2.5"))], nothing_known))
    assert (len(found), found[-7200]) == (480, Fraction(25, 1000))


async def test_after_a_restart_an_old_value_only_fills_what_is_missing(lab: Lab) -> None:
    """What was pushed before the restart, and is newer, is known to the journal alone."""
    pushes = reader(lab)
    assert take(lab, pushes, (-20, 3), known=lambda at: at == NOW) == {-15: 3, 15: 3, 30: 3}


async def test_no_more_is_kept_than_is_bounded(lab: Lab) -> None:
    """A busy sender would fill the memory."""
    pushes = reader(lab)
    for n in range(KEPT + 300):
        lab.clock.time = NOW + n
        take(lab, pushes, (n, n))
    assert len(pushes._of(entry(lab)).values) == KEPT
    for n in range(2000):
        lab.clock.time = NOW + 5000 + 15 * n
        await pushes.read(entry(lab), [NOW + 5000 + 15 * n])
    assert len(pushes._of(entry(lab)).unknown) < 60
