"""What can only be asked now (a probe, a database): answers are kept, since nothing can be asked after the fact."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from notaus.clock import Clock
from notaus.config.sources import Entry

T = TypeVar("T")

KEPT = 240
"""Answers remembered per entry: an hour of them at the default step."""
FRESH = 60
"""Seconds after its settling for which a grid time is still the present."""


@dataclass(slots=True)
class Present(Generic[T]):
    """The answers of one kind of source, by entry and grid time."""

    clock: Clock
    _found: dict[tuple[str, str], dict[int, T]] = field(default_factory=dict)

    async def asked(self, entry: Entry, times: Sequence[int], ask: Callable[[], Awaitable[T]]) -> Mapping[int, T]:
        """What is known after asking for the newest of `times`; an older one is as found then, or missing."""
        found = self._found.setdefault((entry.service, entry.name), {})
        newest = max(times, default=0)
        if newest > max(found, default=0) and self.clock.now() - newest <= entry.settle + FRESH:
            found[newest] = await ask()
            for old in sorted(found)[:-KEPT]:
                del found[old]
        return found
