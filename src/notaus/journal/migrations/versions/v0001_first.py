"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", _serial, autoincrement=True, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("config", sa.Text, comment="hash of the configuration in force"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_service_at", "events", ["service", "at"])
    op.create_table(
        "effects",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("event_id", _serial, nullable=False, comment="the event that asked for it"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_effects"),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="fk_effects_event_id"),
    )
    unsettled = sa.text("settled_at IS NULL")
    op.create_index("ix_effects_outbox", "effects", ["service"], sqlite_where=unsettled, postgresql_where=unsettled)
    op.create_table(
        "states",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("event_id", _serial, nullable=False, comment="the event that led to it"),
        sa.PrimaryKeyConstraint("service", name="pk_states"),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="fk_states_event_id"),
    )
    op.create_table(
        "samples",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("signal", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Text, comment="NULL: read, and unknown"),
        sa.Column("of", sa.Text),
        sa.Column("among", sa.Text),
        sa.Column("effective", sa.Text),
        sa.PrimaryKeyConstraint("service", "signal", "at", name="pk_samples"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_samples_at", "samples", ["at"])
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("ix_incidents_service_opened_at", "incidents", ["service", "opened_at"])
    op.create_table(
        "configs",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, comment="first seen"),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_configs"),
    )
    op.create_table(
        "leases",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False, comment="empty: released"),
        sa.Column("fence", sa.BigInteger, nullable=False, comment="grows at each change of owner"),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_leases"),
    )
