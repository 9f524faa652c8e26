"""Runs a scenario: the production daemon and the in-process sandbox on virtual time, with the scenario's events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx

from notaus.app import App
from notaus.backtest.commands import Commands
from notaus.backtest.edge import ScenarioTransport
from notaus.backtest.record import Happening, Moment, Record
from notaus.backtest.scenario import CONCLUSIONS, Event, Scenario
from notaus.backtest.series import SeriesReader, in_unit, usual
from notaus.backtest.virtual_time import VirtualTimeLoop, run
from notaus.clock import SystemClock
from notaus.config import Configuration
from notaus.config.problems import InvalidConfiguration, Misread, Problem, Where
from notaus.config.quantities import quantity
from notaus.config.settings import GitHubActions, Webhook
from notaus.core import event as events
from notaus.core.event import Reply
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.service import Contact, Contacts, Exhibit, Service
from notaus.daemon.scheduler import Bells
from notaus.errors import NotausError
from notaus.journal import Journal
from notaus.sandbox import Sandbox
from notaus.sandbox.box import Lags

EPOCH = 1_790_006_400
"""The epoch time of 0:00: a multiple of seven hours, so of any usual tick."""
LEAD = 1
"""Seconds that the daemon runs before 0:00: its rules come into force with the scenario."""
PERSON = "scenario"
SINK = Contact("webhook", "scenario")


@dataclass(frozen=True, slots=True)
class Run:
    """What a scenario led to."""

    happenings: list[Happening]
    moments: list[Moment]
    replies: list[tuple[int, str, Reply]]
    reader: SeriesReader
    service: Service


def play(scenario: Scenario, configuration: Configuration) -> Run:
    """Run `scenario` against its service of `configuration`. Raises InvalidConfiguration."""
    return run(lambda loop: _Stage(scenario, configuration, loop).play())


class _Bells(Bells):
    """Rings on virtual time; polls are rung by the stage, after the events of their tick."""

    def __init__(self) -> None:
        self.rings: dict[str, Callable[[], None]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        self.rings[name] = ring
        if name != "poll":
            self.tasks.append(asyncio.create_task(_ringing(seconds, ring)))

    def start(self) -> None:
        """They ring already."""

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.rings.clear()

    def poll(self) -> None:
        if "poll" in self.rings:
            self.rings["poll"]()


async def _ringing(seconds: float, ring: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        ring()


class _Stage:
    """The world of one scenario."""

    def __init__(
        self, scenario: Scenario, configuration: Configuration, loop: VirtualTimeLoop, incidents: Path | None = None
    ) -> None:
        """Where `incidents` is given, evidence and documents are kept there."""
        self.scenario, self.loop, self.incidents = scenario, loop, incidents
        self.wall_offset = 0.0
        self.box = Sandbox(self.true_time, lags=Lags((0.0, 0.0), 0.0))
        self.box.account.api_limit = self.box.account.graphql_limit = None
        self.service = self._service(configuration)
        self.tags: dict[str, str] = {}
        self.record = Record(EPOCH)
        self.replies: list[tuple[int, str, Reply]] = []
        self.commands = Commands(self.service.ladder, lambda: self.true_time() - EPOCH)
        self._found_world()
        self.reader = SeriesReader(scenario, self.service, EPOCH, self.fields_at, self.tags, self.shares_at)
        self.reader.now = self.true_time
        self.service = replace(self.service, baselines=usual(self.reader))
        self.configuration = self._configuration(configuration)
        self.journal = Journal.open("sqlite://")
        self.apps: list[App] = []
        self.bells: list[_Bells] = []
        self.waiting: set[asyncio.Task[None]] = set()
        self.started = 0

    def true_time(self) -> float:
        return EPOCH - LEAD + self.loop.time()

    # The world before 0:00

    def _service(self, configuration: Configuration) -> Service:
        name = self.scenario.service
        found = next((s for s in configuration.services if s.name == name), None)
        if found is None:
            known = ", ".join(s.name for s in configuration.services)
            raise InvalidConfiguration(
                [Problem(self.scenario.file, 1, 1, "service", f"no service is called `{name}`", f"one of {known}")]
            )
        ladder = found.ladder
        if isinstance(ladder.lever, KvLever):
            ladder = replace(ladder, lever=replace(ladder.lever, namespace=self.box.kv_namespace))
        settle = self.scenario.settle
        signals = {
            n: replace(s, settle=settle if isinstance(settle, int) else _settle_of(settle, s.name, s.prefix))
            for n, s in found.signals.items()
        }
        everyone = (SINK,)
        return replace(
            found,
            account=self.box.account.id,
            ladder=ladder,
            signals=signals,
            step=self.scenario.tick,
            evidence=tuple(name for name in found.evidence if name in list(Exhibit)),  # others would leave the sandbox
            contacts=Contacts(everyone, everyone, everyone, everyone),
        )

    def _configuration(self, configuration: Configuration) -> Configuration:
        from pydantic import SecretStr

        settings = configuration.settings
        sink = {SINK.name: Webhook(SecretStr("https://hooks.invalid/scenario"))}
        cloudflare = replace(
            settings.cloudflare,
            api_url="https://api.cloudflare.com/client/v4",
            token=SecretStr(self.box.token),
            lever_token=None,
        )
        settings = replace(
            settings,
            cloudflare=cloudflare,
            origins={},  # those of the surroundings stand for services that are not this sandbox's
            github=GitHubActions(SecretStr("scenario"), "https://api.github.com"),
            channels=replace(settings.channels, webhook=sink),
            budgets=replace(settings.budgets, api=(10**9, 300), graphql=(10**9, 300)),
        )
        entries = [
            replace(e, account=self.box.account.id, settle=self._entry_settle(e.signals))
            for e in configuration.entries
            if e.service == self.service.name
        ]
        return replace(configuration, settings=settings, services=(self.service,), entries=tuple(entries), questions={})

    def _entry_settle(self, signals: tuple[str, ...]) -> int:
        return max((self.service.signals[name].settle for name in signals), default=0)

    def _found_world(self) -> None:
        lever = self.service.ladder.lever
        if isinstance(lever, KvLever):
            self._found_key(lever)
        else:
            self._found_versions(lever)
        self.box.journal.writes.clear()
        self.key_writes = [(float("-inf"), self._present())] if isinstance(lever, KvLever) else []

    def _found_key(self, lever: KvLever) -> None:
        ladder, scenario = self.service.ladder, self.scenario
        rung = scenario.start_rung or ladder.rungs[0].name
        if not ladder.has(rung):
            known = ", ".join(r.name for r in ladder.rungs)
            raise InvalidConfiguration(
                [Problem(scenario.file, 1, 1, "start.rung", f"no rung is called `{rung}`", f"one of {known}")]
            )
        fixed = {n: v for n, v in lever.fields.items() if v != "$now"}
        value = {**fixed, **(scenario.start_kv if scenario.start_kv is not None else ladder.rung(rung).fields)}
        self.box.kv.write(self.box.kv_namespace, lever.key, value, lag=0)
        self.box.kv.namespaces[self.box.kv_namespace].written.clear()

    def _found_versions(self, lever: DeploymentLever) -> None:
        from notaus.sandbox.deployments import Worker

        old = self.box.workers.get(lever.script)
        worker = old or Worker(lever.script, self.box.now, self.box.journal, _rng(), 0.0)
        self.box.workers[lever.script] = worker
        worker.versions.clear()
        worker.deployments.clear()
        self.worker = worker
        versions = self.scenario.founded
        at = EPOCH - sum(v.live_for for v in versions)
        for version in versions:
            made = worker.upload(version.version, created=at, blocked=version.blocked, flagged=version.flagged)
            self.tags[made.id] = version.version
            worker.deploy(made.id, at=at)
            at += version.live_for
            if version.blocked == "secrets":  # a later change of secrets is what blocks it
                worker.upload(version.version, etag=made.etag, created=at - 1, triggered_by="secret")

    # Time

    async def play(self) -> Run:
        try:
            return await self._play()
        finally:
            for app in self.apps:
                await app.crash()
            self.journal.close()

    async def _play(self) -> Run:
        for number in range(self.scenario.replicas):
            await self._start(number)
        flagged = [v.version for v in self.scenario.versions if v.flagged]
        if flagged:
            await self._until(EPOCH - LEAD + 1)
            for version in flagged:
                await self.apps[0].desk.order(
                    self.service.name, events.Judge(int(self.true_time()), PERSON, version, True)
                )
        due = sorted(self.scenario.events, key=lambda e: e.at)
        tick = self.scenario.tick
        for at in range(EPOCH - LEAD // tick * tick, EPOCH + self.scenario.end + 1, tick):
            while due and EPOCH + due[0].at <= at:
                event = due.pop(0)
                await self._until(EPOCH + event.at)
                await self._happen(event)
            await self._until(at)
            for bells in self.bells:
                bells.poll()
        await self._until(self.true_time() + tick)
        found = [*self.record.happenings(self.box, self.tags), *self.commands.happenings]
        happenings = sorted(found, key=lambda h: h.at)
        return Run(happenings, self.record.moments, self.replies, self.reader, self.service)

    async def _until(self, at: float) -> None:
        """Let virtual time pass up to `at`; what was due before is done by then."""
        await asyncio.sleep(max(0.0, at - self.true_time()))
        for _ in range(3):
            await asyncio.sleep(0)
        self._note_key()

    async def _start(self, number: int) -> None:
        self.started += 1
        clock = SystemClock(wall=lambda: self.true_time() + self.wall_offset, monotonic=self.loop.time)
        bells = _Bells()
        transport = ScenarioTransport(self.box, self.service, self._present)
        app = App(
            self.configuration,
            self.journal,
            clock=clock,
            http=httpx.AsyncClient(transport=transport, timeout=10.0),
            bells=bells,
            readers=lambda entry: self.reader,
            owner=f"replica-{number}-{self.started}",
            watchers=(self.record.watch,),
            commands=self.commands,
            incidents=self.incidents,
        )
        self.apps.append(app)
        self.bells.append(bells)
        await app.start()

    def _note_key(self) -> None:
        """Remember when the steering key changed, for the traffic that follows it."""
        if self.key_writes:
            for write in self.box.writes[len(self.key_writes) - 1 :]:
                value = write.what.get("value")
                self.key_writes.append((write.at, value if isinstance(value, dict) else {}))

    def fields_at(self, at: int) -> Mapping[str, object]:
        """The steering key's value in force before the sample at `at`."""
        self._note_key()
        return next((fields for since, fields in reversed(self.key_writes) if since < at), {})

    def _present(self) -> Mapping[str, object]:
        """What is in force now: the key's value, or the live version."""
        lever = self.service.ladder.lever
        if isinstance(lever, KvLever):
            raw = self.box.kv.read(self.box.kv_namespace, lever.key)
            value = json.loads(raw) if raw else {}
            return value if isinstance(value, dict) else {}
        active = self.worker.active
        live = active.versions[0][0] if active is not None else ""
        return {"target.id": live, "target.tag": self.tags.get(live, "")}

    # Events

    async def _happen(self, event: Event) -> None:
        now = int(self.true_time())
        match event.kind:
            case "human":
                self._by_hand(event)
            case "deploy":
                self._deploy(event.value)
            case "fail":
                self._fail(event)
            case "kill":
                await self._kill(event)
            case "clock":
                self.wall_offset += event.value
            case "revise":
                self._revise(event)
            case "lag":
                self.reader.lag(now, event.value)
            case _:
                order = self._order(event, now)
                self.waiting.add(asyncio.create_task(self._say(event, order)))
                await asyncio.sleep(0)

    async def _say(self, event: Event, order: events.Order) -> None:
        app = self._leading()
        try:
            reply = (
                await app.desk.order(self.service.name, order) if app is not None else Reply(False, "notaus is down")
            )
        except NotausError as error:
            reply = Reply(False, str(error))
        self.replies.append((event.at, event.kind, reply))

    def _leading(self) -> App | None:
        """The daemon that owns the account, or any that runs; None while all are killed."""
        leading = (a for a in self.apps if a.leadership.lease(self.service.account) is not None)
        return next(leading, self.apps[-1] if self.apps else None)

    def _order(self, event: Event, now: int) -> events.Order:
        by = str(event.more.get("by", PERSON))
        reason = str(event.more.get("reason", "scenario"))
        match event.kind:
            case "approve" | "deny":
                return events.Answer(now, by, event.kind == "approve")
            case "hold":
                return events.Hold(now, by, event.value, reason, bool(event.more.get("all", False)))
            case "release":
                return events.Release(now, by)
            case "trigger":
                return events.Trigger(now, by, str(event.value), reason)
            case "restore":
                return events.RestoreOrder(now, by, tuple(str(a) for a in event.value.get("attest", ())))
            case "set":
                return events.SetRung(now, by, str(event.value), reason)
            case "stop":
                return events.SetRung(now, by, None, reason)
            case "rollback":
                to = None if event.value is True else str(event.value)
                return events.RollBack(now, by, to, reason)
            case _:
                app = self._leading()
                guarded = app.engine.guarded.get(self.service.name) if app is not None else None
                moment = guarded.state.incident if guarded is not None else None
                return events.Close(now, by, moment.id if moment is not None else "none", reason)

    def _by_hand(self, event: Event) -> None:
        if "deploy" in event.value:
            self._deploy(event.value["deploy"])
            return
        lever = self.service.ladder.lever
        if not isinstance(lever, KvLever):
            raise _problem(event, "a service without a steering key", "human: {deploy: VERSION}")
        value = {**self._present(), **event.value}
        self.box.kv.write(self.box.kv_namespace, lever.key, value, by="human", lag=0)
        self.box.kv.namespaces[self.box.kv_namespace].written.clear()

    def _deploy(self, shares: Mapping[str, Fraction]) -> None:
        if isinstance(self.service.ladder.lever, KvLever):
            return  # KV rules ignore deployments
        self.worker.deploy([(self._uploaded(tag), float(share)) for tag, share in shares.items()], by="human")

    def _uploaded(self, tag: str) -> str:
        """The id of a version, which is uploaded if it is new."""
        known = next((v for v in reversed(self.worker.versions) if v.tag == tag), None)
        version = known or self.worker.upload(tag)
        self.tags[version.id] = tag
        return version.id

    def shares_at(self, at: int) -> Mapping[str, Fraction]:
        """Version id to its part of the traffic before the sample at `at`; empty for a service steered by a key."""
        if isinstance(self.service.ladder.lever, KvLever):
            return {}
        serving = next((d for d in reversed(self.worker.deployments) if d.created < at), self.worker.deployments[0])
        return {id: Fraction(str(share)) / 100 for id, share in serving.versions}

    def _fail(self, event: Event) -> None:
        kinds = event.more.get("with", [500])
        lasting = event.more.get("for")
        if event.value == "analytics":
            if lasting is not None:
                self.reader.failing_until = self.true_time() + lasting
            else:
                self.reader.failures += [str(kind) for kind in kinds]
            return
        if event.value == "command":
            self.commands.failures += kinds
            return
        ends = [kind for kind in kinds if kind in CONCLUSIONS]
        self.box.actions.conclusions += ends
        if len(ends) < len(kinds):
            self.box.faults.add(event.value, [kind for kind in kinds if kind not in ends], lasting)

    async def _kill(self, event: Event) -> None:
        """The daemon dies; of several, the one that acts."""
        dying = [a for a in self.apps if a.leadership.lease(self.service.account) is not None] or self.apps[:1]
        for app in dying if self.scenario.replicas > 1 else list(self.apps):
            index = self.apps.index(app)
            await app.crash()
            del self.apps[index], self.bells[index]
        back = EPOCH + int(event.more["back"])
        self.waiting.add(asyncio.create_task(self._rise(back)))

    async def _rise(self, at: int) -> None:
        await asyncio.sleep(max(0.0, at - self.true_time()))
        self.journal_release()
        for number in range(len(self.apps), self.scenario.replicas):
            await self._start(number)

    def journal_release(self) -> None:
        """A journal file of a dead daemon gives its leases up at once (its lock is gone); in memory, so do we."""
        holder = self.journal.holder(self.service.account, self.true_time())
        if holder is not None and self.scenario.replicas == 1:
            self.journal.release(holder)

    def _revise(self, event: Event) -> None:
        for name, value in event.value.items():
            signal = self.service.signals.get(name)
            if signal is None:
                raise _problem(event, f"unknown signal `{name}`", f"one of {', '.join(sorted(self.service.signals))}")
            try:
                read = quantity(str(value))
                self.reader.revise(name, EPOCH + int(event.more["of"]), in_unit(read.number, read.unit, signal))
            except Misread as error:
                raise _problem(event, error.wrong, error.right) from None


def _problem(event: Event, wrong: str, right: str) -> InvalidConfiguration:
    where: Where = event.where
    return InvalidConfiguration([Problem(where.file, where.line, where.column, where.field, wrong, right)])


def _settle_of(settle: Mapping[str, int], name: str, prefix: str) -> int:
    return settle.get(name, settle.get(prefix, 0))


def _rng() -> Any:
    import random

    return random.Random(0)
