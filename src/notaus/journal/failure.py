"""What a database says when it fails, in words that tell a person what to do."""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from notaus.errors import JournalFailed, JournalRefused, JournalSilent

_SQLITE = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_READONLY": "it is read-only: check the permissions of the file and of its directory",
    "SQLITE_CANTOPEN": "it cannot be opened: check that its directory exists and may be written to",
    "SQLITE_PERM": "access is denied: check the permissions of the file",
    "SQLITE_NOTADB": "it is not a SQLite database: point the store elsewhere, or restore the file from a backup",
    "SQLITE_CORRUPT": "it is damaged: restore it from a backup, or move it away to start a new one",
    "SQLITE_BUSY": "another process has it locked",
    "SQLITE_LOCKED": "another connection has it locked",
    "SQLITE_IOERR": "reading or writing it failed: the disk is full or failing, or a limit on file sizes is reached",
}
_POSTGRESQL = {
    "53100": "its disk is full: make room",
    "53300": "it has no connections left: raise max_connections",
    "25006": "it is read-only: connect to the primary",
    "42501": "access is denied: the role must be allowed to create and write tables",
    "28P01": "it refused the password",
    "28000": "it refused the role",
    "3D000": "there is no such database: create it",
    "57014": "it took too long to answer",
    "55P03": "another session holds a lock for too long",
}
_TRANSIENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CONSTRAINT")


def failure(error: SQLAlchemyError, name: str, *, begun: bool) -> JournalFailed:
    """What a transaction on the journal `name` ended in; `begun` is whether it had a connection."""
    text = f"the journal {name}: {reason(error)}"
    if isinstance(error, (IntegrityError, DataError)):
        return JournalRefused(text)
    # A refusal is an answer. A connection may break while the answer to a commit is on its way.
    silent = isinstance(error, DBAPIError) and (error.connection_invalidated or _code(error.orig) is None)
    return JournalSilent(text) if begun and silent else JournalFailed(text)


def reason(error: SQLAlchemyError) -> str:
    """Why, and what would help. Never names values, nor the store's password."""
    if not isinstance(error, DBAPIError):
        return f"no connection was to be had ({type(error).__name__})"
    known = _known(error.orig)
    said = str(error.orig).strip().partition("\n")[0]
    return f"{known} ({said})" if known else said or type(error.orig).__name__


def needs_new_connection(error: SQLAlchemyError) -> bool:
    """Whether to start from a new connection and look at the tables again: the file may be repaired or exchanged."""
    name = getattr(error.orig, "sqlite_errorname", "") if isinstance(error, DBAPIError) else ""
    return not name.startswith(_TRANSIENT)


def _code(error: BaseException | None) -> str | None:
    """SQLite's name of what went wrong, or PostgreSQL's number."""
    return getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)


def _known(error: BaseException | None) -> str | None:
    code = _code(error) or ""
    # Extended names, such as SQLITE_IOERR_WRITE, begin with the plain one.
    return next((text for plain, text in _SQLITE.items() if code.startswith(plain)), _POSTGRESQL.get(code))
