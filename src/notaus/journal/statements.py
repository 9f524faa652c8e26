"""Every statement the journal runs, built once for its database; parameters are named after the columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Float,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from notaus.journal.schema import configs, effects, events, incidents, leases, replicas, samples, states

RELEASED = ""
"""The owner of a lease that nobody holds."""
_CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400",
    "postgresql": "extract(epoch FROM clock_timestamp())",
}


class Statements:
    """The statements in the dialect `sqlite` or `postgresql`: both know upserts and RETURNING, spelled alike."""

    def __init__(self, dialect: str) -> None:
        self._insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self.event: Executable = self._insert(events).returning(events.c.id)
        # An effect that is asked for again is unsettled again, since its first asking.
        self.effect = self._upsert(effects, "service", "event_id", "kind", "body", "settled_at", "outcome")
        self.state = self._upsert(states, "body", "updated_at", "event_id", "key")
        self.sample = self._upsert(samples, "value", "of", "among", "effective")
        self.incident = self._upsert(incidents, "closed_at", "severity", "summary", "body")
        self.config: Executable = self._insert(configs).on_conflict_do_nothing()
        # The time given, or the database's own, which is one for all replicas.
        self._now = func.coalesce(bindparam("now", type_=Float(53)), literal_column(_CLOCKS[dialect], Float(53)))
        self._until = self._now + bindparam("ttl", type_=Float(53))
        self.acquire = self._acquire()
        self.renew: Executable = (
            update(leases).where(_same_lease()).values(expires_at=self._until).returning(leases.c.expires_at)
        )
        self.holder: Executable = select(leases).where(
            leases.c.account == bindparam("account"), leases.c.expires_at > self._now
        )
        self.announce = self._announce()
        self.bury: Executable = delete(replicas).where(replicas.c.expires_at <= self._now)
        self.owners: Executable = select(leases.c.account, leases.c.owner).where(leases.c.expires_at > self._now)

    def _upsert(self, table: Table, *columns: str) -> Executable:
        insert = self._insert(table)
        keys = list(table.primary_key.columns)
        changed: Executable = insert.on_conflict_do_update(
            index_elements=keys, set_={name: insert.excluded[name] for name in columns}
        )
        return changed

    def _acquire(self) -> Executable:
        """Insert the lease, or take it if it is ours or has run out; its fence and end, or no row."""
        insert = self._insert(leases).values(expires_at=self._until)
        taken: Executable = insert.on_conflict_do_update(
            index_elements=[leases.c.account],
            set_={
                "owner": insert.excluded.owner,
                "fence": leases.c.fence + 1,
                "expires_at": insert.excluded.expires_at,
            },
            where=or_(leases.c.owner == insert.excluded.owner, leases.c.expires_at <= self._now),
        ).returning(leases.c.fence, leases.c.expires_at)
        return taken

    def _announce(self) -> Executable:
        insert = self._insert(replicas).values(expires_at=self._until)
        announced: Executable = insert.on_conflict_do_update(
            index_elements=[replicas.c.name],
            set_={"accounts": insert.excluded.accounts, "expires_at": insert.excluded.expires_at},
        )
        return announced


def _same_lease() -> ColumnElement[bool]:
    return and_(
        leases.c.account == bindparam("of_account"),
        leases.c.owner == bindparam("of_owner"),
        leases.c.fence == bindparam("of_fence"),
    )


SETTLE = (
    update(effects)
    .where(effects.c.id == bindparam("of_id"), effects.c.service == bindparam("of_service"))
    .where(effects.c.settled_at.is_(None))
    .values(settled_at=bindparam("at"), outcome=bindparam("outcome"))
)
# PostgreSQL keeps the row for us until we commit: neither a successor nor another try of the same step comes between.
# SQLite has the write lock anyhow.
CHECK_LEASE = select(leases.c.fence).where(_same_lease()).with_for_update(key_share=True)
WRITTEN = select(states.c.event_id).where(states.c.service == bindparam("service"), states.c.key == bindparam("key"))
RELEASE = update(leases).where(_same_lease()).values(owner=RELEASED, expires_at=0.0)
LEAVE = update(leases).where(leases.c.owner == bindparam("name")).values(owner=RELEASED, expires_at=0.0)
WITHDRAW = delete(replicas).where(replicas.c.name == bindparam("name"))
RELEASE_ALL = update(leases).values(owner=RELEASED, expires_at=0.0)
WITHDRAW_ALL = delete(replicas)
REPLICAS = select(replicas.c.name, replicas.c.accounts)

GO_ON = (
    update(states)
    .where(states.c.service == bindparam("of_service"))
    .values(body=bindparam("body"), updated_at=bindparam("updated_at"), key=bindparam("key"))
)
"""The state after an event of which nothing is kept."""
STATE = select(states.c.body).where(states.c.service == bindparam("service"))
CONFIG = select(configs.c.body).where(configs.c.hash == bindparam("hash"))
OUTBOX = (
    select(effects.c.id, effects.c.service, effects.c.kind, effects.c.body, effects.c.created_at)
    .where(effects.c.service == bindparam("service"), effects.c.settled_at.is_(None))
    .order_by(effects.c.event_id, effects.c.id)
)
SAMPLES = (
    select(samples.c.at, samples.c.value, samples.c.of, samples.c.among, samples.c.effective)
    .where(samples.c.service == bindparam("service"), samples.c.signal == bindparam("signal"))
    .where(samples.c.at >= bindparam("since"), samples.c.at <= bindparam("until"))
    .order_by(samples.c.at)
)
SENT = select(effects.c.body).where(
    effects.c.service == bindparam("service"), effects.c.kind == "Send", effects.c.created_at >= bindparam("since")
)
INCIDENT = select(incidents).where(incidents.c.id == bindparam("id"))
_oldest = (
    select(samples.c.service, samples.c.signal, samples.c.at)
    .where(samples.c.at < bindparam("before"))
    .limit(bindparam("batch"))
)
PRUNE = delete(samples).where(tuple_(samples.c.service, samples.c.signal, samples.c.at).in_(_oldest))


def newest_events(
    service: str | None, since: int | None, until: int | None, limit: int, kind: str | None = None
) -> Select[Any]:
    """The newest `limit` events (of `kind`) with `since <= at <= until`, newest first."""
    chosen = select(events).order_by(events.c.id.desc()).limit(limit)
    if service is not None:
        chosen = chosen.where(events.c.service == service)
    if since is not None:
        chosen = chosen.where(events.c.at >= since)
    if until is not None:
        chosen = chosen.where(events.c.at <= until)
    return chosen if kind is None else chosen.where(events.c.kind == kind)


def newest_incidents(service: str | None, limit: int) -> Select[Any]:
    """The newest `limit` incidents, newest first."""
    chosen = select(incidents).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc()).limit(limit)
    return chosen if service is None else chosen.where(incidents.c.service == service)
