"""The database source against SQLite and a real PostgreSQL: what a number is, that nothing is written, what a hang does."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from notaus.config.sources import Database, Entry
from notaus.database import engine_of, value_of
from notaus.errors import ReadFailed
from notaus.sources.database import DatabaseReader

from .conftest import NOW, Lab

SECRET = "s3cr3t/pass word"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with three upload intents, two of them orphaned."""
    there = request.param == "sqlite"
    made = f"sqlite:///{tmp_path}/intents.db" if there else str(request.getfixturevalue("empty_postgresql"))
    fill(made)
    return made


def fill(url: str) -> None:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE upload_intents (id int, orphaned_at timestamp, note varchar(20))")
        for id, orphaned in ((1, None), (2, "2026-11-24 12:00:00"), (3, "2026-11-24 12:00:00")):
            connection.execute(
                sqlalchemy.text("INSERT INTO upload_intents VALUES (:id, CAST(:at AS timestamp), 'x')"),
                {"id": id, "at": orphaned},
            )
    engine.dispose()


def entry(lab: Lab, url: str, query: str, **more: Any) -> Entry:
    return lab.entry(Database(url, query, **more), "intents", name="intents", settle=0)


async def value(lab: Lab, url: str, query: str, **more: Any) -> Fraction | None:
    lab.readers.clear()  # one that has not asked yet
    (sample,) = (await lab.read(entry(lab, url, query, **more)))["intents"]
    assert sample.at == NOW
    return sample.value


async def failure(lab: Lab, url: str, query: str, **more: Any) -> str:
    with pytest.raises(ReadFailed) as failed:
        await value(lab, url, query, **more)
    return str(failed.value)


async def test_a_number_is_the_value(lab: Lab, url: str) -> None:
    """The rule on orphaned intents could not be evaluated."""
    assert await value(lab, url, "SELECT count(*) FROM upload_intents WHERE orphaned_at IS NOT NULL") == 2
    assert await value(lab, url, "SELECT 0.1") == Fraction(1, 10)
    assert await value(lab, url, "SELECT 2.5", percent=True) == Fraction(25, 1000)
    assert await value(lab, url, "SELECT count(*) > 1 FROM upload_intents") == 1
    assert await value(lab, url, "SELECT count(*) FROM upload_intents WHERE note LIKE '%x%'") == 3


async def test_null_and_no_row_are_unknown(lab: Lab, url: str) -> None:
    """A failing query's emptiness would pass for 0 orphaned intents."""
    assert await value(lab, url, "SELECT max(id) FROM upload_intents WHERE id > 9") is None
    assert await value(lab, url, "SELECT id FROM upload_intents WHERE id > 9") is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id, note FROM upload_intents WHERE id = 1", "gives 2 columns; it must give one number"),
        ("SELECT id FROM upload_intents", "gives more than one row; it must give one number"),
        ("SELECT note FROM upload_intents WHERE id = 1", "gives str 'x', and must give a number"),
        ("SELECT nothing FROM upload_intents", "nothing"),
    ],
)
async def test_what_is_no_number_is_told(lab: Lab, url: str, query: str, said: str) -> None:
    """Nobody would find out why the rule is blind."""
    assert said in await failure(lab, url, query)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM upload_intents",
        "INSERT INTO upload_intents VALUES (4, NULL, 'y')",
        "DROP TABLE upload_intents",
        "SELECT 1; DELETE FROM upload_intents",
        "COMMIT; DELETE FROM upload_intents",
        "SET TRANSACTION READ WRITE",
        "PRAGMA query_only = OFF",
    ],
)
async def test_a_query_that_writes_is_refused(lab: Lab, url: str, query: str) -> None:
    """The guard would change the data that it guards."""
    assert await failure(lab, url, query)
    assert await value(lab, url, "SELECT count(*) FROM upload_intents") == 3


async def test_a_writing_function_is_refused_by_postgresql(lab: Lab, empty_postgresql: str) -> None:
    """A SELECT can write, too."""
    fill(empty_postgresql)
    engine = sqlalchemy.create_engine(empty_postgresql.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION purge() RETURNS int LANGUAGE sql AS 'DELETE FROM upload_intents; SELECT 1'"
        )
    engine.dispose()
    assert "read-only transaction" in await failure(lab, empty_postgresql, "SELECT purge()")


