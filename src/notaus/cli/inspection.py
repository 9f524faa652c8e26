"""The inspection behind `notaus check`: every part that the daemon would use, tried once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from notaus.app import Outside
from notaus.cli import findings
from notaus.cli.findings import Finding
from notaus.cli.permissions import Need, judged, listening, needs
from notaus.cli.thresholds import Usual, day
from notaus.clock import Clock, SystemClock
from notaus.cloudflare import tokens
from notaus.cloudflare.budget import Ledger
from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.graphql import Scope
from notaus.cloudflare.limits import limits_of
from notaus.cloudflare.telemetry import NotLogged, Telemetry
from notaus.cloudflare.tokens import Policies, Probe, Token
from notaus.config import Configuration
from notaus.config.settings import SQLITE
from notaus.config.sources import Database, Entry
from notaus.core import deployment
from notaus.core.deployment import Registry
from notaus.core.ladder import DeploymentLever, Rung
from notaus.core.noise import Noise
from notaus.core.sample import Readings
from notaus.core.service import Contact, Exhibit, Service
from notaus.core.state import State
from notaus.core.world import DeploymentsView, KvView
from notaus.daemon import cohorts
from notaus.database import NO_DEADLINE, keeps_deadline
from notaus.errors import JournalFailed, NotausError
from notaus.journal import Journal, decode
from notaus.journal.journal import CURRENT
from notaus.metrics import Metrics
from notaus.notify import NEEDS

PATIENCE = 15.0
"""Seconds for each thing that is tried."""
MOST_SKEW = 30.0
CLOCK_PAUSE = 3.0
"""A `Date` has whole seconds: so much later, a second one confirms or denies the first."""
LOOKED_BACK = (3600, findings.DAY)
"""Seconds within which data is looked for where there is none now."""


class Inspection:
    """Looks at one configuration."""

    def __init__(self, configuration: Configuration, http: httpx.AsyncClient, clock: Clock | None = None) -> None:
        settings = configuration.settings
        self.configuration = configuration
        self.clock = clock or SystemClock(settings.clock.speed, settings.clock.anchor)
        self.outside = Outside(configuration, self.clock, Metrics(), http, Ledger())
        self.tokens: dict[tuple[str, bool], tuple[Token | None, Policies | None]] = {}
        """What each account's token is and says of itself; True: the levers' own."""
        self.states: dict[str, State] = {}

    @classmethod
    async def of(cls, configuration: Configuration, *, page: bool) -> list[Finding]:
        """Everything found; nothing is changed, but for test messages where `page` asks for them."""
        async with httpx.AsyncClient(timeout=10.0) as http:
            inspection = cls(configuration, http)
            return [finding async for finding in inspection.all(page)]

    async def all(self, page: bool) -> AsyncIterator[Finding]:
        """In the order in which one would put things right."""
        names = ", ".join(service.name for service in self.configuration.services)
        yield Finding("daemon", "configuration", "yes", f"services: {names}")
        for warning in self.configuration.warnings:
            yield Finding("daemon", "configuration", "?", str(warning))
        yield self._journal()
        for account in self.outside.clients:
            async for finding in self._tokens(account):
                yield finding
        for service in self.configuration.services:
            async for finding in self._service(service):
                yield finding
        async for finding in self._channels(page):
            yield finding
        yield await self._clock()

    # What all services share

    def _journal(self) -> Finding:
        settings = self.configuration.settings
        place = next((p for p in (settings.directory, *settings.directory.absolute().parents) if p.exists()), Path("/"))
        if not os.access(place, os.W_OK):
            return Finding("daemon", "journal", "no", f"{place} cannot be written")
        url = settings.store_url
        if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
            return Finding("daemon", "journal", "yes", f"{place} can be written; there is no journal yet")
        try:
            said = Journal.tried(url)
            if said.endswith(CURRENT):
                self._remember(url)
        except JournalFailed as error:
            return Finding("daemon", "journal", "no", str(error))
        return Finding("daemon", "journal", "yes", said)

    def _remember(self, url: str) -> None:
        """Where each service stood when the journal was last written."""
        with Journal.open(url) as journal:
            for service in self.configuration.services:
                body = journal.state(service.name)
                if body is not None:
                    self.states[service.name] = decode(State, body)

    async def _tokens(self, account: str) -> AsyncIterator[Finding]:
        yield await self._token(account, lever=False)
        if self.configuration.settings.cloudflare.lever_token is not None:
            yield await self._token(account, lever=True)

    async def _token(self, account: str, *, lever: bool) -> Finding:
        what, client = f"{'lever ' if lever else ''}token", self.outside.clients[account]
        self.tokens[account, lever] = (None, None)
        try:
            async with asyncio.timeout(PATIENCE):
                token = await tokens.verify(client, account, lever=lever)
                policies = await tokens.policies(client, token, account, lever=lever)
        except (NotausError, TimeoutError) as error:
            return Finding(f"account {account}", what, "no", _reason(error) + await self._whose(client, account))
        self.tokens[account, lever] = (token, policies)
        expiry = f", expires {token.expires:%Y-%m-%d}" if token.expires else ""
        answer = "yes" if token.active else "no"
        return Finding(f"account {account}", what, answer, f"{token.kind} token, {token.status}{expiry}")

    async def _whose(self, client: Client, account: str) -> str:
        """Whether it is a good token of another account."""
        listed = await tokens.accounts(client)
        if not listed or any(account in each for each in listed):
            return ""
        return f"; the token's own account is {', '.join(listed)}: is `account:` right?"

    async def _clock(self) -> Finding:
        """Last, so that two answers some seconds apart agree on the time; one alone sets no clock."""
        if self.clock.in_doubt:
            await self.clock.sleep(CLOCK_PAUSE * self.clock.speed)
            for account, client in self.outside.clients.items():
                try:
                    async with asyncio.timeout(PATIENCE):
                        await tokens.verify(client, account)
                except (NotausError, TimeoutError):
                    continue
        skew = self.clock.skew
        text = f"{abs(skew):.1f} s {'behind' if skew >= 0 else 'ahead of'} Cloudflare's"
        if abs(skew) > MOST_SKEW:
            return Finding("daemon", "clock", "no", f"{text}; set this machine's clock, by NTP for instance")
        return Finding("daemon", "clock", "yes", text)

    # Services

    async def _service(self, service: Service) -> AsyncIterator[Finding]:
        yield Finding(service.name, "mode", "yes" if service.mode == "act" else "?", _mode(service))
        entries = [entry for entry in self.configuration.entries if entry.service == service.name]
        wanted = needs(service, entries, self.configuration.questions.get(service.name, {}), self.outside.edge)
        for finding in await asyncio.gather(*(self._need(service, need) for need in wanted)):
            yield finding
        read = await asyncio.gather(*(self._entry(service, entry) for entry in entries))
        for finding in read:
            yield finding
        answered = [entry for entry, finding in zip(entries, read, strict=True) if finding.answer != "no"]
        async for finding in self._plan(service, entries):
            yield finding
        async for finding in self._thresholds(service, answered):
            yield finding
        yield await self._lever(service)
        for rung in service.ladder.rungs:
            if rung.lever is not None:
                yield await self._own_lever(service, rung)
        async for finding in self._evidence(service):
            yield finding

    async def _need(self, service: Service, need: Need) -> Finding:
        token, policies = self.tokens.get((service.account, need.lever)) or self.tokens[service.account, False]
        probe = (
            None
            if need.attempt is None
            else await _patiently(need, need.attempt(self.outside.clients[service.account]))
        )
        answer, why = judged(need, service.account, token, policies, probe)
        return Finding(service.name, need.group, answer, why)

    async def _entry(self, service: Service, entry: Entry) -> Finding:
        what = f"signals.{entry.name}"
        if not entry.signals:
            return Finding(service.name, what, "yes", "no rule asks for it")
        at = (int(self.clock.now()) - entry.settle) // service.step * service.step
        try:
            async with asyncio.timeout(PATIENCE):
                readings = await self._read(service, entry, [at])
                said, missing = findings.read(service, entry, readings, int(self.clock.now()) - at)
                within = await self._seen_within(service, entry, missing, at) if missing else None
                if not missing and findings.without_requests(entry, readings) and await self._idle(service, entry, at):
                    within = findings.DAY
        except (NotausError, TimeoutError) as error:
            return Finding(service.name, what, "no", _reason(error))
        if not missing and within == findings.DAY:
            return Finding(service.name, what, "?", f"{said}. {findings.idle(entry)}")
        if not missing and isinstance(entry.source, Database) and not keeps_deadline(entry.source.url):
            return Finding(service.name, what, "?", f"{said}. {NO_DEADLINE}")
        if not missing:
            return Finding(service.name, what, "yes", said)
        answer, lacks = findings.lacking(entry, missing, within)
        if len(missing) < len(entry.signals):
            return Finding(service.name, what, "?", f"{said}. {lacks}")
        return Finding(service.name, what, answer, lacks)

    async def _seen_within(self, service: Service, entry: Entry, missing: Sequence[str], at: int) -> int | None:
        """Within how many seconds before `at` some of the missing signals had data; None: not in a day."""
        if isinstance(entry.source, findings.AT_A_TIME):
            return None
        for seconds in LOOKED_BACK:
            readings = await self._read(service, replace(entry, signals=tuple(missing), window=seconds), [at])
            if any((sample := findings.newest(readings, name)) is not None and sample.known for name in missing):
                return seconds
        return None

    async def _idle(self, service: Service, entry: Entry, at: int) -> bool:
        """Whether there was nothing to count for a day."""
        readings = await self._read(service, replace(entry, window=findings.DAY), [at])
        return findings.without_requests(entry, readings)

    async def _read(self, service: Service, entry: Entry, times: Sequence[int]) -> Readings:
        reader = self.outside.reader(entry)
        if not cohorts.by_version(service, entry):
            return await reader.read(entry, times)
        view, lever = await self.outside.worlds[service.account].read(service), service.ladder.lever
        assert isinstance(view, DeploymentsView)
        assert isinstance(lever, DeploymentLever)
        registry = deployment.observed(Registry(), view, lever.stable_after, None)
        return await cohorts.read(reader, entry, times, registry, view)

    async def _plan(self, service: Service, entries: Iterable[Entry]) -> AsyncIterator[Finding]:
        """What the plan allows of each dataset, against what this service asks of it."""
        asked: dict[tuple[Scope, str], list[Entry]] = {}
        for entry in entries:
            if (found := findings.dataset(entry)) is not None and entry.signals:
                asked.setdefault(found, []).append(entry)
        for (scope, dataset), users in asked.items():
            what = f"limits of {dataset}"
            try:
                async with asyncio.timeout(PATIENCE):
                    known = await limits_of(self.outside.clients[service.account], scope, [dataset])
            except (NotausError, TimeoutError) as error:
                yield Finding(service.name, what, "?", _reason(error))
            else:
                yield Finding(service.name, what, *findings.allowed(known[dataset], service, users))

    async def _own_lever(self, service: Service, rung: Rung) -> Finding:
        what = f"rung {rung.name}"
        try:
            async with asyncio.timeout(PATIENCE):
                return Finding(service.name, what, *await self.outside.levers[service.account].ready(service, rung))
        except (NotausError, TimeoutError) as error:
            return Finding(service.name, what, "no", _reason(error))

    async def _thresholds(self, service: Service, entries: Iterable[Entry]) -> AsyncIterator[Finding]:
        """The rules against healthy noise, by the journal or by a day of data."""
        state = self.states.get(service.name)
        usual = Usual({}, {}) if state is None else Usual.remembered(state)
        now = int(self.clock.now())
        for entry in entries:
            asked = day(entry, service, (now - entry.settle) // entry.window * entry.window)
            if asked is None:
                continue
            try:
                async with asyncio.timeout(PATIENCE):
                    usual = usual.with_day(service, await self.outside.reader(entry).read(*asked))
            except (NotausError, TimeoutError) as error:
                yield Finding(service.name, f"usual day of {entry.name}", "?", _reason(error))
        for finding in _told(service, usual.noise(service)):
            yield finding

    async def _lever(self, service: Service) -> Finding:
        lever = service.ladder.lever
        what = "rollback target" if isinstance(lever, DeploymentLever) else "steering key"
        try:
            async with asyncio.timeout(PATIENCE):
                world = await self.outside.worlds[service.account].read(service)
        except (NotausError, TimeoutError) as error:
            return Finding(service.name, what, "no", _reason(error))
        if isinstance(world, KvView):
            return Finding(service.name, what, *findings.key(service, world))
        assert isinstance(lever, DeploymentLever)
        return Finding(service.name, what, *findings.target(world, lever.stable_after, self.states.get(service.name)))

    async def _evidence(self, service: Service) -> AsyncIterator[Finding]:
        """What an incident would keep, asked for once; nothing of it is kept. The samples are the journal's own."""
        if Exhibit.TELEMETRY in service.evidence:
            async for finding in self._telemetry(service):
                yield finding
        names = [name for name in service.evidence if name not in (Exhibit.SAMPLES, Exhibit.TELEMETRY)]
        for finding in await asyncio.gather(*(self._exhibit(service, name) for name in names)):
            yield finding

    async def _telemetry(self, service: Service) -> AsyncIterator[Finding]:
        """Whether the Worker keeps its logs; where it does not, whether it could be listened to."""
        what = f"evidence.{Exhibit.TELEMETRY}"
        try:
            async with asyncio.timeout(PATIENCE):
                part = await Telemetry(self.outside.clients[service.account]).logged(service.account, service.worker)
        except NotLogged as error:
            kept = "all that is kept until then is a live tail of the minute after the action"
            yield Finding(service.name, what, "?", f"{error}; {kept}")
            yield await self._need(service, listening(service))
        except (NotausError, TimeoutError) as error:
            yield Finding(service.name, what, "no", _reason(error))
        else:
            yield Finding(
                service.name, what, "yes", f"{service.worker} logs {float(part * 100):.3g} % of its invocations"
            )

    async def _exhibit(self, service: Service, name: str) -> Finding:
        what, account = f"evidence.{name}", service.account
        try:
            async with asyncio.timeout(PATIENCE):
                if name not in (Exhibit.DEPLOYMENTS, Exhibit.VERSIONS):
                    return Finding(service.name, what, *await self.outside.questions[account].ready(name, service))
                await Deployments(self.outside.clients[account]).newest(account, service.worker)
        except (NotausError, TimeoutError) as error:
            return Finding(service.name, what, "no", _reason(error))
        return Finding(service.name, what, "yes", f"{service.worker} is there")

    # Channels

    async def _channels(self, page: bool) -> AsyncIterator[Finding]:
        for service in self.configuration.services:
            if not service.contacts.critical:
                yield Finding(service.name, "page.critical", "no", "nobody would be told; name a channel")
        for contact in _everyone(self.configuration.services):
            if page:
                yield await self._page(contact)
            else:
                yield Finding("channels", f"channel {contact}", "yes", "configured; --page sends a test message")

    async def _page(self, contact: Contact) -> Finding:
        what = f"channel {contact}"
        try:
            said = await self.outside.channels.try_out(contact, int(self.clock.now()))
        except NotausError as error:
            return Finding("channels", what, "no", f"{error}; it needs {NEEDS[contact.channel]}")
        return Finding("channels", what, "yes", said)


