"""What happened in the sandbox: every request it served, and every write that was applied, by whom."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .wire import Call

BODY_CHARACTERS = 4_000
REQUESTS_KEPT = 100_000


class Write(NamedTuple):
    """One applied change. ``by`` is "api" for a call of the API, else "human"; ``kind`` is "kv" or "deployment".

    ``what`` of a KV write: ``{namespace, key, value}`` (JSON decoded where it is JSON, ``None`` for a deletion);
    of a deployment: ``{worker, deployment_id, versions: [(version id, percentage)], tag, message}``.
    """

    at: float
    by: str
    kind: str
    what: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """A request and the status it was answered with; status 0 means the connection was dropped or never answered."""

    at: float
    method: str
    host: str
    path: str
    query: str
    body: str
    status: int
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Journal:
    """Requests (the newest 100,000) and writes, in order."""

    requests: deque[ServedRequest] = field(default_factory=lambda: deque(maxlen=REQUESTS_KEPT))
    writes: list[Write] = field(default_factory=list)

    def served(self, call: Call, status: int, fault: str | None) -> None:
        body = call.body[:BODY_CHARACTERS].decode("utf-8", "replace")
        self.requests.append(
            ServedRequest(call.at, call.method, call.host, call.path, call.query_string, body, status, fault)
        )

    def wrote(self, at: float, by: str, kind: str, what: dict[str, Any]) -> None:
        self.writes.append(Write(at, by, kind, what))
