"""The journal: an append-only record, the state of every service, the outbox and the leases, in SQLite or PostgreSQL.

Reading order: schema, rows, journal, lease, codec; then database, statements, failure.
"""

from notaus.journal.codec import Json, decode, encode
from notaus.journal.journal import Journal
from notaus.journal.lease import TTL, Census, Lease, LeaseLost
from notaus.journal.rows import EffectRow, EventRow, IncidentRow, Record

__all__ = [
    "TTL",
    "Census",
    "EffectRow",
    "EventRow",
    "IncidentRow",
    "Journal",
    "Json",
    "Lease",
    "LeaseLost",
    "Record",
    "decode",
    "encode",
]
