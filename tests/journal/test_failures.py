"""What a journal says when it cannot write, and that it goes on by itself once it can."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import threading
import time
import traceback
from pathlib import Path

import pytest

from notaus.errors import JournalFailed
from notaus.journal import Journal, database

from .records import a_full_record, a_record

BIG = {"text": "x" * 200_000}
SECRET = "".join(("ge", "heim"))
"""In parts, so that a traceback does not show it as a line of these tests."""


def _page_limit(journal: Journal, pages: int) -> None:
    with journal._database.transaction() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_full_disk_is_told_leaves_nothing_and_passes(kind: str, path: Path) -> None:
    """The daemon would act without a record, or stay deaf after room was made."""
    with Journal.open("sqlite://" if kind == "memory" else f"sqlite:///{path}") as journal:
        journal.write(a_record(15))
        _page_limit(journal, 40)
        with pytest.raises(JournalFailed, match="the disk is full: make room"):
            journal.write(a_record(30, event=BIG))
        assert [e.at for e in journal.events()] == [15]
        assert journal.state("pix-immo") == {"at": 15}
        _page_limit(journal, 10_000)
        journal.write(a_record(30, event=BIG))
        assert journal.state("pix-immo") == {"at": 30}


def test_a_limit_on_file_sizes_is_told_and_passes(path: Path) -> None:
    """A quota would end in a traceback, and in a daemon that must be restarted."""
    with Journal.open(f"sqlite:///{path}") as journal:
        journal.write(a_record(15))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name(path.name + "-wal").stat().st_size + 8192, hard))
        try:
            with pytest.raises(JournalFailed, match=r"a limit on file sizes|the disk is full"):
                journal.write(a_record(30, event=BIG))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert journal.state("pix-immo") == {"at": 15}
        journal.write(a_record(30, event=BIG))
        assert journal.state("pix-immo") == {"at": 30}


def test_a_locked_file_is_told_and_passes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's open transaction would hang the daemon, or cost it the journal for good."""
    monkeypatch.setattr(database, "_BUSY_MS", 20)
    with Journal.open(f"sqlite:///{path}") as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFailed, match="another process has it locked"):
            journal.write(a_record(15))
        assert journal.state("pix-immo") is None  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        assert journal.write(a_record(15)) == 1


def test_a_locked_file_is_waited_for_a_little(path: Path) -> None:
    """The command line writing at the same moment would cost a step."""
    with Journal.open(f"sqlite:///{path}") as journal:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.05, lambda: other.execute("ROLLBACK")).start()
        assert journal.write(a_record(15)) == 1
        other.close()


def test_a_damaged_file_is_told_and_one_restored_under_it_is_taken_up(path: Path) -> None:
    """A restored backup would need a restart in the middle of the night."""
    journal = Journal.open(f"sqlite:///{path}")
    for n in range(1, 20):
        journal.write(a_full_record(15 * n))
    journal.close()  # writes everything into the one file
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    journal = Journal.open(f"sqlite:///{path}")
    _overwrite(path, start=4096, bytes=path.stat().st_size - 4096)
    with pytest.raises(JournalFailed, match="it is damaged: restore it from a backup"):
        _write_many(journal)
    for leftover in path.parent.glob(path.name + "*"):
        leftover.unlink()
    shutil.copy(backup, path)
    journal.write(a_record(3000))
    assert [e.at for e in journal.events()][-2:] == [285, 3000]
    journal.close()


def test_a_file_exchanged_for_an_empty_one_after_a_failure_gets_its_tables(path: Path) -> None:
    """Moving a damaged journal away, as the message says, would end in "no such table"."""
    journal = Journal.open(f"sqlite:///{path}")
    journal.write(a_record(15))
    journal._database._engine.dispose()  # or the next reads would come from its cache
    _overwrite(path, start=0, bytes=path.stat().st_size)
    with pytest.raises(JournalFailed, match="it is not a SQLite database"):
        journal.write(a_record(30))
    for leftover in path.parent.glob(path.name + "*"):
        leftover.unlink()
    assert journal.write(a_record(900)) == 1
    journal.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    """A wrong path would destroy somebody's file, or end in a traceback."""
    content = b"this is a letter, not a database" * 99
    path.write_bytes(content)
    with pytest.raises(JournalFailed, match="it is not a SQLite database: point the store"):
        Journal.open(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    """The store set to a directory would end in a traceback."""
    with pytest.raises(JournalFailed, match="it cannot be opened: check that its directory"):
        Journal.open(f"sqlite:///{tmp_path}")


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A mistyped path would end in a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalFailed, match="its directory cannot be made"):
        Journal.open(f"sqlite:///{tmp_path}/file/journal")


