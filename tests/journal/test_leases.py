"""An account has one owner at a time, and a former owner can write nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from notaus.errors import JournalFailed
from notaus.journal import Journal, Lease, LeaseLost

from .records import a_record


def _acquired(journal: Journal, owner: str, now: float, account: str = "acc") -> Lease:
    lease = journal.acquire(account, owner, now)
    assert lease is not None
    return lease


def test_an_account_has_one_owner_until_the_lease_runs_out(journal: Journal) -> None:
    """Two replicas would act for one account, or none after the first died."""
    first = _acquired(journal, "one", 100)
    assert (first.owner, first.fence, first.expires_at) == ("one", 1, 115)
    assert journal.acquire("acc", "two", 114.9) is None
    assert journal.holder("acc", 114.9) == first
    assert journal.holder("acc", 115) is None
    second = _acquired(journal, "two", 115)
    assert second.fence == 2
    assert journal.acquire("acc", "one", 116) is None


def test_accounts_are_owned_apart(journal: Journal) -> None:
    """Many accounts could not be spread over the replicas."""
    _acquired(journal, "one", 100, "a")
    assert _acquired(journal, "two", 100, "b").fence == 1


def test_a_renewed_lease_lasts_from_the_renewal(journal: Journal) -> None:
    """A healthy replica would lose its account every 15 seconds."""
    lease = journal.renew(_acquired(journal, "one", 100), 110)
    assert (lease.expires_at, lease.fence) == (125, 1)
    assert journal.acquire("acc", "two", 124) is None
    assert journal.holder("acc", 124) == lease


def test_asking_again_begins_anew_under_a_new_fence(journal: Journal) -> None:
    """A step still on its way from before we lost sight of the lease would land after its services were recovered."""
    old = _acquired(journal, "one", 100)
    again = _acquired(journal, "one", 110)
    assert (again.fence, again.expires_at) == (2, 125)
    with pytest.raises(LeaseLost):
        journal.write(a_record(), old)
    assert journal.write(a_record(), again) == 1


def test_without_a_time_of_ours_the_database_has_one(journal: Journal) -> None:
    """Two replicas whose clocks differ by more than the lease would both own the account, or nobody for an hour."""
    begun = time.time()
    first = journal.acquire("acc", "one", None, ttl=60.0)
    assert first is not None
    assert begun + 59 < first.expires_at < time.time() + 61
    assert journal.acquire("acc", "two", None) is None
    assert journal.renew(first, None).expires_at >= first.expires_at
    assert journal.holder("acc", None) is not None
    assert journal.holder("acc", time.time() + 70) is None
    assert journal.announce("one", ["acc"], None).owners == {"acc": "one"}


def test_the_living_know_of_each_other_and_of_who_owns_what(journal: Journal) -> None:
    """No replica would know what its share is, or the dead would have theirs for ever."""
    journal.announce("one", ["a", "b"], 100)
    journal.announce("two", ["b"], 110)
    _acquired(journal, "one", 100, "a")
    _acquired(journal, "two", 110, "b")
    census = journal.announce("three", [], 114)
    assert census.replicas == {"one": {"a", "b"}, "two": {"b"}, "three": frozenset()}
    assert census.owners == {"a": "one", "b": "two"}
    census = journal.announce("three", ["a"], 115)
    assert census.replicas == {"two": {"b"}, "three": {"a"}}
    assert census.owners == {"b": "two"}


def test_one_that_leaves_is_forgotten_at_once_with_all_its_leases(journal: Journal) -> None:
    """After an orderly stop its accounts would be unguarded for 15 seconds, and its share be kept for it."""
    for name in ("one", "two"):
        journal.announce(name, ["a", "b"], 100)
    old = _acquired(journal, "one", 100, "a")
    _acquired(journal, "two", 100, "b")
    journal.leave("one")
    census = journal.announce("two", ["a", "b"], 101)
    assert set(census.replicas) == {"two"}
    assert census.owners == {"b": "two"}
    with pytest.raises(LeaseLost):
        journal.write(a_record(), old)


def test_a_lease_that_ran_out_is_still_ours_if_nobody_took_it(journal: Journal) -> None:
    """A pause of 16 seconds on a lone daemon would look like a takeover."""
    lease = _acquired(journal, "one", 100)
    assert journal.renew(lease, 300).expires_at == 315


def test_a_taken_lease_can_neither_be_renewed_nor_write(journal: Journal) -> None:
    """A replica that was frozen and thaws would pull a lever beside its successor."""
    old = _acquired(journal, "one", 100)
    new = _acquired(journal, "two", 200)
    with pytest.raises(LeaseLost, match="no longer held by one"):
        journal.renew(old, 201)
    with pytest.raises(LeaseLost):
        journal.write(a_record(), old)
    assert journal.events() == []
    assert journal.write(a_record(), new) == 1


def test_an_owner_that_lost_and_regained_the_account_cannot_use_its_old_lease(journal: Journal) -> None:
    """A write decided before the loss would be let through after it, over what the other replica did meanwhile."""
    old = _acquired(journal, "one", 100)
    _acquired(journal, "two", 200)
    new = _acquired(journal, "one", 300)
    assert new.fence == 3
    with pytest.raises(LeaseLost):
        journal.write(a_record(), old)
    with pytest.raises(LeaseLost):
        journal.renew(old, 301)
    journal.write(a_record(), new)


def test_a_released_account_is_free_at_once_and_its_lease_dead(journal: Journal) -> None:
    """An orderly restart would wait 15 seconds; or the one that left could still write."""
    old = _acquired(journal, "one", 100)
    journal.release(old)
    assert journal.holder("acc", 100) is None
    with pytest.raises(LeaseLost):
        journal.write(a_record(), old)
    assert _acquired(journal, "two", 100).fence == 2


def test_releasing_what_another_owns_changes_nothing(journal: Journal) -> None:
    """A replica shutting down late would throw its successor out."""
    old = _acquired(journal, "one", 100)
    new = _acquired(journal, "two", 200)
    journal.release(old)
    assert journal.holder("acc", 201) == new


def test_of_many_that_ask_at_once_one_gets_the_account(shared_url: str) -> None:
    """Two replicas that start together would both act."""
    journals = [Journal.open(shared_url) for _ in range(4)]
    granted: list[Lease | None] = []

    def ask(n: int) -> None:
        granted.append(journals[n].acquire("acc", f"owner-{n}", 100))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for journal in journals:
        journal.close()
    assert len(granted) == 4
    assert len([lease for lease in granted if lease]) == 1


def test_writers_of_two_accounts_take_turns(shared_url: str) -> None:
    """A step would fail because another one was written between the check of its fence and its first write."""
    with Journal.open(shared_url) as one, Journal.open(shared_url) as two:
        leases = [_acquired(one, "one", 100, "a"), _acquired(two, "two", 100, "b")]

        def write_many(journal: Journal, lease: Lease) -> None:
            for n in range(1, 60):
                journal.write(a_record(n, service=lease.account), lease)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write_many, (one, two), leases))
        assert len(one.events()) == 118


def test_a_takeover_waits_for_a_step_that_is_being_written(
    empty_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check of the fence and the commit, another replica would become the owner: both would act."""
    one, two = Journal.open(empty_postgresql), Journal.open(empty_postgresql)
    lease = _acquired(one, "one", 100)
    taken: list[Lease | None] = []
    thief = threading.Thread(target=lambda: taken.append(two.acquire("acc", "two", 200)))
    write_state = Journal._write_state

    def slow(self: Journal, *arguments: object) -> None:
        thief.start()
        thief.join(0.2)
        assert taken == []
        write_state(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "_write_state", slow)
    one.write(a_record(), lease)
    thief.join(5)
    assert [t.fence for t in taken if t] == [2]
    one.close()
    two.close()


