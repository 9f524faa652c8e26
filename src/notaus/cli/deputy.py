"""The deputy: while no daemon runs, this process takes the lease and acts in its place, for one order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notaus.cli.desk import Answer, Body
from notaus.cli.terminal import errors
from notaus.errors import ConfigurationError, NotausError

if TYPE_CHECKING:
    from notaus.app import App
    from notaus.config import Configuration

POLL_SECONDS = 20.0
"""How long the first look at Cloudflare may take; the order is carried out even if it fails."""
SEND_SECONDS = 15.0
"""How long pages are waited for; what is left is sent by the next start."""


class Deputy:
    """A daemon without its web, guarding one service for as long as an order takes."""

    through = "journal"

    def __init__(self, app: App) -> None:
        self.app = app

    @classmethod
    @asynccontextmanager
    async def in_office(cls, directory: Path, service: str) -> AsyncIterator[Deputy]:
        """Take the lease and look around. Raises ConfigurationError, and NotausError where the lease is held."""
        from notaus import config, log
        from notaus.app import App, open_journal
        from notaus.cli.remote import address

        configuration = config.load(directory)
        log.configure("terminal", "error")
        alone = _alone(configuration, service)
        where = address(configuration.settings)
        with open_journal(configuration.settings) as journal:
            app = App(alone, journal, resident=False, incidents=configuration.settings.incidents)
            try:
                await app.start()
                if service not in app.engine.guarded:
                    raise NotausError(
                        f"no daemon answers at {where}, but one holds the lease of {service}'s account: "
                        "is `listen:` its address? Otherwise stop it, or wait 15 s if it was killed"
                    )
                errors().print(f"no daemon answers at {where}: acting in its place", style="yellow")
                begun = app.desk.now()
                await _until(lambda: _has_looked(app, service, begun), POLL_SECONDS)
                yield cls(app)
                await _until(lambda: not app.engine.guarded[service].state.outbox, SEND_SECONDS)
                _tell_leftovers(app, service)
            finally:
                await app.stop()
                await app.disconnect()

    async def order(self, service: str, name: str, body: Body) -> Answer:
        from notaus.web.answers import Problem
        from notaus.web.orders import parsed

        try:
            order = parsed(name, json.dumps(dict(body)).encode()).order(self.app.desk.now())
        except Problem as problem:
            raise ConfigurationError(f"{problem.error}; {problem.hint}") from None
        reply = await self.app.desk.order(service, order)
        return Answer(reply.accepted, reply.text, reply.incident)

    async def status(self) -> Mapping[str, Any]:
        return self.app.desk.status()

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return await self.app.desk.incidents(limit)

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        return await self.app.desk.incident(id)


def _alone(configuration: Configuration, service: str) -> Configuration:
    """The configuration of this service alone. Raises ConfigurationError for one that is unknown."""
    from notaus.config.problems import near_miss

    names = [each.name for each in configuration.services]
    if service not in names:
        raise ConfigurationError(f"no service is called {service!r}; {near_miss(service, names)}")
    return replace(
        configuration,
        services=(configuration.service(service),),
        entries=tuple(entry for entry in configuration.entries if entry.service == service),
    )


def _has_looked(app: App, service: str, begun: int) -> bool:
    """Whether the tick of `begun` has been taken in, or the one before has just been, by a daemon that ended since."""
    guarded = app.engine.guarded[service]
    step, state = guarded.service.step, guarded.state
    looked = state.tick >= begun // step * step or (state.world_at or 0) > begun - step
    return looked and app.engine.backlog == 0


def _tell_leftovers(app: App, service: str) -> None:
    state = app.engine.guarded[service].state
    if state.outbox:
        errors().print(f"{len(state.outbox)} effects are still under way; `notaus run` goes on with them")
    if state.incident is not None:
        errors().print(f"the incident {state.incident.id} is open, and nobody watches: start `notaus run`")


async def _until(true: Callable[[], bool], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not true() and loop.time() < end:  # noqa: ASYNC110 (the daemon has no event to wait on)
        await asyncio.sleep(0.05)
