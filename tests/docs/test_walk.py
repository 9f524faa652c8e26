"""The walks in docs/walks are what the program does today."""

from __future__ import annotations

import pytest

from tests.docs.walk import STORIES, WALKS, walk


@pytest.mark.parametrize("service", STORIES)
def test_the_walk_through_the_runbook_is_what_happens(service: str) -> None:
    """Readers would learn a program that is no more. After a change on purpose: `make docs`, and read it."""
    files = walk(service)
    assert any(path.endswith("_incident.md") for path in files)
    different = [path for path, text in files.items() if (WALKS / path).read_text(encoding="utf-8") != text]
    assert different == []
    on_disk = {p.relative_to(WALKS).as_posix() for p in (WALKS / service).rglob("*") if p.is_file()}
    assert on_disk == {path for path in files if "/" in path}
