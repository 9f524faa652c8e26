"""What Alembic runs: the migrations, on the connection and inside the transaction that `database.migrate` holds."""

from __future__ import annotations

from alembic import context

from notaus.journal.database import VERSION_TABLE
from notaus.journal.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
