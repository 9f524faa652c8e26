"""Drills: the hands with which one is held, and those that the daemon holds by itself when their time has come."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from apscheduler.triggers.cron import CronTrigger

from notaus import drill
from notaus.app.outside import Outside
from notaus.cloudflare.deployments import Deployments
from notaus.config import Settings
from notaus.core.event import Drilled, Reply
from notaus.core.ladder import DeploymentLever
from notaus.core.service import Contact, Service
from notaus.drill import Exercise, Hands, Held, Review
from notaus.errors import CallFailed, NotausError
from notaus.journal import Journal
from notaus.web.orders import parsed

if TYPE_CHECKING:
    from notaus.app.daemon import App

COMMAND_SECONDS = 30.0
EVERY = 60.0
"""Seconds between two looks at the times that have come: cron knows minutes."""
BY = "the schedule"

log = structlog.get_logger(__name__)


def hands(outside: Outside, service: Service, now: int, *, page: bool, **more: Any) -> Hands:
    """What a drill of `service` does itself. `page`: also a test page to each contact."""
    deployments = Deployments(outside.clients[service.account])
    return Hands(
        outside.checks[service.account].check,
        partial(_versions, deployments),
        partial(_deploy, deployments),
        _run,
        partial(_page, outside, now) if page else None,
        **more,
    )


async def _versions(deployments: Deployments, service: Service) -> Mapping[str, str]:
    """Those that Cloudflare would deploy now, oldest first: label to id."""
    lever = service.ladder.lever
    assert isinstance(lever, DeploymentLever), f"{service.name} is not steered by deployments"
    try:
        shapes = await deployments.deployable(service.account, lever.script)
    except CallFailed as failure:
        raise NotausError(f"the versions of {lever.script} could not be read: {failure}") from None
    versions = sorted((shape.version() for shape in shapes), key=lambda version: version.created)
    return {version.label: version.id for version in versions}


async def _deploy(deployments: Deployments, service: Service, version: str) -> None:
    lever = service.ladder.lever
    assert isinstance(lever, DeploymentLever), f"{service.name} is not steered by deployments"
    await deployments.create(service.account, lever.script, version, f"notaus drill of {service.name}: the test change")


async def _page(outside: Outside, now: int, contact: Contact) -> str:
    return await outside.channels.try_out(contact, now)


async def _run(command: tuple[str, ...]) -> None:
    """Run a command to its end, never through a shell. Raises NotausError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise NotausError(f"`{command[0]}` could not be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise NotausError(f"`{command[0]}` did not end within {COMMAND_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        last = " ".join(said.decode(errors="replace").split())[-300:]
        raise NotausError(f"`{command[0]}` ended with {process.returncode}: {last}")


def reviewed(settings: Settings, service: Service, now: int) -> Review:
    """The thresholds over the last 90 days; on connections of its own, for it takes a while. Raises JournalFailed."""
    with Journal.open(settings.store_url) as journal:
        return drill.review(journal, service, now)


class Counter:
    """The daemon's own desk, as a drill speaks to it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def status(self) -> Mapping[str, Any]:
        return self._app.desk.status()

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        return await self._app.desk.incident(id)

    async def order(self, service: str, name: str, body: Mapping[str, Any]) -> Reply:
        order = parsed(name, json.dumps(dict(body)).encode()).order(self._app.desk.now())
        return await self._app.desk.order(service, order)


class Drills:
    """Holds each drill whose time has come since the last look; one that was missed is not made up for."""

    def __init__(self, app: App, spawn: Callable[[Coroutine[Any, Any, None], str], None]) -> None:
        self._app, self._spawn = app, spawn
        self._looked = app.clock.now()
        self._holding: set[str] = set()

    def ring(self) -> None:
        """Once a minute."""
        before, self._looked = self._looked, max(self._looked, self._app.clock.now())
        for service in self._app.configuration.services:
            cron, guarded = service.drill.cron, service.name in self._app.engine.guarded
            if cron is not None and guarded and service.name not in self._holding and came(cron, before, self._looked):
                self._spawn(self._hold(service), f"drill {service.name}")

    async def _hold(self, service: Service) -> None:
        self._holding.add(service.name)
        try:
            await self._held(service)
        except NotausError as error:
            log.error("the drill could not be held", service=service.name, reason=str(error))
        finally:
            self._holding.discard(service.name)

    async def _held(self, service: Service) -> None:
        app, now = self._app, int(self._app.clock.now())
        refused = drill.refusals(service, app.desk.status()["services"].get(service.name), sure=False)
        if refused:
            await app.desk.order(service.name, Drilled(now, BY, False, True, f"Not held: {'; '.join(refused)}."))
            return
        made = hands(app.outside, service, now, page=service.drill.page)
        bad = service.drill.bad
        exercise = Exercise(service, Counter(app), made, app.clock, BY, bad=bad, fault=bool(service.drill.fault))
        held = await exercise.run()
        where = await self._kept(service, held)
        now = int(app.clock.now())
        order = Drilled(now, BY, held.passed, not held.unrestored, drill.summary(held), where)
        await app.desk.order(service.name, order)

    async def _kept(self, service: Service, held: Held) -> str | None:
        settings, now = self._app.configuration.settings, int(self._app.clock.now())
        try:
            review = await asyncio.to_thread(reviewed, settings, service, now)
            return str(drill.kept(held, drill.markdown(held, service, review), settings.directory / "drills"))
        except NotausError as error:
            held.problems.append(f"no report was written: {error}")
            return None


def came(cron: str, after: float, until: float) -> bool:
    """Whether a time of the cron expression, in UTC, lies after the one and not after the other."""
    moment = datetime.fromtimestamp(after, UTC)
    following = CronTrigger.from_crontab(cron, UTC).get_next_fire_time(moment, moment)
    return following is not None and following.timestamp() <= until
