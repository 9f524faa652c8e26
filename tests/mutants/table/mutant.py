"""A mutant, as data: where, what stands there, what is put there instead, what that would mean, and which test notices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One small wrong edit."""

    file: str
    """Below `src/notaus`."""
    old: str
    """Occurs exactly once in the file."""
    new: str
    means: str
    """What would go wrong, in words."""
    test: str
    """The test that must fail with it."""
