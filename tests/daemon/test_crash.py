"""A crash at any moment, and a restart seconds later, changes neither what is done nor how often (spec 12)."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.daemon.simulation import Outcome, Plan, played

SERVICES = ("pix-immo", "bookstrack")


@cache
def undisturbed(service: str) -> Outcome:
    return played(service)


def telling(service: str) -> list[Plan]:
    """The moments at which something is under way: every write that is no idle tick, and every request around them.

    At idle ticks one moment is like another: a few of them.
    """
    usual = undisturbed(service)
    writes = [n for n, kind in enumerate(usual.steps, 1) if kind != "Polled" or n % 9 == 0]
    idle = re.compile("GET .*/(deployments|versions|values/config)")
    busy = {n for n, what in enumerate(usual.requests, 1) if not idle.match(what)}
    around = sorted(busy | {n - 1 for n in busy} - {0})  # the look before the leap, too
    return [
        *(Plan("write", n) for n in writes),
        *(Plan("before", n) for n in sorted(busy)),
        *(Plan("after", n) for n in around),
    ]


def told(outcome: Outcome) -> list[set[int]]:
    return list(outcome.threads.values())


def without_time(writes: list[str]) -> list[str]:
    return [re.sub(r", 'last_updated': '[^']*'", "", write) for write in writes]


def check(service: str, plan: Plan) -> None:
    usual, found = undisturbed(service), played(service, plan, end=480)
    where = f"{service}: {plan}"
    assert found.crashed, where
    assert without_time(found.writes) == without_time(usual.writes), where
    assert told(found) == told(usual), where  # one thread, and no message of it is missing
    assert (found.rung, found.phase) == (usual.rung, usual.phase), where
    assert found.outbox == {}, where


@pytest.mark.parametrize("service", SERVICES)
def test_undisturbed_it_acts_once_verifies_and_tells(service: str) -> None:
    """What the crashes are held against must itself be right."""
    usual = undisturbed(service)
    assert len(usual.writes) == 1
    assert told(usual) == [{1, 2, 3}]
    assert usual.rung in ("emergency", "rolled_back")
    assert usual.outbox == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_crash_at_any_moment_changes_neither_what_is_done_nor_how_often(service: str) -> None:
    """A second write, a lost step, a lost page, or an effect that stays in the outbox for ever."""
    for plan in telling(service):
        check(service, plan)


@pytest.mark.parametrize("service", SERVICES)
def test_when_the_leader_crashes_the_other_replica_goes_on(service: str) -> None:
    """Takeover within the lease and a tick, and one action by both together."""
    for plan in telling(service)[::4]:
        check(service, Plan(plan.at, plan.number, replicas=2))


def test_a_step_that_a_long_downtime_interrupted_is_dropped_once_its_condition_has_cleared() -> None:
    """An emergency stop for trouble that ended an hour ago, pulled because the daemon came back."""
    intent = undisturbed("pix-immo").steps.index("Polled!") + 1
    found = played("pix-immo", Plan("write", intent, down=3_600), end=4_500)
    assert found.crashed
    assert found.writes == []
    assert found.rung == "normal"
    assert found.outbox == {}
    assert sum(map(len, told(found))) >= 2  # that it did not get through, and that it was dropped


def test_a_step_that_a_long_downtime_interrupted_is_taken_if_its_condition_still_stands() -> None:
    """Dropped, the trouble would have to hold all over again."""
    intent = undisturbed("pix-immo").steps.index("Polled!") + 1
    found = played("pix-immo", Plan("write", intent, down=300), end=600)
    assert len(found.writes) == 1
    assert found.rung == "emergency"
    assert found.outbox == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_step_that_was_done_right_before_a_long_downtime_is_known_as_done(service: str) -> None:
    """Taken for somebody else's, it would be an override, or a version nobody rolled back."""
    usual = undisturbed(service)
    leap = next(n for n, what in enumerate(usual.requests, 1) if re.match("PUT|POST .*deployments", what))
    found = played(service, Plan("after", leap, down=1_200), end=2_100)
    assert len(found.writes) == 1
    assert found.rung == usual.rung
    assert found.outbox == {}
