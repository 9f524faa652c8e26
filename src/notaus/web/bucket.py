"""A token bucket: so many calls in so many seconds, and after a pause as many at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction


class Bucket:
    """Admits calls at a rate."""

    def __init__(self, rate: tuple[int, int], now: Callable[[], int]) -> None:
        """`rate` in (calls, seconds); `now` in epoch seconds."""
        self.rate, self._now = rate, now
        self._left = Fraction(rate[0])
        self._at = now()

    def take(self) -> int:
        """0 where the call is admitted, else the seconds to wait for the next one."""
        calls, seconds = self.rate
        now = self._now()
        self._left = min(Fraction(calls), self._left + Fraction(calls * max(0, now - self._at), seconds))
        self._at = now
        if self._left < 1:
            return math.ceil((1 - self._left) * seconds / calls)
        self._left -= 1
        return 0
