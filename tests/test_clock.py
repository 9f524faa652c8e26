"""The clock: Cloudflare's time on the machine's monotonic clock."""

from __future__ import annotations

from notaus.clock import SystemClock


class Machine:
    wall = 1_000_000.0
    monotonic = 50.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self, speed: float = 1.0, anchor: tuple[float, float] | None = None) -> SystemClock:
        return SystemClock(speed, anchor, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


def test_jumps_of_the_wall_clock_change_nothing() -> None:
    """NTP setting the clock an hour back would stop the polls for an hour."""
    machine = Machine()
    clock = machine.clock()
    for jump in (3600, -7200):
        machine.wall += jump
        machine.pass_(10)
    assert clock.now() == 1_000_020


def test_a_difference_that_the_date_cannot_tell_is_left_alone() -> None:
    """A `Date` has whole seconds: following each would make the clock jitter."""
    machine = Machine()
    clock = machine.clock()
    for remote in (999_999.2, 999_999.9):
        clock.observe(remote, 0.3)
    assert clock.now() == 1_000_000
    assert clock.skew == 0


def test_behind_it_is_set_forward_at_once() -> None:
    """Ticks that Cloudflare has passed must not wait."""
    machine = Machine()
    clock = machine.clock()
    clock.observe(1_003_600, 0.1)
    assert clock.now() == 1_003_600.5
    assert clock.skew == 3600.5


def test_a_little_ahead_it_stands_still_until_the_time_has_come() -> None:
    """Running backwards, it would name a tick twice."""
    machine = Machine()
    clock = machine.clock()
    clock.now()
    clock.observe(999_989.5, 0.1)
    assert clock.now() == 1_000_000
    machine.pass_(5)
    assert clock.now() == 1_000_000
    machine.pass_(15)
    assert clock.now() == 1_000_010


def test_far_ahead_it_is_set_back() -> None:
    """Standing still for an hour would be blindness."""
    machine = Machine()
    clock = machine.clock()
    clock.now()
    clock.observe(996_400, 0.1)
    assert clock.now() == 996_400.5


def test_processes_with_one_anchor_share_a_fast_clock() -> None:
    """The demo's sandbox and daemon, started a second apart."""
    machine = Machine()
    anchor = (999_990.0, 5_000.0)
    first = machine.clock(30.0, anchor)
    machine.pass_(2)
    second = machine.clock(30.0, anchor)
    machine.pass_(1)
    assert first.now() == second.now() == 5_000 + 13 * 30
