"""Time: the only place that asks what time it is. Never runs backwards; corrected by the `Date` of Cloudflare's answers.

One answer alone sets nothing: what stands between us and Cloudflare may make up a `Date`, or repeat an old one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

STEP_BACK = 30.0
"""Seconds by which the clock must be ahead to be set back; less is made up for by standing still."""
WHOLE_SECOND = 1.0
"""A `Date` has whole seconds: two may differ by as much and say the same."""
EARLIEST, LATEST = 1_735_689_600, 4_102_444_800
"""2025 and 2100: no answer is older than this program, and a later one is no time to go by."""


@dataclass(frozen=True, slots=True)
class _Told:
    """The correction that one `Date` asks for, and when that was (of the uncorrected clock)."""

    at: float
    correction: float
    uncertainty: float

    def agrees(self, later: _Told) -> bool:
        return abs(later.correction - self.correction) <= WHOLE_SECOND + self.uncertainty + later.uncertainty

    def confirmed_by(self, later: _Told) -> bool:
        """Whether `later` agrees and came so much later that a `Date` standing still would not."""
        long_enough = later.at - self.at >= 2 * WHOLE_SECOND + self.uncertainty + later.uncertainty
        return long_enough and self.agrees(later)


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
    def in_doubt(self) -> bool:
        """Whether a `Date` asked for a correction that no second one has confirmed or denied yet."""
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
        self._doubt: _Told | None = None
        self._latest = self._start

    def now(self) -> float:
        self._latest = max(self._latest, self._local() + self._correction)
        return self._latest

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    def observe(self, remote: float, uncertainty: float) -> None:
        local = self._local()
        told = _Told(local, remote + WHOLE_SECOND / 2 - local, uncertainty)
        # Only a difference beyond the whole second and the round trip says anything.
        if abs(told.correction - self._correction) <= WHOLE_SECOND / 2 + uncertainty:
            self._doubt = None
        elif not EARLIEST <= remote < LATEST:
            return
        elif self._doubt is None or not self._doubt.agrees(told):
            self._doubt = told
        elif self._doubt.confirmed_by(told):
            self._doubt = None
            self._correct(told.correction)

    def _correct(self, correction: float) -> None:
        self._correction = correction
        right = self._local() + correction
        if self._latest - right > STEP_BACK:  # standing still until the time has come would be blindness
            self._latest = right

    @property
    def in_doubt(self) -> bool:
        return self._doubt is not None

    @property
    def skew(self) -> float:
        return self._correction

    def _local(self) -> float:
        return self._start + (self._read_monotonic() - self._monotonic) * self.speed
