"""The scheduler: APScheduler rings, never acts. Its jobs put rings into the daemon; nothing that matters lives in one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

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

    @property
    def longest(self) -> float:
        """The machine's seconds between two rings, at the most."""
        return self.seconds / self.clock.speed

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        time = self.clock.now()
        to_go = self.seconds - time % self.seconds
        return now + timedelta(seconds=to_go / self.clock.speed)


class _Scheduler(AsyncIOScheduler):  # type: ignore[misc]
    """APScheduler, which compares the machine's wall clock: when that is set back, its jobs would rest for as long."""

    def _process_jobs(self) -> Any:
        now = datetime.now(UTC)
        for job in self.get_jobs():
            if job.next_run_time > now + timedelta(seconds=job.trigger.longest + 1):
                job.modify(next_run_time=now)
        return super()._process_jobs()


class ScheduledBells:
    """Bells rung by APScheduler."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._ringing = False
        self.scheduler = _Scheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        async def job() -> None:  # a coroutine, so that it runs on the loop
            ring()

        self.scheduler.add_job(job, Grid(seconds, self.clock), name=name, id=name, replace_existing=True)

    def start(self) -> None:
        self.scheduler.start()
        self._ringing = True

    def stop(self) -> None:
        if self._ringing:  # the scheduler's own `running` turns false only later, on the loop
            self._ringing = False
            self.scheduler.shutdown(wait=False)
