"""`r2`: GraphQL `r2OperationsAdaptiveGroups` of a bucket. A failure is any status but success, save a 412: a conditional
write that found its condition false did what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from notaus.cloudflare.graphql import Rows, Scope
from notaus.config.sources import R2, Entry
from notaus.core.sample import Readings, Sample
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.graphql import Dataset, alive_until, rows_by_time
from notaus.sources.measure import count, measure_of, number, rate

COUNTS = ("operations", "failures")
MEASURES = (*COUNTS, "failure_rate")
FIELDS = "sum { requests } dimensions { actionStatus responseStatusCode }"
PRECONDITION_FAILED = 412


class R2Reader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples of every signal at each of `times`. Raises ReadFailed."""
        for signal in entry.signals:
            if measure_of(signal) not in MEASURES:
                raise ReadFailed(f"{signal}: r2OperationsAdaptiveGroups gives {', '.join(MEASURES)}")
        return await self._context.gathered(entry, [self._read(entry, sorted(set(times)))])

    async def _read(self, entry: Entry, times: Sequence[int]) -> Readings:
        dataset, context = _dataset(entry), self._context
        found, alive = await asyncio.gather(
            rows_by_time(context, dataset, entry, times, FIELDS), alive_until(context, dataset, entry, times, COUNTS)
        )
        return {
            signal: tuple(_sample(measure_of(signal), at, found[at], alive >= at - entry.window) for at in found)
            for signal in entry.signals
        }


def _sample(measure: str, at: int, rows: Rows, alive: bool) -> Sample:
    if not rows:
        return count(at, 0, 0) if alive and measure in COUNTS else Sample(at, among=Fraction(0))
    operations, failures = _total(rows, lambda row: True), _total(rows, _failed)
    if measure == "operations":
        return count(at, operations, operations)
    if measure == "failures":
        return count(at, failures, operations)
    return rate(at, failures, operations)


def _failed(row: dict[str, Any]) -> bool:
    said = row["dimensions"]
    expected = said["actionStatus"] == "userError" and said["responseStatusCode"] == PRECONDITION_FAILED
    return said["actionStatus"] != "success" and not expected


def _total(rows: Rows, counts: Callable[[dict[str, Any]], bool]) -> Fraction:
    return sum((number(row["sum"]["requests"]) for row in rows if counts(row)), Fraction(0))


def _dataset(entry: Entry) -> Dataset:
    source = entry.source
    assert isinstance(source, R2)
    actions = {"actionType_in": list(source.actions)}
    return Dataset(Scope.account(entry.account), "r2OperationsAdaptiveGroups", ("bucketName", source.bucket), actions)
