"""`analytics_engine`: a Workers Analytics Engine dataset, over the SQL API.

One query gives every measure of every cohort for a row of windows that do not overlap: counts, errors, ratios,
quantiles. The newest grid time takes one query, any stretch of them `window / step` at most. Rows of no cohort, and
rows newer than the windows asked for, are counted too: they show that the dataset is alive, so that no rows are none.
Entries that differ in nothing but one value (`where: index1 = 'pix-immo'`) and ask at the same moment share a query.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from notaus.cloudflare.analytics_engine import MAX_ROWS, Row, datetime_literal, string_literal, table
from notaus.config.sources import AnalyticsEngine, Entry
from notaus.core.sample import Readings, Sample
from notaus.errors import NotausError, ReadFailed
from notaus.sources.context import Context
from notaus.sources.measure import (
    count,
    measure_of,
    number,
    percentile,
    percentiles,
    phases,
    prefix_of,
    quantile,
    rate,
    share_below,
    stretches,
)
from notaus.together import Asked, Together, chunks

OTHERS = ""
"""The cohort of rows that belong to none: only evidence that the dataset is alive."""
EVERYONE = "everyone"
"""The cohort of all rows that count, where the entry has no cohorts."""
WINDOWS_PER_QUERY = 1000


OWNERS_PER_QUERY = 100
"""Whose rows one query asks for at most."""
OWNER = re.compile(r"\s*(index1|blob\d+)\s*=\s*'((?:[^'\\]|'')*)'\s*")
"""A `where` that tells the rows of one service from those of others."""


class AnalyticsEngineReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stretches: Together[_Stretch, Readings] = Together(self._answer)

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples of every signal at each of `times`; raises ReadFailed where none could be read."""
        groups = [
            stretch
            for phase in phases(times, entry.window)
            for stretch in stretches(phase, entry.window, WINDOWS_PER_QUERY)
        ]
        return await self._context.gathered(entry, (self._read(entry, group) for group in groups))

    async def _read(self, entry: Entry, times: Sequence[int]) -> Readings:
        _check(entry, _source(entry))
        return await self._stretches.ask(_Stretch(entry, tuple(times)))

    async def _answer(self, asked: Sequence[Asked[_Stretch, Readings]]) -> None:
        alike: dict[tuple[object, ...], list[Asked[_Stretch, Readings]]] = {}
        for each in asked:
            alike.setdefault(each.question.likeness, []).append(each)
        pieces = [piece for group in alike.values() for piece in chunks(group, group[0].question.owners_at_once)]
        await asyncio.gather(*(self._query(piece) for piece in pieces))

    async def _query(self, asked: Sequence[Asked[_Stretch, Readings]]) -> None:
        """One query for stretches that are alike."""
        stretch, entries = asked[0].question, [each.question.entry for each in asked]
        dataset = _source(stretch.entry).dataset
        until = stretch.times[-1] + stretch.entry.settle
        try:
            rows = await self._context.engine.query(stretch.entry.account, sql(entries, stretch.first, until))
        except NotausError as failure:
            for each in asked:
                each.fail(ReadFailed(f"dataset {dataset}: {failure}"))
            return
        newest = max((int(row["slot"]) for row in rows), default=-1)
        owned: dict[str | None, list[Row]] = {}
        for row in rows:
            owned.setdefault(row.get("owner"), []).append(row)
        shared = len(_owners(entries)) > 1
        for each in asked:
            own = owned.get(_owner(each.question.entry) if shared else None, [])
            each.answer(each.question.readings(_Windows.of(_source(each.question.entry), own, newest)))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What one entry asks of one query: grid times whose windows do not overlap, ascending."""

    entry: Entry
    times: tuple[int, ...]

    @property
    def first(self) -> int:
        """Where the first window begins."""
        return self.times[0] - self.entry.window

    @property
    def likeness(self) -> tuple[object, ...]:
        """What entries must have in common to share a query."""
        entry, source = self.entry, _source(self.entry)
        where = _owner_column(entry) or ("where", source.where)
        return (
            *(entry.account, entry.window, entry.settle, self.times, where, source.dataset, source.cohort_column),
            *(source.cohorts, source.error, source.latency, tuple(source.ratios.items())),
        )

    @property
    def owners_at_once(self) -> int:
        """So many that their rows cannot reach the limit of an answer."""
        windows = (self.times[-1] + self.entry.settle - self.first) // self.entry.window + 1
        return max(1, min(OWNERS_PER_QUERY, MAX_ROWS // (windows * (len(_source(self.entry).cohorts) + 1)) - 1))

    def readings(self, windows: _Windows) -> Readings:
        slots = {at: (at - self.first) // self.entry.window - 1 for at in self.times}
        return {
            signal: tuple(windows.sample(signal, at, slot) for at, slot in slots.items())
            for signal in self.entry.signals
        }


def _owner_match(entry: Entry) -> re.Match[str] | None:
    where = _source(entry).where
    return OWNER.fullmatch(where) if where is not None else None


def _owner_column(entry: Entry) -> str | None:
    match = _owner_match(entry)
    return match[1] if match else None


def _owner(entry: Entry) -> str | None:
    """Whose rows the entry reads, by its `where`."""
    match = _owner_match(entry)
    return match[2].replace("''", "'") if match else None


def _owners(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(owner for entry in entries if (owner := _owner(entry)) is not None))


@dataclass(frozen=True, slots=True)
class _Windows:
    """The rows of one answer, by window and cohort."""

    source: AnalyticsEngine
    groups: Mapping[tuple[int, str], Row]
    newest: int
    """The last window with any row at all; the dataset was alive up to there. -1: no evidence."""

    @classmethod
    def of(cls, source: AnalyticsEngine, rows: Sequence[Row], newest: int) -> _Windows:
        groups = {(int(row["slot"]), str(row.get("cohort", EVERYONE))): row for row in rows}
        return cls(source, groups, newest)

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
        whole = sum((number(r["requests"]) for r in rows), Fraction(0))
        seen = sum(int(number(r["seen"])) for r in rows)
        return rate(at, number(row["requests"]) if row else 0, whole, _effective(seen, whole))


def _of_row(source: AnalyticsEngine, row: Row, measure: str, at: int) -> Sample:
    requests, seen = number(row["requests"]), int(number(row["seen"]))
    effective = _effective(seen, requests)
    if measure == "requests":
        return count(at, requests, requests)
    if measure == "errors":
        return count(at, number(row["errors"]), requests)
    if measure == "error_rate":
        return rate(at, number(row["errors"]), requests, effective)
    rank = percentile(measure)
    if rank is not None:
        return quantile(at, _latency(row[f"p{rank}"]), requests, effective)
    place = list(source.ratios).index(measure)
    among = number(row[f"among_{place}"])
    return rate(at, number(row[f"of_{place}"]), among, _effective(int(number(row[f"seen_{place}"])), among))


def _latency(milliseconds: object) -> Fraction | None:
    """None where nothing was measured."""
    return None if milliseconds is None else number(milliseconds)


def sql(entries: Sequence[Entry], after: int, until: int) -> str:
    """The query of alike entries for the rows with `after` < timestamp <= `until`, in windows counted from `after`."""
    entry, source = entries[0], _source(entries[0])
    column, owners = _owner_column(entry), _owners(entries)
    shared = column is not None and len(owners) > 1
    own = _named(column, owners) if column is not None and shared else source.where
    cohort = _cohort(source, own, owned=shared)
    groups = ["slot", *(["owner"] if shared else []), *([] if cohort is None else ["cohort"])]
    columns = [
        f"intDiv(toUnixTimestamp(timestamp) - {after} - 1, {entry.window}) AS slot",
        *([f"if({own}, {column}, {string_literal(OTHERS)}) AS owner"] if shared else []),
        *([] if cohort is None else [f"{cohort} AS cohort"]),
        "count() AS seen",
        "sum(_sample_interval) AS requests",
        *_measures(entries, source),
    ]
    return (
        f"SELECT {', '.join(columns)} FROM {table(source.dataset)} "
        f"WHERE timestamp > {datetime_literal(after)} AND timestamp <= {datetime_literal(until)} "
        f"GROUP BY {', '.join(groups)} ORDER BY {', '.join(groups)} LIMIT {MAX_ROWS} FORMAT JSON"
    )


def _named(column: str, names: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(map(string_literal, names))})"


def _cohort(source: AnalyticsEngine, own: str | None, *, owned: bool) -> str | None:
    """The expression for a row's cohort; None where every row counts and there is only one, or its owner tells."""
    conditions = [f"({own})"] if own else []
    if not source.cohorts:
        everyone = f"if({conditions[0]}, {string_literal(EVERYONE)}, {string_literal(OTHERS)})" if conditions else None
        return None if owned else everyone
    column = source.cohort_column
    assert column is not None
    return f"if({' AND '.join([*conditions, _named(column, source.cohorts)])}, {column}, {string_literal(OTHERS)})"


def _measures(entries: Sequence[Entry], source: AnalyticsEngine) -> list[str]:
    """The columns that the entries' signals ask for, beyond the number of requests."""
    wanted = {measure_of(signal) for entry in entries for signal in entry.signals}
    columns = []
    if wanted & {"errors", "error_rate"}:
        columns.append(f"sumIf(_sample_interval, ({source.error})) AS errors")
    for rank in sorted({rank for entry in entries for rank in percentiles(entry)}):
        columns.append(
            f"quantileExactWeighted({float(share_below(rank)):g})({source.latency}, _sample_interval) AS p{rank}"
        )
    for place, (name, ratio) in enumerate(source.ratios.items()):
        if name in wanted:
            among = f"({ratio.among})" if ratio.among else "(1 = 1)"
            columns.append(f"sumIf(_sample_interval, ({ratio.of}) AND {among}) AS of_{place}")
            columns.append(f"sumIf(_sample_interval, {among}) AS among_{place}")
            columns.append(f"countIf({among}) AS seen_{place}")
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
