"""The world of one seed: the production daemon and the sandbox on virtual time, and everything that befalls them."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import structlog
from pydantic import SecretStr

from notaus import config
from notaus.app import App
from notaus.backtest.virtual_time import VirtualTimeLoop, run
from notaus.clock import SystemClock
from notaus.config import Configuration
from notaus.config.settings import GitHubActions, Webhook
from notaus.config.sources import AnalyticsEngine
from notaus.core import event as events
from notaus.core.event import Polled
from notaus.core.fleet import Stepped
from notaus.core.incident import Phase
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.rule import Bound, Comparison, Rule
from notaus.core.sample import History
from notaus.core.service import Contact, Contacts, Mode, OverridePolicy, Service
from notaus.core.state import State
from notaus.core.verification import RampStep
from notaus.daemon.engine import Guarded
from notaus.daemon.scheduler import Bells
from notaus.errors import ConfigurationError, NotausError, ReadFailed
from notaus.journal import Journal, decode
from notaus.journal import Record as Written
from notaus.sandbox import Sandbox
from notaus.sandbox.box import Lags
from notaus.sandbox.services import Canary
from tests.simulation import page
from tests.simulation.faults import BAD, EPOCH, PAST, Deed, Fault, Plan
from tests.simulation.journals import MemoryJournal, TroubledJournal
from tests.simulation.processes import Process, tasks_of_processes
from tests.simulation.record import Moment, Pull, Record, clock
from tests.simulation.traffic import SyntheticReader, Users

CONFIG = Path(__file__).parents[2] / "config"
LEAD = 60
"""Seconds that pass before 0:00."""
PAGER, CHAT, LEAD_CONTACT = (Contact("webhook", name) for name in ("pager", "chat", "lead"))
PERSON = "on-call"
HEALTHY = {"errors": 0.0, "latency": 0.0, "sockets": 0.0, "cache": 0.0, "down": 0.0}
SECRETS = (
    "cfat_sandbox-0123456789-0123456789-012345",
    "pager-address-4711",
    "chat-address-4712",
    "page-signing-key-4713",
    "github-token-4714",
)
OTHERS = {"owner": "team-media", "flags": {"beta": [1, 2, {"x": None}]}, "note": "grüße"}
"""Fields of the steering key that notaus does not own."""


@cache
def _files() -> Configuration:
    return config.load(CONFIG, lenient=True)


@dataclass(slots=True)
class _Daemon:
    """One daemon in its process."""

    app: App
    bells: _VirtualBells
    process: Process


class _VirtualBells(Bells):
    """Rings on virtual time; polls are rung by the world, so that a tick comes after what happened before it."""

    def __init__(self) -> None:
        self.rings: dict[str, Callable[[], None]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        self.rings[name] = ring
        if name == "leases":
            self.tasks.append(asyncio.create_task(self._ringing(seconds, ring)))

    async def _ringing(self, seconds: float, ring: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            ring()

    def start(self) -> None:
        """They ring already."""

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.rings.clear()

    def poll(self) -> None:
        if "poll" in self.rings:
            self.rings["poll"]()


class _Network(httpx.AsyncBaseTransport):
    """A daemon's network: the sandbox, some milliseconds away, and a place to crash at.

    The sandbox is no part of the process that calls it.
    """

    def __init__(self, world: World, owner: str) -> None:
        self._world, self._owner = world, owner
        self._inner = world.box.transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        world = self._world
        if world.reached(self._owner, "before request"):
            await asyncio.Event().wait()
        await asyncio.sleep(world.latency())
        if request.url.host == "hooks.invalid":
            body = await request.aread()
            url = f"https://api.cloudflare.com/pages/webhook/{request.url.path.rpartition('/')[2]}"
            headers = [(k, v) for k, v in request.headers.raw if k.lower() != b"host"]
            request = httpx.Request(request.method, url, headers=headers, content=body, extensions=request.extensions)
        response = await asyncio.create_task(self._inner.handle_async_request(request), context=Context())
        if world.reached(self._owner, "after request"):
            await asyncio.Event().wait()
        return response


class World:
    """One run."""

    def __init__(self, plan: Plan, loop: VirtualTimeLoop) -> None:
        self.plan, self.loop = plan, loop
        loop.set_task_factory(tasks_of_processes)
        self.rng = random.Random(f"world {plan.seed}")
        self.record = Record()
        self.record.on_pull, self.record.on_moment = self._on_pull, self._on_moment
        self.box = Sandbox(self.true_time, plan.seed, lags=Lags((5.0, 30.0), 3.0))
        self.box.account.api_limit = self.box.account.graphql_limit = None
        self.box.actions.takes, self.box.actions.tells_run = plan.run_seconds, plan.run_told
        self.box.actions.conclusions = list(plan.conclusions)
        self.wall_offset, self.clock_wrong = 0.0, False
        self.users = Users(plan, self)
        self.configuration = self._configuration()
        self.services = {service.name: service for service in self.configuration.services}
        self.reader = SyntheticReader(self.users, plan, self.services, self)
        self.journal: Any = Journal.open("sqlite://") if plan.real_journal else MemoryJournal()
        self.daemons: list[_Daemon] = []
        self.processes: list[Process] = []
        """All that ever were."""
        self.tally: Counter[str] = Counter()
        """What was injected, and what came of it, by kind."""
        self.started = 0
        self.armed: tuple[str, int, Deed] | None = None
        self.waiting: list[Deed | Fault] = []
        """What waits for the worst moment."""
        self.faults: list[Fault] = [f for f in plan.faults if not f.worst]
        """Those that came about, with their true times."""
        self.down: list[tuple[float, float]] = []
        """When no daemon ran."""
        self.bad: dict[str, Mapping[str, float]] = {}
        """Version id to what is wrong with it."""
        self.released = 1
        self.tasks: set[asyncio.Task[None]] = set()
        self.seen_requests: set[str] = set()
        self.unshown: list[str] = []
        """What the metric of blindness did not show."""
        self.next_deed: dict[str, float] = {}
        self.reloads = 0
        self.on_moment: list[Callable[[Moment], None]] = []
        self.on_pull: list[Callable[[Pull], None]] = []
        self.on_crash: list[Callable[[World], None]] = []
        self.on_written: list[Callable[[str], None]] = []
        self._found()

    # Time and chance

    def true_time(self) -> float:
        return EPOCH - LEAD + self.loop.time()

    def latency(self) -> float:
        return self.rng.uniform(0.005, 0.2)

    @property
    def healed(self) -> bool:
        return self.true_time() >= self.plan.healed_at

    # Set up

    def _configuration(self) -> Configuration:
        files, rng = _files(), random.Random(f"services {self.plan.seed}")
        services = tuple(self._service(service, rng) for service in files.services)
        urls = {
            name: f"https://hooks.invalid/{name}-address-471{i}/{name}"
            for i, name in ((1, "pager"), (2, "chat"), (4, "lead"))
        }
        hooks = {name: Webhook(SecretStr(url), SecretStr(SECRETS[3])) for name, url in urls.items()}
        settings = files.settings
        settings = replace(
            settings,
            cloudflare=replace(
                settings.cloudflare, api_url="https://api.cloudflare.com/client/v4", token=SecretStr(self.box.token)
            ),
            channels=replace(settings.channels, webhook=hooks),
            github=GitHubActions(SecretStr(SECRETS[4]), "https://api.cloudflare.com/pages/github"),
            budgets=replace(settings.budgets, api=(10**9, 300), graphql=(10**9, 300)),
        )
        entries = tuple(
            replace(
                e,
                account=self.box.account.id,
                settle=0 if e.name == "health" else self.plan.settle,
                source=AnalyticsEngine("simulation"),
            )
            for e in files.entries
        )
        fingerprints = {(s.name, r.name): repr(r) for s in services for r in s.rules}
        return replace(
            files,
            settings=settings,
            services=services,
            entries=entries,
            hash=f"seed-{self.plan.seed}-0",
            rule_fingerprints=fingerprints,
        )

    def _service(self, service: Service, rng: random.Random) -> Service:
        """One of the example services, with some of its rules' numbers drawn anew."""
        ladder = service.ladder
        if isinstance(ladder.lever, KvLever):
            ladder = replace(ladder, lever=replace(ladder.lever, namespace=self.box.kv_namespace))
        elif isinstance(ladder.lever, DeploymentLever):
            ladder = replace(ladder, lever=replace(ladder.lever, stable_after=rng.choice((1800, 3600))))
        settle = self.plan.settle
        signals = {n: replace(s, settle=0 if n == "health.failed" else settle) for n, s in service.signals.items()}
        rules = tuple(self._rule(rule, rng) for rule in service.rules)
        restore = service.restore
        if restore.ramp:
            restore = replace(restore, ramp=(RampStep("reduced", 600), RampStep("normal", 900)))
        found = replace(
            service,
            account=self.box.account.id,
            ladder=ladder,
            signals=signals,
            rules=rules,
            restore=restore,
            step=self.plan.step,
            validate=rng.choice((180, 300)),
            max_actions=rng.choice((2, 4, 4)),
            contacts=Contacts((PAGER, CHAT), (CHAT,), (LEAD_CONTACT,), (LEAD_CONTACT,)),
        )
        if service.name == "pix-immo" and self.plan.enforce:
            found = replace(found, override=OverridePolicy.ENFORCE)
        return page.with_a_page(found, 120) if service.name == "pix-immo" and self.plan.page else found

    @staticmethod
    def _rule(rule: Rule, rng: random.Random) -> Rule:
        if rule.trigger:
            return rule
        hold = rule.hold if rng.random() < 0.6 else rng.choice((0, 60, 120, 180, 300))
        on_blind = "reduced" if rule.name == "native errors" and rng.random() < 0.15 else None
        return replace(rule, hold=hold, on_blind=on_blind)

    def _found(self) -> None:
        """The key at normal with other people's fields, and versions that have served for long."""
        value = {"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": False, **OTHERS}
        self.box.kv.write(self.box.kv_namespace, "config", {**value, "last_updated": "2026-01-01T00:00:00Z"}, lag=-LEAD)
        self.box.journal.writes.clear()
        for at in range(EPOCH - LEAD - PAST, int(self.true_time()) + 1):
            if at % self.plan.step == 0:
                self.users.happen(at)
        for fault in self.faults:
            self._befall(fault)

    def _befall(self, fault: Fault) -> None:
        self.tally[f"fault: {fault.target}"] += 1
        if fault.target not in ("analytics", "journal"):
            self.box.faults.add(fault.target, [fault.kind], fault.until - fault.at, at=fault.at)

    # What the users' traffic follows

    def canary(self, at: int) -> Canary:
        return Canary.at_edge(self.box.kv, self.box.kv_namespace, at)

    def page_up(self, at: int) -> bool:
        return page.up(self.box.actions.runs, at)

    def badness(self, at: int) -> Mapping[str, float]:
        """How bad the versions at the edge are, by their shares."""
        deployment = self.box.workers["api-worker"].at_edge(at)
        if deployment is None or not self.bad:
            return HEALTHY
        found = dict(HEALTHY)
        for version, percentage in deployment.versions:
            for name, size in self.bad.get(version, {}).items():
                found[name] += size * percentage / 100
        return found

    # Faults

    def in_force(self, target: str, at: float | None = None) -> Fault | None:
        now = self.true_time() if at is None else at
        return next((f for f in self.faults if f.target == target and f.at <= now < f.until), None)

    async def trouble_reading(self, entry: str) -> None:
        """Before an answer of the analytics API. Raises ReadFailed."""
        fault = self.in_force("analytics") or self.in_force("all")
        if fault is None or entry == "health":
            return
        if fault.kind == "hang":
            await asyncio.sleep(3600)
        if fault.kind == "slow":
            await asyncio.sleep(self.rng.uniform(1, 12))
            return
        raise ReadFailed("the analytics API fails (simulation)")

    def journal_failing(self) -> bool:
        return self.in_force("journal") is not None

    def reached(self, owner: str, point: str) -> bool:
        """Whether this is the moment to crash; if so, the crash is under way."""
        if self.armed is None or self.armed[0] != point:
            return False
        point, count, deed = self.armed
        self.armed = (point, count - 1, deed) if count > 1 else None
        if count > 1:
            return False
        dying = next((d for d in self.daemons if d.process.name == owner), None)
        if dying is None:
            return False
        self._kill(dying, deed)
        return True

    def _kill(self, dying: _Daemon, deed: Deed) -> None:
        """The process is gone from this very moment."""
        if dying not in self.daemons:
            return
        self.daemons.remove(dying)
        self.record.say(self.true_time(), f"CRASH {deed.what['point']}")
        self.tally[f"crash: {deed.what['point']}"] += 1
        dying.process.kill()
        self._spawn(self._rise(dying.process, deed.what["down"]))

    async def _rise(self, dead: Process, down: float) -> None:
        """After a while, a new process."""
        begun = self.true_time()
        self._left_behind(dead)
        for hook in self.on_crash:
            hook(self)
        await asyncio.sleep(down if not self.healed else 1)
        while True:
            if self.plan.replicas == 1:
                held = self.journal.holder(self.box.account.id, self.true_time())
                if held is not None:
                    self.journal.release(held)
            try:
                await self._start()
                break
            except NotausError as failed:
                self.record.say(self.true_time(), f"the start fails: {failed}")
                await asyncio.sleep(5)
        self.down.append((begun, self.true_time()))

    async def _start(self) -> None:
        self.started += 1
        owner = f"replica-{self.started}"
        self.record.say(self.true_time(), f"starts: {owner}")
        bells, process = _VirtualBells(), Process(owner)
        self.processes.append(process)
        journal = TroubledJournal(
            self.journal, self.journal_failing, partial(self.reached, owner), partial(self._written, process)
        )
        app = App(
            self.configuration,
            journal,  # type: ignore[arg-type]
            clock=SystemClock(wall=lambda: self.true_time() + self.wall_offset, monotonic=self.loop.time),
            http=httpx.AsyncClient(transport=_Network(self, owner), timeout=10.0),
            bells=bells,
            readers=lambda entry: self.reader,
            owner=owner,
            watchers=(partial(self._committed, process),),
        )
        daemon = _Daemon(app, bells, process)
        self.daemons.append(daemon)
        starting = process.start(app.start())
        await asyncio.wait([starting])
        if process.alive and starting.exception() is not None:
            self.daemons.remove(daemon)
            process.kill()
            starting.result()

    def _committed(self, process: Process, guarded: Guarded, event: events.Event, stepped: Stepped) -> None:
        if process.alive:
            process.uncommitted.pop(guarded.service.name, None)
            if isinstance(event, Polled):
                self._look_at_metrics(process, guarded)
            self.record.watch(self.true_time(), guarded, event, stepped)

    def _look_at_metrics(self, process: Process, guarded: Guarded) -> None:
        """Whether the metric tells of each rule that has gone blind at this tick, or sees again."""
        name, rules = guarded.service.name, guarded.state.rules
        before = self.record.states.get(name, State(name)).rules
        changed = {
            rule for rule in before.keys() & rules.keys() if (before[rule].blind is None) != (rules[rule].blind is None)
        }
        app = next((daemon.app for daemon in self.daemons if daemon.process is process), None)
        if app is None or not changed:
            return
        (family,) = app.metrics.rule_blind.collect()
        shown = {s.labels["rule"]: s.value for s in family.samples if s.labels["service"] == name}
        for rule in changed:
            self.tally["metric: rule_blind"] += 1
            if shown.get(rule) != (rules[rule].blind is not None):
                self.unshown.append(f"at {clock(self.true_time())}: {name}: {rule} is {rules[rule].blind or 'seen'}")

    def _left_behind(self, process: Process) -> None:
        """What a dead process had written down and not yet taken over: the next one finds it, so it has happened."""
        for name, written in process.uncommitted.items():
            body, told = json.loads(json.dumps((written.state, written.event)))
            state = decode(State, body)
            before = self.record.states.get(name, State(name))
            asked = tuple(effect for id, effect in state.outbox.items() if id not in before.outbox)
            event = decode(events.Event, told) if told else Polled(state.tick, written.at, {})
            if isinstance(event, Polled):
                event = replace(event, readings=written.readings)
            guarded = Guarded(self.configuration.service(name), state)
            self.record.watch(self.true_time(), guarded, event, Stepped(state, History(), asked))

    def _written(self, process: Process, record: Written) -> None:
        if record.state is not None:
            process.uncommitted[record.service] = record
        kept = getattr(self.journal, "states", {})
        text = kept.get(record.service) or json.dumps(record.state, separators=(",", ":"))
        self.record.note(record.kind + text)
        for hook in self.on_written:
            hook(text)

    # The worst moment

    def _on_pull(self, pull: Pull) -> None:
        for hook in self.on_pull:
            hook(pull)
        now = self.true_time()
        due = [w for w in self.waiting if w.at <= now]
        if not due or pull.again or self.healed:
            return
        worst = due[0]
        self.waiting.remove(worst)
        if isinstance(worst, Fault):
            until = min(self.plan.healed_at, int(now) + worst.until - worst.at)
            fault = replace(worst, at=int(now), until=until)
            self.faults.append(fault)
            self._befall(fault)
            self.record.say(now, f"FAULT {fault.target} {fault.kind} for {until - int(now)} s")
        else:
            self._spawn(self._soon(worst))

    async def _soon(self, deed: Deed) -> None:
        await asyncio.sleep(self.rng.choice((0.0, self.rng.uniform(0, 1), self.rng.uniform(0, 90))))
        if not self.healed:
            await self._do(deed)

    def _on_moment(self, moment: Moment) -> None:
        for hook in self.on_moment:
            hook(moment)

    # Deeds

    async def _do(self, deed: Deed) -> None:
        now, what = self.true_time(), deed.what
        self.record.say(now, f"DEED {deed.kind} {what or ''}")
        if deed.kind != "crash":
            self.tally[f"deed: {deed.kind}"] += 1
        match deed.kind:
            case "crash" if what["point"] == "any await":
                if self.daemons:
                    daemon = self.rng.choice(self.daemons)
                    daemon.process.doom(what["count"], lambda: self._kill(daemon, deed))
            case "crash":
                self.armed = (what["point"], what["count"], deed)
            case "clock":
                if self.plan.replicas == 1:
                    self.wall_offset += what["by"]
            case "reload":
                await self._reload(what["what"])
            case "revise":
                self._revise(what)
            case "deploy bad":
                self._deploy(what["how"])
            case "deploy gradually":
                self._spawn(self._deploy_gradually(what["how"]))
            case "deploy good":
                self._deploy(None)
            case "deploy old" | "deploy again" | "deploy half":
                self._redeploy(deed.kind)
            case "write":
                self._write(what["fields"])
            case "garble":
                self.box.kv.write(self.box.kv_namespace, "config", json.dumps(what["value"])[:-1])
            case "order":
                self._order(what["service"], what["order"])

    def _deploy(self, how: Mapping[str, float] | None) -> None:
        worker = self.box.workers["api-worker"]
        self.released += 1
        version = worker.upload(f"v2.{self.released}.0")
        if how is not None:
            self.bad[version.id] = how
        worker.deploy(version.id)

    async def _deploy_gradually(self, how: Mapping[str, float]) -> None:
        """A bad version comes at 10, 50 and 100 %, unless somebody deploys something else meanwhile."""
        worker = self.box.workers["api-worker"]
        assert worker.active is not None
        before, self.released = worker.active.versions[0][0], self.released + 1
        version = worker.upload(f"v2.{self.released}.0")
        self.bad[version.id] = how
        mine = None
        for percent in (10.0, 50.0, 100.0):
            if self.healed or (mine is not None and worker.active.id != mine):
                return
            shares = ((version.id, percent), (before, 100 - percent))
            worker.deploy(shares if percent < 100 else version.id)
            mine = worker.active.id
            await asyncio.sleep(self.rng.choice((120, 400, 900)))

    def _redeploy(self, kind: str) -> None:
        worker = self.box.workers["api-worker"]
        assert worker.active is not None
        live = worker.active.versions[0][0]
        others = [v.id for v in worker.versions if v.id != live]
        if kind == "deploy again":
            worker.deploy(live)
        elif kind == "deploy old":
            worker.deploy(self.rng.choice(others))
        else:
            worker.deploy(((live, 60.0), (self.rng.choice(others), 40.0)))

    def _write(self, fields: Mapping[str, object]) -> None:
        stored = self.box.kv.read(self.box.kv_namespace, "config")
        try:
            value = json.loads(stored or b"{}")
            assert isinstance(value, dict)
        except (ValueError, AssertionError):
            value = {"canary_tag": "B2a", **OTHERS}
        self.box.kv.write(self.box.kv_namespace, "config", {**value, **fields})

    def _revise(self, what: Mapping[str, Any]) -> None:
        at = (int(self.true_time()) - what["back"]) // self.plan.step * self.plan.step
        self.reader.revise(self.rng.choice(("native.error_rate", "edge.error_rate")), at, what["add"])

    async def _reload(self, what: str) -> None:
        service = self.configuration.service(self.rng.choice(("pix-immo", "bookstrack")))
        changed = service
        if what in ("bound", "hold"):
            rule = self.rng.choice([r for r in service.rules if not r.trigger])
            new = replace(rule, hold=self.rng.choice((0, 60, 120, 180))) if what == "hold" else _shifted(rule)
            changed = replace(service, rules=tuple(new if r.name == rule.name else r for r in service.rules))
        elif what == "drop a rule":
            dropped = self.rng.choice([r for r in service.rules if not r.trigger])
            changed = replace(service, rules=tuple(r for r in service.rules if r.name != dropped.name))
        elif what == "observe":
            mode = Mode.ACT if service.mode is Mode.OBSERVE else Mode.OBSERVE
            changed = replace(service, mode=mode)
        self.reloads += 1
        services = tuple(changed if s.name == service.name else s for s in self.configuration.services)
        fingerprints = {(s.name, r.name): repr(r) for s in services for r in s.rules}
        configuration = replace(
            self.configuration,
            services=services,
            rule_fingerprints=fingerprints,
            hash=f"seed-{self.plan.seed}-{self.reloads}",
        )
        try:
            for daemon in list(self.daemons):
                reloading = daemon.process.start(daemon.app.reload(configuration))
                await asyncio.wait([reloading])
                if daemon.process.alive:
                    reloading.result()
        except (ConfigurationError, NotausError) as refused:
            self.record.say(self.true_time(), f"reload refused: {refused}")
            self.tally["reload refused"] += isinstance(refused, ConfigurationError)
            return
        self.configuration = configuration
        self.services.update({s.name: s for s in services})

    def _order(self, service: str, name: str, **more: Any) -> None:
        order = self._order_of(service, name, **more)
        if order is not None and self.daemons:
            self._spawn(self._give(service, order))

    def _order_of(self, service: str, name: str, **more: Any) -> events.Order | None:
        now, state = int(self.true_time()), self.record.states.get(service)
        incident = state.incident if state is not None else None
        match name:
            case "hold" | "hold all":
                seconds = self.rng.choice((300, 1200, 3600))
                seconds = max(60, min(seconds, self.plan.healed_at - now))
                return events.Hold(now, PERSON, seconds, "migration 42", name == "hold all")
            case "release":
                return events.Release(now, PERSON)
            case "close":
                return events.Close(now, PERSON, incident.id if incident is not None else "none", "enough")
            case "restore":
                needs = tuple(n.text for n in self.configuration.service(service).restore.require)
                return events.RestoreOrder(now, PERSON, needs)
            case "set":
                rungs = [r.name for r in self.configuration.service(service).ladder.rungs]
                return events.SetRung(now, PERSON, more.get("rung") or self.rng.choice(rungs))
            case "stop":
                return events.SetRung(now, PERSON, None)
            case "rollback":
                return events.RollBack(now, PERSON)
            case "trigger" | "hook":
                rule = "database errors" if service == "pix-immo" else "data loss"
                print_ = f"print-{self.rng.randrange(3)}" if name == "hook" else None
                return events.Trigger(now, name, rule, "reported", name == "hook", print_)
            case "approve" | "deny":
                return events.Answer(now, PERSON, name == "approve")
        return None

    async def _give(self, service: str, order: events.Order) -> None:
        leader = next((d for d in self.daemons if service in d.app.engine.guarded), None)
        if leader is None:
            return
        begun = self.true_time()
        try:
            reply: Any = await leader.app.desk.order(service, order)
            text = reply.text
        except NotausError as failed:
            reply, text = None, f"failed: {failed}"
        self.record.orders.append((begun, service, order, reply))
        self.record.say(self.true_time(), f"{service}: {type(order).__name__} answered: {text[:90]}")

    # People on call: they answer, and bring things back

    def _people(self) -> None:
        now = self.true_time()
        for name, state in self.record.states.items():
            if state.request is not None and state.request.id not in self.seen_requests:
                self.seen_requests.add(state.request.id)
                chosen = self.rng.choices(("approve", "deny", ""), (5, 3, 4))[0]
                if chosen and not self.healed:
                    self._spawn(self._later(name, chosen))
            if state.incident is None or self.healed:
                self.next_deed.pop(name, None)
                continue
            if state.incident.phase in (Phase.ACTING, Phase.VALIDATING, Phase.RAMPING):
                continue
            due = self.next_deed.setdefault(name, now + self.rng.uniform(5, 40) * 60)
            if now >= due:
                del self.next_deed[name]
                self._bring_back(name)
        if self.healed:
            self._repair()

    async def _later(self, service: str, order: str) -> None:
        await asyncio.sleep(self.rng.uniform(10, 1500))
        if not self.healed:
            self._order(service, order)

    def _bring_back(self, name: str) -> None:
        if name == "pix-immo":
            chosen = self.rng.choice(("restore", "restore", "set", "write", "close", "both"))
            if chosen in ("write", "both"):
                self.record.say(self.true_time(), "DEED a person writes normal")
                self._write({"canary_percent": 10, "emergency_proxy": False})
            if chosen == "set":
                self._order(name, "set", rung="normal")
            elif chosen != "write":
                self._order(name, "restore" if chosen == "restore" else "close")
        else:
            chosen = self.rng.choice(("restore", "close", "fix", "fix", "bad fix", "release"))
            if chosen in ("fix", "bad fix"):
                self.record.say(self.true_time(), f"DEED a person deploys a {chosen}")
                self.tally[f"deed: a {chosen} forward"] += 1
                self._deploy(self.rng.choice(BAD) if chosen == "bad fix" else None)
            else:
                self._order(name, chosen)

    def _repair(self) -> None:
        """When all is over, somebody mends what cannot be read."""
        try:
            value = json.loads(self.box.kv.read(self.box.kv_namespace, "config") or b"")
            fine = isinstance(value, dict) and isinstance(value.get("canary_percent"), (int, float))
        except ValueError:
            fine = False
        if not fine:
            self._write({"canary_percent": 10, "emergency_proxy": False})

    # The run

    def _spawn(self, chore: Any) -> None:
        task = asyncio.create_task(chore, context=Context())  # no part of the daemon's process that led to it
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.record.wrong(self.true_time(), "the simulation", f"{task.exception()!r}")

    async def play(self) -> World:
        try:
            await self._play()
        finally:
            for process in self.processes:
                process.kill()
            await asyncio.sleep(0)
            self.loop.set_exception_handler(lambda loop, context: None)  # what is buried has nothing more to say
            for process in self.processes:
                process.bury()
        return self

    async def _play(self) -> None:
        for _ in range(self.plan.replicas):
            await self._start()
        deeds = list(self.plan.deeds)
        self.waiting = [w for w in (*self.plan.faults, *deeds) if w.worst]
        deeds = [d for d in deeds if not d.worst]
        for fault in self.faults:
            self.record.say(fault.at, f"FAULT {fault.target} {fault.kind} until {clock(fault.until)}")
        for trouble in self.plan.troubles:
            self.record.say(trouble.at, f"TROUBLE {trouble.kind} {trouble.size} until {clock(trouble.until)}")
        end, step = EPOCH + self.plan.seconds, self.plan.step
        cured = False
        for at in range(EPOCH - LEAD + step - (EPOCH - LEAD) % step, end + 1, step):
            while deeds and deeds[0].at <= at:
                deed = deeds.pop(0)
                await self._until(deed.at)
                await self._do(deed)
            await self._until(at)
            self.users.happen(at)
            if at >= self.plan.healed_at and not cured:
                cured = True
                self._cure()
            for daemon in list(self.daemons):
                self._ring(daemon)
            self._people()
        await self._until(end + step / 2)

    def _ring(self, daemon: _Daemon) -> None:
        """At the grid time of its own clock, which may be behind by what the whole seconds of a `Date` leave open."""
        behind = -daemon.app.clock.now() % self.plan.step
        self.loop.call_later(behind if behind < 2 else 0, daemon.process.call, daemon.bells.poll)

    def _cure(self) -> None:
        """All faults end, and what was deployed badly is put right by its makers."""
        self.record.say(self.true_time(), "everything heals")
        self.armed, self.waiting = None, []
        for daemon in self.daemons:
            daemon.process.spare()
        self.box.faults.clear()
        self.bad.clear()

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.true_time()))

    def digest(self) -> str:
        """Of everything that could be seen from outside, and every state in between."""
        for write in self.box.writes:
            self.record.note(repr(write))
        for each in self.box.actions.runs:
            self.record.note(repr(each))
        for told in self.box.pages:
            self.record.note(repr((told.at, told.channel, json.dumps(told.payload, sort_keys=True), told.accepted)))
        return str(self.record.digest.hexdigest())


def _shifted(rule: Rule) -> Rule:
    first = rule.when[0]
    bound = first.bound
    new = Bound(bound.constant * 5 / 4, bound.other, bound.factor)
    return replace(rule, when=(Comparison(first.signal, first.op, new, first.text + " (changed)"), *rule.when[1:]))


def play(plan: Plan, prepare: Callable[[World], None] = lambda world: None) -> World:
    """Run a plan to its end; `prepare` may put hooks on the world before it begins."""
    found: list[dict[str, Any]] = []

    def capture(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        if method in ("error", "exception", "critical"):
            found.append({**event, "method": method, "error": repr(sys.exc_info()[1])})
        raise structlog.DropEvent

    before = structlog.get_config()
    gc.collect()  # the run before; during this one there is little to collect, and looking for it costs a fifth of the time
    gc.freeze()  # what is left is the program itself, which the next run need not look through
    gc.disable()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    try:
        world = run(lambda loop: _prepared(World(plan, loop), prepare).play())
    finally:
        structlog.configure(**before)
        gc.enable()
    world.record.logged = found
    return world


def _prepared(world: World, prepare: Callable[[World], None]) -> World:
    prepare(world)
    return world
