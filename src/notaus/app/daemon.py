"""The daemon, wired together: the only place where every part meets every other."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import uuid
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import structlog

from notaus import log as logs
from notaus import web
from notaus.app import drills
from notaus.app.desk import Desk
from notaus.app.documents import Documents
from notaus.app.drills import Drills
from notaus.app.keys import link_key, web_token
from notaus.app.outside import Outside
from notaus.clock import Clock, SystemClock
from notaus.cloudflare.budget import UNHURRIED, Family, Ledger
from notaus.cloudflare.client import Client
from notaus.cloudflare.tokens import verify
from notaus.config import Configuration
from notaus.config.sources import Entry
from notaus.core.effect import Collect, Kept, PullLever
from notaus.core.event import Event, LeverEnded, Reconfigured, Started
from notaus.core.fleet import Stepped
from notaus.core.page import Message
from notaus.core.sample import Sample
from notaus.core.service import Contact, Service
from notaus.custody import Collector
from notaus.daemon.alarm import Siren
from notaus.daemon.calls import Threaded, inline
from notaus.daemon.engine import Engine, Guarded, recovered
from notaus.daemon.executor import Executor
from notaus.daemon.gauges import Gauges
from notaus.daemon.leadership import RENEW_SECONDS, Leadership
from notaus.daemon.poller import Poller
from notaus.daemon.ports import Reader
from notaus.daemon.recovery import NOT_DONE, done_already, late, resumed
from notaus.daemon.reload import objections
from notaus.daemon.scheduler import Bells, ScheduledBells
from notaus.errors import ConfigurationError, JournalFailed, NotausError
from notaus.journal import Journal, Lease, LeaseLost
from notaus.levers.command import Runner, run
from notaus.metrics import Metrics

FINISH_SECONDS = 20.0
"""At SIGTERM, how long a lever being pulled may still take."""
LEAST_FINISH_SECONDS = 5.0
"""The machine's seconds of that at the least, where the clock runs faster."""
PRUNE_EVERY = 3600.0
PRUNE_BATCH = 2000
LEAST_LINK_SECONDS = 60
"""A link is good for what is left of its request, and at least so long."""
SKEW_SECONDS = 30.0
"""A machine's clock that is wrong by more is worth a warning (spec 2)."""

log = structlog.get_logger(__name__)

Readers = Callable[[Entry], Reader]


def _plenty(client: Client) -> bool:
    """Whether slow sources can be read at their usual pace."""
    return client.spare(Family.GRAPHQL, UNHURRIED) > 0


