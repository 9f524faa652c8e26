"""Tries every mutant: a copy of the source with one wrong edit, and the test that must fail with it.

`python -m tests.mutants.run [--json] [WORD…]`; with words, only mutants whose file, meaning or test has one of them.
Exit code 0 if all are killed. A test that does not pass without the mutant kills nothing, and is told as `no proof`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from queue import Queue

import pytest
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.mutants.table import MUTANTS, Mutant

PROJECT = Path(__file__).parents[2]
SOURCE = PROJECT / "src/notaus"
AT_ONCE = 2
PATIENCE = 300
"""Seconds for one test: a mutant that hangs is not killed by an assertion."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["pytest", "hypothesis", "httpx", "sqlalchemy.dialects.sqlite", "sqlglot", "graphql", "cattrs"]
)
"""Each test runs in a fork of a process that has loaded the libraries, which take longer than the test."""
ASSERTED = ("AssertionError", "assert ", "Failed: ")
"""How a failed assertion begins (the last: an error that did not come); anything else shows a careless edit."""


class Verdict(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    STALE = "stale"
    """Its old text is not there exactly once."""
    BROKEN = "broken"
    """The test did not fail by an assertion, or could not be run."""
    NO_PROOF = "no proof"
    """The test fails without the mutant too."""


class Bench:
    """One copy of the source at a time, mended after each mutant."""

    def __init__(self, place: Path) -> None:
        self.source = place / "notaus"
        shutil.copytree(SOURCE, self.source, ignore=shutil.ignore_patterns("__pycache__"))
        self.report = place / "report.xml"

    @contextmanager
    def edited(self, mutant: Mutant) -> Iterator[None]:
        file = self.source / mutant.file
        whole = file.read_text(encoding="utf-8")
        file.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(whole, encoding="utf-8")

    def failures(self, tests: Sequence[str]) -> list[tuple[str, str]] | None:
        """The tests that failed and what they said; None where they could not be run to their end."""
        self.report.unlink(missing_ok=True)
        runner = SERVER.Process(target=_run, args=(self.source.parent, self.report, list(tests)))
        runner.start()
        runner.join(PATIENCE * len(tests))
        if runner.is_alive():
            runner.kill()
            runner.join()
        if runner.exitcode not in (0, 1) or not self.report.exists():
            return None
        cases = ElementTree.parse(self.report).iter("testcase")
        ended = [(_node(case), each) for case in cases for each in case if each.tag in ("failure", "error")]
        return [(node, each.get("message", "")) for node, each in ended]


def _node(case: ElementTree.Element) -> str:
    """The id of a test, without its parameters."""
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"


def _run(place: Path, report: Path, tests: list[str]) -> None:
    """In a process of its own, in which nothing of notaus was imported yet: the tests, with the source at `place`."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(place), str(PROJECT)])
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(place / "hypothesis")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # a compiled file would outlive the edit that it was made of
    sys.dont_write_bytecode = True
    os.chdir(PROJECT)
    sys.path.insert(0, str(place))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    options = ["-q", "-p", "no:cacheprovider", f"--junit-xml={report}", f"--basetemp={place / 'tmp'}"]
    os._exit(int(pytest.main([*options, *tests])))


def tried(mutant: Mutant, benches: Queue[Bench]) -> Verdict:
    """The verdict on one mutant."""
    if stale(mutant):
        return Verdict.STALE
    bench = benches.get()
    try:
        with bench.edited(mutant):
            said = bench.failures([mutant.test])
    finally:
        benches.put(bench)
    if said is None or (said and not any(text.startswith(ASSERTED) for _, text in said)):
        return Verdict.BROKEN
    return Verdict.KILLED if said else Verdict.SURVIVED


def stale(mutant: Mutant) -> str | None:
    """Why the mutant cannot be made; None if it can."""
    found = (SOURCE / mutant.file).read_text(encoding="utf-8").count(mutant.old)
    return None if found == 1 else f"{mutant.file}: {mutant.old!r} occurs {found} times, not once"


def main(words: list[str]) -> int:
    """Try them, show the table; 0 if every one is killed."""
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    chosen = [m for m in MUTANTS if not words or any(word in f"{m.file} {m.means} {m.test}" for word in words)]
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory() as place:
        benches: Queue[Bench] = Queue()
        for number in range(AT_ONCE):
            benches.put(Bench(Path(place) / str(number)))
        verdicts = dict.fromkeys(chosen, Verdict.NO_PROOF)
        sound = _sound(benches, sorted({m.test for m in chosen}), console)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            provable = [m for m in chosen if m.test in sound]
            results = pool.map(lambda m: tried(m, benches), provable)
            for mutant, verdict in zip(
                provable, track(results, "mutants", len(provable), console=console), strict=True
            ):
                verdicts[mutant] = verdict
    _show(verdicts, console, as_json)
    return int(any(verdict is not Verdict.KILLED for verdict in verdicts.values()))


def _sound(benches: Queue[Bench], tests: list[str], console: Console) -> set[str]:
    """The tests that pass without any mutant."""
    console.print(f"{len(tests)} tests without a mutant …")
    bench = benches.get()
    try:
        failed = bench.failures(tests)
    finally:
        benches.put(bench)
    return set(tests) - {node for node, _ in failed} if failed is not None else set()


def _show(verdicts: dict[Mutant, Verdict], console: Console, as_json: bool) -> None:
    if as_json:
        rows = [
            {"file": m.file, "old": m.old, "new": m.new, "means": m.means, "test": m.test, "verdict": v}
            for m, v in verdicts.items()
        ]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    table = Table("", "file", "what it would mean", "noticed by")
    for mutant, verdict in verdicts.items():
        style = "green" if verdict is Verdict.KILLED else "bold red"
        table.add_row(f"[{style}]{verdict}[/]", mutant.file, mutant.means, mutant.test.rpartition("::")[2])
    console.print(table)
    for mutant in verdicts:
        if why := stale(mutant):
            console.print(f"stale: {why}", style="bold red", markup=False)
    killed = sum(verdict is Verdict.KILLED for verdict in verdicts.values())
    console.print(f"{killed} of {len(verdicts)} mutants killed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
