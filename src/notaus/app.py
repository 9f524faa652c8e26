"""The composition root: a configuration becomes a running daemon. The only place that wires parts together."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import structlog

from notaus import log as logs
from notaus import report, web
from notaus.checks import Checks
from notaus.clock import Clock, SystemClock
from notaus.cloudflare.budget import UNHURRIED, Budgets, Family, Ledger
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.status import CloudflareStatus
from notaus.cloudflare.tokens import verify
from notaus.config import Configuration, Settings
from notaus.config import settings as configured
from notaus.config.sources import Entry, Push
from notaus.core.effect import Collect, Kept, PullLever
from notaus.core.event import Event, LeverEnded, Order, Pushed, Reconfigured, Reply, Started
from notaus.core.fleet import Stepped
from notaus.core.page import Message
from notaus.core.sample import Sample
from notaus.core.service import Contact, Service
from notaus.core.state import State
from notaus.custody import Collector
from notaus.daemon.alarm import Siren
from notaus.daemon.calls import Threaded, inline
from notaus.daemon.engine import Engine, Guarded, recovered
from notaus.daemon.executor import Executor
from notaus.daemon.gauges import Gauges
from notaus.daemon.leadership import RENEW_SECONDS, Leadership
from notaus.daemon.poller import Poller
from notaus.daemon.ports import Reader
from notaus.daemon.recovery import NOT_DONE, done_already, late
from notaus.daemon.reload import objections
from notaus.daemon.scheduler import Bells, ScheduledBells
from notaus.daemon.status import describe, incident_body
from notaus.errors import ConfigurationError, JournalFailed, NotausError, ReadFailed
from notaus.journal import Journal, Lease, LeaseLost
from notaus.levers import Levers, SteeringKeys, Worlds
from notaus.metrics import Metrics
from notaus.notify import Apprise, Channels, GitHub, PagerDuty, Slack, SlackApp, Statuspage, Webhook
from notaus.sources import Context, build
from notaus.sources.push import PushReader
from notaus.sources.scalar import Number

FINISH_SECONDS = 20.0
"""At SIGTERM, how long a lever being pulled may still take."""
LEAST_FINISH_SECONDS = 5.0
"""The machine's seconds of that at the least, where the clock runs faster."""
DOCUMENTED, DOCUMENTED_SECONDS = 10, 86_400
"""At the start so many of a service's newest incidents, closed so lately, get the document they have not."""
PRUNE_EVERY = 3600.0
PRUNE_BATCH = 2000
LEAST_LINK_SECONDS = 60
"""A link is good for what is left of its request, and at least so long."""
STALLED_SECONDS = 120.0
"""A loop that has not turned, or bells that have not rung, for this long (of the machine's time) are not healthy."""
SKEW_SECONDS = 30.0
"""A machine's clock that is wrong by more is worth a warning (spec 2)."""

log = structlog.get_logger(__name__)

Readers = Callable[[Entry], Reader]


class Outside:
    """Everything that reaches beyond this process for one configuration: clients, readers, levers, checks, channels."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        metrics: Metrics,
        http: httpx.AsyncClient,
        ledger: Ledger,
        check_lease: Callable[[str], None] = lambda account: None,
    ) -> None:
        """`ledger` outlives it: Cloudflare does not forget at a reload how much was asked of it.

        `check_lease` raises LeaseLost where an account may not be acted for.
        """
        settings = configuration.settings
        edge = Edge(http, settings.origins, clock.speed)
        self.clients = {
            account: _client(settings, account, clock, metrics, http, ledger, partial(check_lease, account))
            for account in dict.fromkeys(service.account for service in configuration.services)
        }
        keys = {account: SteeringKeys(client) for account, client in self.clients.items()}
        self.levers = {account: Levers(client, keys[account]) for account, client in self.clients.items()}
        self.worlds = {account: Worlds(client, keys[account]) for account, client in self.clients.items()}
        self.checks = {account: Checks(client, edge) for account, client in self.clients.items()}
        self.unread: dict[tuple[str, str], str] = {}
        """Parts of entries that could not be read, by service and entry, until the poller asks."""
        self.contexts = {account: Context(client, edge, self._unread) for account, client in self.clients.items()}
        status = CloudflareStatus(http, settings.cloudflare.status_url, clock)
        self.channels = channels(settings, http, status.said if settings.cloudflare.status_url else None)
        self._readers: dict[tuple[str, type], Reader] = {}

    def _unread(self, entry: Entry, problem: str) -> None:
        self.unread[entry.service, entry.name] = problem

    def reader(self, entry: Entry) -> Reader:
        """The reader of an entry's kind of source, shared by all entries of its account."""
        key = (entry.account, type(entry.source))
        if key not in self._readers:
            self._readers[key] = build(type(entry.source), self.contexts[entry.account])
        return self._readers[key]


