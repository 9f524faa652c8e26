"""Leadership: one owner of an account at a time, and who loses it stops at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from notaus.daemon.leadership import Leadership
from notaus.errors import JournalFailed
from notaus.metrics import Metrics
from tests.builders import T0
from tests.daemon.stand_ins import ACCOUNT, FaultyJournal


class SetClock:
    speed = 1.0
    skew = 0.0
    at = float(T0)

    def now(self) -> float:
        return self.at


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """A journal that is called inline lets nothing come between: not even a turn of the loop."""
    with pytest.raises(StopIteration):
        work.send(None)


class Replica:
    """A Leadership, and what it told of."""

    def __init__(self, journal: FaultyJournal, clock: SetClock, name: str = "us", accounts: Any = (ACCOUNT,)) -> None:
        self.told: list[str] = []
        self.recovers = True
        self.metrics = Metrics()
        self.leadership = Leadership(
            journal,  # type: ignore[arg-type]
            name,
            accounts,
            clock,  # type: ignore[arg-type]
            self.metrics,
            self._gained,
            lambda account: self.told.append("lost"),
            lambda account, failed: self.told.append("failed"),
        )

    def keep(self) -> None:
        at_once(self.leadership.keep())

    def release(self) -> None:
        at_once(self.leadership.release())

    async def _gained(self, account: str) -> None:
        if not self.recovers:
            raise JournalFailed("the state cannot be read")
        self.told.append("gained")

    @property
    def leads(self) -> bool:
        return self.leadership.lease(ACCOUNT) is not None


def test_the_first_gets_it_the_second_waits_and_takes_over_when_it_has_run_out() -> None:
    """Two owners are two writers; none is nobody on guard."""
    journal, clock = FaultyJournal(), SetClock()
    first, second = Replica(journal, clock, "first"), Replica(journal, clock, "second")
    for _ in range(6):
        first.keep()
        second.keep()
        clock.at += 5
    assert (first.leads, second.leads) == (True, False)
    clock.at += 5  # the first is dead; its last renewal was 10 s ago
    second.keep()
    assert not second.leads
    clock.at += 5
    second.keep()
    assert second.leads
    assert second.told == ["gained"]
    first.keep()
    assert not first.leads
    assert first.told == ["gained", "lost"]


def test_a_lease_given_back_is_free_at_once() -> None:
    """A deployment of the daemon would leave the services unguarded for 15 seconds."""
    journal, clock = FaultyJournal(), SetClock()
    first, second = Replica(journal, clock, "first"), Replica(journal, clock, "second")
    first.keep()
    first.release()
    second.keep()
    assert second.leads


def test_a_journal_that_fails_is_survived_for_two_renewals_and_no_longer() -> None:
    """Given up at the first hiccup, or held while another may own it."""
    journal, clock = FaultyJournal(), SetClock()
    us = Replica(journal, clock)
    us.keep()
    journal.broken = True
    for _ in range(2):
        clock.at += 5
        us.keep()
        assert us.leads
    clock.at += 5
    assert not us.leads  # at once, not at the next ring
    us.keep()
    assert us.told == ["gained", "failed", "failed", "lost", "failed"]
    journal.broken = False
    clock.at += 5
    us.keep()
    assert us.leads
    assert us.told[-1] == "gained"


def test_what_could_not_be_recovered_is_tried_again() -> None:
    """A lease held over services that nobody guards: a silent daemon."""
    journal, clock = FaultyJournal(), SetClock()
    us = Replica(journal, clock)
    us.recovers = False
    us.keep()
    assert not us.leads
    assert us.told == ["lost", "failed"]
    us.recovers = True
    clock.at += 5
    us.keep()
    assert us.leads
    assert us.told[-1] == "gained"


def test_losing_it_is_told_once() -> None:
    """The engine notices first, the next renewal again."""
    journal, clock = FaultyJournal(), SetClock()
    us = Replica(journal, clock)
    us.keep()
    us.leadership.lose(ACCOUNT)
    us.leadership.lose(ACCOUNT)
    assert us.told == ["gained", "lost"]


async def test_what_is_held_is_renewed_while_another_account_is_recovered() -> None:
    """Recovery that takes longer than a lease lasts would lose every lease at its end, and begin again, for ever."""
    journal, clock = FaultyJournal(), SetClock()
    us = Replica(journal, clock, accounts=(ACCOUNT, "large"))
    recovered = asyncio.Event()

    async def gained(account: str) -> None:
        if account == "large":
            await recovered.wait()

    us.leadership.gained = gained
    taking = asyncio.create_task(us.leadership.keep())
    for _ in range(10):
        await asyncio.sleep(0)
        clock.at += 5
        await us.leadership.keep()
    recovered.set()
    await taking
    assert set(us.leadership.leases) == {ACCOUNT, "large"}
    assert us.leadership.lease("large") is not None
    assert us.told == []


async def test_the_late_answer_to_a_renewal_says_nothing_of_a_lease_acquired_since() -> None:
    """Given up in the middle of a renewal and taken back, it would be lost for what became of the former one."""
    journal, clock = FaultyJournal(), SetClock()
    us = Replica(journal, clock)
    await us.leadership.keep()
    asked, answer = us.leadership.call, asyncio.Event()

    async def late(work: Any, *given: Any, **named: Any) -> Any:
        if work == journal.renew:
            await answer.wait()
        return await asked(work, *given, **named)

    us.leadership.call = late
    renewing = asyncio.create_task(us.leadership.keep())
    await asyncio.sleep(0)
    us.leadership.call = asked
    us.leadership.lose(ACCOUNT)
    await us.leadership._take(ACCOUNT)
    answer.set()
    await renewing
    assert us.leads
    assert us.told == ["gained", "lost", "gained"]


def test_an_account_that_is_no_longer_configured_is_given_back() -> None:
    """Another replica that still has it configured would wait for nothing."""
    journal, clock = FaultyJournal(), SetClock()
    us, them = Replica(journal, clock, "us", (ACCOUNT, "second")), Replica(journal, clock, "them", ("second",))
    us.keep()
    us.leadership.accounts = (ACCOUNT,)
    us.keep()
    them.keep()
    assert set(us.leadership.leases) == {ACCOUNT}
    assert set(them.leadership.leases) == {"second"}


def test_the_metric_says_who_leads() -> None:
    """`leader` is what an alert on "nobody on guard" sums up."""
    journal, clock = FaultyJournal(), SetClock()
    us = Replica(journal, clock)
    us.keep()
    assert b'notaus_leader{account="account"} 1.0' in us.metrics.render()
    us.leadership.lose(ACCOUNT)
    assert b'notaus_leader{account="account"} 0.0' in us.metrics.render()
