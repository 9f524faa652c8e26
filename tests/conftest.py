"""PostgreSQL for whoever needs it: one server a session, where its programs are to be had (dev/postgresql)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgresql import PostgreSQL, a_server, programs


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL that is gone after the tests."""
    found = programs()
    if found is None:
        pytest.skip("not run: PostgreSQL is not installed, and there are no Debian packages to unpack")
    with a_server(found) as server:
        yield server


@pytest.fixture
def empty_postgresql(postgresql: PostgreSQL) -> str:
    """The URL of a schema of its own in PostgreSQL."""
    return postgresql.schema()