def _plenty(client: Client) -> bool:
    """Whether slow sources can be read at their usual pace."""
    return client.spare(Family.GRAPHQL, UNHURRIED) > 0


def _client(
    settings: Settings,
    account: str,
    clock: Clock,
    metrics: Metrics,
    http: httpx.AsyncClient,
    ledger: Ledger,
    before_write: Callable[[], None],
) -> Client:
    budgets = Budgets(settings.budgets.api[0], settings.budgets.graphql[0], float(settings.budgets.reserve))
    client = Client(
        http,
        settings.cloudflare.api_url,
        account,
        settings.cloudflare.token,
        clock,
        lever_token=settings.cloudflare.lever_token,
        budgets=budgets,
        ledger=ledger,
        on_request=metrics.observe_request,
        before_write=before_write,
    )
    for family in ("api", "graphql"):
        gauge = metrics.api_budget_remaining_ratio.labels(family=family)
        gauge.set_function(partial(client.budget_remaining, family))
    return client


def channels(
    settings: Settings, http: httpx.AsyncClient, cloudflare: Callable[[], Awaitable[str]] | None = None
) -> Channels:
    """The channels of `notaus.yaml`; `cloudflare` tells Cloudflare's own status."""
    kinds = settings.channels
    return Channels(
        http,
        {
            "pagerduty": {
                name: PagerDuty(each.routing_key.get_secret_value(), each.url) for name, each in kinds.pagerduty.items()
            },
            "slack": {name: _slack(each) for name, each in kinds.slack.items()},
            "statuspage": {
                name: Statuspage(
                    each.token.get_secret_value(),
                    each.page,
                    each.subject,
                    each.components,
                    each.component_status,
                    each.closing,
                    each.url,
                )
                for name, each in kinds.statuspage.items()
            },
            "github": {
                name: GitHub(
                    each.token.get_secret_value(), each.repository, each.labels, each.assignees, each.mentions, each.url
                )
                for name, each in kinds.github.items()
            },
            "apprise": {name: Apprise(each.url.get_secret_value()) for name, each in kinds.apprise.items()},
            "webhook": {
                name: Webhook(
                    each.url.get_secret_value(), each.secret.get_secret_value() if each.secret is not None else None
                )
                for name, each in kinds.webhook.items()
            },
        },
        settings.page_link,
        cloudflare,
    )


