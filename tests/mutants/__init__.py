"""Mutants: small wrong edits of notaus, each of which a named test must notice. `make mutants` tries them all."""
