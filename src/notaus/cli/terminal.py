"""What people see, and what machines read: rich on the terminal, JSON on standard output, errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 200
NO = 1
"""Exit code: the answer is no."""
WRONG = 2
"""Exit code: usage or configuration."""


def console(most: int = WIDE) -> Console:
    """Standard output for people; into a file or a pipe, lines may have `most` columns."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else most)


def escape(text: str) -> str:
    """As it stands, where rich would read marks."""
    return text.replace("[", r"\[")


def errors() -> Console:
    """Standard error for people."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def emit(document: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def emit_line(document: Any) -> None:
    """One line of JSON lines."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def complain(error: Exception) -> None:
    """Say what is wrong: on standard error for people, and as JSON where the answer was to be JSON."""
    said = problems(error)
    if "--json" in sys.argv[1:]:
        emit({"error": said[0] if len(said) == 1 else f"{len(said)} problems", "problems": said})
    for line in said:
        sys.stderr.write(f"notaus: {line}\n")


def problems(error: Exception) -> list[str]:
    """Every problem of an error, one text each, without secrets."""
    from notaus.log import scrub

    found = getattr(error, "problems", None)
    return [scrub(str(each)) for each in found] if found else [scrub(str(error)) or type(error).__name__]


def table(*columns: str, title: str | None = None) -> Table:
    """A table in the house's style."""
    from rich import box
    from rich.table import Table

    made = Table(*columns, title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
    return made


def clock(at: float | None) -> str:
    """A time as people read it, UTC."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A stretch of time, in its two largest units."""
    whole = int(seconds)
    for size, unit, lesser, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // lesser
            return f"{whole // size}{unit}" + (f" {rest}{small}" if rest else "")
    return f"{whole}s"


def joined(parts: Iterable[str | None]) -> str:
    """The parts that are there, with commas."""
    return ", ".join(part for part in parts if part)
