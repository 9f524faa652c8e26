"""`python -m benchmarks.decisions`: measure, with progress, and print the tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.decisions import table
from benchmarks.decisions.measure import REQUESTS, Plan, measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tenth of the service-years and faults")
    parser.add_argument("--years", type=float, help="service-years for each load")
    parser.add_argument("--draws", type=int, help="faults for each load and size")
    parser.add_argument("--only", default="", help="kinds of traffic whose name contains this")
    parser.add_argument("--requests", type=float, nargs="*", default=REQUESTS, help="requests a minute")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    given = parser.parse_args()
    plan = Plan(
        seed=given.seed,
        years=given.years if given.years is not None else 0.4 if given.quick else 4,
        draws=given.draws if given.draws is not None else 10 if given.quick else 40,
        only=given.only,
        requests=tuple(given.requests),
    )
    console = Console() if sys.stdout.isatty() else Console(width=200)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=plan.total)
        results = measure(plan, lambda seconds: progress.advance(task, seconds))
    for each in table.tables(results):
        console.print(each.rich())
    if given.markdown:
        given.markdown.write_text("\n".join(each.markdown() for each in table.tables(results)))


if __name__ == "__main__":
    main()
