"""The tables, for a terminal and for a page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Table as RichTable

from benchmarks.decisions.measure import FAULTS, RATES, Count, Results, Times
from benchmarks.decisions.policies import POLICIES


@dataclass
class Table:
    """A title, a head and rows of words."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def rich(self) -> RichTable:
        table = RichTable(*self.head, title=self.title)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", _row(self.head), _row("---" for _ in self.head), *map(_row, self.rows), ""]
        return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(results: Results) -> list[Table]:
    """False actions by service, the first day, and the time to mitigate."""
    services = dict.fromkeys(key[3] for key in results.false)
    return [*(_false(results, service) for service in services), _first_day(results), _times(results)]


def _false(results: Results, service: str) -> Table:
    """One row for each load."""
    head = ("traffic", "requests/min", "error rate", "service-years", "notaus (95 % interval)", *list(POLICIES)[1:])
    table = Table(f"False actions a service-year, rules of {service}", head)
    for kind in results.plan.kinds:
        for requests in results.plan.requests:
            for rate in RATES:
                counts = [results.false[kind.name, requests, rate, service, policy] for policy in POLICIES]
                named = (kind.name, f"{requests:,.0f}", f"{rate * 100:g} %", f"{counts[0].years:.3g}")
                table.rows.append((*named, _with_interval(counts[0]), *(_number(c.per_year) for c in counts[1:])))
    return table


def _first_day(results: Results) -> Table:
    head = ("traffic", "requests/min", "starts", *POLICIES)
    table = Table(
        f"Starts with a false action in the first day, in 100, error rate {RATES[-1] * 100:g} %, pix-immo", head
    )
    for kind in results.plan.kinds:
        for requests in results.plan.requests:
            counts = [results.first_day[kind.name, requests, policy] for policy in POLICIES]
            shares = (_number(100 * count.actions / results.plan.starts) for count in counts)
            table.rows.append((kind.name, f"{requests:,.0f}", str(results.plan.starts), *shares))
    return table


def _times(results: Results) -> Table:
    """One row for each fault."""
    head = ("traffic", "requests/min", "fault", "beyond the noise", *POLICIES)
    title = f"Minutes from onset to decision: median / 90th percentile (acted on within the hour), {results.plan.draws} faults"
    table = Table(title, head)
    for kind in results.plan.kinds:
        for requests in results.plan.requests:
            for bad in FAULTS:
                times = (results.times[kind.name, requests, bad, policy] for policy in POLICIES)
                on_average = "on average" if results.beyond_on_average(kind.name, requests, bad) else "no"
                beyond = "yes" if results.beyond(kind.name, requests, bad) else on_average
                table.rows.append((kind.name, f"{requests:,.0f}", f"{bad * 100:g} %", beyond, *map(_spread, times)))
    return table


def _with_interval(count: Count) -> str:
    low, high = count.interval
    return f"{_number(count.per_year)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _spread(times: Times) -> str:
    return f"{_minutes(times.quantile(0.5))} / {_minutes(times.quantile(0.9))} ({times.share * 100:.0f} %)"


def _minutes(seconds: float) -> str:
    return "—" if math.isinf(seconds) else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
