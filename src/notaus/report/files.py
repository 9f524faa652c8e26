"""The document as files: Markdown with its charts beside it. Written whole, and never over what a person has edited."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from notaus.core.incident import Incident
from notaus.core.service import Service
from notaus.errors import NotausError
from notaus.log import scrub

_NAMED = re.compile(r"\*\*Incident:\*\* `([^`]+)`")


@dataclass(frozen=True, slots=True)
class Document:
    """A document and its charts (file name to SVG), which lie in a directory of the document's name."""

    incident: str
    """Its id, which the document names."""
    stem: str
    """The name that it has unless another incident's has it already."""
    markdown: str
    charts: Mapping[str, str]


def stem(service: Service, incident: Incident) -> str:
    """The name that the runbook asks for, without `.md`: `2025-11-12_b2a_incident`."""
    day = datetime.fromtimestamp(incident.opened_at, UTC).strftime("%Y-%m-%d")
    return f"{day}_{re.sub(r'[^a-z0-9]+', '-', service.tag.lower()).strip('-')}_incident"


def place(document: Document, directory: Path) -> Path:
    """Where in `directory` it belongs: a second incident of one day and tag gets a number, such as `…_incident-2.md`."""
    for number in count(1):
        path = directory / f"{document.stem}{f'-{number}' if number > 1 else ''}.md"
        named = _NAMED.search(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
        if named is None or named[1] == document.incident:
            return path
    raise AssertionError("numbers have no end")


def kept(document: Document, directory: Path, *, force: bool = False) -> Path | None:
    """Write it into `directory`; None where the incident's document is there already and `force` is not given.

    Raises NotausError where it cannot be written.
    """
    try:
        target = place(document, directory)
        if target.exists() and not force:
            return None
        charts = target.with_suffix("")
        (charts if document.charts else directory).mkdir(parents=True, exist_ok=True)
        for name, svg in document.charts.items():
            _put(charts / name, svg, over=True)
        text = document.markdown.replace(f"]({document.stem}/", f"]({charts.name}/")
        return target if _put(target, text, over=force) else None
    except OSError as error:
        raise NotausError(
            f"the document {document.stem}.md cannot be written in {directory}: {error.strerror}"
        ) from None


def _put(path: Path, text: str, *, over: bool) -> bool:
    """Whole or not at all; whether it was written. Without `over`, what is there stays, also if it came this moment."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_text(scrub(text), encoding="utf-8")
        if over:
            os.replace(made, path)
            return True
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
            return True
        return False
    finally:
        made.unlink(missing_ok=True)