# A SQLite file: the system knows whether a former owner lives.


def _hold(url: str, ready: multiprocessing.synchronize.Event) -> None:
    journal = Journal.open(url)
    journal.acquire("acc", "first", 100)
    ready.set()
    time.sleep(60)


@pytest.fixture
def holder(path: Path):  # type: ignore[no-untyped-def]
    """Another process that owns the account, by its process id."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(f"sqlite:///{path}", ready))
    process.start()
    assert ready.wait(20)
    yield process
    process.kill()
    process.join()


def test_after_kill_9_the_account_is_taken_over_at_once(path: Path, holder: multiprocessing.Process) -> None:
    """A restart after a crash would stand idle for 15 seconds of an incident."""
    assert holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with Journal.open(f"sqlite:///{path}") as journal:
        lease = _acquired(journal, "second", 101)
        assert journal.alone
        assert lease.fence > 1


def test_a_living_owner_is_waited_for(path: Path, holder: multiprocessing.Process) -> None:
    """A second daemon started by mistake would throw the first one out."""
    with Journal.open(f"sqlite:///{path}") as journal:
        assert journal.acquire("acc", "second", 101) is None
        assert not journal.alone
        assert _acquired(journal, "second", 115).fence == 2


def test_a_former_owner_that_was_not_alone_does_not_pass_for_dead(path: Path) -> None:
    """With two daemons on one file, a third would take over the account of one that lives, if the other died."""
    url = f"sqlite:///{path}"
    one, two = Journal.open(url), Journal.open(url)
    _acquired(one, "one", 100, "a")
    _acquired(two, "two", 100, "b")
    one.close()
    with Journal.open(url) as three:
        assert three.acquire("b", "three", 101) is None
        assert not three.alone
    two.close()


def test_looking_at_a_journal_does_not_count_as_living(path: Path) -> None:
    """`notaus status` running at the wrong moment would make a restarted daemon wait."""
    url = f"sqlite:///{path}"
    dead = Journal.open(url)
    _acquired(dead, "dead", 100)
    dead.close()
    with Journal.open(url) as looker, Journal.open(url) as daemon:
        assert looker.holder("acc", 101) is not None
        assert _acquired(daemon, "daemon", 101)
        assert daemon.alone


def test_the_dead_have_no_share_of_the_accounts(path: Path) -> None:
    """After a crash, half of the accounts would be left to a daemon that is no more."""
    url = f"sqlite:///{path}"
    dead = Journal.open(url)
    dead.announce("dead", ["acc"], 100)
    dead.close()
    with Journal.open(url) as journal:
        assert set(journal.announce("daemon", ["acc"], 101).replicas) == {"daemon"}


def test_two_owners_in_one_process_keep_to_expiry(journal: Journal) -> None:
    """Two replicas simulated on one journal would snatch the account from each other."""
    _acquired(journal, "one", 100)
    assert journal.acquire("acc", "two", 101) is None
    assert _acquired(journal, "two", 115).fence == 2


def test_a_lock_file_that_cannot_be_made_is_told(path: Path) -> None:
    """A daemon would run without knowing whether another does."""
    with Journal.open(f"sqlite:///{path}") as journal:
        lock = path.with_name(path.name + ".lock")
        lock.mkdir()
        with pytest.raises(JournalFailed, match="lock file"):
            journal.acquire("acc", "one", 100)
        lock.rmdir()
        assert _acquired(journal, "one", 100)
