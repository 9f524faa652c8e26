"""Mutants of the journal and the clock."""

from __future__ import annotations

from tests.mutants.table.mutant import Mutant

MUTANTS = (
    Mutant(
        "journal/statements.py",
        'leases.c.fence == bindparam("of_fence"),',
        'leases.c.fence >= bindparam("of_fence"),',
        "a lease lost and regained is used with its old fence",
        "tests/journal/test_leases.py::test_an_owner_that_lost_and_regained_the_account_cannot_use_its_old_lease",
    ),
    Mutant(
        "journal/statements.py",
        "leases.c.expires_at <= self._now",
        "leases.c.expires_at > self._now",
        "a lease in force is taken away",
        "tests/journal/test_leases.py::test_an_account_has_one_owner_until_the_lease_runs_out",
    ),
    Mutant(
        "journal/journal.py",
        "if lease is not None and connection.scalar(sql.CHECK_LEASE, _identity(lease)) is None:",
        "if False:",
        "a replica writes with a lease that is another's",
        "tests/journal/test_leases.py::test_a_taken_lease_can_neither_be_renewed_nor_write",
    ),
    Mutant(
        "clock.py",
        "self._latest = max(self._latest, self._local() + self._correction)",
        "self._latest = self._local() + self._correction",
        "the clock runs backwards",
        "tests/test_clock.py::test_a_little_ahead_it_stands_still_until_the_time_has_come",
    ),
    Mutant(
        "clock.py",
        "if self._latest - right > STEP_BACK:",
        "if False:",
        "an hour of blindness until the time has come",
        "tests/test_clock.py::test_far_ahead_it_is_set_back",
    ),
)
