"""Workers Analytics Engine: SQL over the API, answered with rows."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from notaus.body import as_json
from notaus.cloudflare.client import Call, Client, account_path
from notaus.errors import Busy, ReadFailed, Refused

PERMISSION = "Account Analytics Read"
MAX_ROWS = 10_000
AT_ONCE = 4
"""Queries under way at the same time: a backfill must not crowd out the levers."""

Row = dict[str, Any]


class AnalyticsEngine:
    """Runs queries against the datasets of an account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def query(self, account: str, sql: str, *, limit: int = MAX_ROWS) -> list[Row]:
        """The rows of `sql`, which must end in `LIMIT {limit} FORMAT JSON`; integers as int, NaN as None.

        Raises ReadFailed where the query is refused or its rows were cut, CallFailed where trying again may help.
        """
        path = account_path(account, "analytics_engine", "sql")
        call = Call("POST", path, content=sql.encode(), content_type="text/plain", query=True, permission=PERMISSION)
        try:
            async with self._turns:
                answer = await self._client.send(call)
        except Refused as refused:
            hint = (
                "" if refused.status in (401, 403) else "; a dataset exists only once a first point was written to it"
            )
            raise ReadFailed(f"Analytics Engine: {refused}{hint}") from None
        rows = _rows(answer.body)
        if len(rows) >= limit:
            raise ReadFailed(f"Analytics Engine: truncated at {limit} rows, so the rest is unknown")
        return rows


def datetime_literal(at: int) -> str:
    """Epoch seconds as Analytics Engine's SQL takes them: no ISO 8601."""
    return f"toDateTime('{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}')"


def windowed(query: str, after: int, until: int) -> str:
    """The query for the window (after, until]. Only times of our own making are put in."""
    filled = query.replace("{from}", datetime_literal(after)).replace("{to}", datetime_literal(until))
    return f"{filled.rstrip().rstrip(';').rstrip()} FORMAT JSON"


def string_literal(text: str) -> str:
    """`text` quoted for SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def table(dataset: str) -> str:
    """The dataset's name as a table, quoted where it is no plain identifier."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", dataset):
        return dataset
    return '"' + dataset.replace('"', '""') + '"'


def _rows(body: bytes) -> list[Row]:
    try:
        answer = as_json(body)
        types = {column["name"]: str(column["type"]) for column in answer["meta"]}
        return [{name: _value(value, types.get(name, "")) for name, value in row.items()} for row in answer["data"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise Busy("Analytics Engine: the answer is not the JSON that was asked for") from None


def _value(value: Any, kind: str) -> Any:
    read = _reader(kind)
    if value is None or read is None:
        return None if isinstance(value, float) and not math.isfinite(value) else value
    number = read(value)
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _reader(kind: str) -> Callable[[Any], int | float] | None:
    """64-bit integers come as strings; NaN may come as null or as a word."""
    bare = kind.removeprefix("Nullable(").removesuffix(")")
    if bare.startswith(("UInt", "Int")):
        return int
    return float if bare.startswith(("Float", "Decimal")) else None
