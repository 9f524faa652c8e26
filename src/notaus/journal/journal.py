"""The journal: everything seen, decided and done, one transaction per step, fenced by the lease of the account."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Row

from notaus.core.sample import Sample
from notaus.journal import statements as sql
from notaus.journal.codec import Json
from notaus.journal.database import Database
from notaus.journal.lease import TTL, Census, Lease, LeaseLost, Presence
from notaus.journal.rows import EffectRow, EventRow, IncidentRow, Record
from notaus.journal.schema import HEAD

FAR = 2**62
"""Later than every time."""
CURRENT = "its tables are this release's"


class Journal:
    """One journal, on SQLite or PostgreSQL. Every method is one short transaction, blocks, and raises JournalFailed.

    After a failure nothing of that transaction is left, and the next call tries anew: once the cause is gone, it works.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = sql.Statements(database.dialect)
        self._presence = Presence(database.path.with_name(database.path.name + ".lock")) if database.path else None
        self.alone = False
        """SQLite file: at its first `acquire`, no other living process had asked for a lease here."""
        self.remote = database.dialect == "postgresql"
        """Whether calls go over a network, to a machine with a clock of its own."""

    @classmethod
    def open(cls, url: str) -> Journal:
        """Open `sqlite:///FILE`, `sqlite://` (in memory) or `postgresql://…`; create or migrate its tables.

        Raises JournalFailed where that cannot be: no room, no permission, not a journal, or one of a newer release.
        """
        return cls(Database(url))

    @staticmethod
    def tried(url: str) -> str:
        """What `open` would find or do at `url`, in words: it is tried, and undone. Raises JournalFailed."""
        database = Database(url, prepare=False)
        try:
            version = database.tried()
        finally:
            database.close()
        if version is None:
            return f"{database.name}: empty; its tables can be made"
        return f"{database.name}: " + (
            CURRENT if version == HEAD else f"tables {version}, which can be brought to {HEAD}"
        )

    def close(self) -> None:
        """Let go of the file or the connections. Leases are not released; a database in memory is gone."""
        if self._presence:
            self._presence.leave()
        self._database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def write(self, record: Record, lease: Lease | None = None) -> int | None:
        """Write a step down, whole or not at all; the id of its event. Raises LeaseLost if `lease` is another's now.

        After JournalSilent, write the same record again: a service's latest step is recognised, and not written twice.
        """
        return self.write_all([record], lease)[0]

    def write_all(self, records: Sequence[Record], lease: Lease | None = None) -> list[int | None]:
        """Write steps of several services down as `write` does, all of them or none; the ids of their events."""
        with self._database.transaction(write=True) as connection:
            if lease is not None and connection.scalar(sql.CHECK_LEASE, _identity(lease)) is None:
                raise _lost(lease)
            return [self._write(connection, record) for record in records]

    def _write(self, connection: Connection, record: Record) -> int | None:
        written = connection.scalar(sql.WRITTEN, {"service": record.service, "key": record.key})
        if written is not None:
            return int(written)
        event_id = self._write_event(connection, record)
        self._write_effects(connection, record, event_id)
        self._write_state(connection, record, event_id)
        self._write_samples(connection, record)
        self._write_incidents(connection, record)
        return event_id

    def _write_event(self, connection: Connection, record: Record) -> int | None:
        """The id of the event; None where nothing but its samples is kept of it."""
        if record.event is None:
            return None
        row = {
            "service": record.service,
            "at": record.at,
            "kind": record.kind,
            "body": _dump(record.event),
            "config": record.config,
        }
        return int(connection.execute(self._statements.event, row).scalar_one())

    def _write_effects(self, connection: Connection, record: Record, event_id: int | None) -> None:
        common = {
            "service": record.service,
            "event_id": event_id,
            "created_at": record.at,
            "settled_at": None,
            "outcome": None,
        }
        asked = [common | {"id": id, "kind": kind, "body": _dump(body)} for id, kind, body in record.effects]
        if asked:
            connection.execute(self._statements.effect, asked)
        ended = [
            {"of_id": id, "of_service": record.service, "at": record.at, "outcome": _clean(outcome)}
            for id, outcome in record.settled
        ]
        if ended:
            connection.execute(sql.SETTLE, ended)

    def _write_state(self, connection: Connection, record: Record, event_id: int | None) -> None:
        if record.state is None:
            return
        row = {"body": _dump(record.state), "updated_at": record.at, "key": record.key}
        if event_id is None:
            connection.execute(sql.GO_ON, {"of_service": record.service, **row})
        else:
            row |= {"service": record.service, "event_id": event_id}
            connection.execute(self._statements.state, row)

    def _write_samples(self, connection: Connection, record: Record) -> None:
        rows = [_sample_row(record.service, signal, s) for signal, series in record.readings.items() for s in series]
        if rows:
            connection.execute(self._statements.sample, rows)

    def _write_incidents(self, connection: Connection, record: Record) -> None:
        rows = [_incident_row(incident) for incident in record.incidents]
        if rows:
            connection.execute(self._statements.incident, rows)

    def keep_config(self, hash: str, text: str, at: int) -> None:
        """Keep the text of a configuration that came into force at `at`; known ones stay as they are."""
        with self._database.transaction(write=True) as connection:
            connection.execute(self._statements.config, {"hash": hash, "body": _clean(text), "at": at})

    def prune(self, before: int, batch: int = 2000) -> int:
        """Delete up to `batch` samples older than `before` (epoch seconds) and return how many.

        Call again, between other work, for as long as that is `batch`.
        """
        with self._database.transaction(write=True) as connection:
            return connection.execute(sql.PRUNE, {"before": before, "batch": batch}).rowcount

    # Reading

    def state(self, service: str) -> Json | None:
        """Where the service stands; None if it was never written."""
        with self._database.transaction() as connection:
            body = connection.scalar(sql.STATE, {"service": service})
        return None if body is None else json.loads(body)

    def outbox(self, service: str) -> list[EffectRow]:
        """The effects of `service` that nothing has settled, in the order they were asked for."""
        rows = self._all(sql.OUTBOX, {"service": service})
        return [EffectRow(r.id, r.service, r.kind, json.loads(r.body), r.created_at) for r in rows]

    def samples(self, service: str, signal: str, since: int = 0, until: int = FAR) -> tuple[Sample, ...]:
        """The samples with `since <= at <= until`, oldest first, exactly as they were written."""
        rows = self._all(sql.SAMPLES, {"service": service, "signal": signal, "since": since, "until": until})
        return tuple(_sample(r) for r in rows)

    def threads(self, service: str, since: int) -> frozenset[str]:
        """The threads of all messages of `service` that were asked for since then."""
        rows = self._all(sql.SENT, {"service": service, "since": since})
        return frozenset(str(json.loads(row.body)["message"]["thread"]) for row in rows)

    def events(
        self,
        service: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int = 1000,
        kind: str | None = None,
    ) -> list[EventRow]:
        """The newest `limit` events (of `kind`) with `since <= at <= until`, in the order they happened."""
        rows = self._all(sql.newest_events(service, since, until, limit, kind), {})
        return [EventRow(r.id, r.service, r.at, r.kind, json.loads(r.body), r.config) for r in reversed(rows)]

    def incidents(self, service: str | None = None, limit: int = 50) -> list[IncidentRow]:
        """The newest `limit` incidents, newest first."""
        return [_incident(r) for r in self._all(sql.newest_incidents(service, limit), {})]

    def incident(self, id: str) -> IncidentRow | None:
        rows = self._all(sql.INCIDENT, {"id": id})
        return _incident(rows[0]) if rows else None

    def config(self, hash: str) -> str | None:
        """The text of the configuration with this hash."""
        with self._database.transaction() as connection:
            return connection.scalar(sql.CONFIG, {"hash": hash})

    def _all(self, statement: Any, parameters: dict[str, Any]) -> list[Row[Any]]:
        with self._database.transaction() as connection:
            return list(connection.execute(statement, parameters).all())

    # Leases. Where `now` is None it is the database's own time: the same for every replica, whatever its clock says.

    def acquire(self, account: str, owner: str, now: float | None, ttl: float = TTL) -> Lease | None:
        """The lease of `account` for `owner` until `now + ttl`, or None while another holds it.

        On a SQLite file, leases of processes that have died count as released, at once.
        """
        self._arrive()
        row = {"account": account, "owner": owner, "fence": 1, "now": now, "ttl": ttl}
        with self._database.transaction(write=True) as connection:
            found = connection.execute(self._statements.acquire, row).first()
        return None if found is None else Lease(account, owner, found.fence, found.expires_at, ttl)

    def renew(self, lease: Lease, now: float | None) -> Lease:
        """The lease, until `now + lease.ttl`; once run out, it is still ours if nobody took it. Raises LeaseLost."""
        row = {**_identity(lease), "now": now, "ttl": lease.ttl}
        with self._database.transaction(write=True) as connection:
            until = connection.scalar(self._statements.renew, row)
            if until is None:
                raise _lost(lease)
        return replace(lease, expires_at=until)

    def release(self, lease: Lease) -> None:
        """Give the account up, so that another may have it at once; nothing if it is another's already."""
        with self._database.transaction(write=True) as connection:
            connection.execute(sql.RELEASE, _identity(lease))

    def holder(self, account: str, now: float | None) -> Lease | None:
        """The lease in force at `now`; that of a process that has died shows until it runs out."""
        rows = self._all(self._statements.holder, {"account": account, "now": now})
        return next((Lease(r.account, r.owner, r.fence, r.expires_at) for r in rows), None)

    def announce(self, name: str, accounts: Iterable[str], now: float | None, ttl: float = TTL) -> Census:
        """Let the others know, until `now + ttl`, that the replica `name` lives, configured for `accounts`."""
        self._arrive()
        row = {"name": name, "accounts": json.dumps(sorted(accounts)), "now": now, "ttl": ttl}
        with self._database.transaction(write=True) as connection:
            connection.execute(self._statements.announce, row)
            connection.execute(self._statements.bury, {"now": now})
            replicas = connection.execute(sql.REPLICAS).all()
            owners = connection.execute(self._statements.owners, {"now": now}).all()
        return Census(
            {r.name: frozenset(json.loads(r.accounts)) for r in replicas}, {r.account: r.owner for r in owners}
        )

    def leave(self, name: str) -> None:
        """The replica `name` is gone, and every lease it holds is free at once."""
        with self._database.transaction(write=True) as connection:
            connection.execute(sql.LEAVE, {"name": name})
            connection.execute(sql.WITHDRAW, {"name": name})

    def _arrive(self) -> None:
        if self._presence and self._presence.arrive(self._forget_the_dead):
            self.alone = True

    def _forget_the_dead(self) -> None:
        with self._database.transaction(write=True) as connection:
            connection.execute(sql.RELEASE_ALL)
            connection.execute(sql.WITHDRAW_ALL)


