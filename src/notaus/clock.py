"""Time: the only place that asks what time it is. Never runs backwards; corrected by the `Date` of Cloudflare's answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

STEP_BACK = 30.0
"""Seconds by which the clock must be ahead to be set back; less is made up for by standing still."""


class Clock(Protocol):
    """What the daemon knows of time. `now()` is Cloudflare's time in epoch seconds and never runs backwards."""

    speed: float
    """Seconds of `now()` per second of the machine; 1 except in demonstrations."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of this clock."""
        ...

    def observe(self, remote: float, uncertainty: float) -> None:
        """Take note of a remote `Date` (epoch seconds), known to within `uncertainty` seconds."""
        ...

    @property
    def skew(self) -> float:
        """Seconds by which the machine's clock is behind Cloudflare's."""
        ...


class SystemClock:
    """The machine's monotonic clock, anchored to its wall clock at start and corrected to Cloudflare's."""

    def __init__(
        self,
        speed: float = 1.0,
        anchor: tuple[float, float] | None = None,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`anchor` is (wall time, clock time) at which both are taken to agree, so that processes can share a fast clock.

        `wall` and `monotonic` are the machine's clocks (a simulation gives its own).
        """
        self.speed = speed
        real, virtual = anchor or (wall(), wall())
        self._start = virtual + (wall() - real) * speed
        self._read_monotonic = monotonic
        self._monotonic = monotonic()
        self._correction = 0.0
        self._latest = self._start

    def now(self) -> float:
        self._latest = max(self._latest, self._local() + self._correction)
        return self._latest

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    def observe(self, remote: float, uncertainty: float) -> None:
        # A `Date` has whole seconds, so only a difference beyond that and the round trip says anything.
        difference = remote + 0.5 - self.now()
        if abs(difference) <= 0.5 + uncertainty:
            return
        self._correction += difference
        if difference < -STEP_BACK:  # far ahead: standing still until the time has come would be blindness
            self._latest = self._local() + self._correction

    @property
    def skew(self) -> float:
        return self._correction

    def _local(self) -> float:
        return self._start + (self._read_monotonic() - self._monotonic) * self.speed
