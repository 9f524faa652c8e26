"""All mutants: of the core (`watching`, `deciding`, `acting`) and of the packages around it."""

from __future__ import annotations

from tests.mutants.table import acting, daemon, deciding, drilling, journal, levers, watching
from tests.mutants.table.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *watching.MUTANTS,
    *deciding.MUTANTS,
    *acting.MUTANTS,
    *daemon.MUTANTS,
    *levers.MUTANTS,
    *journal.MUTANTS,
    *drilling.MUTANTS,
)

__all__ = ["MUTANTS", "Mutant"]
