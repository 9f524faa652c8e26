"""`python -m benchmarks.load [--services 1000] [--hours 24] [--json]`: what a daemon with many services asks, keeps and holds."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.load.crowd import Crowd
from benchmarks.load.virtual import Hour, Outcome, played
from notaus.sandbox.box import ACCOUNT


def table(outcome: Outcome, crowd: Crowd) -> Table:
    """An hour a row."""
    kinds = sorted({kind for hour in outcome.hours for kind in hour.requests})
    found = Table(title=f"{crowd.count} services on one account, a tick every {crowd.step} s")
    for name in ("hour", "ticks", "late", *kinds, "RSS MB", "objects", "samples", "journal MB", "CPU s"):
        found.add_column(name, justify="right")
    for number, hour in enumerate(outcome.hours, 1):
        counts = [str(hour.requests.get(kind, 0)) for kind in kinds]
        held = [f"{hour.resident_mb:.0f}", f"{hour.objects:,}", f"{hour.samples:,}", f"{hour.journal_mb:.1f}"]
        counts += [*held, f"{hour.cpu_seconds:.0f}"]
        found.add_row(str(number), f"{hour.ticks:,}", str(hour.late), *counts)
    return found


def heard(hour: Hour) -> None:
    """A sign of life on standard error."""
    asked = f"{sum(hour.requests.values())} requests, at most {hour.most} in five minutes"
    sys.stderr.write(
        f"{hour.ticks} ticks, {hour.late} late, {asked}; {hour.resident_mb:.0f} MB, {hour.objects:,} objects, "
        f"{hour.samples:,} samples, journal {hour.journal_mb:.1f} MB, {hour.cpu_seconds:.0f} s CPU\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=24.0, help="simulated")
    parser.add_argument("--step", type=int, default=15, help="seconds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    crowd = Crowd(given.services, ACCOUNT, given.step)
    outcome = played(crowd, given.hours, heard)
    if given.json:
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        return
    console = Console()
    console.print(table(outcome, crowd))
    console.print(f"most requests in five minutes: {outcome.hours[-1].most}")
    console.print(f"worst delay of a tick {outcome.worst_delay:.1f} s; refused for a limit: {outcome.refused}")
    console.print(f"/metrics: {outcome.metrics_bytes:,} bytes, {outcome.metrics_seconds * 1000:.0f} ms of CPU")
    console.print(f"pages: {outcome.pages}; problems: {outcome.problems or 'none'}")


if __name__ == "__main__":
    main()
