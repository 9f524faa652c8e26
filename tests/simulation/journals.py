"""The journal of a run: in memory and quick for most seeds, the real one for some; with writes that fail and crash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from notaus.core.sample import Sample
from notaus.errors import JournalFailed
from notaus.journal import Census, Lease, LeaseLost, Record


class MemoryJournal:
    """What the daemon uses of the journal, without a database. The journal's own tests compare nothing with it."""

    remote = False

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.kept: dict[tuple[str, str], dict[int, Sample]] = {}
        self.leases: dict[str, tuple[str, int, float]] = {}
        self.replicas: dict[str, tuple[frozenset[str], float]] = {}
        self.events = 0

    def write_all(self, records: Sequence[Record], lease: Lease | None = None) -> None:
        if lease is not None and self.leases.get(lease.account, ("", 0, 0.0))[:2] != (lease.owner, lease.fence):
            raise LeaseLost(f"the lease of account {lease.account} is no longer held by {lease.owner}")
        for record in records:
            if record.state is not None:
                self.states[record.service] = to_json(record.state).decode()
            for signal, samples in record.readings.items():
                self.kept.setdefault((record.service, signal), {}).update({s.at: s for s in samples})
            self.events += 1

    def keep_config(self, hash: str, text: str, at: int) -> None:
        """Not needed."""

    def prune(self, before: int, batch: int = 2000) -> int:
        return 0

    def state(self, service: str) -> Any:
        return json.loads(self.states[service]) if service in self.states else None

    def samples(self, service: str, signal: str, since: int = 0) -> tuple[Sample, ...]:
        kept = self.kept.get((service, signal), {})
        return tuple(kept[at] for at in sorted(kept) if at >= since)

    def acquire(self, account: str, owner: str, now: float, ttl: float = 15.0) -> Lease | None:
        held = self.leases.get(account)
        if held is not None and held[0] != owner and held[2] > now:
            return None
        fence = (held[1] if held is not None else 0) + 1
        self.leases[account] = (owner, fence, now + ttl)
        return Lease(account, owner, fence, now + ttl, ttl)

    def renew(self, lease: Lease, now: float) -> Lease:
        if self.leases.get(lease.account, ("", 0, 0.0))[:2] != (lease.owner, lease.fence):
            raise LeaseLost(f"the lease of account {lease.account} is no longer held by {lease.owner}")
        self.leases[lease.account] = (lease.owner, lease.fence, now + lease.ttl)
        return Lease(lease.account, lease.owner, lease.fence, now + lease.ttl, lease.ttl)

    def release(self, lease: Lease) -> None:
        held = self.leases.get(lease.account)
        if held is not None and held[:2] == (lease.owner, lease.fence):
            self.leases[lease.account] = (held[0], held[1], 0.0)

    def announce(self, name: str, accounts: Iterable[str], now: float, ttl: float = 15.0) -> Census:
        self.replicas[name] = (frozenset(accounts), now + ttl)
        self.replicas = {name: each for name, each in self.replicas.items() if each[1] > now}
        owners = {account: owner for account, (owner, _, until) in self.leases.items() if until > now}
        return Census({name: each for name, (each, _) in self.replicas.items()}, owners)

    def leave(self, name: str) -> None:
        self.leases = {a: (o, f, 0.0 if o == name else until) for a, (o, f, until) in self.leases.items()}
        self.replicas.pop(name, None)

    def holder(self, account: str, now: float) -> Lease | None:
        held = self.leases.get(account)
        return Lease(account, held[0], held[1], held[2]) if held is not None and held[2] > now else None

    def close(self) -> None:
        """Nothing to let go of."""


WRITES_AND_READS = frozenset(
    ("write_all", "acquire", "renew", "state", "samples", "keep_config", "release", "announce", "leave")
)


class TroubledJournal:
    """One daemon's way to the journal: it fails while the plan says so, and is a place to crash at."""

    def __init__(
        self,
        journal: Any,
        failing: Callable[[], bool],
        reached: Callable[[str], bool],
        written: Callable[[Record], None],
    ) -> None:
        self._journal, self._failing, self._reached, self._written = journal, failing, reached, written

    def __getattr__(self, name: str) -> Any:
        if name in WRITES_AND_READS and self._failing():
            return _full
        return getattr(self._journal, name)

    def write_all(self, records: Sequence[Record], lease: Lease | None = None) -> None:
        if self._failing():
            _full()
        if self._reached("before write"):
            raise JournalFailed("the daemon dies here (simulation)")
        self._journal.write_all(records, lease)
        for record in records:
            self._written(record)
        self._reached("after write")


def _full(*given: Any, **named: Any) -> Any:
    raise JournalFailed("the disk is full: make room (simulation)")