async def test_only_the_newest_time_is_asked_for(lab: Lab, url: str) -> None:
    """A backfill would tell the past by the present, with a query for each grid time."""
    asked = entry(lab, url, "SELECT 7")
    found = await lab.read(asked, NOW - 30, NOW - 15, NOW)
    assert [s.value for s in found["intents"]] == [None, None, 7]
    assert [s.value for s in (await lab.read(asked, NOW - 15, NOW))["intents"]] == [None, 7]
    lab.clock.time = NOW + 900
    assert [s.value for s in (await lab.read(asked, NOW + 15))["intents"]] == [None]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_statement_that_takes_too_long_is_ended_where_it_runs(
    lab: Lab, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Queries that nobody waits for would pile up in the database."""
    if kind == "sqlite":
        url, query, said = f"sqlite:///{tmp_path}/a.db", ENDLESS, "interrupted"
        sqlite3.connect(tmp_path / "a.db").execute("CREATE TABLE a (b)")
    else:
        url, query, said = str(request.getfixturevalue("empty_postgresql")), "SELECT pg_sleep(60)", "statement timeout"
    assert said in await failure(lab, url, query, timeout=0.2)


class Hanging:
    """Queries that hang until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.begun = 0
        monkeypatch.setattr("notaus.sources.database.value_of", self._value_of)

    def _value_of(self, *arguments: Any) -> object:
        self.begun += 1
        self.gate.wait(10)
        return value_of(*arguments)


async def test_a_database_that_hangs_is_left_alone_until_it_answers(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tick would leave another thread and another connection behind, and the loop would wait for them."""
    hanging = Hanging(monkeypatch)
    reader = DatabaseReader(lab.context)
    asked = entry(lab, url, "SELECT 7")
    first = asyncio.create_task(reader.read(asked, (NOW,)))
    await until(lambda: hanging.begun == 1)  # the loop turns all the while
    for _ in range(2):
        with pytest.raises(ReadFailed, match="the query before has not ended yet"):
            await reader.read(asked, (NOW,))
        first.cancel()
    assert hanging.begun == 1
    hanging.gate.set()
    await until(lambda: not reader._running)
    assert (await reader.read(asked, (NOW + 15,)))["intents"][0].value == 7


async def test_an_answer_is_not_waited_for_longer_than_its_time(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not end the statement would hold the tick up."""
    monkeypatch.setattr("notaus.sources.database.GRACE", 0.0)
    hanging = Hanging(monkeypatch)
    reader = DatabaseReader(lab.context)
    with pytest.raises(ReadFailed, match=r"the database of intents: no answer within 0\.01 s"):
        await reader.read(entry(lab, url, "SELECT 7", timeout=0.01), (NOW,))
    hanging.gate.set()


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 (a thread makes it so)
        await asyncio.sleep(0)


async def test_an_error_never_shows_the_password(lab: Lab, empty_postgresql: str) -> None:
    """It would stand in the log, on pages and in the journal."""
    from urllib.parse import quote

    wrong = empty_postgresql.replace("notaus@", f"nobody:{quote(SECRET, safe='')}@")
    said = await failure(lab, wrong, "SELECT 1")
    assert "nobody" in said
    for spelling in (SECRET, quote(SECRET, safe=""), "s3cr3t"):
        assert spelling not in said
    said = await failure(lab, f"postgresql://a:{quote(SECRET, safe='')}@127.0.0.1:1/x", "SELECT 1", timeout=0.5)
    assert "s3cr3t" not in said
    assert "s3cr3t" not in repr(Database(wrong, "SELECT 1"))


async def test_the_password_is_masked_where_the_database_repeats_it(lab: Lab) -> None:
    """A query may hold it, and drivers quote the query."""
    said = await failure(lab, "sqlite:////nowhere/at/all.db", "SELECT 1")
    assert "unable to open database file" in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://a@b/c", "the driver MySQLdb is not installed: pip install"),
        ("nosuch://a@b/c", "`nosuch` is no database that SQLAlchemy knows"),
        ("sqlite://", "the URL names no file; write sqlite:////path/to/file"),
        ("not a url", "the URL cannot be read; write kind://user@host/name"),
    ],
)
async def test_a_url_that_cannot_be_used_says_what_would_help(lab: Lab, url: str, said: str) -> None:
    """People would search the log of SQLAlchemy."""
    assert said in await failure(lab, url, "SELECT 1")


def test_a_missing_driver_of_postgresql_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first error of whoever installed notaus without it."""
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReadFailed, match=r"pip install 'notaus\[postgresql\]'"):
        engine_of("postgres://a@b/c", 1)


class Recorded:
    """A driver of MySQL or MariaDB that writes down what it is told, and answers each query with 7."""

    Error = OperationalError = ProgrammingError = InterfaceError = Exception
    paramstyle, version_info, VERSION = "format", (2, 2, 0), (1, 1, 0)

    def __init__(self, version: str) -> None:
        self.version, self.told = version, list[str]()
        self.description: list[tuple[str | None, ...]] = [("n", *[None] * 6)]

    def connect(self, *_: Any, **__: Any) -> Recorded:
        return self

    def cursor(self, *_: Any) -> Recorded:
        return self

    def execute(self, statement: str, *_: Any) -> None:
        self.told.append(statement)

    def fetchone(self) -> tuple[str]:
        return (self.version if self.told[-1] == "SELECT VERSION()" else "0",)

    def fetchall(self) -> list[tuple[str]]:
        return [self.fetchone()]

    def fetchmany(self, _: int) -> list[tuple[int]]:
        return [(7,)]

    def rollback(self) -> None:
        self.told.append("ROLLBACK")

    def character_set_name(self) -> str:
        return "utf8mb4"

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("url", "version", "deadline"),
    [
        ("mysql+pymysql", "8.0.36", "SET SESSION MAX_EXECUTION_TIME = 1500"),
        ("mysql+pymysql", "10.11.6-MariaDB", "SET SESSION max_statement_time = 1.5"),
        ("mariadb+pymysql", "11.4.2-MariaDB", "SET SESSION max_statement_time = 1.5"),
    ],
)
def test_mysql_and_mariadb_are_told_the_deadline_each_in_its_own_words(url: str, version: str, deadline: str) -> None:
    """Queries that nobody waits for would pile up in the database; MariaDB knows no MAX_EXECUTION_TIME, MySQL no other."""
    server = Recorded(version)
    engine = sqlalchemy.create_engine(f"{url}://a@b/c", module=server, poolclass=sqlalchemy.NullPool)
    assert value_of(engine, "SELECT 7", 1.5) == 7
    begun = server.told.index("START TRANSACTION READ ONLY")
    assert server.told[begun + 1 : begun + 4] == [deadline, "SELECT 7", "ROLLBACK"]
