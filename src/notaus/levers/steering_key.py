"""The KV key that steers a service: read, understood, and the value that a rung makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from notaus.body import as_json
from notaus.cloudflare.client import Client
from notaus.cloudflare.kv import Kv
from notaus.core.ladder import KvLever, Ladder, Rung

NOW = "$now"
STAMP = "last_updated"

Value = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """What the key holds: a JSON object, or the reason why it is none."""

    value: Value | None
    problem: str | None = None
    missing: bool = False


class SteeringKeys:
    """Reads and writes steering keys, and remembers the last object read of each."""

    def __init__(self, client: Client) -> None:
        self._kv = Kv(client)
        self._last: dict[tuple[str, str, str], Value] = {}

    async def read(self, account: str, lever: KvLever, *, urgent: bool = False) -> Found:
        """Raises CallFailed. `urgent`: on the levers' reserve, one try."""
        found = understood(await self._kv.get(account, lever.namespace, lever.key, lever=urgent), lever.key)
        if found.value is not None:
            self._last[account, lever.namespace, lever.key] = found.value
        return found

    def last(self, account: str, lever: KvLever) -> Value | None:
        """The object last read, for a write without a read."""
        return self._last.get((account, lever.namespace, lever.key))

    async def metadata(self, account: str, lever: KvLever) -> object:
        """What is stored beside the value and would be lost by a plain write. Raises CallFailed."""
        return await self._kv.metadata(account, lever.namespace, lever.key, lever=True)

    async def write(self, account: str, lever: KvLever, value: Value, metadata: object = None) -> None:
        """Raises CallFailed."""
        body = json.dumps(value, ensure_ascii=False).encode()
        await self._kv.put(account, lever.namespace, lever.key, body, metadata)
        self._last[account, lever.namespace, lever.key] = value


def understood(stored: bytes | None, key: str) -> Found:
    """The stored bytes as an object, or what they are instead."""
    if stored is None:
        return Found(None, f"the key {key!r} does not exist", missing=True)
    try:
        value = as_json(stored)
    except ValueError:
        return Found(None, f"the key {key!r} holds no JSON")
    if not isinstance(value, dict):
        return Found(None, f"the key {key!r} holds JSON, but no object")
    return Found(value)


def steered(ladder: Ladder, rung: Rung, before: Value, now: float) -> tuple[dict[str, object], tuple[str, ...]]:
    """The value that puts `before` on `rung`, and notes on fixed fields that were found different and kept."""
    lever = ladder.lever
    assert isinstance(lever, KvLever)
    after = dict(before)
    after.update(rung.fields)
    notes = []
    for name, fixed in lever.fields.items():
        if fixed == NOW or name in rung.fields:
            continue
        if name not in before:
            after[name] = fixed
        elif before[name] != fixed:
            notes.append(f"{name} is {before[name]!r}, not {fixed!r} as configured; kept")
    for name in _stamps(lever, before):
        after[name] = _stamp(before.get(name), now)
    return after, tuple(notes)


def _stamps(lever: KvLever, before: Value) -> list[str]:
    """The fields that hold the time of the write: those configured so, and a `last_updated` that is text already."""
    names = [name for name, value in lever.fields.items() if value == NOW]
    if STAMP not in lever.fields and isinstance(before.get(STAMP), str):
        names.append(STAMP)
    return names


def _stamp(before: object, now: float) -> str:
    """`now` as UTC ISO 8601, or `before` where that is later: it never goes back."""
    written = datetime.fromtimestamp(int(now), UTC)
    try:
        old = datetime.fromisoformat(str(before))
    except ValueError:
        old = None
    if old is not None and (old if old.tzinfo else old.replace(tzinfo=UTC)) > written:
        return str(before)
    return f"{written:%Y-%m-%dT%H:%M:%SZ}"


def differences(before: Value | None, after: Value) -> str:
    """What changes, as people read it: `canary_percent 10 → 5`; times left out."""
    old = before or {}
    parts = [
        f"{name} {json.dumps(old[name]) if name in old else 'unset'} → {json.dumps(value)}"
        for name, value in after.items()
        if name != STAMP and (name not in old or old[name] != value)
    ]
    return ", ".join(parts) or "nothing but the time"
