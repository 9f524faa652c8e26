"""The living replicas, and the key by which a step that was not answered is recognised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "replicas",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("accounts", sa.Text, nullable=False, comment="those it is configured for, as JSON"),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_replicas"),
    )
    with op.batch_alter_table("states") as states:
        states.add_column(sa.Column("key", sa.Text, comment="of the step that led to it"))
