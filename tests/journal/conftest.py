"""Journals to test with, in every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from notaus.journal import Journal


@pytest.fixture(params=["memory", "file", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of store in turn."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgresql"))
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/journal.sqlite"


@pytest.fixture(params=["file", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of store that two processes can share."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgresql"))
    return f"sqlite:///{tmp_path}/journal.sqlite"


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    with Journal.open(url) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite journal is to be."""
    return tmp_path / "journal.sqlite"
