"""The poller: at each tick, reads what is due of every signal and where every service stands, and posts what came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from notaus.clock import Clock
from notaus.config.sources import Entry
from notaus.core import fleet
from notaus.core.deployment import BEFORE
from notaus.core.event import Event, Polled
from notaus.core.sample import Sample
from notaus.core.service import Service
from notaus.core.world import World
from notaus.daemon.engine import Guarded
from notaus.daemon.ports import Reader, WorldReader
from notaus.errors import CallFailed, NotausError, ReadFailed
from notaus.metrics import Metrics

FEWEST_TIMES = 16
"""As many can always be asked for, however slow the answers are."""
MOST_TIMES = 600
"""Grid times asked for in one read; older ones follow at the next tick."""
RESTING_SECONDS = 30
"""While nothing is going on, the world and the slow sources are read at this pace (the API budget, spec 2)."""
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
    ) -> None:
        """`tell_time` is any call to Cloudflare: its `Date` sets the clock before the first tick is named.

        `unread` tells, once, why some of an entry could not be read while the rest could.
        """
        self.account, self.clock, self.metrics, self.post = account, clock, metrics, post
        self.entries = [(entry, reader(entry)) for entry in entries]
        self.world = world
        self._before_tried: dict[str, int] = {}
        self._whole: dict[int, tuple[Guarded, int]] = {}
        self._busy: set[str] = set()
        """Services being polled."""
        self._seen: set[str] = set()
        """Services polled once: after a downtime, however short, the first poll reads everything."""
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
        names = {each.service.name for each in due}
        self._busy |= names
        started = self.clock.now()
        try:
            await self.set_clock()
            await asyncio.gather(*(self._poll_service(each) for each in due))
            self.metrics.last_poll_timestamp_seconds.labels(account=self.account).set(self.clock.now())
        finally:
            self._busy -= names
            self.metrics.poll_duration_seconds.labels(account=self.account).observe(self.clock.now() - started)

    def _due_now(self, guarded: Guarded) -> bool:
        """Whether the service's grid has a new tick. One far behind the newest taken is new: the clock was set right."""
        tick = int(self.clock.now()) // guarded.service.step * guarded.service.step
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

    async def _poll_service(self, guarded: Guarded) -> None:
        service = guarded.service
        tick = int(self.clock.now()) // service.step * service.step
        relaxed = service.name in self._seen and not alert(guarded) and tick % RESTING_SECONDS != 0
        self._seen.add(service.name)
        problems: dict[str, str] = {}
        reads = [
            self._read(entry, reader, guarded, tick, problems)
            for entry, reader in self.entries
            if entry.service == service.name and not (relaxed and entry.settle > SLOW_SETTLE)
        ]
        look = self._look(service, problems) if not relaxed or guarded.state.world_at is None else _nothing()
        world, readings = await asyncio.gather(look, asyncio.gather(*reads))
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
            problems["world"] = f"{type(error).__name__}: {error}"
        return None

    async def _read(
        self, entry: Entry, reader: Reader, guarded: Guarded, tick: int, problems: dict[str, str]
    ) -> Mapping[str, tuple[Sample, ...]]:
        times = self.due(entry, guarded, tick)
        if not times:
            return {}
        try:
            async with asyncio.timeout(self._patience(guarded.service)):
                found = await reader.read(entry, times)
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
            problems.update(dict.fromkeys(entry.signals, f"{type(error).__name__}: {error}"))
        return {}

    def _shrink(self, entry: Entry, asked: int) -> None:
        """A read of so many grid times took too long: the next one asks for half as many, the newest."""
        self._most[entry.service, entry.name] = max(asked // 2, FEWEST_TIMES)

    def _grow(self, entry: Entry) -> None:
        """A read was answered in time: the next one may ask for twice as many."""
        key = (entry.service, entry.name)
        if key in self._most:
            self._most[key] *= 2
            if self._most[key] >= MOST_TIMES:
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
        times = times[: self._most.get((entry.service, entry.name), MOST_TIMES)]
        times += [at for at in self._before(entry, guarded, tick) if at < oldest]
        return sorted(set(times))

    def _whole_to(self, entry: Entry, guarded: Guarded, oldest: int, newest: int) -> int:
        """The grid time up to which nothing is missing, remembered so that old samples are not looked through again."""
        step = guarded.service.step
        owner, whole = self._whole.get(id(entry), (guarded, oldest - step))
        if owner is not guarded:  # recovered anew
            whole = oldest - step
        whole = max(whole, oldest - step)
        while whole < newest and not _lacks(entry, guarded, whole + step):
            whole += step
        self._whole[id(entry)] = (guarded, whole)
        return whole

    def _before(self, entry: Entry, guarded: Guarded, tick: int) -> list[int]:
        """The ten minutes before the deployment, where they are older than what is at hand."""
        state, step = guarded.state, guarded.service.step
        missing = fleet.missing_before(guarded.service, state) & set(entry.signals)
        tried = self._before_tried.get(entry.name + entry.service, -TRY_BEFORE_AGAIN)
        if state.before_end is None or not missing or 0 <= tick - tried < TRY_BEFORE_AGAIN:
            return []
        self._before_tried[entry.name + entry.service] = tick
        last = state.before_end // step * step
        return [at for at in range(last, state.before_end - BEFORE, -step) if _lacks(entry, guarded, at)]


def _lacks(entry: Entry, guarded: Guarded, at: int) -> bool:
    return any(guarded.history.at(name, at) is None for name in entry.signals)


def alert(guarded: Guarded) -> bool:
    """Whether something is going on: a rule's condition holds, an incident or a request is open, a rule is blind."""
    state = guarded.state
    if state.incident is not None or state.request is not None or state.world_failing is not None:
        return True
    return any(rule.run is not None or rule.blind is not None for rule in state.rules.values())


async def _nothing() -> None:
    return None
