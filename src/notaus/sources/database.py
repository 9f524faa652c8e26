"""`database`: a scalar SQL query to the service's own database.

It only reads (a read-only transaction, rolled back at its end), off the event loop, and with a deadline on both sides:
the server ends the statement, and notaus no longer waits for it. One query of an entry is under way at a time.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from notaus.config.sources import Database, Entry
from notaus.core.sample import Readings, Sample
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.present import Present
from notaus.sources.scalar import scalar
from notaus.sources.threads import Threads

GRACE = 1.0
"""Seconds beyond the statement's own timeout after which its answer is no longer waited for."""
DRIVERS = {"postgresql": "psycopg", "postgres": "psycopg"}
"""The driver that is meant where a URL names none (`postgresql://`), if it is not SQLAlchemy's own choice."""
SQLITE_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""


class DatabaseReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._present: Present[object] = Present(context.client.clock)
        self._engines: dict[str, Engine] = {}
        self._running: set[tuple[str, str]] = set()
        self._threads = Threads()

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """One query, for the newest of `times`; older ones are as found then, or unknown. Raises ReadFailed."""
        source = _source(entry)
        found = await self._present.asked(entry, times, lambda: self._ask(entry, source))
        said = f"the database of {entry.name}"
        samples = [
            scalar(at, found[at], percent=source.percent, said=said) if at in found else Sample(at)
            for at in sorted(set(times))
        ]
        return {signal: tuple(samples) for signal in entry.signals}

    async def _ask(self, entry: Entry, source: Database) -> object:
        key = (entry.service, entry.name)
        if key in self._running:
            raise ReadFailed(f"the database of {entry.name}: the query before has not ended yet")
        engine = self._engine(entry, source)
        self._running.add(key)

        def work() -> object:
            try:
                return value_of(engine, source.query, source.timeout)
            finally:
                self._running.discard(key)

        try:
            async with asyncio.timeout(source.timeout + GRACE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise ReadFailed(f"the database of {entry.name}: no answer within {source.timeout:g} s") from None
        except SQLAlchemyError as error:
            raise ReadFailed(f"the database of {entry.name}: {reason(error, engine.url)}") from None

    def _engine(self, entry: Entry, source: Database) -> Engine:
        if source.url not in self._engines:
            try:
                self._engines[source.url] = engine_of(source.url, source.timeout)
            except ReadFailed as failed:
                raise ReadFailed(f"the database of {entry.name}: {failed}") from None
        return self._engines[source.url]


def value_of(engine: Engine, query: str, timeout: float) -> object:
    """The one value of `query`; None where it gives no row. Blocks. Raises SQLAlchemyError, ReadFailed."""
    with engine.connect() as connection:
        try:
            _restrain(connection, timeout)
            with closing(_cursor(connection)) as cursor:
                cursor.execute(query)
                if cursor.description is None:
                    raise ReadFailed("the query gives no value; it must be a SELECT of one number")
                rows = cursor.fetchmany(2)
        except connection.dialect.loaded_dbapi.Error as error:
            raise SQLAlchemyError(str(error)) from error
        finally:
            connection.rollback()
    if len(rows) > 1 or (rows and len(rows[0]) != 1):
        gives = "more than one row" if len(rows) > 1 else f"{len(rows[0])} columns"
        raise ReadFailed(f"the query gives {gives}; it must give one number")
    return rows[0][0] if rows else None


def _restrain(connection: Connection, timeout: float) -> None:
    """Nothing may be written in this transaction, and the server ends a statement that takes too long.

    All of it is said within the transaction: a connection pool between us and the server may pass nothing else on.
    """
    milliseconds = max(1, round(timeout * 1000))
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        case "mysql" | "mariadb":
            connection.exec_driver_sql("START TRANSACTION READ ONLY")
        case "oracle":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        case "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            deadline = time.monotonic() + timeout
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.set_progress_handler(lambda: int(time.monotonic() > deadline), SQLITE_STEPS)
        case _:
            """Others: rolled back at the end, and an account that may only read is the user's to give."""


def _cursor(connection: Connection) -> Any:
    """A cursor that takes one statement only: a second one could end the read-only transaction."""
    if connection.dialect.driver == "psycopg":  # binary results are what has it use PostgreSQL's extended protocol
        return connection.connection.driver_connection.cursor(binary=True)  # type: ignore[union-attr]
    return connection.connection.cursor()


def engine_of(url: str, timeout: float) -> Engine:
    """The engine behind a URL; a connection for each query. Raises ReadFailed, with what to install or to write."""
    try:
        parsed = make_url(url)
        driver = DRIVERS.get(parsed.drivername)
        if driver is not None:
            parsed = parsed.set(drivername=f"postgresql+{driver}")
        return create_engine(parsed, poolclass=NullPool, **_options(parsed, timeout))
    except NoSuchModuleError:
        kind = make_url(url).drivername
        raise ReadFailed(
            f"`{kind}` is no database that SQLAlchemy knows; its package may have to be installed"
        ) from None
    except ModuleNotFoundError as error:
        install = "pip install 'notaus[postgresql]'" if error.name == "psycopg" else f"pip install {error.name}"
        raise ReadFailed(f"the driver {error.name} is not installed: {install}") from None
    except (ArgumentError, ValueError):
        raise ReadFailed("the URL cannot be read; write kind://user@host/name") from None


def _options(url: URL, timeout: float) -> Mapping[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"creator": _opener(url, timeout)}
    if url.get_driver_name() != "psycopg":
        return {}
    patience = math.ceil(timeout)
    alive = {"keepalives_idle": patience, "keepalives_interval": 1, "keepalives_count": 3}
    return {
        "connect_args": {
            "application_name": "notaus",
            "connect_timeout": max(2, patience),  # libpq knows no less
            "tcp_user_timeout": round(timeout * 1000),
            **alive,
        }
    }


def _opener(url: URL, timeout: float) -> Callable[[], sqlite3.Connection]:
    """Opens the file for reading only; a file that is not there is not made."""
    if not url.database or url.database == ":memory:":
        raise ReadFailed("the URL names no file; write sqlite:////path/to/file")
    path = f"file:{quote(url.database)}?mode=ro"
    return lambda: sqlite3.connect(path, timeout=timeout, uri=True, check_same_thread=False)


def reason(error: SQLAlchemyError, url: URL) -> str:
    """What the driver said, in one line and without the password."""
    said = str(getattr(error, "orig", None) or error)
    line = next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    for secret in {url.password or "", quote(url.password or "", safe="")} - {""}:
        line = line.replace(str(secret), "***")
    return line


def _source(entry: Entry) -> Database:
    assert isinstance(entry.source, Database)
    return entry.source
