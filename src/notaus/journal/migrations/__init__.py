"""How the tables of the journal came to be, release by release (Alembic); applied when a journal is opened."""
