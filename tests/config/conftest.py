"""A configuration directory that a test may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from .texts import BOOKS, DAEMON, PIX


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the repository's own configuration."""
    (tmp_path / "services").mkdir()
    (tmp_path / "notaus.yaml").write_text(DAEMON, encoding="utf-8")
    (tmp_path / "services/pix-immo.yaml").write_text(PIX, encoding="utf-8")
    (tmp_path / "services/bookstrack.yaml").write_text(BOOKS, encoding="utf-8")
    return tmp_path
