"""A database that goes silent in the middle of a step: it ends in time, and the step is written once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Connection

from notaus.errors import JournalFailed, JournalRefused, JournalSilent
from notaus.journal import Journal, Lease, database

from .records import a_full_record, a_record


def _lease(journal: Journal) -> Lease:
    lease = journal.acquire("acc", "one", 100)
    assert lease is not None
    return lease


def test_a_step_that_was_written_without_our_knowing_is_not_written_again(journal: Journal) -> None:
    """The record would show the step twice, and an effect that has ended since would be asked for again."""
    lease, record = _lease(journal), a_full_record(15)
    first = journal.write(record, lease)
    assert journal.write(record, lease) == first
    assert [e.id for e in journal.events()] == [first]
    second = journal.write(a_full_record(30), lease)
    assert second == first + 1
    assert [e.id for e in journal.outbox("pix-immo")] == ["pix-immo-30"]


def test_steps_that_are_alike_are_not_taken_for_one(journal: Journal) -> None:
    """A step that happens to say the same as the one before would be lost."""
    lease = _lease(journal)
    assert [journal.write(a_record(15), lease) for _ in range(3)] == [1, 2, 3]


def test_a_step_of_another_service_does_not_hide_ours(journal: Journal) -> None:
    """With two services writing in turn, the retry of one would be written twice."""
    lease, record = _lease(journal), a_record(15)
    journal.write(record, lease)
    journal.write(a_record(15, "bookstrack"), lease)
    assert journal.write(record, lease) == 1


def test_a_database_that_does_not_answer_is_hung_up_on_in_time(
    empty_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that swallows everything would hold the thread for ever, and with it every account."""

    def stuck(self: Journal, connection: Connection, *_: Any) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(3)")

    with Journal.open(empty_postgresql) as journal, monkeypatch.context() as patch:
        patch.setattr(Journal, "_write_state", stuck)
        begun = time.monotonic()
        patch.setattr(database, "DEADLINE", 0.2)
        with pytest.raises(JournalSilent, match=r"did not answer within 0\.2 s"):
            journal.write(a_record(15))
        assert time.monotonic() - begun < 20
        patch.undo()
        assert journal.write(a_record(30)) > 0
        assert journal.state("pix-immo") == {"at": 30}


def test_a_commit_whose_answer_was_lost_is_recognised(empty_postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cut between commit and answer, the step would be done over."""
    with Journal.open(empty_postgresql) as journal:
        lease, record = _lease(journal), a_full_record(15)

        def unanswered(self: Any, connection: Any) -> None:
            connection.commit()
            connection.pgconn.finish()
            connection.execute("SELECT 1")

        with monkeypatch.context() as patch:
            patch.setattr(type(journal._database._engine.dialect), "do_commit", unanswered)
            with pytest.raises(JournalSilent):
                journal.write(record, lease)
        assert len(journal.events()) == 1
        assert journal.write(record, lease) == journal.events()[0].id
        assert len(journal.events()) == 1


def test_a_refusal_is_no_silence(journal: Journal) -> None:
    """A step that can never be written would be tried for ever, and hold up every other service."""
    with pytest.raises(JournalRefused, match="the journal"):
        journal.write(a_record(15, kind=None))
    with pytest.raises(JournalRefused, match="the journal"):
        journal.write(a_record(2**70))
    assert journal.events() == []
    assert journal.write(a_record(15)) > 0


def test_a_database_that_is_down_is_no_silence(empty_postgresql: str) -> None:
    """Nothing was sent, so nothing can have been written: a person must not be told that it may have been."""
    with pytest.raises(JournalFailed) as failed:
        Journal.open("postgresql://notaus@127.0.0.1:1/db")
    assert not isinstance(failed.value, JournalSilent)