class App:
    """A daemon: polls, steps, acts, tells. One per process in service, several in a simulation."""

    def __init__(
        self,
        configuration: Configuration,
        journal: Journal,
        *,
        clock: Clock | None = None,
        http: httpx.AsyncClient | None = None,
        bells: Bells | None = None,
        readers: Readers | None = None,
        owner: str | None = None,
        resident: bool = True,
        watchers: tuple[Callable[[Guarded, Event, Stepped], None], ...] = (),
        incidents: Path | None = None,
        commands: Runner = run,
    ) -> None:
        """What is given replaces the real thing: time, network, bells, sources, commands (scenarios, simulations).

        One that is not `resident` is gone soon: no replica gives up an account for it. In `incidents` each incident
        that ends gets its document; None: none is written.
        """
        settings = configuration.settings
        self.configuration, self.journal = configuration, journal
        self.clock = clock or SystemClock(settings.clock.speed, settings.clock.anchor)
        self.metrics = Metrics()
        self.http = http or httpx.AsyncClient(timeout=10.0, limits=httpx.Limits(max_connections=50))
        self.edge_http = http or httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20)
        )
        self.bells = bells or ScheduledBells(self.clock)
        self._given_readers = readers
        self._incidents, self.commands = incidents, commands
        self.ledger = Ledger()
        self.outside = self._outside()
        self.executor = Executor(self, self, self, self.clock, self.metrics, self._post, self._check_service, self)
        self.call = Threaded() if journal.remote else inline
        self.documents = Documents(journal, self.call, self._spawn, incidents)
        self.leadership = Leadership(
            journal,
            owner or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            self.outside.clients,
            self.clock,
            self.metrics,
            self._gained,
            self._lost,
            self._lease_failed,
            self._journal_answers,
            self._under_way,
            self.call,
            resident=resident,
        )
        self.siren = Siren(self, self.clock)
        self.engine = Engine(
            journal,
            self.clock,
            self.metrics,
            self.executor,
            self.siren,
            self.leadership.lease,
            (Gauges(self.metrics), self.documents.ended, *watchers),
            self.leadership.lose,
            self.call,
        )
        self.pollers = self._pollers()
        self.link_key = b""
        """Signs links for approvers; without one there are none."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Polls and other chores; the executor keeps its own."""
        self.desk = Desk(self)
        self.drills = Drills(self, self._spawn)
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False
        self.rung_at = self.clock.now()
        self._skewed = False

    # The executor's ports, by the service's account; a reload exchanges what lies behind them

    async def pull(self, service: Service, effect: Any) -> Any:
        return await self.outside.levers[service.account].pull(service, effect)

    async def check(self, service: Service, effect: Any) -> Any:
        return await self.outside.checks[service.account].check(service, effect)

    async def collect(self, service: Service, effect: Collect) -> Kept:
        if self._incidents is None:
            return Kept("", 0, 0)
        client, questions = self.outside.clients[service.account], self.outside.questions[service.account]
        collector = Collector(client, self.outside.edge, self.clock, self._samples, questions, self._incidents)
        return await collector.collect(service, effect)

    async def _samples(self, service: str, signal: str, since: int) -> Sequence[Sample]:
        return await self.call(self.journal.samples, service, signal, since)

    async def send(self, contact: Any, message: Any, receipt: str | None = None) -> str | None:
        return await self.outside.channels.send(contact, self._with_links(contact, message), receipt)

    def _with_links(self, contact: Contact, message: Message) -> Message:
        """An approver's own links, where the message is about a request that is open; nobody else's message has any."""
        guarded = self.engine.guarded.get(message.service)
        request = None if guarded is None else guarded.state.request
        if guarded is None or request is None or request.id != message.request:
            return message
        if contact not in guarded.service.contacts.approvers:
            return message
        links = web.Links(self.link_key, self.configuration.settings.page_link)
        expires = int(self.clock.now()) + max(request.left, LEAST_LINK_SECONDS)
        made = {
            label: links.address(web.Link(message.service, request.id, contact, approved, expires))
            for label, approved in (("to approve", True), ("to deny", False))
        }
        return replace(message, facts={**message.facts, **{label: url for label, url in made.items() if url}})

    def _post(self, service: str, event: Event) -> None:
        try:
            self.engine.post(service, event)
        except NotausError as error:
            # The effect stays in the outbox and is asked for again at the next start.
            log.error("an event was dropped", service=service, reason=str(error))

    def _pollers(self) -> dict[str, Poller]:
        reader, worlds = self._given_readers or self.outside.reader, self.outside.worlds
        return {
            account: Poller(
                account,
                [entry for entry in self.configuration.entries if entry.account == account],
                reader,
                worlds[account],
                self.clock,
                self.metrics,
                self._post,
                partial(verify, client),
                lambda entry: self.outside.unread.pop((entry.service, entry.name), None),
                worlds[account].affordable,
                partial(_plenty, client),
            )
            for account, client in self.outside.clients.items()
        }

    # Accounts come and go

    def _services(self, account: str) -> list[Service]:
        return [service for service in self.configuration.services if service.account == account]

    async def _gained(self, account: str) -> None:
        """Recover the account's services from the journal, and ask again for what was under way. Raises JournalFailed."""
        found = await self._recovered(self._services(account))
        if self.lease(account) is None:
            return
        now = int(self.clock.now())
        for guarded in found:
            self._guard(guarded, now)
        self.ring(account)

    async def _recovered(self, services: Iterable[Service]) -> list[Guarded]:
        """Raises JournalFailed."""
        now, found = int(self.clock.now()), []
        for service in services:
            found.append(await self.call(recovered, self.journal, service, now))
            await asyncio.sleep(0)  # called inline it lets nothing turn, and the leases have to be renewed
        return found

    def _guard(self, guarded: Guarded, now: int) -> None:
        service = guarded.service
        self.engine.guarded[service.name] = guarded
        self.documents.look_back(service, now)
        self.engine.post(service.name, Started(now, self.configuration.hash))
        for effect in guarded.state.outbox.values():
            if isinstance(effect, PullLever) and late(effect, now):
                self._spawn(self._take_up(service, effect), f"recovery of {effect.id}")
            else:
                self.executor.start(service, resumed(effect))

    async def _take_up(self, service: Service, effect: PullLever) -> None:
        """A lever that was to be pulled long ago."""
        if await done_already(service, effect, self.outside.worlds[service.account]):
            self.executor.start(service, effect)
        else:
            self._post(service.name, LeverEnded(int(self.clock.now()), effect.id, NOT_DONE))

    def _lost(self, account: str) -> None:
        """Another replica acts now: stop everything of the account, and show nothing that stands still."""
        names = [service.name for service in self._services(account)]
        self.executor.abandon(names)
        for name in names:
            self.engine.guarded.pop(name, None)
            self.metrics.forget(name)

    def _lease_failed(self, account: str, failed: JournalFailed) -> None:
        self.engine.journal_failed(failed, self._services(account))

    def _journal_answers(self) -> None:
        self.engine.journal_answers()

    def _under_way(self, account: str) -> int:
        """How much of the account's services is under way: effects, and incidents that are open."""
        states = [each.state for each in self.engine.guarded.values() if each.service.account == account]
        return sum(len(state.outbox) + (state.incident is not None) for state in states)

    @property
    def turning(self) -> bool:
        """Whether the loop takes in events."""
        return self._loop is not None and not self._loop.done()

    def lease(self, account: str) -> Lease | None:
        return self.leadership.lease(account)

    def _check_service(self, name: str) -> None:
        """Raises LeaseLost."""
        guarded = self.engine.guarded.get(name)
        if guarded is not None:  # else its tasks are being dropped
            self.check_lease(guarded.service.account)

    def check_lease(self, account: str) -> None:
        """Before anything is changed outside. Raises LeaseLost once another replica may act."""
        if self.lease(account) is None:
            self.leadership.lose(account)
            raise LeaseLost(f"the lease of account {account} has run out")

    def ring(self, account: str) -> None:
        """Poll the account's services, if they are ours."""
        guarded = [self.engine.guarded[s.name] for s in self._services(account) if s.name in self.engine.guarded]
        if guarded and not self._stopping:
            self._spawn(self.pollers[account].poll(guarded, self.engine.backlog), f"poll {account}")

    def _spawn(self, chore: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(chore, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task failed in an unforeseen way", task=task.get_name(), exc_info=task.exception())

    def ring_all(self) -> None:
        self.rung_at = self.clock.now()
        self._watch_skew()
        for account in self.outside.clients:
            self.ring(account)

    def _watch_skew(self) -> None:
        skew = self.clock.skew
        self.metrics.clock_skew_seconds.set(skew)
        if (abs(skew) > SKEW_SECONDS) is not self._skewed:
            self._skewed = not self._skewed
            if self._skewed:
                log.warning("the machine's clock is wrong; Cloudflare's time is used", behind_seconds=round(skew))

    # Life

    async def start(self) -> None:
        """Take up work: the loop turns, the leases are tried for, the bells ring. Raises JournalFailed."""
        await asyncio.gather(*(poller.set_clock() for poller in self.pollers.values()))  # leases, too, go by it
        now = int(self.clock.now())
        await self.call(self.journal.keep_config, self.configuration.hash, _text(self.configuration), now)
        self._loop = asyncio.create_task(self.engine.run(), name="engine")
        self.bells.every(RENEW_SECONDS, self._keep_leases, "leases")
        self.bells.every(PRUNE_EVERY, self._prune, "retention")
        self.bells.every(drills.EVERY, self.drills.ring, "drills")
        self._ring_for_ticks()
        self.bells.start()
        await self.leadership.keep()  # may take long; what it has got is renewed meanwhile

    def _ring_for_ticks(self) -> None:
        """At every time that is a tick of some service."""
        self.rung_at = self.clock.now()
        self.bells.every(math.gcd(*(service.step for service in self.configuration.services)), self.ring_all, "poll")

    def _keep_leases(self) -> None:
        self._spawn(self.leadership.keep(), "leases")

    def _prune(self) -> None:
        self._spawn(self._drop_old_samples(), "retention")

    async def _drop_old_samples(self) -> None:
        before = int(self.clock.now()) - self.configuration.settings.retention.samples
        try:
            while await self.call(self.journal.prune, before, PRUNE_BATCH) == PRUNE_BATCH:  # noqa: ASYNC110 (nothing to wait for)
                await asyncio.sleep(0.1)  # between other work
        except JournalFailed as failed:
            log.warning("old samples could not be dropped", reason=str(failed))

    async def stop(self) -> None:
        """Stop taking up work, finish or safely leave what is under way, give the leases back."""
        self._stopping = True  # the bells go on: a lease that ran out meanwhile would let another act, too
        for task in list(self.tasks):
            task.cancel()
        await self.executor.finish(max(FINISH_SECONDS / self.clock.speed, LEAST_FINISH_SECONDS))
        await self._drain()
        await self.siren.finish(LEAST_FINISH_SECONDS)
        await self.crash()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAST_FINISH_SECONDS):
                await self.leadership.release()

    async def _drain(self) -> None:
        """Let the engine take the letters that are waiting, unless the journal fails."""
        for _ in range(200):
            if (self.engine.backlog == 0 and not self.engine.taking) or self.engine.failing is not None:
                break
            await asyncio.sleep(0.01)

    async def crash(self) -> None:
        """Drop everything as it stands, as a kill would."""
        self._stopping = True
        self.bells.stop()
        tasks = [*self.tasks, *self.executor.tasks.values(), *([self._loop] if self._loop is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.siren.finish(0)

    async def run(self, stop: asyncio.Event, *, ready: Callable[[str], None] | None = None) -> None:
        """Serve until `stop` is set. Raises NotausError where it cannot start."""
        settings = self.configuration.settings
        token = web_token(settings)
        self.link_key = link_key(settings)
        page = web.create(self.desk, self.metrics, token, web.Links(self.link_key))
        down = asyncio.Event()
        serving = asyncio.create_task(
            web.serve(page, settings.listen.address, settings.listen.port, stop=down, ready=ready), name="web"
        )
        await asyncio.sleep(0)
        stopping = asyncio.create_task(stop.wait())
        try:
            await self.start()
            watched = [serving, stopping, *([self._loop] if self._loop is not None else [])]
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            stopping.cancel()
            await self.stop()
            down.set()
            await asyncio.gather(serving, return_exceptions=True)
            await self.disconnect()

    async def disconnect(self) -> None:
        """Close the connections to everything outside."""
        await self.http.aclose()
        await self.edge_http.aclose()

    def _outside(self) -> Outside:
        return Outside(
            self.configuration,
            self.clock,
            self.metrics,
            self.http,
            self.ledger,
            self.check_lease,
            self.commands,
            self.edge_http,
        )

    # Reload

    async def reload(self, configuration: Configuration) -> None:
        """Put a new configuration in force. Raises NotausError with the reason where it may not or cannot be."""
        async with self.leadership.changing:  # no service is recovered twice, by this and by a takeover
            await self._put_in_force(configuration)
        await self.leadership.keep()

    async def _put_in_force(self, configuration: Configuration) -> None:
        self._object(configuration)
        now, held = int(self.clock.now()), self._fences()
        # May fail: before anything changes.
        await self.call(self.journal.keep_config, configuration.hash, _text(configuration), now)
        new = [s for s in configuration.services if s.name not in self.engine.guarded and s.account in held]
        added = await self._recovered(new)
        self._object(configuration)  # an incident may have begun meanwhile
        if held != self._fences():
            raise NotausError("an account changed hands during the reload: reload again")
        old, self.configuration = self.configuration, configuration
        self.outside = self._outside()
        self.pollers = self._pollers()
        self._forget({service.name for service in configuration.services})
        for service in configuration.services:
            if service.name in self.engine.guarded:
                self._replace(service, old, now)
        for guarded in added:
            self._guard(guarded, now)
        self._ring_for_ticks()
        self.leadership.accounts = tuple(self.outside.clients)

    def _object(self, configuration: Configuration) -> None:
        found = objections(self.engine.guarded, configuration)
        if found:
            raise ConfigurationError("the reload is refused: " + "; ".join(found))

    def _fences(self) -> dict[str, int]:
        return {account: lease.fence for account, lease in self.leadership.leases.items()}

    def _forget(self, kept: Collection[str]) -> None:
        """Let go of the services that are no longer configured."""
        for name in [name for name in self.engine.guarded if name not in kept]:
            self.engine.guarded.pop(name)
            self.metrics.forget(name)

    def _replace(self, service: Service, old: Configuration, now: int) -> None:
        before = self.engine.guarded[service.name].service
        changed = tuple(
            rule.name
            for rule in service.rules
            if before.mode is not service.mode
            or old.rule_fingerprints.get((service.name, rule.name))
            != self.configuration.rule_fingerprints.get((service.name, rule.name))
        )
        event = Reconfigured(now, self.configuration.hash, changed)
        self.engine.post(service.name, event, service)


def _text(configuration: Configuration) -> str:
    """The files as they stand; a secret that stands in one stays there."""
    return logs.scrub("\n".join(f"# {file}\n{text}" for file, text in configuration.texts.items()))
