"""`sql`: any Analytics Engine SQL that gives a time and a value.

The query is asked once for each grid time, with the ends of its window in the place of `{from}` and `{to}`. The row
whose time is the newest within the window gives the value, and shows that the dataset was alive then: a count of 0
beside it is known. Without such a row nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from notaus.cloudflare.analytics_engine import Row, windowed
from notaus.config.sources import Entry, Sql
from notaus.core.sample import Readings, Sample
from notaus.errors import NotausError, ReadFailed
from notaus.sources.context import Context
from notaus.sources.scalar import scalar

AT_ONCE = 8
"""Grid times asked for in one read, the newest; the others stay pending until the next: each is a call of the budget."""
FORM = "SELECT max(timestamp) AS time, … AS value FROM … WHERE timestamp > {from} AND timestamp <= {to}"


class SqlReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples at the newest of `times`. Raises ReadFailed where none could be read."""
        newest = sorted(set(times))[-AT_ONCE:]
        return await self._context.gathered(entry, (self._read(entry, at) for at in newest))

    async def _read(self, entry: Entry, at: int) -> Readings:
        source = _source(entry)
        said = f"the query of {entry.name}"
        try:
            rows = await self._context.engine.query(entry.account, windowed(source.query, at - entry.window, at))
        except NotausError as failure:
            raise ReadFailed(f"{said}: {failure}") from None
        sample = _sample(rows, at, entry.window, source.percent, said)
        return dict.fromkeys(entry.signals, (sample,))


def _sample(rows: Sequence[Row], at: int, window: int, percent: bool, said: str) -> Sample:
    timed = [(_moment(row["time"], said), row["value"]) for row in rows if _fits(row, said)]
    within = [pair for pair in timed if at - window < pair[0] <= at]
    if not within:
        return Sample(at)
    newest = max(time for time, _ in within)
    values = [value for time, value in within if time == newest]
    if len(values) > 1:
        raise ReadFailed(f"{said}: gives {len(values)} rows of one time; it must give one value")
    return scalar(at, values[0], percent=percent, said=said)


def _fits(row: Row, said: str) -> bool:
    if "time" not in row or "value" not in row:
        raise ReadFailed(f"{said}: gives {', '.join(row) or 'no columns'}; it must give `time` and `value`: {FORM}")
    return True


def _moment(value: Any, said: str) -> int:
    """Epoch seconds of a DateTime, or of a number of them (`toUnixTimestamp`)."""
    if isinstance(value, int):
        return value
    try:
        return int(datetime.strptime(str(value), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ReadFailed(f"{said}: `time` is {str(value)[:40]!r}, and must be a DateTime") from None


def _source(entry: Entry) -> Sql:
    assert isinstance(entry.source, Sql)
    return entry.source
