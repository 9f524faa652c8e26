"""The Analytics Engine SQL API: raw SQL in, rows out; errors are plain text, not Cloudflare's envelope."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from .rows import Rows
from .sql import Statement, rewrite
from .sql_functions import install, moment
from .sql_nodes import SqlRefused
from .wire import Answer, Call, text_answer

SHOW = re.compile(r"\s*SHOW\s+(TABLES|TIMEZONES?)\s*(?:FORMAT\s+(\w+)\s*)?;?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AnalyticsEngine:
    """Answers SQL over the points of `Rows`."""

    rows: Rows

    def __post_init__(self) -> None:
        install(self.rows.db)

    def query(self, call: Call) -> Answer:
        """``POST …/analytics_engine/sql`` with the SQL as the body, or GET with ``?query=``."""
        text = call.query.get("query", "") if call.method == "GET" else call.body.decode("utf-8", "replace")
        try:
            if not text.strip():
                raise SqlRefused("the query is empty")
            shown = SHOW.fullmatch(text)
            return self._shown(shown) if shown else self._selected(rewrite(text, self.rows.datasets), call.at)
        except SqlRefused as refused:
            return text_answer(f"Input was invalid: {refused}", 422)
        except sqlite3.Error as error:
            return text_answer(f"Unable to execute query: {error}", 422)

    def select(self, text: str, at: float | None = None) -> list[dict[str, Any]]:
        """Run a query directly (for tests): the rows as FORMAT JSON shows them; raises `SqlRefused`."""
        statement = rewrite(text, self.rows.datasets)
        rows, _ = self._rows(statement, self.rows.now() if at is None else at)
        return [dict(zip((name for name, _ in statement.columns), row, strict=True)) for row in rows]

    def _shown(self, shown: re.Match[str]) -> Answer:
        if shown[1].upper() == "TABLES":
            rows = [[name, "dataset"] for name in sorted(self.rows.datasets)]
            columns: tuple[tuple[str, str], ...] = (("dataset", "String"), ("type", "String"))
        else:
            rows, columns = [["UTC"]], (("timezone", "String"),)
        return _formatted(Statement("", columns, shown[2] or "JSON"), rows, len(rows))

    def _selected(self, statement: Statement, at: float) -> Answer:
        rows, total = self._rows(statement, at)
        return _formatted(statement, rows, total)

    def _rows(self, statement: Statement, at: float) -> tuple[list[list[Any]], int]:
        """The rows within LIMIT and OFFSET, and how many there were before."""
        found = self.rows.db.execute(statement.sql, {"now": at, "second": int(at)}).fetchall()
        end = None if statement.limit is None else statement.offset + statement.limit
        types = [type for _, type in statement.columns]
        kept = found[statement.offset : end]
        return [[_shaped(value, type) for value, type in zip(row, types, strict=True)] for row in kept], len(found)


def _shaped(value: Any, type: str) -> Any:
    """A value as FORMAT JSON has it: 64-bit integers as text, times as text, nan and infinity as null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if type == "DateTime":
        return moment(int(value))
    if type in ("UInt64", "Int64"):
        return str(int(value))
    if type.startswith("Array"):
        return json.loads(value)
    if type == "Float64":
        return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)
    return value


def _formatted(statement: Statement, rows: list[list[Any]], total: int) -> Answer:
    names = [name for name, _ in statement.columns]
    if statement.format == "TabSeparated":
        lines = ("\t".join("nan" if value is None else str(value) for value in row) + "\n" for row in rows)
        return text_answer("".join(lines))
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    if statement.format == "JSONEachRow":
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects)
        return Answer(200, body.encode(), (("Content-Type", "application/x-ndjson"),))
    value: dict[str, Any] = {
        "meta": [{"name": name, "type": type} for name, type in statement.columns],
        "data": objects,
        "rows": len(objects),
    }
    if statement.limit is not None:
        value["rows_before_limit_at_least"] = total
    body = json.dumps(value, ensure_ascii=False)
    return Answer(200, body.encode(), (("Content-Type", "application/json"),))
