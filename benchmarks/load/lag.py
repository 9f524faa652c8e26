"""`python -m benchmarks.load.lag [--services 1000] [--minutes 5]`: how long a daemon keeps whoever asks it waiting.

In real time: a sandbox and a daemon as processes of their own, which speak HTTP on loopback. Ten times a second the
daemon is asked for `/healthz`, which needs nothing but a turn of its loop; how long that takes is what an order, a page
or a lever waits. The start, in which every service's past is read, is told apart from what follows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tests.daemon.processes import Process

from benchmarks.load.crowd import Crowd, sandbox
from notaus.cli.demo.stage import Clock, environment
from notaus.sandbox.box import ACCOUNT
from notaus.sandbox.server import serving

EVERY = 0.1
START_SECONDS = 180
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Phase:
    """What was seen in one stretch of time."""

    name: str
    waits: list[float] = field(default_factory=list)
    """Seconds until each answer."""
    cpu: float = 0.0
    seconds: float = 0.0
    polls: float = 0.0
    polling: float = 0.0
    """Seconds that they took together."""

    def row(self) -> tuple[str, ...]:
        ordered = sorted(self.waits)
        middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        long = sum(wait > 1 for wait in ordered)
        waits = (
            f"{middle * 1000:.0f} ms",
            f"{late * 1000:.0f} ms",
            f"{ordered[-1]:.2f} s",
            f"{long} of {len(ordered)}",
        )
        return (
            self.name,
            *waits,
            f"{self.polls:.0f}",
            f"{self.polling / max(1, self.polls):.1f} s",
            f"{self.cpu / self.seconds:.0%}",
        )


@dataclass
class Daemon:
    """The one that is watched."""

    process: Process
    http: httpx.Client

    def wait(self) -> float:
        """Seconds until `/healthz` is answered."""
        begun = time.perf_counter()
        self.http.get("/healthz")
        return time.perf_counter() - begun

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / TICKS

    def polled(self) -> tuple[float, float]:
        """How many polls there were, and how many seconds they took."""
        text = self.http.get("/metrics").text
        found = (
            re.search(rf"^notaus_poll_duration_seconds_{what}{{.*}} (.*)$", text, re.M) for what in ("count", "sum")
        )
        count, total = (float(each[1]) if each is not None else 0.0 for each in found)
        return count, total

    def watched(self, name: str, seconds: float, progress: Progress) -> Phase:
        phase, task = Phase(name), progress.add_task(name, total=seconds)
        begun, cpu, (polls, polling) = time.monotonic(), self.cpu(), self.polled()
        while (gone := time.monotonic() - begun) < seconds:
            phase.waits.append(self.wait())
            progress.update(task, completed=gone)
            time.sleep(EVERY)
        after = self.polled()
        phase.seconds, phase.cpu = time.monotonic() - begun, self.cpu() - cpu
        phase.polls, phase.polling = after[0] - polls, after[1] - polling
        return phase


def measured(crowd: Crowd, minutes: float) -> tuple[list[Phase], float]:
    """The phases, and the daemon's resident memory in MB at their end."""
    now = time.time()
    clock = Clock(now, now, 1.0)
    serve = ("--serve", "--services", str(crowd.count), "--step", str(crowd.step))
    with tempfile.TemporaryDirectory() as name, Progress(console=Console(stderr=True)) as progress:
        directory = Path(name)
        config = crowd.write(directory / "config")
        box = Process(*serve, module="benchmarks.load.lag")
        try:
            env = environment(box.first, clock, directory)
            process = Process("run", "--config", str(config), "--json", env=env, cwd=directory)
            try:
                with httpx.Client(base_url=process.first["url"], timeout=300.0, trust_env=False) as http:
                    daemon = Daemon(process, http)
                    phases = [
                        daemon.watched("the first three minutes", START_SECONDS, progress),
                        daemon.watched(f"{minutes:g} minutes more", minutes * 60, progress),
                    ]
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                return phases, pages * os.sysconf("SC_PAGE_SIZE") / 1e6
            finally:
                process.kill()
        finally:
            box.kill()


def serve(crowd: Crowd) -> None:
    """The sandbox in which they live, as a process."""
    box = sandbox(crowd, time.time)

    def ready(base: str) -> None:
        sys.stdout.write(json.dumps(box.urls(base)) + "\n")
        sys.stdout.flush()

    asyncio.run(serving(box, on_ready=ready))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.lag", description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--step", type=int, default=60, help="seconds")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    crowd = Crowd(given.services, ACCOUNT, given.step)
    if given.serve:
        serve(crowd)
        return
    phases, memory = measured(crowd, given.minutes)
    title = f"{crowd.count} services, a tick every {crowd.step} s, {memory:.0f} MB"
    shown = Table("", "/healthz, median", "99 %", "worst", "over a second", "polls", "each took", "CPU", title=title)
    for phase in phases:
        shown.add_row(*phase.row())
    Console().print(shown)


if __name__ == "__main__":
    main()
