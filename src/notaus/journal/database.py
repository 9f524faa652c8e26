"""The database under the journal: opened, brought to this release's tables, and begun and ended in transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from notaus.errors import JournalFailed, JournalRefused, JournalSilent
from notaus.journal.failure import failure, needs_new_connection
from notaus.journal.lines import Lines
from notaus.journal.schema import HEAD, metadata

VERSION_TABLE = "notaus_version"
"""Where Alembic keeps the number of the newest migration applied."""

_BUSY_MS = 2000
"""SQLite is called inline: no longer than the daemon may stall."""
_MIGRATION_LOCK = 0x6E6F74617573
"""PostgreSQL advisory lock: two replicas that start at once must not both create the tables."""
DEADLINE = 5.0
"""Seconds within which PostgreSQL must have carried a transaction out: a third of a lease."""
MIGRATION_DEADLINE = 300.0
"""At the start, before anything is guarded."""
_POSTGRESQL_CONNECT: dict[str, Any] = {
    "application_name": "notaus",
    "connect_timeout": 3,
    "tcp_user_timeout": 5_000,
}
# A session whose client is gone lets go of the lease's row before the lease runs out, so that a successor can have it.
_POSTGRESQL_OPTIONS = "-c statement_timeout=4000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=5000"


class Database:
    """Transactions on one SQLite file, a SQLite database in memory, or PostgreSQL. Every failure is a JournalFailed."""

    def __init__(self, url: str, *, prepare: bool = True) -> None:
        """With `prepare`, the tables are made or brought to this release's; else they are taken as they are."""
        parsed = _parse(url)
        self.dialect = parsed.get_backend_name()
        self.path = _path(parsed)
        """The SQLite file; None in memory and for PostgreSQL."""
        self.name = str(self.path or parsed.set(query={}).render_as_string(hide_password=True))
        self._ready = not prepare
        self._in_memory = self.dialect == "sqlite" and self.path is None
        self._lines = Lines()
        self._engine = self._connect(parsed)
        # SQLite takes the write lock at the first statement, or a reader that goes on to write would have to fail.
        self._writer = self._engine.execution_options(immediate=True)
        with self.transaction(write=True):
            pass

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Connection]:
        """A connection inside a transaction: committed at the end, rolled back by any exception."""
        begun = False
        try:
            if not self._ready:
                self._prepare()
            with self._in_time(DEADLINE), (self._writer if write else self._engine).begin() as connection:
                begun = True
                yield connection
        except SQLAlchemyError as error:
            self._start_anew_after(error)
            raise failure(error, self.name, begun=begun) from error
        except TimeoutError as late:
            self._engine.dispose()
            text = f"the journal {self.name}: {late}"
            raise (JournalSilent(text) if begun else JournalFailed(text)) from late
        except OverflowError as error:
            raise JournalRefused(f"the journal {self.name}: a number is too large for it") from error

    def close(self) -> None:
        self._engine.dispose()

    def tried(self) -> str | None:
        """The version of the tables that are there, None where there are none, once making or upgrading them has worked.

        Nothing is kept of that. Raises JournalFailed.
        """
        with self.transaction(write=True) as connection:
            there = VERSION_TABLE in inspect(connection).get_table_names()
            version = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) if there else None
            migrate(connection, self.name)
            connection.rollback()
        return None if version is None else str(version)

    def _in_time(self, seconds: float) -> AbstractContextManager[None]:
        return self._lines.deadline(seconds) if self.dialect == "postgresql" else nullcontext()

    def _connect(self, url: URL) -> Engine:
        if self.dialect == "postgresql":
            return _postgresql(url, self._lines)
        try:
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalFailed(f"the journal {self.name}: its directory cannot be made: {error.strerror}") from error
        return _sqlite(url)

    def _prepare(self) -> None:
        with self._in_time(MIGRATION_DEADLINE), self._writer.begin() as connection:
            migrate(connection, self.name)
        self._ready = True

    def _start_anew_after(self, error: SQLAlchemyError) -> None:
        # A database in memory would be gone with its connection.
        if not self._in_memory and needs_new_connection(error):
            # A file may have been exchanged for another; a server's tables are looked for where one is missing.
            self._ready = self.dialect == "postgresql" and not isinstance(error, ProgrammingError)
            self._engine.dispose()


def migrate(connection: Connection, name: str) -> None:
    """Bring the tables to this release's, in the transaction of `connection`. Raises JournalFailed for foreign ones."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        _create(connection, name, tables)
    elif (version := connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))) != HEAD:
        _upgrade(connection, name, str(version))


def _create(connection: Connection, name: str, tables: set[str]) -> None:
    """A new journal gets the newest tables at once; a test compares them with what the migrations make."""
    foreign = tables if connection.dialect.name == "sqlite" else tables & metadata.tables.keys()
    if foreign:
        raise JournalFailed(
            f"the journal {name}: it holds tables that are not notaus' ({', '.join(sorted(foreign)[:3])}): "
            "point the store at a database of its own"
        )
    metadata.create_all(connection, checkfirst=False)
    # As Alembic makes it.
    connection.execute(
        text(
            f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:head)"), {"head": HEAD})


def _upgrade(connection: Connection, name: str, version: str) -> None:
    from alembic import command  # takes a tenth of a second, and is hardly ever needed
    from alembic.script import ScriptDirectory

    config = migrations(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version not in known:
        raise JournalFailed(
            f"the journal {name}: a newer release wrote it (tables {version}; this release knows up to {HEAD}): "
            "run that release or a newer one, or point the store elsewhere"
        )
    command.upgrade(config, "head")


def migrations(connection: Connection) -> Any:
    """Alembic's configuration for this package's migrations, to be run on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "notaus.journal:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        raise JournalFailed(_WRONG_URL) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise JournalFailed(_WRONG_URL)
    return parsed


_WRONG_URL = "the store must be sqlite:///FILE, sqlite:// (in memory) or postgresql://USER@HOST/DATABASE"


def _path(url: URL) -> Path | None:
    in_memory = url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:")
    return None if in_memory else Path(str(url.database))


def _postgresql(url: URL, lines: Lines) -> Engine:
    # What the URL says goes before what we would say.
    given = {name: value for name, value in _POSTGRESQL_CONNECT.items() if name not in url.query}
    given["options"] = f"{_POSTGRESQL_OPTIONS} {url.query.get('options', '')}"
    try:
        engine = create_engine(url, pool_pre_ping=True, pool_timeout=5, connect_args=given, hide_parameters=True)
    except ImportError as error:
        raise JournalFailed("PostgreSQL needs the package psycopg: install notaus[postgresql]") from error

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, named: Any) -> Any:
        return lines.kept(dialect.connect(*arguments, **named))

    return engine


def _sqlite(url: URL) -> Engine:
    # One connection: threads take turns, and a database in memory stays the same one.
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=5,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MS / 1000},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours to say
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode not in ("wal", "memory"):
        raise JournalFailed("the journal's file system cannot do write-ahead logging: put it on a local disk")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
