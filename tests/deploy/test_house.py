"""The locks, the licences and the layers are what the documents say they are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_everything_and_no_addresses(lock: str) -> None:
    """Else an install would take whatever a registry gives it, or work on one network only."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_the_locks_agree_with_each_other() -> None:
    """Else `make test` would test other versions than those that `make demo` and the image run."""
    runtime, dev, build = map(pins, LOCKS)
    assert runtime.items() <= dev.items()
    assert {name for name in build.keys() & dev.keys() if build[name] != dev[name]} == set()


def test_the_image_has_the_driver_of_each_store_that_the_settings_allow() -> None:
    """Else `store: postgresql://…` would end every container at its start: the image is made of this lock alone."""
    assert pins("requirements.lock").keys() >= {"sqlalchemy", "psycopg", "psycopg-binary"}


def test_the_licences_name_every_package_that_is_shipped() -> None:
    """Else a dependency comes in without anybody having looked at its terms. `make docs` writes the page anew."""
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| ([a-z0-9._-]+) \| (\S+) \|", page, re.MULTILINE))
    assert listed.keys() - {"package"} == pins("requirements.lock").keys()
    assert {name: version for name, version in pins("requirements.lock").items() if listed[name] != version} == {}
    assert "not stated" not in page


def test_the_core_imports_the_standard_library_alone() -> None:
    """Else the core could no longer be read, tested and replayed without anything around it."""
    allowed = sys.stdlib_module_names | {"notaus"}
    for file in sorted((ROOT / "src" / "notaus" / "core").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert {name.partition(".")[0] for name in names} <= allowed, file.name


@pytest.mark.parametrize("script", [".ci/run", "dev/promtool", "dev/promtool-tests", "dev/not-run"])
def test_a_script_is_valid_and_stops_at_the_first_failure(script: str) -> None:
    """Else a failed step would be passed over, and the checks reported as passed."""
    assert "set -euo pipefail" in (ROOT / script).read_text(encoding="utf-8")
    done = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
