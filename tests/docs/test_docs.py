"""The documentation says what the program does: every command, phase and generated page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from notaus.core.incident import Phase

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The commands that `notaus --help` lists."""
    shown = subprocess.run(
        [sys.executable, "-m", "notaus", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return re.findall(r"^│ ([a-z]+)  ", shown, re.MULTILINE)


def test_the_readme_names_every_command_that_works() -> None:
    """A command nobody knows of is no help at 3 a.m."""
    later = {"backtest"}
    found = commands()
    assert len(found) > 15
    missing = [name for name in found if name not in later and not re.search(rf"`(notaus )?{name}\b", README)]
    assert missing == []


def test_the_page_about_incidents_is_drawn_from_the_table() -> None:
    """The diagram would show moves that the program does not make."""
    page = (PROJECT / "docs/incident.md").read_text(encoding="utf-8")
    made = subprocess.run(
        [sys.executable, str(PROJECT / "dev/incident.py")], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert page == made, "run `make docs`"
    assert all(f"`{phase}`" in page for phase in Phase)


@pytest.mark.parametrize("page", sorted(p.name for p in (PROJECT / "docs").glob("*.md")))
def test_every_link_between_pages_leads_somewhere(page: str) -> None:
    """A reader would end nowhere."""
    path = PROJECT / "docs" / page
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """The first page a person sees."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def runbook_rows() -> list[list[str]]:
    """The rows of `docs/runbooks.md`, cell by cell, without the heads of its tables."""
    page = (PROJECT / "docs/runbooks.md").read_text(encoding="utf-8")
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if not row[0].startswith(" the runbook says")]


def is_there(shown: str) -> bool:
    """Whether a test (`tests/file.py`, `tests/file.py::name`) or a scenario (`NN-name`) exists."""
    if not shown.startswith("tests/"):
        return (PROJECT / "tests/scenarios" / f"{shown}.yaml").exists()
    file, _, name = shown.partition("::")
    path = PROJECT / file
    return path.exists() and (not name or f"def {name}(" in path.read_text(encoding="utf-8"))


def test_every_row_of_the_runbooks_page_is_shown_by_something_that_exists() -> None:
    """The page would promise what nothing checks; a row of which nothing is named keeps the work with people, and says so."""
    rows = runbook_rows()
    assert len(rows) > 90
    assert [row for row in rows if len(row) != 4] == []
    named = [(row[0], each) for row in rows for each in re.findall(r"`([^`]+)`", row[3])]
    assert [row[0] for row in rows if "`" not in row[3] and not row[1].startswith(("people", "not yet"))] == []
    assert [(row, each) for row, each in named if not is_there(each)] == []


def test_the_runbooks_page_names_commands_that_exist() -> None:
    """In the middle of the night somebody would type it."""
    known = set(commands())
    named = {word for row in runbook_rows() for cell in row[1:3] for word in re.findall(r"`notaus ([a-z]+)", cell)}
    assert "restore" in named
    assert named <= known
