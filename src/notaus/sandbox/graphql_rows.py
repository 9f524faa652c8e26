"""One dataset node of a GraphQL document, run as one grouped query over the rows."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from .rows import GRAPHQL_COLUMNS
from .wire import iso_seconds

TRUNCATED_SECONDS: Final = {
    "datetime": 1, "datetimeMinute": 60, "datetimeFiveMinutes": 300, "datetimeFifteenMinutes": 900,
    "datetimeHour": 3_600, "datetimeSixHours": 21_600, "date": 86_400,
}  # fmt: skip
OPERATORS: Final = {
    "": "=", "gt": ">", "geq": ">=", "lt": "<", "leq": "<=", "neq": "<>", "in": "IN", "notin": "NOT IN",
    "like": "LIKE", "notlike": "NOT LIKE",
}  # fmt: skip
SUMS: Final = {"requests": "w", "cpuTimeUs": "w * cpuTime"}
ERROR_LEVEL_Z: Final = 1.959964  # the 97.5 % point of the normal distribution


class QueryRefused(Exception):
    """The API would not run this node; the message says why, in the words of the API."""


@dataclass(frozen=True, slots=True)
class Query:
    """A dataset node: its arguments and what is selected below it (names to names, nested)."""

    dataset: str
    filter: Mapping[str, Any]
    limit: int
    order_by: tuple[str, ...]
    selected: Mapping[str, Any]
    at: float


@dataclass(slots=True)
class _Builder:
    """SQL and parameters under construction; values are always bound, names come from the schema."""

    dataset: str
    parameters: list[Any] = field(default_factory=list)

    def column(self, name: str) -> str:
        """The SQL of a dimension; one that no row has reads as empty."""
        if name in TRUNCATED_SECONDS:
            return f"(t / {TRUNCATED_SECONDS[name]} * {TRUNCATED_SECONDS[name]})"
        return f'"{name}"' if name in {known for known, _ in GRAPHQL_COLUMNS[self.dataset]} else "''"

    def condition(self, given: Mapping[str, Any]) -> str:
        """All entries of a filter object, joined by AND."""
        parts = []
        for name, value in given.items():
            if name in ("AND", "OR"):
                inner = [self.condition(entry) for entry in value]
                parts.append("(" + f" {name} ".join(inner or ["1"]) + ")")
            elif value is not None:
                parts.append(self._comparison(name, value))
        return " AND ".join(parts) or "1"

    def _comparison(self, name: str, value: Any) -> str:
        column, _, suffix = name.rpartition("_")
        if suffix not in OPERATORS or not column:
            column, suffix = name, ""
        values = [_bound(column, entry) for entry in (value if isinstance(value, list) else [value])]
        self.parameters += values
        marks = f"({', '.join('?' * len(values))})" if suffix in ("in", "notin") else "?"
        return f"{self.column(column)} {OPERATORS[suffix]} {marks}"


def _bound(column: str, value: Any) -> Any:
    if column == "date":
        return int(datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC).timestamp())
    if column in TRUNCATED_SECONDS:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return value


def _check_limits(query: Query, limits: Mapping[str, int]) -> None:
    if not 1 <= query.limit <= limits["maxPageSize"]:
        raise QueryRefused(f"limit must be positive number and not greater than {limits['maxPageSize']}")
    fields = sum(len(block) or 1 for block in query.selected.values())
    if fields > limits["maxNumberOfFields"]:
        raise QueryRefused(f"number of fields can't be more than {limits['maxNumberOfFields']}")
    times = _time_bounds(query.filter)
    since, until = min(times["from"], default=None), max(times["to"], default=query.at)
    if since is not None and since < query.at - limits["notOlderThan"]:
        raise QueryRefused(f"cannot request data older than {limits['notOlderThan']}s")
    if since is not None and until - since > limits["maxDuration"]:
        raise QueryRefused(f"query time range is too large: {limits['maxDuration']}s at most")


def _time_bounds(given: Mapping[str, Any]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"from": [], "to": []}
    for name, value in given.items():
        if name == "AND":
            for entry in value:
                inner = _time_bounds(entry)
                found = {side: found[side] + inner[side] for side in found}
        column, _, suffix = name.partition("_")
        if column in TRUNCATED_SECONDS and suffix in ("gt", "geq", "lt", "leq"):
            found["from" if suffix[0] == "g" else "to"].append(_bound(column, value))
    return found


def group_rows(db: sqlite3.Connection, query: Query, limits: Mapping[str, int]) -> list[dict[str, Any]]:
    """The groups of a node, ordered and cut at its limit; raises `QueryRefused`."""
    _check_limits(query, limits)
    builder = _Builder(query.dataset)
    dimensions = [name for name in query.selected.get("dimensions", {}) if not name.startswith("__")]
    dimensions += [name for name in map(_ordered_dimension, query.order_by) if name and name not in dimensions]
    keys = [builder.column(name) for name in dimensions]
    measures = _measures(query)
    where = builder.condition(query.filter)
    sql = (
        f"SELECT {', '.join([*keys, *(sql for _, _, sql in measures)])} FROM {query.dataset}"
        f" WHERE visible <= ? AND {where}" + (f" GROUP BY {', '.join(keys)}" if keys else "")
    )
    groups = []
    for row in db.execute(sql, [query.at, *builder.parameters]):
        if row[len(keys)] == 0:
            continue  # nothing matched at all
        groups.append(_group(dimensions, measures, row))
    for order in reversed(query.order_by):
        groups.sort(key=lambda group, order=order: _sort_key(group, order), reverse=order.endswith("_DESC"))  # type: ignore[misc]
    for group in groups[: query.limit]:
        _finish(group, query)
    return groups[: query.limit]


def _ordered_dimension(order: str) -> str | None:
    """The dimension that ``datetimeMinute_ASC`` orders by; None for a measure."""
    name = order.rpartition("_")[0]
    return None if name == "count" or "_" in name else name


def _measures(query: Query) -> list[tuple[str, str, str]]:
    """``(block, field, SQL)`` for every number needed; the first two are always the raw and the weighted count."""
    wanted = {("raw", "raw"): "count(*)", ("count", "count"): "coalesce(sum(w), 0)"}
    asked = [(block, name) for block, names in query.selected.items() for name in names]
    asked += [("sum", name) for name in query.selected.get("confidence", {}).get("sum", {})]
    asked += [_measure_of(order) for order in query.order_by if "_" in order.rpartition("_")[0]]
    for block, name in asked:
        if (sql := _measure(query.dataset, block, name)) is not None:
            wanted[block, name] = sql
    return [(block, name, sql) for (block, name), sql in wanted.items()]


def _measure_of(order: str) -> tuple[str, str]:
    block, _, name = order.rpartition("_")[0].partition("_")
    return block, name


def _measure(dataset: str, block: str, name: str) -> str | None:
    """The SQL of one aggregate; None where the block is no aggregate."""
    columns = {known for known, _ in GRAPHQL_COLUMNS[dataset]}
    match block:
        case "sum":
            return f"sum({SUMS.get(name) or (f'w * {name}' if name in columns else '0')})"
        case "avg" if name == "sampleInterval":
            return "avg(w)"
        case "avg":
            return f"sum(w * {name}) * 1.0 / sum(w)" if name in columns else "0.0"
        case "min" | "max":
            return f"{block}({name})" if name in columns else "0"
        case "ratio":
            return f"sum(CASE WHEN edgeResponseStatus / 100 = {name[6]} THEN w ELSE 0 END) * 1.0 / sum(w)"
        case "quantiles":
            matched = re.fullmatch(r"(\w+?)P(\d+)", name)
            if matched is None or matched[1] not in columns:
                return "0.0"
            level = int(matched[2]) / 10 ** len(matched[2])
            return f"ae_quantile({level}, {matched[1]}, w)"
    return None


def _group(dimensions: list[str], measures: list[tuple[str, str, str]], row: tuple[Any, ...]) -> dict[str, Any]:
    group: dict[str, Any] = {"dimensions": {}}
    for name, value in zip(dimensions, row, strict=False):
        group["dimensions"][name] = _shown(name, value)
    for (block, name, _), value in zip(measures, row[len(dimensions) :], strict=True):
        group.setdefault(block, {})[name] = value
    return group


def _shown(name: str, value: Any) -> Any:
    if name == "date":
        return iso_seconds(value)[:10]
    return iso_seconds(value) if name in TRUNCATED_SECONDS else value


def _sort_key(group: Mapping[str, Any], order: str) -> Any:
    name = order.rpartition("_")[0]
    if name == "count":
        return group["count"]["count"]
    if "_" not in name:
        return group["dimensions"][name]
    block, _, field_name = name.partition("_")
    return group.get(block, {}).get(field_name, 0)


def _finish(group: dict[str, Any], query: Query) -> None:
    """Bring a group into the shape of the schema: one number for ``count``, intervals for ``confidence``."""
    samples, count = group["raw"]["raw"], group["count"]["count"]
    group["count"] = count
    if "confidence" in query.selected:
        sums = group.get("sum", {})
        group["confidence"] = lambda info, level: {
            "level": level,
            "count": _confidence(count, samples, count),
            "sum": {name: _confidence(value, samples, count) for name, value in sums.items()},
        }


def _confidence(estimate: float, samples: int, count: float) -> dict[str, Any]:
    """A normal interval: the sampled share of the count is known, the rest is estimated from ``samples`` rows."""
    weight = count / samples if samples else 1.0
    spread = ERROR_LEVEL_Z * math.sqrt(max(estimate, 0.0) * max(weight - 1.0, 0.0))
    return {
        "estimate": float(estimate),
        "lower": max(0.0, estimate - spread),
        "upper": estimate + spread,
        "sampleSize": samples,
        "isValid": samples >= 30 or weight <= 1.0,
    }