def _slack(each: configured.Slack) -> Slack | SlackApp:
    if each.token is not None:
        return SlackApp(each.token.get_secret_value(), each.channel, each.url)
    return Slack(each.webhook_url.get_secret_value() if each.webhook_url is not None else "")


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
    ) -> None:
        """What is given replaces the real thing: time, network, bells and sources (scenarios, simulations).

        One that is not `resident` is gone soon: no replica gives up an account for it. In `incidents` each incident
        that ends gets its document; None: none is written.
        """
        settings = configuration.settings
        self.configuration, self.journal = configuration, journal
        self.clock = clock or SystemClock(settings.clock.speed, settings.clock.anchor)
        self.metrics = Metrics()
        self.http = http or httpx.AsyncClient(timeout=10.0, limits=httpx.Limits(max_connections=50))
        self.bells = bells or ScheduledBells(self.clock)
        self._given_readers = readers
        self._incidents = incidents
        self.ledger = Ledger()
        self.outside = Outside(configuration, self.clock, self.metrics, self.http, self.ledger, self.check_lease)
        self.executor = Executor(self, self, self, self.clock, self.metrics, self._post, self._check_service, self)
        self.call = Threaded() if journal.remote else inline
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
            (Gauges(self.metrics), self._document_ended, *watchers),
            self.leadership.lose,
            self.call,
        )
        self.pollers = self._pollers()
        self.link_key = b""
        """Signs links for approvers; without one there are none."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Polls and other chores; the executor keeps its own."""
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False
        self._rung_at = self.clock.now()
        self._skewed = False

    # The executor's ports, by the service's account; a reload exchanges what lies behind them

    async def pull(self, service: Service, effect: Any) -> Any:
        return await self.outside.levers[service.account].pull(service, effect)

    async def check(self, service: Service, effect: Any) -> Any:
        return await self.outside.checks[service.account].check(service, effect)

    async def collect(self, service: Service, effect: Collect) -> Kept:
        if self._incidents is None:
            return Kept("", 0, 0)
        client = self.outside.clients[service.account]
        return await Collector(client, self.clock, self._samples, self._incidents).collect(service, effect)

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
        expires = self.now() + max(request.left, LEAST_LINK_SECONDS)
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
        now = int(self.clock.now())
        return [await self.call(recovered, self.journal, service, now) for service in services]

    def _guard(self, guarded: Guarded, now: int) -> None:
        service = guarded.service
        self.engine.guarded[service.name] = guarded
        if self._incidents is not None:
            self._spawn(self._document_missing(service, now), f"documents of {service.name}")
        self.engine.post(service.name, Started(now, self.configuration.hash))
        for effect in guarded.state.outbox.values():
            if isinstance(effect, PullLever) and late(effect, now):
                self._spawn(self._take_up(service, effect), f"recovery of {effect.id}")
            else:
                self.executor.start(service, effect)

    async def _take_up(self, service: Service, effect: PullLever) -> None:
        """A lever that was to be pulled long ago."""
        if await done_already(service, effect, self.outside.worlds[service.account]):
            self.executor.start(service, effect)
        else:
            self._post(service.name, LeverEnded(int(self.clock.now()), effect.id, NOT_DONE))

    # Documents

    def _document_ended(self, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        for incident in stepped.closed:
            if self._incidents is not None and not incident.quiet and not incident.shadow:
                self._spawn(self._document(guarded.service, incident.id, self._incidents), f"document {incident.id}")

    async def _document(self, service: Service, id: str, directory: Path) -> None:
        """The document of an incident that has ended; one that is there already stays as people have edited it."""
        try:
            found = await self.call(report.find, self.journal, service, id)
            path = report.kept(report.render(found), directory / id)
        except NotausError as error:
            log.warning("the document of an incident is missing", incident=id, reason=str(error))
        else:
            if path is not None:
                log.info("the incident has its document", incident=id, path=str(path))

    async def _document_missing(self, service: Service, now: int) -> None:
        """Those of incidents that ended when the daemon did, or while none could be written."""
        if self._incidents is None:
            return
        for row in await self.call(self.journal.incidents, service.name, DOCUMENTED):
            kept = isinstance(row.body, dict) and not row.body.get("quiet") and not row.body.get("shadow")
            if kept and row.closed_at is not None and row.closed_at > now - DOCUMENTED_SECONDS:
                await self._document(service, row.id, self._incidents)

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
        self._rung_at = self.clock.now()
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
        await self.leadership.keep()
        self.bells.every(RENEW_SECONDS, self._keep_leases, "leases")
        self.bells.every(PRUNE_EVERY, self._prune, "retention")
        self._ring_for_ticks()
        self.bells.start()

    def _ring_for_ticks(self) -> None:
        """At every time that is a tick of some service."""
        self._rung_at = self.clock.now()
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
        page = web.create(self, self.metrics, token, web.Links(self.link_key))
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
            await self.http.aclose()

    # Reload

    async def reload(self, configuration: Configuration) -> None:
        """Put a new configuration in force. Raises NotausError with the reason where it may not or cannot be."""
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
        self.outside = Outside(configuration, self.clock, self.metrics, self.http, self.ledger, self.check_lease)
        self.pollers = self._pollers()
        self._forget({service.name for service in configuration.services})
        for service in configuration.services:
            if service.name in self.engine.guarded:
                self._replace(service, old, now)
        for guarded in added:
            self._guard(guarded, now)
        self._ring_for_ticks()
        self.leadership.accounts = tuple(self.outside.clients)
        await self.leadership.keep()

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

    # What the web shows

    def now(self) -> int:
        return int(self.clock.now())

    def healthy(self) -> tuple[bool, str]:
        if self._loop is None or self._loop.done():
            return False, "the loop has ended"
        stalled = STALLED_SECONDS * self.clock.speed
        idle = self.clock.now() - self.engine.turned_at
        if self.engine.backlog and self.engine.failing is None and idle > stalled:
            return False, f"the loop has not turned for {idle:.0f} s with {self.engine.backlog} events waiting"
        silent = self.clock.now() - self._rung_at
        if silent > stalled + max(service.step for service in self.configuration.services):
            return False, f"no poll has been rung for {silent:.0f} s"
        return True, "the loop turns"

    def ready(self) -> tuple[bool, str]:
        if self.engine.failing is not None:
            return False, f"the journal fails: {self.engine.failing}"
        missing = [account for account in self.outside.clients if self.lease(account) is None]
        nobodys = [account for account in missing if account not in self.leadership.elsewhere]
        if nobodys:
            return False, f"no lease for {', '.join(nobodys)}: no replica is known to hold it"
        if len(missing) == len(self.outside.clients):
            return False, f"no lease for {', '.join(missing)}: another replica holds it"
        held = "every lease is held" + (f", {len(missing)} of them by other replicas" if missing else "")
        return True, f"the journal can be written, and {held}"

    def services(self) -> Sequence[str]:
        return [service.name for service in self.configuration.services]

    def settings(self) -> Settings:
        return self.configuration.settings

    def configured(self) -> Sequence[Service]:
        return self.configuration.services

    def state(self, service: str) -> State | None:
        guarded = self.engine.guarded.get(service)
        return None if guarded is None else guarded.state

    def look(self, service: str) -> None:
        guarded = self.engine.guarded.get(service)
        if guarded is not None:
            self.pollers[guarded.service.account].look_soon(service)
            self.ring(guarded.service.account)

    def status(self) -> Mapping[str, Any]:
        now = self.now()
        return {
            "now": now,
            "ready": self.ready()[0],
            "services": {name: describe(guarded, now) for name, guarded in self.engine.guarded.items()},
        }

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return [incident_body(row) for row in await self.call(self.journal.incidents, limit=limit)]

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        row = await self.call(self.journal.incident, id)
        return None if row is None else incident_body(row)

    async def order(self, service: str, order: Order) -> Reply:
        if self._loop is None or self._loop.done():
            raise NotausError("the daemon is not running")
        return await self.engine.order(service, order)

    async def push(self, service: str, signal: str, values: Sequence[tuple[int, Number]]) -> Reply:
        """Take in values of a `push` source, and answer once they are written down. Raises NotausError.

        Refused is what the source's rules refuse (too old, from the future, no number), and then nothing is taken.
        """
        guarded = self.engine.guarded.get(service)
        if guarded is None:
            raise NotausError(f"{service} is not guarded here now")
        entry = self._pushed_to(service, signal)
        if entry is None:
            return Reply(False, f"{service} has no signal `{signal}` that takes values; {self._takes(service)}")
        reader = self.outside.reader(entry)
        assert isinstance(reader, PushReader)
        known = partial(guarded.history.at, signal)
        try:
            readings = reader.take(entry, guarded.service.step, values, lambda at: known(at) is not None)
        except ReadFailed as refused:
            return Reply(False, str(refused))
        return await self.engine.order(service, Pushed(self.now(), readings))

    def _pushed_to(self, service: str, signal: str) -> Entry | None:
        entries = (e for e in self.configuration.entries if e.service == service and signal in e.signals)
        return next((entry for entry in entries if isinstance(entry.source, Push)), None)

    def _takes(self, service: str) -> str:
        entries = [e.name for e in self.configuration.entries if e.service == service and isinstance(e.source, Push)]
        return f"those that do: {', '.join(entries) or 'none'}"


def _text(configuration: Configuration) -> str:
    """The files as they stand; a secret that stands in one stays there."""
    return logs.scrub("\n".join(f"# {file}\n{text}" for file, text in configuration.texts.items()))


def web_token(settings: Settings) -> str:
    """The token of the daemon's API, made at first use; readable by the daemon's user alone."""
    return _kept(settings.token_file, "API token")


def link_key(settings: Settings) -> bytes:
    """The key that signs links for approvers, kept as the token is."""
    return _kept(settings.link_key_file, "link key").encode()


def _kept(path: Path, what: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_secret(path)
        secret = path.read_text().strip()
    except OSError as error:
        raise NotausError(f"the {what} {path} cannot be kept: {error.strerror}") from None
    if not secret:  # it would let in whoever gives none
        raise NotausError(f"the {what} {path} is empty: delete the file, and a new one is made")
    logs.redact(secret)
    return secret


def _write_secret(path: Path) -> None:
    """Whole or not at all: a full disk must not leave an empty one behind."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)


def open_journal(settings: Settings) -> Journal:
    """The journal of `store`; its directory is created. Raises JournalFailed."""
    directory = settings.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalFailed(f"the directory {directory} of the journal cannot be made: {error.strerror}") from None
    return Journal.open(settings.store_url)
