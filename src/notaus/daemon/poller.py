"""The poller: at each tick, reads what is due of every signal and where every service stands, and posts what came.

Where something is going on, everything is read at every tick. What is at rest takes turns, as far as the API budget goes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from notaus.clock import Clock
from notaus.config.sources import Entry
from notaus.core import fleet, foreign
from notaus.core.deployment import BEFORE
from notaus.core.event import Event, Polled
from notaus.core.sample import Readings, Sample
from notaus.core.service import Service
from notaus.core.world import DeploymentsView, World
from notaus.daemon import cohorts
from notaus.daemon.engine import Guarded
from notaus.daemon.ports import Reader, WorldReader
from notaus.errors import CallFailed, NotausError, ReadFailed
from notaus.log import scrub
from notaus.metrics import Metrics

FEWEST_TIMES = 16
"""As many can always be asked for, however slow the answers are."""
MOST_TIMES = 600
"""Grid times asked for in one read; older ones follow at the next tick."""
MOST_OF_ALL = 200_000
"""Grid times asked for by all entries together in one tick."""
RESTING_SECONDS = 30
"""While nothing is going on, the world and the slow sources are read at this pace (the API budget, spec 2)."""
SPARING_SECONDS = 120
"""The slow sources' pace at rest while the budget of their API runs low."""
SLOW_SETTLE = 120
"""A source that settles slower than this loses nothing by being read less often."""
BACKLOG = 100
"""Letters waiting above which a tick is skipped: what it missed is read at the next."""
TRY_BEFORE_AGAIN = 300
CLOCK_PATIENCE = 2.0
"""The machine's seconds that the first poll waits for an answer that tells the time."""
CLOCK_QUESTIONS = 3
CLOCK_PAUSE = 3.0
"""Between questions, where the answer says that the clock is wrong: one answer alone sets no clock."""

log = structlog.get_logger(__name__)


