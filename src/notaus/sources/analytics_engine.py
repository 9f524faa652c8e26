"""`analytics_engine`: a Workers Analytics Engine dataset, over the SQL API.

One query gives every measure of every cohort for a row of windows that do not overlap: counts, errors, ratios,
quantiles. The newest grid time takes one query, any stretch of them `window / step` at most. Rows of no cohort, and
rows newer than the windows asked for, are counted too: they show that the dataset is alive, so that no rows are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from notaus.cloudflare.analytics_engine import MAX_ROWS, Row, datetime_literal, string_literal, table
from notaus.config.sources import AnalyticsEngine, Entry
from notaus.core.sample import Readings, Sample, exact, rate
from notaus.errors import NotausError, ReadFailed
from notaus.sources.context import Context
from notaus.sources.measure import (
    count,
    measure_of,
    percentile,
    percentiles,
    phases,
    prefix_of,
    quantile,
    share_below,
    stretches,
)

OTHERS = ""
"""The cohort of rows that belong to none: only evidence that the dataset is alive."""
EVERYONE = "everyone"
"""The cohort of all rows that count, where the entry has no cohorts."""
WINDOWS_PER_QUERY = 1000


class AnalyticsEngineReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples of every signal at each of `times`; raises ReadFailed where none could be read."""
        groups = [
            stretch
            for phase in phases(times, entry.window)
            for stretch in stretches(phase, entry.window, WINDOWS_PER_QUERY)
        ]
        return await self._context.gathered(entry, (self._read(entry, group) for group in groups))

    async def _read(self, entry: Entry, times: Sequence[int]) -> Readings:
        source = _source(entry)
        _check(entry, source)
        first = times[0] - entry.window
        try:
            rows = await self._context.engine.query(entry.account, sql(entry, first, times[-1] + entry.settle))
        except NotausError as failure:
            raise ReadFailed(f"dataset {source.dataset}: {failure}") from None
        windows = _Windows.of(source, rows)
        slots = {at: (at - first) // entry.window - 1 for at in times}
        return {
            signal: tuple(windows.sample(signal, at, slot) for at, slot in slots.items()) for signal in entry.signals
        }


@dataclass(frozen=True, slots=True)
class _Windows:
    """The rows of one answer, by window and cohort."""

    source: AnalyticsEngine
    groups: Mapping[tuple[int, str], Row]
    newest: int
    """The last window with any row at all; the dataset was alive up to there. -1: no evidence."""

    @classmethod
    def of(cls, source: AnalyticsEngine, rows: Sequence[Row]) -> _Windows:
        groups = {(int(row["slot"]), str(row.get("cohort", EVERYONE))): row for row in rows}
        return cls(source, groups, max((slot for slot, _ in groups), default=-1))

    def sample(self, signal: str, at: int, slot: int) -> Sample:
        """The sample of `signal` for the window number `slot`, which ends at `at`."""
        cohort = prefix_of(signal) if self.source.cohorts else EVERYONE
        measure = measure_of(signal)
        row = self.groups.get((slot, cohort))
        if measure == "share":
            return self._share(at, slot, row)
        if row is None:
            alive = slot <= self.newest
            return count(at, 0, 0) if alive and measure in ("requests", "errors") else Sample(at, among=Fraction(0))
        return _of_row(self.source, row, measure, at)

    def _share(self, at: int, slot: int, row: Row | None) -> Sample:
        rows = [self.groups[slot, name] for name in self.source.cohorts if (slot, name) in self.groups]
        whole = sum((exact(r["requests"]) for r in rows), Fraction(0))
        seen = sum(int(r["seen"]) for r in rows)
        return rate(at, exact(row["requests"]) if row else 0, whole, _effective(seen, whole))


def _of_row(source: AnalyticsEngine, row: Row, measure: str, at: int) -> Sample:
    requests, seen = exact(row["requests"]), int(row["seen"])
    effective = _effective(seen, requests)
    if measure == "requests":
        return count(at, requests, requests)
    if measure == "errors":
        return count(at, row["errors"], requests)
    if measure == "error_rate":
        return rate(at, row["errors"], requests, effective)
    rank = percentile(measure)
    if rank is not None:
        return quantile(at, row[f"p{rank}"], requests, effective)
    number = list(source.ratios).index(measure)
    among = exact(row[f"among_{number}"])
    return rate(at, row[f"of_{number}"], among, _effective(int(row[f"seen_{number}"]), among))


def sql(entry: Entry, after: int, until: int) -> str:
    """The query for the rows with `after` < timestamp <= `until`, in windows counted from `after`."""
    source = _source(entry)
    cohort = _cohort(source)
    group = "slot" if cohort is None else "slot, cohort"
    columns = [
        f"intDiv(toUnixTimestamp(timestamp) - {after} - 1, {entry.window}) AS slot",
        *([] if cohort is None else [f"{cohort} AS cohort"]),
        "count() AS seen",
        "sum(_sample_interval) AS requests",
        *_measures(entry, source),
    ]
    return (
        f"SELECT {', '.join(columns)} FROM {table(source.dataset)} "
        f"WHERE timestamp > {datetime_literal(after)} AND timestamp <= {datetime_literal(until)} "
        f"GROUP BY {group} ORDER BY {group} LIMIT {MAX_ROWS} FORMAT JSON"
    )


def _cohort(source: AnalyticsEngine) -> str | None:
    """The expression for a row's cohort; None where every row counts and there is only one."""
    conditions = [f"({source.where})"] if source.where else []
    if not source.cohorts:
        return f"if({conditions[0]}, {string_literal(EVERYONE)}, {string_literal(OTHERS)})" if conditions else None
    column = source.cohort_column
    named = " OR ".join(f"{column} = {string_literal(name)}" for name in source.cohorts)
    return f"if({' AND '.join([*conditions, f'({named})'])}, {column}, {string_literal(OTHERS)})"


def _measures(entry: Entry, source: AnalyticsEngine) -> list[str]:
    """The columns that the entry's signals ask for, beyond the number of requests."""
    wanted = {measure_of(signal) for signal in entry.signals}
    columns = []
    if wanted & {"errors", "error_rate"}:
        columns.append(f"sumIf(_sample_interval, ({source.error})) AS errors")
    for rank in percentiles(entry):
        columns.append(
            f"quantileExactWeighted({float(share_below(rank)):g})({source.latency}, _sample_interval) AS p{rank}"
        )
    for number, (name, ratio) in enumerate(source.ratios.items()):
        if name in wanted:
            among = f"({ratio.among})" if ratio.among else "(1 = 1)"
            columns.append(f"sumIf(_sample_interval, ({ratio.of}) AND {among}) AS of_{number}")
            columns.append(f"sumIf(_sample_interval, {among}) AS among_{number}")
            columns.append(f"countIf({among}) AS seen_{number}")
    return columns


def _check(entry: Entry, source: AnalyticsEngine) -> None:
    """Raises ReadFailed for a signal that this source cannot give; the configuration is checked long before."""
    for signal in entry.signals:
        measure, cohort = measure_of(signal), prefix_of(signal)
        missing = (
            (f"no cohort {cohort!r}" if source.cohorts and cohort not in source.cohorts else None)
            or ("no `error`" if measure in ("errors", "error_rate") and source.error is None else None)
            or ("no `latency`" if percentile(measure) is not None and source.latency is None else None)
        )
        known = measure in {"requests", "errors", "error_rate", "share", *source.ratios}
        if missing or not (known or percentile(measure) is not None):
            raise ReadFailed(f"{signal}: the source has {missing or f'no measure {measure!r}'}")


def _effective(seen: int, estimated: Fraction) -> int | None:
    """The rows seen, where Cloudflare sampled and `estimated` is more."""
    return seen if seen < estimated else None


def _source(entry: Entry) -> AnalyticsEngine:
    assert isinstance(entry.source, AnalyticsEngine)
    return entry.source