def _identity(lease: Lease) -> dict[str, Any]:
    return {"of_account": lease.account, "of_owner": lease.owner, "of_fence": lease.fence}


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"the lease of account {lease.account} (fence {lease.fence}) is no longer held by {lease.owner}")


def _dump(body: Json) -> str:
    return json.dumps(body, separators=(",", ":"))


def _clean(text: str) -> str:
    # Neither NUL nor half a surrogate pair can be stored as text; an odd answer from outside must not stop a step.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _written(number: Fraction | None) -> str | None:
    return None if number is None else str(number)


def _exact(written: str | None) -> Fraction | None:
    return None if written is None else Fraction(written)


def _sample_row(service: str, signal: str, sample: Sample) -> dict[str, Any]:
    return {
        "service": service,
        "signal": signal,
        "at": sample.at,
        "value": _written(sample.value),
        "of": _written(sample.of),
        "among": _written(sample.among),
        "effective": _written(sample.effective),
    }


def _sample(row: Row[Any]) -> Sample:
    return Sample(row.at, _exact(row.value), _exact(row.of), _exact(row.among), _exact(row.effective))


def _incident_row(incident: IncidentRow) -> dict[str, Any]:
    return {
        "id": incident.id,
        "service": incident.service,
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at,
        "severity": incident.severity,
        "summary": _clean(incident.summary),
        "body": _dump(incident.body),
    }


def _incident(row: Row[Any]) -> IncidentRow:
    return IncidentRow(
        row.id, row.service, row.opened_at, row.severity, row.summary, json.loads(row.body), row.closed_at
    )
