"""Workers Observability: telemetry queries over the invocations, the source with the least lag."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .deployments import Worker
from .rows import Rows
from .wire import Answer, Call, Refused, envelope, json_answer

LAG_SECONDS: Final = 20
MOST_EVENTS: Final = 2_000
FIELDS: Final = {
    "$metadata.service": "scriptName",
    "$metadata.type": "type",
    "$workers.scriptName": "scriptName",
    "$workers.scriptVersion.id": "scriptVersion",
    "$workers.outcome": "CASE WHEN errors THEN 'exception' ELSE 'ok' END",
    "$workers.wallTimeMs": "wallTime / 1000.0",
    "$workers.cpuTimeMs": "cpuTime / 1000.0",
    "$workers.event.response.status": "CASE WHEN errors THEN 500 ELSE 200 END",
    "$metadata.error": "CASE WHEN errors THEN 'Error: injected' ELSE '' END",
}
OPERATIONS: Final = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "IN", "not_in": "NOT IN",
}  # fmt: skip
QUANTILES: Final = {"median": 0.5, "p25": 0.25, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
EVENTS: Final = (
    "(SELECT *, rowid AS number, 'cf-worker-event' AS type FROM workersInvocationsAdaptive UNION ALL"
    " SELECT *, rowid, 'cf-worker' FROM workersInvocationsAdaptive WHERE errors)"
)
"""What is logged: every invocation, and the line that each uncaught error leaves beside it."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """``POST …/workers/observability/telemetry/query`` with the views "events" and "calculations"."""

    rows: Rows
    workers: Mapping[str, Worker] = field(default_factory=dict)
    """Their settings say whether, and how large a part of, their invocations are logged."""

    def query(self, call: Call) -> Answer:
        """Newest events first, or calculations by group; rows show 20 seconds after their time."""
        body = call.json()
        if not isinstance(body, dict):
            raise Refused(400, 10021, "the body must be a JSON object")
        limit = body.get("limit", 50)
        if not isinstance(limit, int) or limit > MOST_EVENTS:
            issue = {"code": "too_big", "maximum": MOST_EVENTS, "path": ["limit"], "message": "limit is too big"}
            return json_answer({"success": False, "errors": [issue]}, 400)
        where, values = self._where(body, call.at)
        result: dict[str, Any] = {
            "run": self._run(body),
            "statistics": {"elapsed": 0.01, "rows_read": 0, "bytes_read": 0},
        }
        if body.get("view", "events") == "calculations":
            result["calculations"] = [
                self._calculated(c, body, where, values) for c in _parameter(body, "calculations")
            ]
        else:
            if body.get("offset") is not None:
                where += " AND (t, rowid) < (SELECT t, rowid FROM workersInvocationsAdaptive WHERE rowid = ?)"
                values = [*values, _offset(body)]
            events = self._events(where, values, limit)
            result["events"] = {"events": events, "count": len(events), "fields": [], "series": []}
        return envelope(result)

    def _run(self, body: dict[str, Any]) -> dict[str, Any]:
        statistics = {"elapsed": 0.01, "rows_read": 0, "bytes_read": 0, "abr_level": 1}
        return {
            "id": body.get("queryId", "run"),
            "status": "COMPLETED",
            "dry": bool(body.get("dry")),
            "timeframe": body.get("timeframe"),
            "granularity": 60_000,
            "statistics": statistics,
        }

    def _where(self, body: dict[str, Any], at: float) -> tuple[str, list[Any]]:
        """The conditions of the time frame (milliseconds) and of the filters."""
        frame = body.get("timeframe")
        if not isinstance(frame, dict) or not all(isinstance(frame.get(side), int | float) for side in ("from", "to")):
            raise Refused(400, 10021, "timeframe: needs from and to in milliseconds since the epoch")
        parts, values = ["t >= ?", "t <= ?", "t <= ?"], [frame["from"] / 1_000, frame["to"] / 1_000, at - LAG_SECONDS]
        conditions = []
        for entry in _parameter(body, "filters"):
            operator = OPERATIONS.get(entry.get("operation", ""))
            if operator is None:
                raise Refused(400, 10021, f"filters: operation must be one of {', '.join(OPERATIONS)}")
            value = entry.get("value")
            listed = [part.strip() for part in str(value).split(",")] if "IN" in operator else [value]
            marks = f"({', '.join('?' * len(listed))})" if "IN" in operator else "?"
            conditions.append(f"{_field(entry.get('key'))} {operator} {marks}")
            values += listed
        if conditions:
            word = " OR " if body.get("parameters", {}).get("filterCombination") == "or" else " AND "
            parts.append(f"({word.join(conditions)})")
        return " AND ".join(parts), values

    def _calculated(
        self, calculation: dict[str, Any], body: dict[str, Any], where: str, values: list[Any]
    ) -> dict[str, Any]:
        operator = str(calculation.get("operator", "count"))
        groups = [str(group.get("value")) for group in _parameter(body, "groupBys")]
        keys = [_field(group) for group in groups]
        sql = (
            f"SELECT {', '.join([*keys, _aggregate(operator, calculation.get('key')), 'sum(w)', 'avg(w)'])}"
            f" FROM {EVENTS} WHERE {where}{self._logged()}" + (f" GROUP BY {', '.join(keys)}" if keys else "")
        )
        aggregates = []
        for row in self.rows.db.execute(f"{sql} LIMIT {_limit(body)}", values):
            *found, value, count, interval = row
            if count:
                named = [{"key": key, "value": value_of} for key, value_of in zip(groups, found, strict=True)]
                aggregates.append(
                    {"value": value, "count": count, "interval": 0, "sampleInterval": interval, "groups": named}
                )
        alias = calculation.get("alias", operator)
        return {"calculation": operator, "alias": alias, "aggregates": aggregates, "series": []}

    def _logged(self) -> str:
        """The condition that leaves out what head sampling drops; each invocation is logged whole or not at all."""
        parts = []
        for name, worker in self.workers.items():
            said = worker.settings.get("observability") or {}
            rate = said.get("head_sampling_rate", 1) if said.get("enabled") else 0
            if rate < 1:
                parts.append(f" AND NOT (scriptName = '{name}' AND number * 7919 % 1000 >= {rate * 1000:g})")
        return "".join(parts)

    def _events(self, where: str, values: list[Any], limit: int) -> list[dict[str, Any]]:
        rows = self.rows.db.execute(
            "SELECT t, scriptName, scriptVersion, errors, wallTime, cpuTime, rowid FROM workersInvocationsAdaptive"
            f" WHERE {where} ORDER BY t DESC, rowid DESC LIMIT ?",
            [*values, limit],
        )
        return [_event(*row) for row in rows]


def _limit(body: dict[str, Any]) -> int:
    """How many groups are answered; the rest is cut silently."""
    most = (body.get("parameters") or {}).get("limit", body.get("limit", 50))
    return int(most)


def _offset(body: dict[str, Any]) -> int:
    """The row that the page before ended with."""
    if body.get("offsetDirection", "next") != "next" or not str(body["offset"]).isdigit():
        raise Refused(400, 10021, "offset: the $metadata.id of an event, with offsetDirection next")
    return int(body["offset"])


def _parameter(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    given = body.get("parameters", {}).get(name) or []
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise Refused(400, 10021, f"parameters.{name}: must be a list of objects")
    return given


def _field(key: Any) -> str:
    if key not in FIELDS:
        raise Refused(400, 10021, f"unknown field {key!r}: one of {', '.join(FIELDS)}")
    return FIELDS[key]


def _aggregate(operator: str, key: Any) -> str:
    if operator == "count":
        return "sum(w)"
    if operator in QUANTILES:
        return f"ae_quantile({QUANTILES[operator]}, {_field(key)}, w)"
    if operator in ("avg", "sum", "min", "max"):
        return f"{operator}({_field(key)})"
    raise Refused(400, 10021, f"unknown operator {operator!r}: count, avg, sum, min, max, {', '.join(QUANTILES)}")


def _event(at: int, script: str, version: str, errors: int, wall: float, cpu: float, row: int) -> dict[str, Any]:
    request = f"{random.Random(row).getrandbits(64):016x}"
    failed = bool(errors)
    return {
        "timestamp": at * 1_000,
        "dataset": "cloudflare-workers",
        "source": {"level": "error" if failed else "info", "message": "Error: injected" if failed else "GET /"},
        "$workers": {
            "scriptName": script,
            "scriptVersion": {"id": version},
            "outcome": "exception" if failed else "ok",
            "eventType": "fetch",
            "wallTimeMs": wall / 1_000,
            "cpuTimeMs": cpu / 1_000,
            "requestId": request,
            "event": {"request": {"method": "GET", "url": "/"}, "response": {"status": 500 if failed else 200}},
        },
        "$metadata": {
            "id": f"{row:026d}",
            "requestId": request,
            "rayId": request,
            "level": "error" if failed else "info",
            "type": "cf-worker-event",
            "service": script,
        },
    }
