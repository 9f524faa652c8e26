"""What pip-audit reports about the locks: counted, told, and fatal where a package is vulnerable."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "dev" / "audit.py"
SOUND = {"name": "httpx", "version": "0.28.1", "vulns": []}
UNKNOWN = {"name": "alembic", "skip_reason": "Not found, so not audited: alembic (1.20.1)"}
LATE = {"name": "uvicorn", "skip_reason": "Gave no answer in time: uvicorn (0.40.0)"}
HOLES = {
    "name": "starlette",
    "version": "0.45.0",
    "vulns": [
        {"id": "GHSA-1", "fix_versions": ["0.45.9", "0.46.1"], "aliases": ["CVE-1"], "description": "Slow."},
        {"id": "GHSA-2", "fix_versions": [], "aliases": [], "description": "Open."},
    ],
}


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LEFT", tmp_path / "tools" / "audit")
    return module


def ended(audit: ModuleType, report: Any) -> tuple[int, str]:
    """With which exit code, and what is left for the list of what did not run."""
    audit.asked = lambda: report
    return audit.main(), audit.LEFT.read_text(encoding="utf-8")


def test_a_vulnerable_package_fails_and_is_named_with_its_remedy(
    audit: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image would go out with a hole that is known, or nobody would know which version closes it."""
    assert ended(audit, {"dependencies": [SOUND, HOLES], "fixes": []}) == (1, "")
    said = capsys.readouterr().err
    assert said == "starlette 0.45.0: GHSA-1, mended in 0.45.9 and 0.46.1\nstarlette 0.45.0: GHSA-2, not mended yet\n"


def test_a_package_that_could_not_be_looked_up_is_not_a_sound_one(audit: ModuleType) -> None:
    """pip-audit ends well although it looked nothing up, and the run would pass for an audit."""
    code, left = ended(audit, {"dependencies": [SOUND, UNKNOWN, UNKNOWN | {"name": "attrs"}, LATE], "fixes": []})
    assert (code, left) == (0, "pip-audit (3 of 4 packages could not be looked up: Not found, so not audited)")
    assert ended(audit, {"dependencies": [UNKNOWN, HOLES], "fixes": []})[0] == 1, "a hole counts all the same"
    assert ended(audit, {"dependencies": []})[1] == "pip-audit (0 of 0 packages could not be looked up: it names none)"


def test_an_audit_of_everything_leaves_nothing_to_tell(audit: ModuleType) -> None:
    """What an earlier run could not look up would be told for ever."""
    assert ended(audit, "pip-audit (no answer within 30 s)") == (0, "pip-audit (no answer within 30 s)")
    assert ended(audit, {"dependencies": [SOUND], "fixes": []}) == (0, "")


def test_pip_audit_that_hangs_or_reports_nothing_is_told_as_such(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network `make test` would hang, or fail, for what it cannot know."""
    stub = tmp_path / "python"
    monkeypatch.setattr(audit.sys, "executable", str(stub))
    for seconds, line, told in (
        (0.01, "exec sleep 30", "pip-audit (no answer within 0.01 s)"),
        (30, "echo 'x.ProxyError: at some address' >&2; exit 1", "pip-audit (it could look up nothing: x.ProxyError)"),
        (30, "exit 1", "pip-audit (it could look up nothing: no reason given)"),
    ):
        monkeypatch.setattr(audit, "SECONDS", seconds)
        stub.write_text(f"#!/bin/sh\n{line}\n")
        stub.chmod(0o700)
        assert audit.asked() == told
