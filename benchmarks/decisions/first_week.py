"""`python -m benchmarks.decisions.first_week`: little traffic, and nobody knows yet how its failures come.

False actions in the first week of services that are well, with the two hours behind them that a daemon reads back at its
start; and the median time to a decision about a fault that strikes a quarter of an hour later. Beside notaus stands the
bare threshold, on the same traffic.
"""

from __future__ import annotations

import argparse
import math

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.decisions.gate import PIX_IMMO
from benchmarks.decisions.measure import (
    BEFORE_A_FAULT,
    RATES,
    WATCHED,
    Load,
    false_actions,
    time_to_mitigate,
    well,
)
from benchmarks.decisions.traffic import DAY, KINDS

REQUESTS = (1.0, 3.0, 10.0)
"""A minute."""
FAULTS = (0.5, 1.0)
SHOWN = ("notaus", "bare threshold")
SOON = 60
"""Grid steps after the start at which a fault strikes."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions.first_week", description=__doc__)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--weeks", type=int, default=50, help="services for each load and error rate")
    parser.add_argument("--draws", type=int, default=40, help="faults for each load and size")
    given = parser.parse_args()
    rates = (f"false actions in {given.weeks} first weeks, {rate:.1%} errors" for rate in RATES)
    faults = (f"minutes to a fault of {bad:.0%}" for bad in FAULTS)
    shown = Table("traffic", "requests/min", *rates, *faults, title=" / ".join(SHOWN))
    loads = [(kind, requests) for kind in KINDS[:4] for requests in REQUESTS]
    for kind, requests in track(loads, transient=True):
        acted = [_acted(Load(kind, requests, rate), given.weeks, given.seed) for rate in RATES]
        taken = [_taken(Load(kind, requests, BEFORE_A_FAULT), bad, given.draws, given.seed) for bad in FAULTS]
        shown.add_row(kind.name, f"{requests:g}", *acted, *taken)
    Console().print(shown)


def _acted(load: Load, weeks: int, seed: int) -> str:
    total = dict.fromkeys(SHOWN, 0)
    for number in range(weeks):
        series = well(load, "first week", seed, number, 7 * DAY, WATCHED)
        found = false_actions(series, {"pix-immo": PIX_IMMO}, WATCHED)
        for policy in SHOWN:
            total[policy] += found["pix-immo", policy].actions
    return " / ".join(map(str, total.values()))


def _taken(load: Load, bad: float, draws: int, seed: int) -> str:
    times, _ = time_to_mitigate(load, PIX_IMMO, bad, draws, seed, WATCHED + SOON)
    medians = (times[policy].quantile(0.5) for policy in SHOWN)
    return " / ".join("—" if math.isinf(each) else f"{each // 60:.0f}:{each % 60:02.0f}" for each in medians)


if __name__ == "__main__":
    main()
