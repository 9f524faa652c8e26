"""Killed at any moment, a writer leaves a journal in which every step is whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from notaus.core.sample import Sample
from notaus.journal import Journal

WRITER = """
import sys
from fractions import Fraction
from notaus.core.sample import Sample
from notaus.journal import Journal, Record

journal = Journal.open(sys.argv[1])
state = journal.state("s") or {"n": 0}
print("writing", flush=True)
for n in range(state["n"] + 1, 1_000_000):
    journal.write(Record("s", n, "Polled", {"n": n}, {"n": n, "text": "x" * 20_000},
        effects=[(f"e{n}", "Send", n)], settled=[(f"e{n - 1}", "done")],
        readings={"a": (Sample(n, Fraction(n)),), "b": (Sample(n),)}))
    print(n, flush=True)
"""


def _killed_writer(url: str, after: float) -> int:
    """Run a writer, kill it `after` seconds of writing; the last step it said was written (0 if none)."""
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "writing\n"
        time.sleep(after)
        os.kill(writer.pid, signal.SIGKILL)
        said = writer.stdout.read().splitlines()
    # The last line may have been cut.
    return int(said[-2]) if len(said) > 1 else 0


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_any_moment_leaves_whole_steps_and_loses_none_that_was_confirmed(shared_url: str, seed: int) -> None:
    """After a crash, a step would be done twice, or a page be lost."""
    chance = random.Random(seed)
    for _ in range(3):
        confirmed = _killed_writer(shared_url, chance.uniform(0.0, 0.12))
        with Journal.open(shared_url) as journal:
            n = (journal.state("s") or {"n": 0})["n"]
            assert n >= confirmed
            assert [e.body["n"] for e in journal.events("s", limit=100_000)] == list(range(1, n + 1))
            assert [e.id for e in journal.outbox("s")] == ([f"e{n}"] if n else [])
            assert [s.at for s in journal.samples("s", "a", 0)] == list(range(1, n + 1))
            assert journal.samples("s", "b", 0) == tuple(Sample(at) for at in range(1, n + 1))


def test_the_tables_of_a_journal_killed_while_it_was_made_are_made_again(path: Path) -> None:
    """A first start that was interrupted would need a person to delete the file."""
    code = (
        "import os, sys; from notaus.journal import database, Journal\n"
        "create = database.metadata.create_all\n"
        "def killed(*a, **k): create(*a, **k); os.kill(os.getpid(), 9)\n"
        "database.metadata.create_all = killed\n"
        "Journal.open(sys.argv[1])"
    )
    url = f"sqlite:///{path}"
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == -signal.SIGKILL
    with Journal.open(url) as journal:
        assert journal.state("s") is None
