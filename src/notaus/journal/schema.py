"""The tables of the journal, as this release has them. The migrations lead to the same; a test compares the two.

All times (`at`, `*_at`) are seconds since the epoch, UTC. Bodies are JSON as text, written by `codec`. Fractions are
text, "n" or "n/d", so that nothing is rounded on its way through the database.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

HEAD = "0002"
"""The migration that this release's tables stand at."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite counts up by itself only in a column declared INTEGER.
_serial = BigInteger().with_variant(Integer, "sqlite")

events = Table(
    "events",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("service", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("config", Text, comment="hash of the configuration in force"),
    Index(None, "service", "at"),
    sqlite_autoincrement=True,
)
"""The record: everything that was stepped through, in order. Never changed, never read for recovery."""

effects = Table(
    "effects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("event_id", _serial, ForeignKey("events.id"), nullable=False, comment="the event that asked for it"),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    Column("outcome", Text),
)
"""What was asked of the world; the unsettled ones are the outbox."""

Index(
    "ix_effects_outbox",
    effects.c.service,
    sqlite_where=effects.c.settled_at.is_(None),
    postgresql_where=effects.c.settled_at.is_(None),
)

states = Table(
    "states",
    metadata,
    Column("service", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("event_id", _serial, ForeignKey("events.id"), nullable=False, comment="the event that led to it"),
    Column("key", Text, comment="of the step that led to it"),
)
"""Where each service stands: the truth for recovery."""

samples = Table(
    "samples",
    metadata,
    Column("service", Text, primary_key=True),
    Column("signal", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("value", Text, comment="NULL: read, and unknown"),
    Column("of", Text),
    Column("among", Text),
    Column("effective", Text),
    Index(None, "at"),
    sqlite_with_rowid=False,
)
"""What was measured. A grid time without a row is pending."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "service", "opened_at"),
)

configs = Table(
    "configs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("at", BigInteger, nullable=False, comment="first seen"),
    Column("body", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("account", Text, primary_key=True),
    Column("owner", Text, nullable=False, comment="empty: released"),
    Column("fence", BigInteger, nullable=False, comment="grows at each change of owner"),
    Column("expires_at", Float(53), nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("name", Text, primary_key=True),
    Column("accounts", Text, nullable=False, comment="those it is configured for, as JSON"),
    Column("expires_at", Float(53), nullable=False),
)
"""The daemons that live, so that each takes its share of the accounts."""
