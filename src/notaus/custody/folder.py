"""One incident's directory and its manifest. What is kept once stays as it is, however often it is asked for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from notaus.log import scrub

MANIFEST = "manifest.json"
Content = str | bytes
MOST_BYTES = 32 * 1024 * 1024
"""Kept of one incident, all files together."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of the manifest."""

    file: str
    source: str
    query: Mapping[str, Any]
    """What was asked, so that anybody can ask again."""
    at: int
    """Epoch seconds of the answer."""
    bytes: int = 0
    sha256: str = ""
    complete: bool = False
    """False: cut at a bound, or not had at all."""
    problem: str | None = None


@dataclass(slots=True)
class Folder:
    """Files with a manifest. Raises OSError where the disk does not take them."""

    path: Path
    exhibits: dict[str, Listed] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Folder:
        """The folder as it stands; one whose manifest cannot be read begins anew."""
        try:
            listed = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
            return cls(path, {each["file"]: Listed(**each) for each in listed})
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)

    def has(self, file: str) -> bool:
        """Whether it was kept whole."""
        return file in self.exhibits and self.exhibits[file].problem is None

    @property
    def bytes(self) -> int:
        return sum(exhibit.bytes for exhibit in self.exhibits.values())

    def keep(self, file: str, text: Content, source: str, query: Mapping[str, Any], at: int, *, complete: bool) -> None:
        """Keep `text` without our secrets, or bytes as they are; what is more than there is room for is cut and said to be."""
        data = text if isinstance(text, bytes) else scrub(text).encode()
        room = max(0, MOST_BYTES - self.bytes)
        cut = None if len(data) <= room else f"cut at {room} bytes"
        data = data[:room]
        _put(self.path / file, data)
        self._list(
            Listed(file, source, query, at, len(data), hashlib.sha256(data).hexdigest(), complete and not cut, cut)
        )

    def miss(self, file: str, source: str, query: Mapping[str, Any], at: int, problem: str) -> None:
        """Write down what could not be had."""
        self._list(Listed(file, source, query, at, problem=scrub(problem)))

    def _list(self, exhibit: Listed) -> None:
        self.exhibits[exhibit.file] = exhibit
        text = json.dumps({"files": [asdict(each) for each in self.exhibits.values()]}, indent=1)
        _put(self.path / MANIFEST, text.encode())


def _put(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_bytes(data)
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)
