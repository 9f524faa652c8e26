"""The production daemon and the in-process sandbox on virtual time, to be crashed at any moment and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx

from notaus import config
from notaus.app import App
from notaus.backtest import scenario
from notaus.backtest.edge import ScenarioTransport
from notaus.backtest.runner import EPOCH, _Bells, _Stage
from notaus.backtest.virtual_time import VirtualTimeLoop, run
from notaus.clock import SystemClock
from notaus.config import Configuration
from notaus.core.incident import Phase
from notaus.journal import Journal, Lease, Record

CONFIG = Path(__file__).parents[2] / "config"
DOWN_SECONDS = 7


@dataclass
class Plan:
    """When to crash: at the n-th journal write, or before or after the n-th request; counted from 1."""

    at: str = "never"
    number: int = 0
    replicas: int = 1
    down: int = DOWN_SECONDS


@dataclass
class Outcome:
    """What a run led to."""

    writes: list[str]
    threads: dict[str, set[int]]
    """Page threads, and the sequence numbers that came through."""
    rung: str | None
    phase: Phase | None
    outbox: dict[str, Any]
    crashed: bool
    steps: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    requests_seen: int = 0
    writes_seen: int = 0


class CrashingJournal:
    """A journal that has the daemon crash right after a write, before anything follows from it."""

    def __init__(self, journal: Journal, stage: Stage) -> None:
        self._journal, self._stage = journal, stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def write_all(self, records: Sequence[Record], lease: Lease | None = None) -> None:
        self._journal.write_all(records, lease)
        for record in records:
            self._stage.steps.append(record.kind + ("!" if record.effects or record.settled else ""))
            self._stage.reached("write", len(self._stage.steps))


class CrashingTransport(httpx.AsyncBaseTransport):
    """A network on which the daemon crashes before a request leaves, or before its answer arrives."""

    def __init__(self, inner: httpx.AsyncBaseTransport, stage: Stage) -> None:
        self._inner, self._stage = inner, stage

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stage = self._stage
        stage.requests.append(f"{request.method} {request.url.host}{request.url.path}")
        number = len(stage.requests)
        if stage.reached("before", number):
            await asyncio.Event().wait()
        response = await self._inner.handle_async_request(request)
        if stage.reached("after", number):
            await asyncio.Event().wait()
        return response


class Stage(_Stage):
    """One run of a service whose trouble begins at 0:00 and goes on until notaus has acted."""

    def __init__(self, service: str, plan: Plan, loop: VirtualTimeLoop, end: int) -> None:
        self.plan, self.end = plan, end
        self.steps: list[str] = []
        self.requests: list[str] = []
        self.crashing: asyncio.Task[None] | None = None
        self.crashed = False
        super().__init__(a_scenario(service, plan), quick(config.load(CONFIG, lenient=True)), loop)
        self.kept, self.journal = self.journal, CrashingJournal(self.journal, self)

    def reached(self, what: str, number: int) -> bool:
        """Whether this is the moment; if so, the crash is under way."""
        if self.crashed or (self.plan.at, self.plan.number) != (what, number):
            return False
        self.crashed = True
        self.crashing = asyncio.create_task(self._crash())
        return True

    async def _crash(self) -> None:
        leaders = [a for a in self.apps if a.leadership.lease(self.service.account) is not None]
        for app in leaders:
            self.bells.remove(app.bells)
            await app.crash()
            self.apps.remove(app)
        if self.plan.replicas == 1:
            await asyncio.sleep(self.plan.down)
            self.journal_release()
            await self._start(0)

    async def _start(self, number: int) -> None:
        clock = SystemClock(wall=self.true_time, monotonic=self.loop.time)
        bells = _Bells()
        transport = CrashingTransport(ScenarioTransport(self.box, self.service, self._present), self)
        app = App(
            self.configuration,
            self.journal,
            clock=clock,
            http=httpx.AsyncClient(transport=transport, timeout=10.0),
            bells=bells,
            readers=lambda entry: self.reader,
            owner=f"replica-{number}-{len(self.requests)}",
        )
        self.apps.append(app)
        self.bells.append(bells)
        await app.start()

    async def _play(self) -> Any:
        for number in range(self.plan.replicas):
            await self._start(number)
        for at in range(EPOCH, EPOCH + self.end, 15):
            await self._until(at)
            if at == EPOCH and self.key_writes == []:
                self._deploy({"v2.0.0": Fraction(100)})
            for bells in self.bells:
                bells.poll()
            if self.healed is None and self.box.writes and at > EPOCH:
                self._heal(at)
        await self._until(self.true_time() + 15)
        return self._outcome()

    healed: int | None = None

    def _heal(self, at: int) -> None:
        """The step helped: what was bad is good from the next samples on."""
        if not any(write.by == "api" for write in self.box.writes):
            return
        self.healed = at
        for name, values in self.reader.values.items():
            self.reader.values[name] = values[: (at - self.reader.begin) // 15 + 1]

    def _outcome(self) -> Outcome:
        guarded = next(a.engine.guarded[self.service.name] for a in self.apps if a.engine.guarded)
        threads: dict[str, set[int]] = {}
        for page in self.box.pages:
            threads.setdefault(page.payload["thread"], set()).add(page.payload["sequence"])
        incident = guarded.state.incident
        from notaus.daemon.gauges import present_rung

        return Outcome(
            [str(w.what.get("value", w.what.get("tag"))) for w in self.box.writes if w.by == "api"],
            threads,
            present_rung(self.service, guarded.state),
            incident.phase if incident is not None else None,
            dict(guarded.state.outbox),
            self.crashed,
            self.steps,
            self.requests,
        )


def a_scenario(service: str, plan: Plan) -> scenario.Scenario:
    """Trouble from 0:00 on."""
    name = "native.error_rate" if service == "pix-immo" else "edge.error_rate"
    text = f"name: trouble\nservice: {service}\nseries: {{{name}: 50%x60}}\n"
    if service == "bookstrack":
        text += (
            "start: {versions: [{version: v1.8.0, live_for: 90h}, {version: v1.9.0, live_for: 26h}], live: v1.9.0}\n"
        )
    text += "expect: [{total: {kv: 1}}]\n"
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        read = scenario.read(Path(file.name))
    return replace(read, replicas=plan.replicas)


def quick(configuration: Configuration) -> Configuration:
    """The example services with short holds, so that a run is short."""
    services = tuple(
        replace(
            service,
            rules=tuple(replace(rule, hold=min(rule.hold, 60)) for rule in service.rules),
            propagation=30,
            validate=60,
            deadline=30,
        )
        for service in configuration.services
    )
    return replace(configuration, services=services)


def played(service: str, plan: Plan | None = None, end: int = 420) -> Outcome:
    """Run it, with the crash of `plan`."""
    chosen = plan or Plan()
    return run(lambda loop: Stage(service, chosen, loop, end).play())  # type: ignore[arg-type, return-value]


Player = Callable[[str, Plan], Outcome]
