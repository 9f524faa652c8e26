"""How long the journal takes: `python benchmarks/journal.py` prints a table (milliseconds)."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from notaus.core.sample import Sample
from notaus.journal import Journal, Record

EVENT = {"readings": {f"signal_{i}": "x" * 150 for i in range(12)}}
STATE = {f"rule_{i}": {"name": "native.error_rate > 3%", "since": 1_700_000_000 + i, "told": None} for i in range(120)}


def a_record(n: int) -> Record:
    """A typical step: an event of 2 KB, a state of 10 KB, 12 samples, an effect asked for and one settled."""
    at = 15 * n
    sample = Sample(at, Fraction(n % 7, 1000), Fraction(n % 7), Fraction(1000))
    return Record(
        service="pix-immo",
        at=at,
        kind="Polled",
        event=EVENT,
        state=STATE,
        effects=[(f"e{n}", "Send", {"title": "t" * 200})],
        settled=[(f"e{n - 1}", "done")],
        readings={f"signal_{i}": (sample,) for i in range(12)},
        config="c0ffee",
    )


def measured(work: Callable[[int], object], times: int) -> list[float]:
    """Milliseconds that each call of `work` took."""
    taken = []
    for n in range(times):
        start = time.perf_counter()
        work(n)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def report(name: str, taken: list[float]) -> None:
    taken = sorted(taken)
    p99 = taken[int(len(taken) * 0.99)]
    print(f"{name:<32}{statistics.median(taken):>9.3f}{p99:>9.3f}{taken[-1]:>9.3f}")


def run(name: str, url: str) -> None:
    journal = Journal.open(url)
    lease = journal.acquire("account", "owner", now=0.0)
    report(f"{name}: write", measured(lambda n: journal.write(a_record(n), lease), 1000))
    report(f"{name}: state", measured(lambda n: journal.state("pix-immo"), 200))
    report(f"{name}: renew", measured(lambda n: lease and journal.renew(lease, float(n)), 200))
    report(f"{name}: samples of 4 hours", measured(lambda n: journal.samples("pix-immo", "signal_1", 600), 50))
    report(f"{name}: prune 2000", measured(lambda n: journal.prune(15_000), 4))
    journal.close()


def main() -> None:
    print(f"{'milliseconds':<32}{'median':>9}{'p99':>9}{'max':>9}")
    report("memory: open", measured(lambda n: Journal.open("sqlite://").close(), 20))
    run("memory", "sqlite://")
    with tempfile.TemporaryDirectory() as folder:
        report("file: open anew", measured(lambda n: Journal.open(f"sqlite:///{Path(folder)}/{n}").close(), 20))
        run("file", f"sqlite:///{Path(folder)}/journal")
    for url in sys.argv[1:]:
        run("postgresql", url)


if __name__ == "__main__":
    main()
