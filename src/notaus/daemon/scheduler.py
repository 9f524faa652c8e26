"""The scheduler: APScheduler rings, never acts. Its jobs put rings into the daemon; nothing that matters lives in one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from notaus.clock import Clock


class Bells(Protocol):
    """Rings at the multiples of a period of the daemon's clock."""

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        """Call `ring` at each multiple of `seconds` from now on; a late ring is rung once."""
        ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Grid(BaseTrigger):  # type: ignore[misc]
    """Fires at the multiples of `seconds` of the daemon's clock, whatever the machine's clock does."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds, self.clock = seconds, clock

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        time = self.clock.now()
        to_go = self.seconds - time % self.seconds
        return now + timedelta(seconds=to_go / self.clock.speed)


class ScheduledBells:
    """Bells rung by APScheduler."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        async def job() -> None:  # a coroutine, so that it runs on the loop
            ring()

        self.scheduler.add_job(job, Grid(seconds, self.clock), name=name, id=name, replace_existing=True)

    def start(self) -> None:
        self.scheduler.start()

    def stop(self) -> None:
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)
