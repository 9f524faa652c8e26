"""The clock: Cloudflare's time on the machine's monotonic clock."""

from __future__ import annotations

import pytest

from notaus.clock import SystemClock

START = 1_800_000_000.0


class Machine:
    wall = START
    monotonic = 50.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self, speed: float = 1.0, anchor: tuple[float, float] | None = None) -> SystemClock:
        return SystemClock(speed, anchor, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


def told(machine: Machine, clock: SystemClock, remote: float, uncertainty: float = 0.1, times: int = 2) -> None:
    """So many answers, three seconds apart, of somebody whose time at the first was `remote`."""
    for number in range(times):
        if number:
            machine.pass_(3)
        clock.observe(remote + 3 * number, uncertainty)


def test_jumps_of_the_wall_clock_change_nothing() -> None:
    """NTP setting the clock an hour back would stop the polls for an hour."""
    machine = Machine()
    clock = machine.clock()
    for jump in (3600, -7200):
        machine.wall += jump
        machine.pass_(10)
    assert clock.now() == START + 20


def test_a_difference_that_the_date_cannot_tell_is_left_alone() -> None:
    """A `Date` has whole seconds: following each would make the clock jitter."""
    machine = Machine()
    clock = machine.clock()
    for remote in (-0.8, -0.1):
        told(machine, clock, clock.now() + remote, 0.3, times=4)
    assert clock.skew == 0


def test_behind_it_is_set_forward_as_soon_as_two_answers_agree() -> None:
    """Ticks that Cloudflare has passed must not wait."""
    machine = Machine()
    clock = machine.clock()
    told(machine, clock, START + 3600)
    assert clock.now() == START + 3603.5
    assert clock.skew == 3600.5


@pytest.mark.parametrize("by", [-86_400.0, -40.0, 3.0, 45.0, 3600.0, 5e8])
def test_one_answer_alone_sets_nothing(by: float) -> None:
    """A cache, a captive portal, a broken proxy would move every hold and lease to another time."""
    machine = Machine()
    clock = machine.clock()
    clock.observe(START + by, 0.1)
    assert clock.in_doubt
    machine.pass_(15)
    clock.observe(START + 15, 0.1)
    machine.pass_(15)
    clock.observe(START + 30 + by * 2, 0.1)
    machine.pass_(15)
    assert clock.now() == START + 45


def test_a_date_that_stands_still_is_never_believed() -> None:
    """A cached answer repeats its `Date`: however many agree that it is noon, it is not."""
    machine = Machine()
    clock = machine.clock()
    for _ in range(2000):
        machine.pass_(0.7)
        clock.observe(START - 5000, 0.2)
    assert clock.now() == pytest.approx(START + 1400)


@pytest.mark.parametrize("remote", [0.0, 1_700_000_000.0, 4_200_000_000.0, 253_402_300_799.0, -6e10])
def test_a_time_before_this_program_or_beyond_the_century_is_never_believed(remote: float) -> None:
    """However consistently it is told: dates beyond the year 9999 cannot even be written."""
    machine = Machine()
    clock = machine.clock()
    told(machine, clock, remote, times=10)
    assert clock.now() == START + 27


def test_a_machine_that_begins_in_1970_learns_the_time() -> None:
    """Without a battery a machine starts there; the bounds are for what is told, not for what we have."""
    machine = Machine()
    machine.wall = 5.0
    clock = machine.clock()
    told(machine, clock, START)
    assert clock.now() == START + 3.5


def test_a_little_ahead_it_stands_still_until_the_time_has_come() -> None:
    """Running backwards, it would name a tick twice."""
    machine = Machine()
    clock = machine.clock()
    clock.observe(START - 10.5, 0.1)
    machine.pass_(3)
    clock.now()
    clock.observe(START - 7.5, 0.1)
    assert clock.now() == START + 3
    machine.pass_(5)
    clock.observe(START - 2.5, 0.1)
    assert clock.now() == START + 3
    machine.pass_(15)
    assert clock.now() == START + 13


def test_far_ahead_it_is_set_back() -> None:
    """Standing still for an hour would be blindness."""
    machine = Machine()
    clock = machine.clock()
    clock.now()
    told(machine, clock, START - 3600)
    assert clock.now() == START - 3600 + 3.5


def test_processes_with_one_anchor_share_a_fast_clock() -> None:
    """The demo's sandbox and daemon, started a second apart."""
    machine = Machine()
    anchor = (START - 10, 5_000.0)
    first = machine.clock(30.0, anchor)
    machine.pass_(2)
    second = machine.clock(30.0, anchor)
    machine.pass_(1)
    assert first.now() == second.now() == 5_000 + 13 * 30
