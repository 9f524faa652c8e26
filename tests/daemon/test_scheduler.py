"""The bells: APScheduler rings at the multiples of the daemon's clock, whatever the machine's wall clock does."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import apscheduler.schedulers.base as base
import pytest

from notaus.clock import SystemClock
from notaus.daemon import scheduler
from notaus.daemon.scheduler import Grid, ScheduledBells


class Wall(datetime):
    """The machine's wall clock as APScheduler reads it."""

    offset = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.offset


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[Wall]:
    monkeypatch.setattr(Wall, "offset", timedelta(0))
    monkeypatch.setattr(base, "datetime", Wall)
    monkeypatch.setattr(scheduler, "datetime", Wall)
    return Wall


def a_clock(speed: float = 1.0) -> SystemClock:
    return SystemClock(speed, monotonic=time.monotonic)


async def test_bells_ring_at_the_multiples_of_the_daemons_clock() -> None:
    """Ticks are grid times: rung in between, every sample would be read half a step late."""
    clock, rings = a_clock(100.0), []
    bells = ScheduledBells(clock)
    bells.every(5, lambda: rings.append(clock.now()), "poll")
    bells.start()
    await asyncio.sleep(0.33)
    bells.stop()
    assert 4 <= len(rings) <= 8
    assert all(at % 5 < 3 for at in rings)  # 3 s of this clock are 30 ms
    assert len({at // 5 for at in rings}) == len(rings)


async def test_a_bell_that_is_late_is_rung_once() -> None:
    """After a stall of a minute, four polls at once would ask for the same."""
    clock, rings = a_clock(100.0), []
    bells = ScheduledBells(clock)
    bells.every(2, lambda: rings.append(clock.now()), "poll")
    bells.start()
    await asyncio.sleep(0.05)
    before = len(rings)
    time.sleep(0.2)  # noqa: ASYNC251 (the stall)
    await asyncio.sleep(0.005)
    bells.stop()
    assert len(rings) - before <= 2


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_jump_of_the_wall_clock_changes_nothing(wall: type[Wall], hours: int) -> None:
    """Set back by an hour, APScheduler would ring no poll and renew no lease for an hour."""
    clock, rings = a_clock(100.0), []
    bells = ScheduledBells(clock)
    bells.every(5, lambda: rings.append(clock.now()), "poll")
    bells.every(2_000, lambda: None, "retention")
    bells.start()
    await asyncio.sleep(0.12)
    wall.offset = timedelta(hours=hours)
    before = len(rings)
    await asyncio.sleep(0.3)
    bells.stop()
    assert 3 <= len(rings) - before <= 9


async def test_no_bell_rings_after_stop() -> None:
    """A poll of a daemon that gave its lease back."""
    rings: list[int] = []
    bells = ScheduledBells(a_clock(100.0))
    bells.every(1, lambda: rings.append(1), "poll")
    bells.start()
    await asyncio.sleep(0.03)
    bells.stop()
    bells.stop()
    await asyncio.sleep(0)
    before = len(rings)
    await asyncio.sleep(0.05)
    assert len(rings) == before


async def test_a_bell_given_again_replaces_the_old() -> None:
    """A reload with another step must not ring both grids."""
    clock, old, new = a_clock(100.0), [], []
    bells = ScheduledBells(clock)
    bells.every(1, lambda: old.append(1), "poll")
    bells.start()
    bells.every(1, lambda: new.append(1), "poll")
    await asyncio.sleep(0.06)
    bells.stop()
    assert not old
    assert new


def test_the_grid_goes_by_the_daemons_clock() -> None:
    """The daemon's idea of now is Cloudflare's; the machine's may be an hour off."""
    clock = SystemClock(2.0, anchor=(0.0, 1_000.0), wall=lambda: 0.0, monotonic=lambda: 0.0)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now() == 1_000
    assert Grid(15, clock).get_next_fire_time(None, now) == now + timedelta(seconds=2.5)  # 1005, at double speed
