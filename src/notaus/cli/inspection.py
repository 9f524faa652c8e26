"""The inspection behind `notaus check`: every part that the daemon would use, tried once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from notaus.app import Outside
from notaus.clock import SystemClock
from notaus.cloudflare import tokens
from notaus.cloudflare.budget import Ledger
from notaus.config import Configuration
from notaus.config import sources as kinds
from notaus.config.sources import Entry
from notaus.core import deployment
from notaus.core.deployment import Registry
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.paging import spell
from notaus.core.sample import Readings
from notaus.core.service import Contact, Service
from notaus.core.world import DeploymentsView, KvView
from notaus.daemon import cohorts
from notaus.errors import NotausError
from notaus.metrics import Metrics
from notaus.notify import NEEDS

PATIENCE = 15.0
"""Seconds for each thing that is tried."""
MOST_SKEW = 30.0
WRITES = {KvLever: "Workers KV Storage Write", DeploymentLever: "Workers Scripts Write"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    answer: str
    """`yes`, `no`, or `?` where it cannot be told beforehand."""
    why: str

    def as_json(self) -> dict[str, str]:
        return {"what": self.what, "ready": self.answer, "why": self.why}


class Inspection:
    """Looks at one configuration."""

    def __init__(self, configuration: Configuration, http: httpx.AsyncClient) -> None:
        settings = configuration.settings
        self.configuration = configuration
        self.clock = SystemClock(settings.clock.speed, settings.clock.anchor)
        self.outside = Outside(configuration, self.clock, Metrics(), http, Ledger())

    @classmethod
    async def of(cls, configuration: Configuration, *, page: bool) -> list[Finding]:
        """Everything found; nothing is changed, but for test messages where `page` asks for them."""
        async with httpx.AsyncClient(timeout=10.0) as http:
            inspection = cls(configuration, http)
            return [finding async for finding in inspection.all(page)]

    async def all(self, page: bool) -> AsyncIterator[Finding]:
        """In the order in which one would put things right."""
        names = ", ".join(service.name for service in self.configuration.services)
        yield Finding("configuration", "yes", f"services: {names}")
        for warning in self.configuration.warnings:
            yield Finding("configuration", "?", str(warning))
        yield self._journal()
        for account in self.outside.clients:
            yield await self._token(account)
        yield self._clock()
        for service in self.configuration.services:
            async for finding in self._service(service):
                yield finding
        async for finding in self._channels(page):
            yield finding

    def _journal(self) -> Finding:
        settings = self.configuration.settings
        place = next((p for p in (settings.directory, *settings.directory.absolute().parents) if p.exists()), Path("/"))
        if "://" in settings.store and not settings.store.startswith("sqlite"):
            return Finding("journal", "?", "a database; `notaus run` opens it")
        can = os.access(place, os.W_OK)
        return Finding("journal", "yes" if can else "no", f"{place} {'can' if can else 'cannot'} be written")

    async def _token(self, account: str) -> Finding:
        what = f"token for account {account}"
        try:
            async with asyncio.timeout(PATIENCE):
                token = await tokens.verify(self.outside.clients[account], account)
        except (NotausError, TimeoutError) as error:
            return Finding(what, "no", _reason(error))
        expiry = f", expires {token.expires:%Y-%m-%d}" if token.expires else ""
        return Finding(what, "yes" if token.active else "no", f"{token.kind} token, {token.status}{expiry}")

    def _clock(self) -> Finding:
        skew = self.clock.skew
        text = f"{abs(skew):.1f} s {'behind' if skew >= 0 else 'ahead of'} Cloudflare's"
        return Finding("clock", "no" if abs(skew) > MOST_SKEW else "yes", text)

    # Services

    async def _service(self, service: Service) -> AsyncIterator[Finding]:
        yield Finding(f"{service.name}: mode", "yes" if service.mode == "act" else "?", _mode(service))
        for probe in await asyncio.gather(*(_patiently(probe) for probe in self._probes(service))):
            answer = "yes" if probe.problem is None else "no"
            yield Finding(f"{service.name}: {probe.permission}", answer, probe.problem or "used once")
        permission = WRITES[type(service.ladder.lever)]
        yield Finding(f"{service.name}: {permission}", "?", "only a write would show it; none is made")
        entries = [entry for entry in self.configuration.entries if entry.service == service.name]
        for finding in await asyncio.gather(*(self._entry(service, entry) for entry in entries)):
            yield finding
        yield await self._lever(service)

    def _probes(self, service: Service) -> list[Awaitable[tokens.Probe]]:
        client, account = self.outside.clients[service.account], service.account
        entries = [entry for entry in self.configuration.entries if entry.service == service.name]
        wanted: list[Awaitable[tokens.Probe]] = []
        if any(isinstance(e.source, (kinds.AnalyticsEngine, kinds.Sql, kinds.Workers, kinds.R2)) for e in entries):
            wanted.append(tokens.probe_analytics(client, account))
        zones = {e.source.zone for e in entries if isinstance(e.source, kinds.Http)}
        wanted += [tokens.probe_zone(client, zone) for zone in sorted(zones)]
        lever = service.ladder.lever
        if isinstance(lever, KvLever):
            wanted.append(tokens.probe_kv(client, account, lever.namespace, lever.key))
        else:
            wanted.append(tokens.probe_script(client, account, lever.script))
        return wanted

    async def _entry(self, service: Service, entry: Entry) -> Finding:
        what = f"{service.name}: signals.{entry.name}"
        at = (int(self.clock.now()) - entry.settle) // service.step * service.step
        try:
            async with asyncio.timeout(PATIENCE):
                readings = await self._read(service, entry, at)
        except (NotausError, TimeoutError) as error:
            return Finding(what, "no", _reason(error))
        said, missing = _spelled(service, entry, readings)
        return Finding(what, "?" if missing else "yes", said)

    async def _read(self, service: Service, entry: Entry, at: int) -> Readings:
        reader = self.outside.reader(entry)
        if not cohorts.by_version(service, entry):
            return await reader.read(entry, [at])
        view, lever = await self.outside.worlds[service.account].read(service), service.ladder.lever
        assert isinstance(view, DeploymentsView)
        assert isinstance(lever, DeploymentLever)
        registry = deployment.observed(Registry(), view, lever.stable_after, None)
        return await cohorts.read(reader, entry, [at], registry, view)

    async def _lever(self, service: Service) -> Finding:
        lever = service.ladder.lever
        what = f"{service.name}: " + ("steering key" if isinstance(lever, KvLever) else "rollback target")
        try:
            async with asyncio.timeout(PATIENCE):
                world = await self.outside.worlds[service.account].read(service)
        except (NotausError, TimeoutError) as error:
            return Finding(what, "no", _reason(error))
        if isinstance(world, KvView):
            return _key(service, world, what)
        assert isinstance(lever, DeploymentLever)
        return _target(world, lever.stable_after, what)

    # Channels

    async def _channels(self, page: bool) -> AsyncIterator[Finding]:
        for service in self.configuration.services:
            contacts = service.contacts
            if not contacts.critical:
                yield Finding(f"{service.name}: page.critical", "no", "nobody would be told; name a channel")
        for contact in _everyone(self.configuration.services):
            if page:
                yield await self._page(contact)
            else:
                yield Finding(f"channel {contact}", "yes", "configured; --page sends a test message")

    async def _page(self, contact: Contact) -> Finding:
        what = f"channel {contact}"
        try:
            said = await self.outside.channels.try_out(contact, int(self.clock.now()))
        except NotausError as error:
            return Finding(what, "no", f"{error}; it needs {NEEDS[contact.channel]}")
        return Finding(what, "yes", said)


async def _patiently(probe: Awaitable[tokens.Probe]) -> tokens.Probe:
    try:
        async with asyncio.timeout(PATIENCE):
            return await probe
    except TimeoutError:
        return tokens.Probe("a permission", f"no answer within {PATIENCE:g} s")


def _everyone(services: Iterable[Service]) -> list[Contact]:
    named = [
        contact
        for service in services
        for group in (
            service.contacts.critical,
            service.contacts.warning,
            service.contacts.escalate,
            service.contacts.approvers,
        )
        for contact in group
    ]
    return list(dict.fromkeys(named))


def _mode(service: Service) -> str:
    if service.mode == "act":
        return "acts by itself"
    return "observes only: decides and tells, pulls no lever; `mode: act` acts"


def _reason(error: Exception) -> str:
    return str(error) or f"no answer within {PATIENCE:g} s"


def _spelled(service: Service, entry: Entry, readings: Readings) -> tuple[str, bool]:
    """What an entry's query returned, and whether some of it was unknown."""
    parts, missing = [], False
    for name in entry.signals:
        signal = service.signals[name]
        sample = readings[name][-1] if readings.get(name) else None
        missing = missing or sample is None or not sample.known
        parts.append(f"{name} {spell(sample, signal.unit, signal.shape)}")
    text = ", ".join(parts) or "no rule asks for it"
    return (f"{text} (no data: {_hint(entry)})" if missing else text), missing


