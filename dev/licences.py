"""Print docs/licences.md: every package that notaus needs at run time, with its licence as the package itself states it."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
HEAD = """\
# Licences

notaus itself is under the Apache License 2.0 ([LICENSE](../LICENSE)). It is run together with these packages, none of which is
part of this repository. The list is generated from `requirements.lock` and from what each package says of itself: `make docs`.

| package | version | licence |
|---|---|---|
"""


def licence(package: str) -> str:
    """As an SPDX expression where the package gives one, else its licence field, else its classifiers."""
    about = metadata(package)
    free_text = (about.get("License") or "").strip()
    classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    named = free_text if free_text and "\n" not in free_text and len(free_text) < 60 else ""
    return about.get("License-Expression") or named or ", ".join(classifiers) or "not stated"


def row(package: str, version: str) -> str:
    try:
        return f"| {package} | {version} | {licence(package)} |"
    except PackageNotFoundError:
        return f"| {package} | {version} | only on other platforms |"


def page() -> str:
    return HEAD + "\n".join(row(*found) for found in PINNED.findall(LOCK.read_text(encoding="utf-8"))) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
