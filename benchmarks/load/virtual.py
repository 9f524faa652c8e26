"""The daemon with a crowd of services and its sandbox on virtual time, in one process: hours pass as fast as the work is done.

Memory and CPU are those of both together.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.load.crowd import Crowd, sandbox
from notaus import config
from notaus.app import App
from notaus.backtest.virtual_time import VirtualTimeLoop, run
from notaus.clock import SystemClock
from notaus.cloudflare.budget import Family
from notaus.core.event import Event, Polled
from notaus.core.fleet import Stepped
from notaus.daemon.engine import Guarded
from notaus.journal import Journal
from notaus.sandbox.box import KV_NAMESPACE, TOKEN, ZONE, Sandbox

EPOCH = 1_790_006_400


class GridBells:
    """Bells on virtual time: each rings at the multiples of its period."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        if name in self._tasks:
            self._tasks[name].cancel()
        self._tasks[name] = asyncio.create_task(self._ringing(seconds, ring), name=f"bell {name}")

    def start(self) -> None:
        """They ring already."""

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _ringing(self, seconds: float, ring: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds - self._clock.now() % seconds)
            ring()


@dataclass(frozen=True, slots=True)
class Hour:
    """One simulated hour."""

    ticks: int
    """Ticks of services that were taken."""
    late: int
    """Those taken more than a step after their time."""
    requests: dict[str, int]
    most: dict[str, int]
    """The most requests of a budget in any five minutes so far."""
    resident_mb: float
    objects: int
    """Objects known to the garbage collector, those of the sandbox among them."""
    samples: int
    """Samples that the daemon has at hand."""
    journal_mb: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run led to."""

    hours: list[Hour]
    worst_delay: float
    """Seconds from a tick's time until it was taken, at the worst."""
    refused: int
    """Requests that the sandbox refused because a limit was reached."""
    problems: dict[str, int]
    pages: int
    metrics_bytes: int
    metrics_seconds: float


@dataclass
class Watch:
    """Counts the ticks that are taken."""

    step: int
    clock: SystemClock
    ticks: int = 0
    late: int = 0
    worst: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)

    def __call__(self, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        if isinstance(event, Polled):
            delay = self.clock.now() - event.tick
            self.ticks += 1
            self.late += delay > self.step
            self.worst = max(self.worst, delay)
            self.problems.update(event.problems.values())


def configuration(crowd: Crowd, directory: Path) -> config.Configuration:
    """The crowd's configuration, read from files as a daemon reads it."""
    names = ("PIX_ONCALL_KEY", "PLATFORM_KEY", "ENGINEERING_LEAD_KEY")
    environment = {
        **os.environ,
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": crowd.account,
        "PIX_KV_NAMESPACE": KV_NAMESPACE,
        "BOOKSTRACK_ZONE": ZONE,
        **{f"PAGERDUTY_{name}": "0" * 32 for name in names},
        **{f"SLACK_{name}_WEBHOOK": "https://hooks.slack.com/x" for name in ("INCIDENTS", "BOOKSTRACK_ALERTS", "ENGINEERING")},
    }  # fmt: skip
    return config.load(crowd.write(directory), environment, lenient=True)


class Workers(httpx.AsyncBaseTransport):
    """The sandbox, with every bookstrack host answered by its one bookstrack, and a count of what is asked."""

    def __init__(self, box: Sandbox) -> None:
        self._box, self._inner = box, box.transport()
        self._recent: dict[Family, deque[float]] = {family: deque() for family in Family}
        self.api: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """The most requests of a budget in any five minutes."""
        self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host.endswith(".oooefam.net"):
            request.url = request.url.copy_with(host="api.oooefam.net")
            request.headers["host"] = "api.oooefam.net"
        response = await self._inner.handle_async_request(request)
        if request.url.host == "api.cloudflare.com":
            self._count(kind_of(request.url.path))
            self.refused += response.status_code == 429 or b"rate limiter budget depleted" in response.content
        return response

    def _count(self, kind: str) -> None:
        self.api[kind] += 1
        family, now = Family.GRAPHQL if kind == "graphql" else Family.API, self._box.now()
        recent = self._recent[family]
        recent.append(now)
        while recent[0] <= now - 300:
            recent.popleft()
        self.most[str(family)] = max(self.most[str(family)], len(recent))


def kind_of(path: str) -> str:
    """What a request to this path of the API asks for."""
    for mark, kind in (("graphql", "graphql"), ("/sql", "sql"), ("bulk/get", "kv bulk"), ("/values/", "kv"),
                       ("/deployments", "deployments"), ("/versions", "versions")):  # fmt: skip
        if mark in path:
            return kind
    return "other"


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def megabytes(directory: Path) -> float:
    """The size of the journal."""
    return sum(file.stat().st_size for file in directory.glob("journal.sqlite*")) / 1e6


async def guard(
    crowd: Crowd, hours: float, loop: VirtualTimeLoop, tell: Callable[[Hour], None], hour: float = 3600.0
) -> Outcome:
    """Let the daemon guard the crowd for so many simulated hours; `tell` hears of each (of `hour` seconds)."""
    true_time = lambda: EPOCH + loop.time()  # noqa: E731
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        settings = configuration(crowd, directory / "config")
        box = sandbox(crowd, true_time)
        box.journal.requests = deque(maxlen=1_000)  # what the sandbox remembers should not look like growth
        clock = SystemClock(wall=true_time, monotonic=loop.time)
        workers, watch = Workers(box), Watch(crowd.step, clock)
        with Journal.open(f"sqlite:///{directory}/journal.sqlite") as journal:
            app = App(
                settings,
                journal,
                clock=clock,
                http=httpx.AsyncClient(transport=workers, timeout=10.0),
                bells=GridBells(clock),
                owner="load",
                watchers=(watch,),
            )
            await app.start()
            found = []
            while (left := hours * 3600 - len(found) * hour) > 0:
                before, ticks, late, used = Counter(workers.api), watch.ticks, watch.late, time.process_time()
                await asyncio.sleep(min(hour, left))
                gc.collect()
                found.append(
                    Hour(
                        ticks=watch.ticks - ticks,
                        late=watch.late - late,
                        requests=dict(workers.api - before),
                        most=dict(workers.most),
                        resident_mb=resident_mb(),
                        objects=len(gc.get_objects()),
                        samples=sum(len(s) for g in app.engine.guarded.values() for s in g.history.series.values()),
                        journal_mb=megabytes(directory),
                        cpu_seconds=time.process_time() - used,
                    )
                )
                tell(found[-1])
            started = time.process_time()
            page = len(app.metrics.render())
            rendered = time.process_time() - started
            await app.stop()
    return Outcome(found, watch.worst, workers.refused, dict(watch.problems), len(box.pages), page, rendered)


def played(crowd: Crowd, hours: float, tell: Callable[[Hour], None], hour: float = 3600.0) -> Outcome:
    """The same, on a loop of its own."""
    return run(lambda loop: guard(crowd, hours, loop, tell, hour))
