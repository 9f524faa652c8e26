"""Configuration files that are no files: told with their places, in time, within bounds."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from notaus.config import InvalidConfiguration, load
from tests.fuzz.house import CONFIG, START, a_box, environ

FILES = ("notaus.yaml", "services/pix-immo.yaml", "services/bookstrack.yaml")
SECONDS = 5.0
ENVIRON = environ(a_box(lambda: START, traffic=False))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(CONFIG, tmp_path / "config")
    return tmp_path / "config"


def loaded(directory: Path, environment: dict[str, str] | None = None) -> list[str]:
    """What is wrong with it, each with its file and what would be right. Fails for any other end, or one too late."""
    began = time.process_time()
    try:
        load(directory, environment or ENVIRON)
        told = []
    except InvalidConfiguration as error:
        told = [str(problem) for problem in error.problems]
        assert told
        for problem in error.problems:
            assert problem.file, problem
            assert problem.wrong.strip(), problem
            assert problem.right.strip() or "did you mean" in problem.wrong, problem
            assert len(str(problem)) < 2000, "nobody reads that much"
    assert time.process_time() - began < SECONDS
    return told


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["notaus.yaml", "services/pix-immo.yaml"])
@pytest.mark.parametrize("made", [_directory, _loop, _nowhere, _endless, _pipe])
def test_what_is_no_file_is_told(directory: Path, made: Callable[[Path], None], name: str) -> None:
    """A pipe is waited for without end, a device read without end: the daemon would hang at a reload."""
    made(directory / name)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, hard))
    try:
        told = loaded(directory)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert any(name in problem for problem in told), told


@pytest.mark.parametrize("made", [_directory, _loop, _nowhere, _endless, _pipe])
def test_a_secrets_file_that_is_none_is_told(directory: Path, tmp_path: Path, made: Callable[[Path], None]) -> None:
    """The same for what a container mounts."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    made(secret)
    rest = {name: value for name, value in ENVIRON.items() if name != "CLOUDFLARE_API_TOKEN"}
    assert loaded(directory, rest | {"CLOUDFLARE_API_TOKEN_FILE": str(secret)})
    assert loaded(directory, ENVIRON | {"NOTAUS_CLOUDFLARE__TOKEN_FILE": str(secret)})
