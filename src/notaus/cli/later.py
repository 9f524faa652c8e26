"""Commands that a later release brings: they are listed, and say so."""

from __future__ import annotations

from notaus.errors import NotausError


def not_yet(command: str, instead: str) -> NotausError:
    """The answer of a command that this release does not have."""
    return NotausError(f"`notaus {command}` is not available yet; {instead}")