class Poller:
    """Polls the services of one account."""

    def __init__(
        self,
        account: str,
        entries: Sequence[Entry],
        reader: Callable[[Entry], Reader],
        world: WorldReader,
        clock: Clock,
        metrics: Metrics,
        post: Callable[[str, Event], None],
        tell_time: Callable[[], Awaitable[object]] | None = None,
        unread: Callable[[Entry], str | None] = lambda entry: None,
        affordable: Callable[[Sequence[Service], float | None], Sequence[Service]] = lambda services, every: services,
        plenty: Callable[[], bool] = lambda: True,
    ) -> None:
        """`tell_time` is any call to Cloudflare: its `Date` sets the clock before the first tick is named.

        `unread` tells, once, why some of an entry could not be read while the rest could. `affordable` says at which
        services, those that waited longest first, the API budget lets us look at this tick, where others follow every
        so many seconds (None: now, for something is going on); `plenty` whether it lets us read the slow sources at
        their usual pace.
        """
        self.account, self.clock, self.metrics, self.post = account, clock, metrics, post
        self.entries: dict[str, list[tuple[Entry, Reader]]] = {}
        for entry in entries:
            self.entries.setdefault(entry.service, []).append((entry, reader(entry)))
        self.most = min(MOST_TIMES, max(FEWEST_TIMES, MOST_OF_ALL // max(len(entries), 1)))
        """Grid times that one read of an entry asks for."""
        self.world, self.affordable, self.plenty = world, affordable, plenty
        self._before_tried: dict[str, int] = {}
        self._whole: dict[tuple[str, str], tuple[Guarded, int]] = {}
        self._busy: set[str] = set()
        """Services being polled."""
        self._seen: set[str] = set()
        """Services polled once: after a downtime, however short, the first poll reads everything."""
        self._looked: dict[str, float] = {}
        """When each service was last looked at, successfully or not."""
        self._most: dict[tuple[str, str], int] = {}
        """Grid times that one read of an entry may ask for, where more took too long."""
        self._tell_time, self._unread = tell_time, unread

    async def poll(self, guarded: Sequence[Guarded], backlog: int) -> None:
        """One ring: poll every service whose grid has a new tick. A poll still under way is not doubled."""
        if backlog > BACKLOG:
            return
        due = [each for each in guarded if self._due_now(each)]
        if not due:
            return
        self._busy |= {each.service.name for each in due}
        started = self.clock.now()
        try:
            await self.set_clock()
            looks = self._looks(due)
            await asyncio.gather(*(self._poll_alone(each, each.service.name in looks) for each in due))
            self.metrics.last_poll_timestamp_seconds.labels(account=self.account).set(self.clock.now())
        finally:
            self.metrics.poll_duration_seconds.labels(account=self.account).observe(self.clock.now() - started)

    def _due_now(self, guarded: Guarded) -> bool:
        """Whether the service's grid has a new tick. One far behind the newest taken is new: the clock was set right."""
        tick = _tick(guarded.service, self.clock.now())
        repeated = 0 <= guarded.state.tick - tick < fleet.CLOCK_SET_BACK
        return guarded.service.name not in self._busy and not repeated

    async def set_clock(self) -> None:
        """Before the first poll; without an answer our own clock has to do, and the polls go on setting it."""
        if self._tell_time is None:
            return
        tell_time, self._tell_time = self._tell_time, None
        for _ in range(CLOCK_QUESTIONS):
            with contextlib.suppress(NotausError, TimeoutError):
                async with asyncio.timeout(CLOCK_PATIENCE):
                    await tell_time()
            if not self.clock.in_doubt:
                return
            await self.clock.sleep(CLOCK_PAUSE)

    def _looks(self, due: Sequence[Guarded]) -> set[str]:
        """Where to look: first where something is going on, then at those at rest in turn."""
        now, step = self.clock.now(), min(each.service.step for each in due)
        by_age = sorted(due, key=lambda each: self._looked.get(each.service.name, 0.0))
        going_on = [each.service for each in by_age if each.state.going_on]
        at_rest = [each.service for each in by_age if not each.state.going_on and self._wants_a_look(each, now)]
        chosen = {service.name for service in (*self.affordable(going_on, None), *self.affordable(at_rest, step))}
        self._looked.update(dict.fromkeys(chosen, now))
        return chosen

    def look_soon(self, service: str) -> None:
        """At its next tick, however quiet it is."""
        self._looked.pop(service, None)

    def _wants_a_look(self, guarded: Guarded, now: float) -> bool:
        state, looked = guarded.state, self._looked.get(guarded.service.name)
        if looked is None or state.world_at is None or state.world_failing is not None:
            return True
        return _tick(guarded.service, now) % RESTING_SECONDS == 0 or now - looked >= RESTING_SECONDS

    async def _poll_alone(self, guarded: Guarded, look: bool) -> None:
        """One service; its next tick waits for no other one's slow source."""
        try:
            await self._poll_service(guarded, look)
        finally:
            self._busy.discard(guarded.service.name)

    async def _poll_service(self, guarded: Guarded, look: bool) -> None:
        service = guarded.service
        tick = _tick(service, self.clock.now())
        relaxed = service.name in self._seen and not alert(guarded)
        rests = relaxed and tick % (RESTING_SECONDS if self.plenty() else SPARING_SECONDS) != 0
        self._seen.add(service.name)
        problems: dict[str, str] = {}
        looking = asyncio.ensure_future(self._look(service, problems) if look else _nothing())
        reads = [
            self._read(entry, reader, guarded, tick, problems, looking)
            for entry, reader in self.entries.get(service.name, ())
            if not (rests and entry.settle > SLOW_SETTLE)
        ]
        world, readings = await asyncio.gather(looking, asyncio.gather(*reads))
        merged = {name: samples for reading in readings for name, samples in reading.items()}
        self.post(service.name, Polled(tick, int(self.clock.now()), merged, world, problems))

    async def _look(self, service: Service, problems: dict[str, str]) -> World | None:
        try:
            async with asyncio.timeout(self._patience(service)):
                return await self.world.read(service)
        except (ReadFailed, CallFailed, TimeoutError) as error:
            problems["world"] = str(error) or "no answer in time"
            log.warning("read failed", service=service.name, source="world", reason=problems["world"])
        except Exception as error:
            log.exception("where a service stands could not be read, in an unforeseen way", service=service.name)
            problems["world"] = scrub(f"{type(error).__name__}: {error}")
        return None

    async def _read(
        self,
        entry: Entry,
        reader: Reader,
        guarded: Guarded,
        tick: int,
        problems: dict[str, str],
        looking: asyncio.Future[World | None],
    ) -> Mapping[str, tuple[Sample, ...]]:
        times = self.due(entry, guarded, tick)
        if not times:
            return {}
        try:
            async with asyncio.timeout(self._patience(guarded.service)):
                found = await self._readings(entry, reader, guarded, times, looking)
            self._grow(entry)
            missing = self._unread(entry)
            if missing is not None:
                problems.update(dict.fromkeys(entry.signals, missing))
                log.warning("read in part", service=entry.service, source=entry.name, reason=missing)
            return found
        except (ReadFailed, CallFailed, TimeoutError) as error:
            if isinstance(error, TimeoutError):  # or the same read, only longer, would fail at every tick from now on
                self._shrink(entry, len(times))
            reason = str(error) or "no answer in time"
            problems.update(dict.fromkeys(entry.signals, reason))
            log.warning("read failed", service=entry.service, source=entry.name, reason=reason)
        except Exception as error:
            log.exception("a source failed in an unforeseen way", service=entry.service, source=entry.name)
            problems.update(dict.fromkeys(entry.signals, scrub(f"{type(error).__name__}: {error}")))
        return {}

    async def _readings(
        self, entry: Entry, reader: Reader, guarded: Guarded, times: list[int], looking: asyncio.Future[World | None]
    ) -> Readings:
        """The samples at `times`; of version cohorts by the newest look at the deployments."""
        if not cohorts.by_version(guarded.service, entry):
            return await reader.read(entry, times)
        world = await asyncio.shield(looking)
        view = world if isinstance(world, DeploymentsView) else guarded.state.view
        return await cohorts.read(reader, entry, times, guarded.state.registry, view)

    def _shrink(self, entry: Entry, asked: int) -> None:
        """A read of so many grid times took too long: the next one asks for half as many, the newest."""
        self._most[entry.service, entry.name] = max(asked // 2, FEWEST_TIMES)

    def _grow(self, entry: Entry) -> None:
        """A read was answered in time: the next one may ask for twice as many."""
        key = (entry.service, entry.name)
        if key in self._most:
            self._most[key] *= 2
            if self._most[key] >= self.most:
                del self._most[key]

    def _patience(self, service: Service) -> float:
        """The machine's seconds a read may take: a tick, but time enough where the clock runs faster."""
        return max(service.step / self.clock.speed, 10.0)

    def due(self, entry: Entry, guarded: Guarded, tick: int) -> list[int]:
        """The settled grid times of which `entry` was not read yet, newest first served, in order."""
        service = guarded.service
        newest = (tick - entry.settle) // service.step * service.step
        oldest = max(tick - service.lookback, 0) // service.step * service.step + service.step
        first = max(oldest, self._whole_to(entry, guarded, oldest, newest) + service.step)
        times = [at for at in range(newest, first - 1, -service.step) if _lacks(entry, guarded, at)]
        times = times[: self._most.get((entry.service, entry.name), self.most)]
        times += [at for at in self._before(entry, guarded, tick) if at < oldest]
        return sorted(set(times))

    def _whole_to(self, entry: Entry, guarded: Guarded, oldest: int, newest: int) -> int:
        """The grid time up to which nothing is missing, remembered so that old samples are not looked through again."""
        step = guarded.service.step
        owner, whole = self._whole.get((entry.service, entry.name), (guarded, oldest - step))
        if owner is not guarded:  # recovered anew
            whole = oldest - step
        whole = max(whole, oldest - step)
        while whole < newest and not _lacks(entry, guarded, whole + step):
            whole += step
        self._whole[entry.service, entry.name] = (guarded, whole)
        return whole

    def _before(self, entry: Entry, guarded: Guarded, tick: int) -> list[int]:
        """The ten minutes before the deployment, where they are older than what is at hand."""
        state, step = guarded.state, guarded.service.step
        missing = foreign.missing_before(guarded.service, state) & set(entry.signals)
        tried = self._before_tried.get(entry.name + entry.service, -TRY_BEFORE_AGAIN)
        if state.before_end is None or not missing or 0 <= tick - tried < TRY_BEFORE_AGAIN:
            return []
        self._before_tried[entry.name + entry.service] = tick
        last = state.before_end // step * step
        return [at for at in range(last, state.before_end - BEFORE, -step) if _lacks(entry, guarded, at)]


def _tick(service: Service, now: float) -> int:
    """The newest grid time."""
    return int(now) // service.step * service.step


def _lacks(entry: Entry, guarded: Guarded, at: int) -> bool:
    return any(guarded.history.at(name, at) is None for name in entry.signals)


def alert(guarded: Guarded) -> bool:
    """Whether something is going on, or cannot be seen."""
    state = guarded.state
    return state.going_on or state.world_failing is not None or any(r.blind is not None for r in state.rules.values())


async def _nothing() -> None:
    return None
