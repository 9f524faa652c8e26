"""Many accounts spread over the replicas: each has its share, none is without an owner, nothing goes back and forth."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.daemon.stand_ins import FaultyJournal
from tests.daemon.test_leadership import Replica, SetClock

ACCOUNTS = tuple(f"account-{n:02}" for n in range(20))


class Fleet:
    """Replicas on one journal, each with a journal connection of its own that a test may cut."""

    def __init__(self, *names: str, accounts: Any = ACCOUNTS) -> None:
        self.clock, self.store = SetClock(), FaultyJournal()
        self.replicas: dict[str, Replica] = {}
        self.moves: list[tuple[str, str]] = []
        for name in names:
            self.join(name, accounts)

    def join(self, name: str, accounts: Any = ACCOUNTS) -> Replica:
        self.replicas[name] = Replica(FaultyJournal(self.store.real), self.clock, name, accounts)
        return self.replicas[name]

    def die(self, name: str) -> None:
        del self.replicas[name]

    def rounds(self, number: int = 1) -> None:
        for _ in range(number):
            before = self.owners
            for replica in self.replicas.values():
                replica.keep()
            self.moves += [(a, name) for a, name in self.owners.items() if before.get(a) != name]
            self.clock.at += 5

    @property
    def owners(self) -> dict[str, str]:
        """By the replicas' own belief; no account has two."""
        held = [(a, name) for name, each in self.replicas.items() for a in ACCOUNTS if each.leadership.lease(a)]
        assert len({account for account, _ in held}) == len(held)
        return dict(held)

    @property
    def counts(self) -> list[int]:
        counted = Counter(self.owners.values())
        return sorted(counted[name] for name in self.replicas)


def test_twenty_accounts_on_three_replicas_are_shared_evenly() -> None:
    """One replica would do all the work, and its death leave every account unguarded at once."""
    fleet = Fleet("one", "two", "three")
    fleet.rounds(20)
    assert fleet.counts == [6, 7, 7]


def test_once_shared_nothing_moves_any_more() -> None:
    """Accounts that go back and forth are unguarded for a moment each time."""
    fleet = Fleet("one", "two", "three")
    fleet.rounds(20)
    fleet.moves.clear()
    fleet.rounds(60)
    assert fleet.moves == []


def test_the_accounts_of_a_dead_replica_are_taken_over_by_all_the_others_in_one_round() -> None:
    """Takeover within the lease and a tick, of all its accounts."""
    fleet = Fleet("one", "two", "three")
    fleet.rounds(20)
    fleet.die("three")  # it renewed 5 s ago
    fleet.rounds(2)
    assert len(fleet.owners) < 20
    fleet.rounds(2)  # the lease has run out; a round is 5 s
    assert fleet.counts == [10, 10]


def test_a_new_replica_gets_its_share_one_account_at_a_time() -> None:
    """It would idle for ever; or everything would change hands at once."""
    fleet = Fleet("one", "two")
    fleet.rounds(20)
    assert fleet.counts == [10, 10]
    fleet.join("three")
    for _ in range(8):
        before = fleet.owners
        fleet.rounds()
        gone = [a for a, name in before.items() if fleet.owners.get(a) != name]
        assert len(gone) <= 2  # one from each of the two
    assert fleet.counts == [6, 7, 7]
    assert len(fleet.owners) == 20


def test_one_that_leaves_in_order_is_replaced_at_the_next_round() -> None:
    """A deployment of the daemon would leave a third of the accounts unguarded for 15 seconds."""
    fleet = Fleet("one", "two", "three")
    fleet.rounds(20)
    fleet.replicas["three"].release()
    fleet.die("three")
    fleet.rounds()
    assert fleet.counts == [10, 10]


def test_what_is_quiet_changes_hands_first() -> None:
    """An incident would change hands in its middle, while nineteen idle accounts stay."""
    fleet = Fleet("one")
    fleet.rounds()
    busy = {"account-00", "account-19"}
    fleet.replicas["one"].leadership.under_way = lambda account: int(account in busy)
    fleet.join("two")
    fleet.rounds(20)
    assert fleet.counts == [10, 10]
    assert {fleet.owners[account] for account in busy} == {"one"}


def test_an_account_that_its_share_cannot_take_is_not_left_without_an_owner() -> None:
    """The share of a replica that fails, or lacks the newest configuration, would be guarded by nobody."""
    fleet = Fleet("one")
    sick = fleet.join("sick")
    sick.recovers = False
    fleet.rounds(7)
    assert len(fleet.owners) == 20
    fleet.moves.clear()
    fleet.rounds(100)
    assert fleet.moves == []  # nor is each offered to it again and again


def test_nothing_is_given_up_for_one_that_could_not_take_it() -> None:
    """During a deployment that adds accounts the old replicas do not know them yet."""
    fleet = Fleet("new")
    fleet.join("old", accounts=ACCOUNTS[:2])
    fleet.rounds(30)
    assert len(fleet.owners) == 20
    assert {account for account, name in fleet.owners.items() if name == "old"} <= set(ACCOUNTS[:2])
    fleet.moves.clear()
    fleet.rounds(30)
    assert fleet.moves == []


@pytest.mark.parametrize("accounts", [1, 2, 5])
def test_fewer_accounts_than_replicas_have_one_owner_each(accounts: int) -> None:
    """With a single account, two replicas would take turns."""
    fleet = Fleet("one", "two", "three", accounts=ACCOUNTS[:accounts])
    fleet.rounds(30)
    assert len(fleet.owners) == accounts
    assert max(fleet.counts) - min(fleet.counts) <= 1
    fleet.moves.clear()
    fleet.rounds(30)
    assert fleet.moves == []
