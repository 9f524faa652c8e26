"""`http`: GraphQL `httpRequestsAdaptiveGroups` of a zone and host. Latency is the time to first byte at the edge.

The counts and the latency are asked for apart: plans may lack the latency, and one failing part must not hide the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from notaus.cloudflare.graphql import Rows, Scope
from notaus.config.sources import Entry, Http
from notaus.core.sample import Readings, Sample
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.graphql import Dataset, alive_until, rows_by_time
from notaus.sources.measure import count, measure_of, number, percentile, percentiles, quantile, rate, rows_seen_of_all

COUNTS = ("requests", "errors")
MEASURES = (*COUNTS, "error_rate", "error_5xx_rate")
PERCENTILES = (50, 95, 99)
"""Those that the dataset has: no p90."""
LATENCY = "edgeTimeToFirstByteMs"
SERVER_ERRORS = ((500, 599),)


class HttpReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples of every signal at each of `times`; raises ReadFailed where none could be read."""
        _check(entry)
        ascending = sorted(set(times))
        counted = [signal for signal in entry.signals if percentile(measure_of(signal)) is None]
        timed = [signal for signal in entry.signals if signal not in counted]
        parts = [self._counts(entry, counted, ascending)] if counted else []
        parts += [self._latencies(entry, timed, ascending)] if timed else []
        return await self._context.gathered(entry, parts)

    async def _counts(self, entry: Entry, signals: Sequence[str], times: Sequence[int]) -> Readings:
        source, dataset, context = _source(entry), _dataset(entry), self._context
        fields = "count dimensions { edgeResponseStatus } avg { sampleInterval }"
        found, alive = await asyncio.gather(
            rows_by_time(context, dataset, entry, times, fields), alive_until(context, dataset, entry, times, COUNTS)
        )
        return {
            signal: tuple(
                _counted(source, measure_of(signal), at, found[at], alive >= at - entry.window) for at in found
            )
            for signal in signals
        }

    async def _latencies(self, entry: Entry, signals: Sequence[str], times: Sequence[int]) -> Readings:
        quantiles = " ".join(f"{LATENCY}P{rank}" for rank in percentiles(entry))
        fields = f"count avg {{ sampleInterval }} quantiles {{ {quantiles} }}"
        found = await rows_by_time(self._context, _dataset(entry), entry, times, fields)
        return {signal: tuple(_timed(measure_of(signal), at, found[at]) for at in found) for signal in signals}


def _counted(source: Http, measure: str, at: int, rows: Rows, alive: bool) -> Sample:
    if not rows:
        return count(at, 0, 0) if alive and measure in COUNTS else Sample(at, among=Fraction(0))
    requests = _total(rows, lambda row: True)
    ranges = SERVER_ERRORS if measure == "error_5xx_rate" else source.errors
    errors = _total(rows, lambda row: _within(row["dimensions"]["edgeResponseStatus"], ranges))
    if measure == "requests":
        return count(at, requests, requests)
    if measure == "errors":
        return count(at, errors, requests)
    return rate(at, errors, requests, _effective(rows))


def _timed(measure: str, at: int, rows: Rows) -> Sample:
    if not rows:
        return Sample(at, among=Fraction(0))
    value = rows[0]["quantiles"][f"{LATENCY}P{percentile(measure)}"]
    return quantile(at, None if value is None else number(value), number(rows[0]["count"]), _effective(rows))


def _total(rows: Rows, counts: Callable[[dict[str, Any]], bool]) -> Fraction:
    return sum((number(row["count"]) for row in rows if counts(row)), Fraction(0))


def _within(status: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(low <= status <= high for low, high in ranges)


def _effective(rows: Rows) -> int | None:
    """The rows seen where Cloudflare sampled; None where it saw every request."""
    intervals = [(row.get("avg") or {}).get("sampleInterval") for row in rows]
    return rows_seen_of_all([number(row["count"]) for row in rows], intervals)


def _check(entry: Entry) -> None:
    """Raises ReadFailed for a signal that the dataset cannot give; the configuration is checked long before."""
    for signal in entry.signals:
        rank = percentile(measure_of(signal))
        if rank is not None and rank not in PERCENTILES:
            raise ReadFailed(f"{signal}: httpRequestsAdaptiveGroups has p50, p95 and p99, no p{rank}")
        if rank is None and measure_of(signal) not in MEASURES:
            raise ReadFailed(f"{signal}: httpRequestsAdaptiveGroups has no measure {measure_of(signal)!r}")


def _dataset(entry: Entry) -> Dataset:
    source = _source(entry)
    own = ("clientRequestHTTPHost", source.host)
    return Dataset(Scope.zone(source.zone), "httpRequestsAdaptiveGroups", own, {"requestSource": "eyeball"})


def _source(entry: Entry) -> Http:
    assert isinstance(entry.source, Http)
    return entry.source