async def _patiently(need: Need, probe: Awaitable[Probe]) -> Probe:
    try:
        async with asyncio.timeout(PATIENCE):
            return await probe
    except TimeoutError:
        return Probe(need.group, f"no answer within {PATIENCE:g} s")


def _everyone(services: Iterable[Service]) -> list[Contact]:
    return list(dict.fromkeys(contact for service in services for contact in service.contacts.everyone))


def _told(service: Service, told: Sequence[Noise]) -> Iterator[Finding]:
    """Each rule that chance bothers, and the loudest of those that it leaves alone."""
    for noise in told:
        if noise.bothers:
            yield Finding(service.name, f"rule {noise.rule}", "?", f"{noise.text}; right would be {noise.right}")
    unknown = [noise for noise in told if noise.per_year is None]
    if unknown:
        named = ", ".join(noise.rule for noise in unknown)
        yield Finding(service.name, "thresholds", "?", f"whether chance crosses them: {named}: {unknown[0].text}")
    quiet = [noise for noise in told if not noise.bothers and noise.per_year is not None]
    if quiet:
        loudest = max(quiet, key=lambda noise: noise.per_year or 0.0)
        yield Finding(
            service.name, "thresholds", "yes", f"chance leaves {len(quiet)} of {len(told)} alone; {loudest.text}"
        )


def _mode(service: Service) -> str:
    if service.mode == "act":
        return "acts by itself"
    return "observes only: decides and tells, pulls no lever; `mode: act` acts"


def _reason(error: Exception) -> str:
    return str(error) or f"no answer within {PATIENCE:g} s"