def test_a_read_only_database_is_told_and_passes(path: Path) -> None:
    """A file system remounted read-only would end in a traceback, and need a restart once it is writable."""
    with Journal.open(f"sqlite:///{path}") as journal:
        journal.write(a_record(15))
        with journal._database.transaction() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        with pytest.raises(JournalFailed, match="it is read-only: check the permissions"):
            journal.write(a_record(30))
        assert journal.write(a_record(30)) == 2


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_file_without_permission_is_told(path: Path) -> None:
    """Running as another user than yesterday would end in a traceback."""
    Journal.open(f"sqlite:///{path}").close()
    path.chmod(0o400)
    with pytest.raises(JournalFailed, match="it is read-only"):
        Journal.open(f"sqlite:///{path}")


@pytest.mark.parametrize("url", [f"mysql://u:{SECRET}@h/d", "/var/lib/notaus", "", "sqlite"])
def test_a_store_that_is_neither_sqlite_nor_postgresql_is_refused_with_what_would_be_right(url: str) -> None:
    """A mistake in the settings could not be found from its message; or the message would tell the password."""
    with pytest.raises(JournalFailed, match="the store must be sqlite:///FILE") as refusal:
        Journal.open(url)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_an_unreachable_postgresql_is_told_in_time_without_its_password() -> None:
    """The daemon would hang at start, or write the password to its log."""
    pytest.importorskip("psycopg")
    start = time.monotonic()
    with pytest.raises(
        JournalFailed, match=r"postgresql\+psycopg://notaus:(\*\*\*|\[redacted\])@127.0.0.1:1/db"
    ) as failure:
        Journal.open(f"postgresql://notaus:{SECRET}@127.0.0.1:1/db")
    assert time.monotonic() - start < 10
    assert SECRET not in "".join(traceback.format_exception(failure.value))


def test_values_never_appear_in_a_failure(path: Path) -> None:
    """A value that somebody must not see would be in the log by way of the traceback."""
    with Journal.open(f"sqlite:///{path}") as journal:
        _page_limit(journal, 40)
        with pytest.raises(JournalFailed) as failure:
            journal.write(a_record(15, kind=SECRET, event=BIG))
        assert SECRET not in "".join(traceback.format_exception(failure.value))


def test_a_lost_connection_is_replaced(empty_postgresql: str) -> None:
    """A restart of PostgreSQL would need one of the daemon."""
    import psycopg

    with Journal.open(empty_postgresql) as journal:
        journal.write(a_record(15))
        with psycopg.connect(empty_postgresql, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'notaus'")
        journal.write(a_record(30))
        assert journal.state("pix-immo") == {"at": 30}


def test_a_connection_lost_in_the_middle_of_a_step_leaves_nothing(
    empty_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover of PostgreSQL would leave half a step, or a journal that never works again."""
    import psycopg

    def cut(self: Journal, connection: object, *_: object) -> None:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()  # type: ignore[attr-defined]
        with psycopg.connect(empty_postgresql, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        connection.exec_driver_sql("SELECT 1")  # type: ignore[attr-defined]

    with Journal.open(empty_postgresql) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_write_samples", cut)
            with pytest.raises(JournalFailed):
                journal.write(a_full_record(15))
        assert journal.events() == []
        journal.write(a_full_record(15))
        assert journal.state("pix-immo") == {"at": 15}


def _write_many(journal: Journal) -> None:
    for n in range(1, 20):
        journal.write(a_full_record(1500 * n))


def _overwrite(path: Path, start: int, bytes: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * bytes)
