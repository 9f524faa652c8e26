"""The whole daemon while Cloudflare's API answers garbage, of every kind in turn: without a breach, during one, and after it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import structlog

from notaus.app import App
from notaus.backtest.virtual_time import run
from notaus.clock import SystemClock
from notaus.config import Configuration
from notaus.config.sources import Database
from notaus.journal import Journal
from notaus.sandbox import Sandbox
from notaus.sandbox.box import Lags
from notaus.sandbox.deployments import Behaviour
from tests.fuzz.garbage import KINDS, GarbageTransport
from tests.fuzz.house import START, configured
from tests.fuzz.test_answers import UNCLEAR
from tests.test_app import Bells

STEP = 60
UNREADABLE = sorted(set(UNCLEAR) - {"utf-16"})
HALF_TRUE = sorted(set(KINDS) - set(UNREADABLE))
"""Kinds of which something may be believed; what is JSON in UTF-16 is JSON."""
EMPTY = "empty.sqlite"
BROKEN = Behaviour(error_rate=0.3)


class Story:
    """One of the example services, its daemon, and what comes between that and Cloudflare's API."""

    def __init__(self, service: str, seed: int, database: Path) -> None:
        self.loop, self.name = asyncio.get_running_loop(), service
        self.box = Sandbox(
            self.now, seed, services=(service,), traffic=True, history_seconds=900, lags=Lags((0.0, 0.0), 0.0)
        )
        self.box.pix_immo.requests_per_minute = self.box.bookstrack.requests_per_minute = 1000.0  # rows cost time
        self.wire = GarbageTransport(self.box.transport(), seed)
        self.wire.concerns = lambda request: request.url.path.startswith("/client/v4/")
        self.configuration = self._configuration(f"sqlite:///{database}")
        self.app = App(
            self.configuration,
            Journal.open("sqlite://"),
            clock=SystemClock(wall=self.now, monotonic=self.loop.time),
            http=httpx.AsyncClient(transport=self.wire, timeout=10.0),
            bells=Bells(),
        )

    def _configuration(self, database: str) -> Configuration:
        found = configured(self.box)
        own = [e for e in found.entries if e.service == self.name]
        at_hand = [
            replace(e, source=replace(e.source, url=database, query="SELECT 0"))
            if isinstance(e.source, Database)
            else e
            for e in own
        ]
        services = (replace(found.service(self.name), step=STEP),)
        return replace(found, services=services, entries=tuple(at_hand))

    def now(self) -> float:
        return START + self.loop.time()

    async def ticks(self, kind: str | None, count: int = 1) -> None:
        """So many ticks with answers of that kind: each is taken in, and the loop turns."""
        self.wire.kind = kind
        for _ in range(count):
            await asyncio.sleep(STEP)
            state = self.app.desk.state(self.name)
            assert state is not None
            assert state.tick >= self.now() - 2 * STEP, f"{kind}: the ticks stand still"
            assert self.app.desk.healthy()[0], f"{kind}: {self.app.desk.healthy()[1]}"
            assert not state.stopped, f"{kind}: {state.stopped}"

    def told(self, word: str) -> bool:
        return any(word in json.dumps(page.payload) for page in self.box.sinks.pages)


def _failing_canary(box: Sandbox) -> None:
    box.pix_immo.cohorts["native"] = replace(box.pix_immo.cohorts["native"], error_rate=BROKEN.error_rate)


def _bad_deployment(box: Sandbox) -> None:
    worker = box.workers["api-worker"]
    version = worker.upload("v2.0.0")
    version.behaviour = BROKEN
    worker.deploy(version.id)
    box.journal.writes.clear()


BREACHES: dict[str, tuple[str, Callable[[Sandbox], None]]] = {
    "pix-immo": ("native errors high", _failing_canary),
    "bookstrack": ("error spike", _bad_deployment),
}
"""By service: a rule, and how it comes to be broken."""


@pytest.mark.parametrize("service", BREACHES)
def test_garbage_of_every_kind_is_neither_acted_on_nor_in_the_way_of_a_real_breach(
    service: str, rounds: int, begin: int, tmp_path: Path
) -> None:
    """One strange answer would stop a healthy service, end the daemon, or leave it blind to what comes afterwards."""
    (tmp_path / EMPTY).touch()
    for seed in range(begin, begin + rounds):
        with structlog.testing.capture_logs() as logged:
            run(lambda _, seed=seed: _story(service, seed, tmp_path / EMPTY))  # type: ignore[misc]
        assert [each for each in logged if "unforeseen" in each["event"]] == []


async def _story(name: str, seed: int, database: Path) -> None:
    story, rng = Story(name, seed, database), random.Random(f"story {seed}")
    writes = story.box.writes
    await story.app.start()
    try:
        await story.ticks(None, 5)
        for kind in rng.sample(UNREADABLE, len(UNREADABLE)):
            await story.ticks(kind)
            assert not writes, kind
        assert story.told("blind: reads fail"), "nobody was told"
        for kind in HALF_TRUE:
            await story.ticks(kind)
            assert not writes, kind
        await story.ticks(None, 10)
        assert not writes, "what was read late made a breach"
        assert story.told("over: blind: reads fail")

        broken, begins = BREACHES[name]
        begins(story.box)
        for kind in rng.sample(UNREADABLE, 8):
            await story.ticks(kind)
            assert not writes, f"{kind}: acted on what could not be read"
        service = story.configuration.service(name)
        rule = service.rule(broken)
        settle = max(service.signals[each].settle for each in rule.signals)
        await story.ticks(None, (rule.hold + settle) // STEP + 2)
        assert writes, "a real breach was not acted on"
        for kind in HALF_TRUE:
            await story.ticks(kind)
        await story.ticks(None, 3)
        assert len(writes) == 1, writes
        assert not story.wire.strayed
    finally:
        await story.app.crash()
