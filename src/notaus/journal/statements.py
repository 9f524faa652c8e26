"""Every statement the journal runs, built once for its database; parameters are named after the columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, Table, and_, bindparam, case, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from notaus.journal.schema import configs, effects, events, incidents, leases, samples, states

RELEASED = ""
"""The owner of a lease that nobody holds."""


class Statements:
    """The statements in the dialect `sqlite` or `postgresql`: both know upserts and RETURNING, spelled alike."""

    def __init__(self, dialect: str) -> None:
        self._insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self.event: Executable = self._insert(events).returning(events.c.id)
        # An effect that is asked for again is unsettled again, since its first asking.
        self.effect = self._upsert(effects, "service", "event_id", "kind", "body", "settled_at", "outcome")
        self.state = self._upsert(states, "body", "updated_at", "event_id")
        self.sample = self._upsert(samples, "value", "of", "among", "effective")
        self.incident = self._upsert(incidents, "closed_at", "severity", "summary", "body")
        self.config: Executable = self._insert(configs).on_conflict_do_nothing()
        self.acquire = self._acquire()

    def _upsert(self, table: Table, *columns: str) -> Executable:
        insert = self._insert(table)
        keys = list(table.primary_key.columns)
        changed: Executable = insert.on_conflict_do_update(
            index_elements=keys, set_={name: insert.excluded[name] for name in columns}
        )
        return changed

    def _acquire(self) -> Executable:
        """Insert the lease, or take it if it is ours or has run out at `now`; the fence, or no row."""
        insert = self._insert(leases)
        ours = leases.c.owner == insert.excluded.owner
        taken: Executable = insert.on_conflict_do_update(
            index_elements=[leases.c.account],
            set_={
                "owner": insert.excluded.owner,
                "fence": case((ours, leases.c.fence), else_=leases.c.fence + 1),
                "expires_at": insert.excluded.expires_at,
            },
            where=ours | (leases.c.expires_at <= bindparam("now")),
        ).returning(leases.c.fence)
        return taken


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
# PostgreSQL keeps the row as it is until we commit; SQLite has the write lock anyhow.
CHECK_LEASE = select(leases.c.fence).where(_same_lease()).with_for_update(read=True)
RENEW = update(leases).where(_same_lease()).values(expires_at=bindparam("until"))
RELEASE = update(leases).where(_same_lease()).values(owner=RELEASED, expires_at=0.0)
RELEASE_ALL = update(leases).values(owner=RELEASED, expires_at=0.0)
HOLDER = select(leases).where(leases.c.account == bindparam("account"), leases.c.expires_at > bindparam("now"))

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
    .where(samples.c.at >= bindparam("since"))
    .order_by(samples.c.at)
)
INCIDENT = select(incidents).where(incidents.c.id == bindparam("id"))
_oldest = (
    select(samples.c.service, samples.c.signal, samples.c.at)
    .where(samples.c.at < bindparam("before"))
    .limit(bindparam("batch"))
)
PRUNE = delete(samples).where(tuple_(samples.c.service, samples.c.signal, samples.c.at).in_(_oldest))


def newest_events(service: str | None, since: int | None, until: int | None, limit: int) -> Select[Any]:
    """The newest `limit` events with `since <= at <= until`, newest first."""
    chosen = select(events).order_by(events.c.id.desc()).limit(limit)
    if service is not None:
        chosen = chosen.where(events.c.service == service)
    if since is not None:
        chosen = chosen.where(events.c.at >= since)
    if until is not None:
        chosen = chosen.where(events.c.at <= until)
    return chosen


def newest_incidents(service: str | None, limit: int) -> Select[Any]:
    """The newest `limit` incidents, newest first."""
    chosen = select(incidents).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc()).limit(limit)
    return chosen if service is None else chosen.where(incidents.c.service == service)
