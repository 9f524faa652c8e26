"""`workers`: GraphQL `workersInvocationsAdaptive` of a script, with a cohort per script version where asked for.

Its errors are uncaught ones only: a 500 that the Worker answers itself counts as success there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from notaus.cloudflare.graphql import Scope
from notaus.config.sources import Entry, Workers
from notaus.core.sample import Readings, Sample
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.graphql import Dataset, alive_until, rows_by_time
from notaus.sources.measure import (
    count,
    measure_of,
    number,
    percentile,
    percentiles,
    prefix_of,
    quantile,
    rate,
    rows_seen_of_all,
)

COUNTS = ("requests", "errors")
PERCENTILES = (25, 50, 75, 90, 95, 99, 999)
"""Those that the dataset has."""


class WorkersReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples of every signal at each of `times`. Raises ReadFailed."""
        return await self._context.gathered(entry, [self._read(entry, sorted(set(times)))])

    async def _read(self, entry: Entry, times: Sequence[int]) -> Readings:
        source, context = _source(entry), self._context
        dataset = Dataset(Scope.account(entry.account), "workersInvocationsAdaptive", ("scriptName", source.script))
        found, alive = await asyncio.gather(
            rows_by_time(context, dataset, entry, times, _fields(entry, source)),
            alive_until(context, dataset, entry, times, COUNTS),
        )
        return {
            signal: tuple(_sample(source, signal, at, entry, found[at], alive >= at - entry.window) for at in found)
            for signal in entry.signals
        }


def _fields(entry: Entry, source: Workers) -> str:
    ranks = percentiles(entry)
    unknown = [rank for rank in ranks if rank not in PERCENTILES]
    if unknown:
        raise ReadFailed(
            f"workersInvocationsAdaptive has no p{unknown[0]}; it has p{', p'.join(map(str, PERCENTILES))}"
        )
    quantiles = " ".join(f"{source.latency}P{rank}" for rank in ranks)
    cohorts = source.by_version and any(prefix_of(signal) != entry.name for signal in entry.signals)
    dimensions = "dimensions { scriptVersion } " if cohorts else ""
    return f"{dimensions}sum {{ requests errors }} avg {{ sampleInterval }}" + (
        f" quantiles {{ {quantiles} }}" if quantiles else ""
    )


def _sample(source: Workers, signal: str, at: int, entry: Entry, rows: Sequence[dict[str, Any]], alive: bool) -> Sample:
    measure = measure_of(signal)
    version = prefix_of(signal)
    everyone = not source.by_version or version == entry.name
    own = [row for row in rows if everyone or row["dimensions"]["scriptVersion"].startswith(version)]
    if not own:
        known = measure in COUNTS and (alive or bool(rows))
        return count(at, 0, 0) if known else Sample(at, among=Fraction(0))
    requests = sum((number(row["sum"]["requests"]) for row in own), Fraction(0))
    errors = sum((number(row["sum"]["errors"]) for row in own), Fraction(0))
    effective = _effective(own)
    if measure == "requests":
        return count(at, requests, requests)
    if measure == "errors":
        return count(at, errors, requests)
    if measure == "error_rate":
        return rate(at, errors, requests, effective)
    rank = percentile(measure)
    if rank is None:
        raise ReadFailed(f"{signal}: workersInvocationsAdaptive has no measure {measure!r}")
    if len(own) > 1:
        return Sample(at, among=requests)  # quantiles of several versions cannot be joined
    microseconds = own[0]["quantiles"][f"{source.latency}P{rank}"]
    return quantile(at, number(microseconds) / 1000, requests, effective)


def _effective(rows: Sequence[dict[str, Any]]) -> int | None:
    requests = [number(row["sum"]["requests"]) for row in rows]
    intervals = [(row.get("avg") or {}).get("sampleInterval") for row in rows]
    return rows_seen_of_all(requests, intervals)


def _source(entry: Entry) -> Workers:
    assert isinstance(entry.source, Workers)
    return entry.source
