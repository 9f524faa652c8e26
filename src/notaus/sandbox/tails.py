"""Live tails: what ``wrangler tail`` listens to, one trace event for each request that a service of the sandbox answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from .wire import Answer, Call, iso_micros

PROTOCOL: Final = "trace-v1"
TAIL_SECONDS: Final = 6 * 3_600
LIVE: Final = "api.cloudflare.com"
EVENTS_KEPT: Final = 1_000


@dataclass(slots=True)
class Tail:
    """One tail of a script; ``events`` waits for its listener, and drops what is too much."""

    id: str
    script: str
    url: str
    expires: float
    events: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(EVENTS_KEPT))

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "url": self.url, "expires_at": iso_micros(self.expires)}


@dataclass(slots=True)
class Tails:
    """The open tails of every script."""

    _tails: dict[str, Tail] = field(default_factory=dict)

    def open(self, id: str, script: str, call: Call) -> Tail:
        """A new tail, to be listened to at the address under which the sandbox was called."""
        here = f"ws://{call.headers.get('host')}/tails"
        base = "wss://tail.developers.workers.dev" if call.host == LIVE else here
        tail = Tail(id, script, f"{base}/{id}", call.at + TAIL_SECONDS)
        self._tails[id] = tail
        return tail

    def of(self, script: str) -> list[Tail]:
        return [tail for tail in self._tails.values() if tail.script == script]

    def close(self, id: str) -> None:
        self._tails.pop(id, None)

    def listened(self, call: Call) -> Tail | None:
        """The tail whose address a WebSocket asks for."""
        segments = call.segments
        return self._tails.get(segments[1]) if len(segments) == 2 and segments[0] == "tails" else None

    def happened(self, script: str, call: Call, answer: Answer) -> None:
        """A script answered a request: tell those who listen."""
        for tail in self.of(script):
            if not tail.events.full():
                tail.events.put_nowait(json.dumps(_event(script, call, answer)))


def _event(script: str, call: Call, answer: Answer) -> dict[str, Any]:
    """A trace event as Cloudflare sends it to a tail."""
    milliseconds = int(call.at * 1_000)
    failed = answer.status >= 500
    path = "/" + call.params.get("rest", "")
    logs = [{"message": [f"{answer.status} {path}"], "level": "error", "timestamp": milliseconds}] if failed else []
    return {
        "outcome": "ok",
        "scriptName": script,
        "exceptions": [],
        "logs": logs,
        "eventTimestamp": milliseconds,
        "event": {
            "request": {"url": f"https://{call.host}{path}", "method": call.method, "headers": dict(_shown(call))},
            "response": {"status": answer.status},
        },
    }


def _shown(call: Call) -> Iterator[tuple[str, str]]:
    """Headers without what identifies a person."""
    return ((name, value) for name, value in call.headers.items() if name not in ("authorization", "cookie"))
