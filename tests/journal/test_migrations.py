"""Journals of every release can be opened, and a new one has the tables that the migrations lead to."""

from __future__ import annotations

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from notaus.errors import JournalFailed
from notaus.journal import Journal, database
from notaus.journal.schema import HEAD, metadata

from .records import a_full_record


def _migrated(url: str, revision: str) -> Any:
    """An engine on a store that was brought to `revision` by migrations alone."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        command.upgrade(database.migrations(connection), revision)
    return engine


def test_the_migrations_lead_to_the_tables_of_this_release(shared_url: str) -> None:
    """An upgraded journal would lack a column that a new one has."""
    with _migrated(shared_url, "head").connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": database.VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_a_new_sqlite_journal_has_the_very_definitions_that_migrations_make(tmp_path: Path) -> None:
    """What a comparison of columns does not see would differ: partial indexes, autoincrement, row ids."""
    _migrated(f"sqlite:///{tmp_path}/migrated", "head").dispose()
    Journal.open(f"sqlite:///{tmp_path}/new").close()
    assert _definitions(tmp_path / "new") == _definitions(tmp_path / "migrated")


def test_the_newest_migration_is_the_one_that_new_journals_are_marked_with() -> None:
    """A new journal would be migrated again at its second start."""
    with create_engine("sqlite://").connect() as connection:
        assert ScriptDirectory.from_config(database.migrations(connection)).get_heads() == [HEAD]


def test_a_journal_of_the_first_release_is_opened_with_what_it_holds(shared_url: str) -> None:
    """An upgrade would lose the incident that is going on."""
    engine = _migrated(shared_url, "0001")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO events (service, at, kind, body) VALUES ('pix-immo', 1, 'Started', '{}')"))
        connection.execute(text("INSERT INTO states VALUES ('pix-immo', '{\"rung\": \"reduced\"}', 1, 1)"))
        connection.execute(text("INSERT INTO leases VALUES ('acc', 'old', 7, 100.0)"))
    engine.dispose()
    with Journal.open(shared_url) as journal:
        assert journal.state("pix-immo") == {"rung": "reduced"}
        lease = journal.acquire("acc", "new", 200)
        assert lease is not None
        assert lease.fence == 8
        assert journal.write(a_full_record(), lease) == 2


def test_a_journal_that_is_behind_is_migrated(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new release would run on old tables."""
    _migrated(shared_url, "0001").dispose()
    seen: list[str] = []
    monkeypatch.setattr(database, "HEAD", "0002")
    monkeypatch.setattr(command, "upgrade", lambda config, revision: seen.append(revision))
    Journal.open(shared_url).close()
    assert seen == ["head"]


def test_a_journal_of_a_newer_release_is_refused_and_left_alone(shared_url: str) -> None:
    """A downgrade would write into tables it does not know."""
    Journal.open(shared_url).close()
    engine = create_engine(shared_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {database.VERSION_TABLE} SET version_num = '0999'"))
    with pytest.raises(
        JournalFailed, match=r"a newer release wrote it \(tables 0999; this release knows up to .*run that"
    ):
        Journal.open(shared_url)
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {database.VERSION_TABLE}")) == "0999"


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    """A wrong path would put our tables among somebody's."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE moz_places (id INTEGER)")
    with pytest.raises(JournalFailed, match=r"not notaus' \(moz_places\): point the store"):
        Journal.open(f"sqlite:///{path}")
    assert [name for name, _ in _definitions(path)] == ["moz_places"]


def test_of_many_that_open_a_new_store_at_once_one_makes_the_tables(shared_url: str) -> None:
    """Replicas that start together would fail on tables that the other has just made."""
    with ThreadPoolExecutor(6) as pool:
        journals = list(pool.map(Journal.open, [shared_url] * 6))
    for n, journal in enumerate(journals, start=1):
        assert journal.write(a_full_record(15 * n)) == n
        journal.close()


def test_opening_in_memory_takes_no_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scenario would pay for Alembic."""
    monkeypatch.setattr(command, "upgrade", None)
    Journal.open("sqlite://").close()
    start = time.perf_counter()
    for _ in range(5):
        Journal.open("sqlite://").close()
    assert (time.perf_counter() - start) / 5 < 0.5


def _definitions(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return sorted((name, _normal(sql)) for name, sql in rows if name != "sqlite_sequence")


def _normal(definition: str) -> str:
    """Without differences in spacing and quotes."""
    return re.sub(r"\s*([(),])\s*", r"\1", re.sub(r'[\s"]+', " ", definition))