def _hint(entry: Entry) -> str:
    """What no data may mean."""
    match entry.source:
        case kinds.Push():
            return "nothing was pushed yet"
        case kinds.Database():
            return "the query gives no row, or NULL"
        case kinds.Prometheus():
            return "the query gives no element, or NaN"
        case kinds.Sql():
            return "no row whose `time` lies within the window"
    return "no traffic, or not the right dataset, host or condition"


def _key(service: Service, view: KvView, what: str) -> Finding:
    if view.value is None:
        return Finding(what, "no", view.problem or "it holds no JSON object")
    place = service.ladder.place(view.value)
    rung = service.ladder.rung_at(place) if place is not None else None
    if place is None:
        return Finding(what, "no", f"{dict(view.value)} cannot be ranked among the rungs; notaus would not act on it")
    return Finding(what, "yes", f"{dict(view.value)}: {rung.name if rung is not None else 'between rungs'}")


def _target(view: DeploymentsView, stable_after: int, what: str) -> Finding:
    """The pre-flight, on the deployment history alone, as at the daemon's first start."""
    if view.live is None:
        return Finding(what, "no", "the script has no deployment")
    live = " and ".join(view.version(id).label for id, _ in view.live.versions)
    found = deployment.target(deployment.observed(Registry(), view, stable_after, None), view)
    if found.version is None or found.blocked:
        return Finding(what, "no", f"live: {live}; {found.reason}")
    return Finding(what, "yes", f"live: {live}; it would go to {found.version.label}, presumed from the history")
