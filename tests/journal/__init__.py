"""Tests of the journal: one suite for SQLite in memory, a SQLite file and PostgreSQL."""
