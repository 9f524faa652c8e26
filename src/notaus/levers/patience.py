"""How long a lever tries: twenty seconds in all, with pauses that grow, or as long as Cloudflare asked for."""

from __future__ import annotations

from notaus.clock import Clock
from notaus.errors import Busy, CallFailed

TOTAL_SECONDS = 20.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 4.0


class Patience:
    """Counts from its creation."""

    def __init__(self, clock: Clock, total: float = TOTAL_SECONDS) -> None:
        self._clock = clock
        self._start = clock.now()
        self._total = total
        self._pause = FIRST_PAUSE_SECONDS

    @property
    def spent(self) -> float:
        """Seconds since the first try."""
        return self._clock.now() - self._start

    async def wait(self, failure: CallFailed, until: float | None = None) -> bool:
        """Pause after `failure`, at most until `until` seconds are spent; False, at once, where patience ends first."""
        asked = failure.retry_after if isinstance(failure, Busy) else None
        pause = self._pause if asked is None else asked
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        if until is not None and self.spent < until:
            pause = min(pause, until - self.spent)
        if self.spent + pause > self._total:
            return False
        await self._clock.sleep(pause)
        return True
