"""Queries to databases of the user's own: a connection for each, rolled back at its end.

PostgreSQL, SQLite, MySQL and MariaDB are told to write nothing and to end a statement in time (MySQL: a SELECT); for the
last two this was not tried on a server. Oracle is told to write nothing. Of others neither is asked: we only stop waiting.
"""

from __future__ import annotations

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

from notaus.errors import ReadFailed

GRACE = 1.0
"""Seconds beyond the statement's own timeout after which its answer is no longer waited for."""
DRIVERS = {"postgresql": "psycopg", "postgres": "psycopg"}
"""The driver that is meant where a URL names none (`postgresql://`), if it is not SQLAlchemy's own choice."""
SQLITE_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""
DEADLINES = (*DRIVERS, "sqlite", "mysql", "mariadb")
"""The databases that are given a deadline which they keep themselves."""
NO_DEADLINE = (
    "Only PostgreSQL, SQLite, MySQL and MariaDB are given a deadline that the server keeps: "
    "here a statement that takes too long goes on; let the account's own limits end it"
)

Rows = Sequence[Sequence[object]]


def value_of(engine: Engine, query: str, timeout: float) -> object:
    """The one value of `query`; None where it gives no row. Blocks. Raises SQLAlchemyError, ReadFailed."""
    _, rows = rows_of(engine, query, timeout, 2)
    if len(rows) > 1 or (rows and len(rows[0]) != 1):
        gives = "more than one row" if len(rows) > 1 else f"{len(rows[0])} columns"
        raise ReadFailed(f"the query gives {gives}; it must give one number")
    return rows[0][0] if rows else None


def rows_of(engine: Engine, query: str, timeout: float, most: int) -> tuple[tuple[str, ...], Rows]:
    """The columns of `query`, and its first `most` rows. Blocks. Raises SQLAlchemyError, ReadFailed."""
    with engine.connect() as connection:
        try:
            _restrain(connection, timeout)
            with closing(_cursor(connection)) as cursor:
                cursor.execute(query)
                if cursor.description is None:
                    raise ReadFailed("the query gives no value; it must be a SELECT")
                return tuple(str(column[0]) for column in cursor.description), cursor.fetchmany(most)
        except connection.dialect.loaded_dbapi.Error as error:
            raise SQLAlchemyError(str(error)) from error
        finally:
            connection.rollback()


def _restrain(connection: Connection, timeout: float) -> None:
    """Nothing may be written in this transaction, and the server ends a statement that takes too long, where it can.

    All of it is said within the transaction: a connection pool between us and the server may pass nothing else on.
    """
    milliseconds = max(1, round(timeout * 1000))
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        case "mysql" | "mariadb":
            connection.exec_driver_sql("START TRANSACTION READ ONLY")
            if connection.dialect.is_mariadb:  # type: ignore[attr-defined]  # by its version, whatever the URL says
                connection.exec_driver_sql(f"SET SESSION max_statement_time = {milliseconds / 1000}")
            else:
                connection.exec_driver_sql(f"SET SESSION MAX_EXECUTION_TIME = {milliseconds}")
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


def keeps_deadline(url: str) -> bool:
    """Whether the server behind a URL ends a statement that takes too long. A URL that cannot be read is no reason to doubt."""
    try:
        return make_url(url).get_backend_name() in DEADLINES
    except ArgumentError:
        return True


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
