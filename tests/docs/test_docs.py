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
    later = {"backtest", "drill"}
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
