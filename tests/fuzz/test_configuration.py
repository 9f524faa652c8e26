"""Configuration files that are no files: told with their places, in time, within bounds."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from notaus.backtest.virtual_time import run
from notaus.cli.run import Run
from notaus.config import InvalidConfiguration, load
from notaus.errors import ConfigurationError
from tests.fuzz.house import CONFIG, START, a_box, environ
from tests.test_app import House

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


def lines(name: str) -> list[str]:
    return (CONFIG / name).read_text().splitlines(keepends=True)


CHARACTERS = st.sampled_from(
    [*"{}[]:,#&*!|>'\"%@`-?\t\n \\$~=<>0x", "${", "${PIX_DATABASE_URL}", "\x00", "\u2028", "\ufeff", "é", "---\n"]
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """(name, text) of a file of the examples, a few characters and lines of which are others, gone, or there twice."""
    name = draw(st.sampled_from(FILES))
    text = lines(name)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text) - 1))
        line = text[at]
        place = draw(st.integers(0, len(line)))
        to = min(len(line), place + draw(st.integers(0, 6)))
        match draw(st.sampled_from(("put in", "put in", "replace", "cut out", "drop", "twice", "move", "indent"))):
            case "put in":
                text[at] = line[:place] + draw(CHARACTERS) + line[place:]
            case "replace":
                text[at] = line[:place] + draw(CHARACTERS) + line[to:]
            case "cut out":
                text[at] = line[:place] + line[to:]
            case "drop":
                text[at] = ""
            case "twice":
                text[at] = line * 2
            case "move":
                text.insert(draw(st.integers(0, len(text))), line)
            case "indent":
                text[at] = " " * draw(st.integers(1, 4)) + line
    return name, "".join(text)


def test_a_text_that_is_a_little_wrong_is_a_configuration_or_its_problems(
    directory: Path, rounds: int, begin: int
) -> None:
    """A slip of the hand would end a start or a reload in a traceback."""
    ends: Counter[bool] = Counter()

    @seed(begin)
    @settings(max_examples=40 * rounds, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated())
    def tried(case: tuple[str, str]) -> None:
        name, text = case
        (directory / name).write_text(text, encoding="utf-8")
        ends[bool(loaded(directory))] += 1
        shutil.copy(CONFIG / name, directory / name)

    tried()
    assert ends[True] > ends[False] / 4
    assert ends[False]


TEXTS: dict[str, tuple[str, str]] = {
    "many numbers, and no end": ("a: [" + "1," * 60_000, "at most 20000 keys and values in a file"),
    "one key again and again": ("a: 1\n" * 9_000, "more; mend these first"),
    "one anchor again and again": ("a: [" + "&x 1, " * 2_000 + "]\n", "unknown key"),
    "a list that should be a mapping": ("rules: [" + "1, " * 8_000 + "]\n", "more; mend these first"),
    "a long number": ("mode: 1" + "0" * 100_000 + "\n", "0…"),
    "a long word": ("mode: " + "x" * 100_000 + "\n", "x…`"),
    "a long text": ("mode: " + "x " * 100_000 + "\n", "x…`"),
    "a long key": ("m" * 1_000 + ": 1\n", "m…"),
    "many marks": ("mode: '" + "` " * 100_000 + "'\n", "…"),
    "a deep nest": ("a: " + "[" * 5_000, "nested too deeply; at most 20 levels"),
    "a megabyte": ("# " + "x" * 1_000_000, "it is larger than 250000 bytes"),
}


@pytest.mark.filterwarnings("error")  # the parser prints some by itself
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_of_any_size_is_told_in_few_words(directory: Path, kind: str) -> None:
    """A reload would stand still for minutes, or fill the log."""
    text, told = TEXTS[kind]
    (directory / "services" / "pix-immo.yaml").write_text(text)
    found = loaded(directory)
    assert len(found) <= 101
    assert any(told in problem for problem in found), found[:3]
    assert all(len(problem) < 2000 for problem in found)


def slips(count: int, begin: int) -> list[tuple[str, str]]:
    """So many files that are a little wrong."""
    found: list[tuple[str, str]] = []

    @seed(begin)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(mutated())
    def draw(case: tuple[str, str]) -> None:
        found.append(case)

    draw()
    return found


def test_a_daemon_keeps_its_last_good_configuration_whatever_the_files_become(
    directory: Path, rounds: int, begin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip of the hand in a running daemon's files would leave the services without their guard."""

    async def main(_: Any) -> None:
        house = House("pix-immo", "bookstrack")
        for name, value in (ENVIRON | {"PIX_DATABASE_URL": f"sqlite:///{house.database.name}"}).items():
            monkeypatch.setenv(name, value)
        house.configuration = load(directory)
        refused = 0
        try:
            app = await house.app()
            reloader = Run(directory, app.configuration, machine=False)
            for name, text in slips(5 * rounds, begin):
                (directory / name).write_text(text, encoding="utf-8")
                before, good = app.configuration, not loaded(directory, dict(os.environ))
                await reloader._reload(app)
                refused += not good
                assert good or app.configuration is before
                await asyncio.sleep(16)
                state = app.desk.state("pix-immo")
                assert state is not None
                assert state.tick > house.now() - 31
                assert state.stopped is None
                shutil.copy(CONFIG / name, directory / name)
                await reloader._reload(app)
                assert app.configuration.hash == house.configuration.hash
            assert refused >= 2
        finally:
            await house.close()

    run(main)


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


async def test_a_reload_reads_its_files_beside_the_loop(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tick would be taken and no lever pulled while many files, or slow ones, are read."""
    found = load(directory, ENVIRON)
    readers: list[threading.Thread] = []

    def slow(_: Path) -> Any:
        readers.append(threading.current_thread())
        raise ConfigurationError("not now")

    monkeypatch.setattr("notaus.config.load", slow)
    await Run(directory, found, machine=False)._reload(None)  # type: ignore[arg-type]
    assert readers
    assert threading.main_thread() not in readers


@pytest.fixture
def deadline() -> Iterator[None]:
    """Ends a test that waits for what never comes."""

    def late(*_: object) -> None:
        raise TimeoutError("waited for a file that is none")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("deadline")
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


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize("made", [_directory, _loop, _nowhere, _endless, _pipe])
def test_a_secrets_file_that_is_none_is_told(directory: Path, tmp_path: Path, made: Callable[[Path], None]) -> None:
    """The same for what a container mounts."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    made(secret)
    rest = {name: value for name, value in ENVIRON.items() if name != "CLOUDFLARE_API_TOKEN"}
    assert loaded(directory, rest | {"CLOUDFLARE_API_TOKEN_FILE": str(secret)})
    assert loaded(directory, ENVIRON | {"NOTAUS_CLOUDFLARE__TOKEN_FILE": str(secret)})
