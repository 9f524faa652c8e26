"""Faults put into the sandbox on purpose: which calls fail next, how, and for how long."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .wire import JSON_TYPE, Answer, Refused, failure, json_answer

TARGETS: Final = (
    "kv.put", "kv.get", "deployments.post", "deployments.get", "versions.get", "analytics", "graphql", "sql",
    "telemetry", "r2", "verify", "page", "pagerduty", "slack", "statuspage", "github", "workflow", "workflow.get",
    "status", "api", "all",
)  # fmt: skip
TIMED: Final = ("slow", "late_reply")
KINDS: Final = ("timeout", "hang", "lost_reply", "reset", "outage", "html", "garbage", "huge", *TIMED)
HANG_SECONDS: Final = 3_600.0  # beyond any client's deadline
HUGE_BYTES: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """How one call fails: ``name`` is one of `KINDS` or "status"; ``seconds`` is the delay or the Retry-After."""

    name: str
    status: int = 0
    seconds: float | None = None

    def __str__(self) -> str:
        if self.name == "status":
            return str(self.status)
        return self.name if self.seconds is None else f"{self.name}:{self.seconds:g}"

    @classmethod
    def parse(cls, given: Any) -> Kind:
        """From ``500``, ``"429:30"`` (with Retry-After), ``{"status": 429, "retry_after": 30}``, ``"lost_reply"``,
        ``"slow:3"`` (works after 3 s), ``"late_reply:3"`` (works at once, answers after 3 s); else ValueError."""
        if isinstance(given, dict):
            return cls._of_status(given.get("status"), given.get("retry_after"), given)
        head, _, tail = str(given).partition(":")
        if head.isdigit():
            return cls._of_status(int(head), tail or None, given)
        if head not in KINDS:
            raise ValueError(
                f"unknown kind of fault {given!r}: an HTTP status from 400 to 599 or one of {', '.join(KINDS)}"
            )
        if (head in TIMED) != bool(tail):
            times = " or ".join(f"'{kind}:SECONDS'" for kind in TIMED)
            raise ValueError(f"fault {given!r}: write {times}, and no ':' after any other kind")
        return cls(head, seconds=_seconds(tail, given) if tail else None)

    @classmethod
    def _of_status(cls, status: Any, retry_after: Any, given: Any) -> Kind:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"fault {given!r}: the status must be a number from 400 to 599")
        return cls("status", status, None if retry_after is None else _seconds(retry_after, given))


def _seconds(text: Any, given: Any) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = -1.0
    if value < 0:
        raise ValueError(f"fault {given!r}: {text!r} is not a number of seconds")
    return value


@dataclass(slots=True)
class Fault:
    """Kinds waiting for the next calls to ``target``, in order; with ``until``, cycled through on [since, until)."""

    target: str
    kinds: list[Kind]
    since: float
    until: float | None
    taken: int = 0

    def spent(self, at: float) -> bool:
        return at >= self.until if self.until is not None else self.taken >= len(self.kinds)

    def take(self, at: float) -> Kind | None:
        if at < self.since or self.spent(at):
            return None
        self.taken += 1
        return self.kinds[(self.taken - 1) % len(self.kinds)]

    def as_json(self) -> dict[str, Any]:
        kinds = [str(kind) for kind in self.kinds]
        return {"target": self.target, "with": kinds, "since": self.since, "until": self.until, "taken": self.taken}


@dataclass(slots=True)
class Faults:
    """The faults in force. The one added first wins where several fit."""

    now: Any
    _faults: list[Fault] = field(default_factory=list)

    def add(self, target: str, with_: Any = 500, duration: float | None = None, at: float | None = None) -> Fault:
        """Let the next calls to ``target`` fail: one per kind in ``with_``, or all of them for ``duration`` seconds.

        Raises ValueError for an unknown target or kind. ``at`` (default: now) delays the start.
        """
        if target not in TARGETS:
            raise ValueError(f"unknown fault target {target!r}: one of {', '.join(TARGETS)}")
        given = list(with_) if isinstance(with_, Sequence) and not isinstance(with_, str) else [with_]
        if not given:
            raise ValueError("'with' is empty: name at least one kind of fault")
        if duration is not None and duration <= 0:
            raise ValueError(f"duration {duration!r}: must be more than 0 seconds")
        since = self.now() if at is None else at
        fault = Fault(
            target, [Kind.parse(kind) for kind in given], since, None if duration is None else since + duration
        )
        self._faults.append(fault)
        return fault

    def clear(self, target: str | None = None) -> None:
        """Forget the faults of one target, or all."""
        self._faults = [fault for fault in self._faults if target is not None and fault.target != target]

    def take(self, targets: Collection[str], at: float) -> Kind | None:
        """The fault that this call meets, if any; a fault of the list kind is used up by it."""
        if not self._faults:
            return None
        self._faults = [fault for fault in self._faults if not fault.spent(at)]
        for fault in self._faults:
            if fault.target in targets and (kind := fault.take(at)) is not None:
                return kind
        return None

    def as_json(self) -> list[dict[str, Any]]:
        return [fault.as_json() for fault in self._faults]


def _status_answer(kind: Kind, *, graphql: bool) -> Answer:
    retry_after = () if kind.seconds is None else (("Retry-After", f"{kind.seconds:g}"),)
    if kind.status == 429:
        answer = failure(Refused(429, 971, "Please wait and consider throttling your request speed"))
    elif kind.status in (401, 403):
        answer = failure(Refused(kind.status, 10000, "Authentication error"))
    elif kind.status in (502, 503, 504):
        answer = Answer(kind.status, f"error code: {kind.status}".encode(), (("Content-Type", "text/plain"),))
    elif graphql:
        answer = json_answer(
            {"data": None, "errors": [{"message": "internal server error", "path": None}]}, kind.status
        )
    else:
        answer = failure(Refused(kind.status, 10001, "injected by the sandbox's fault API"))
    return answer.with_headers(*retry_after)


def faulty_answer(kind: Kind, *, graphql: bool = False) -> Answer | None:
    """What a fault that answers at all answers; None for the kinds that act on the connection or only delay."""
    match kind.name:
        case "status":
            return _status_answer(kind, graphql=graphql)
        case "html":
            page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
            return Answer(403, page, (("Content-Type", "text/html; charset=UTF-8"), ("cf-mitigated", "challenge")))
        case "garbage":
            return Answer(200, b'{"success":true,"errors":[],"result":{"depl', (("Content-Type", JSON_TYPE),))
        case "huge":
            return Answer(200, b'{"result":"' + b"x" * HUGE_BYTES + b'"}', (("Content-Type", JSON_TYPE),))
    return None
