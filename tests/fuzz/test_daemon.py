"""The whole daemon on virtual time while Cloudflare answers garbage: it ticks on, does nothing, tells people, recovers."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
import structlog

from notaus.app import App
from notaus.backtest.virtual_time import run
from notaus.clock import SystemClock
from notaus.journal import Journal
from tests.fuzz.garbage import KINDS, GarbageTransport
from tests.fuzz.house import START, a_box, configured
from tests.test_app import Bells

QUIET = 90
"""Seconds of good answers at first."""
BLIND = 420
"""Seconds of garbage: longer than a rule may be blind untold."""
HEALED = 120
SOON = 600
"""Seconds from the trouble within which the emergency stop must be pulled."""


@dataclass
class House:
    """A daemon, the sandbox, and a network between them that can turn answers into garbage."""

    seed: int
    errors: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.box = a_box(self.now)
        self.box.pix_immo.requests_per_minute = 2_000
        self.box.bookstrack.requests_per_minute = 600
        self.network = GarbageTransport(self.box.transport(), self.seed)
        self.network.concerns = lambda request: request.url.path.startswith("/client/v4")
        self.app = App(
            configured(self.box),
            Journal.open("sqlite://"),
            clock=SystemClock(wall=self.now, monotonic=self.loop.time),
            http=httpx.AsyncClient(transport=self.network, timeout=10.0),
            bells=Bells(),
            owner="the daemon",
        )

    def now(self) -> float:
        return START + self.loop.time()

    async def until(self, second: float) -> None:
        await asyncio.sleep(second - self.loop.time())

    @property
    def ticks(self) -> list[int]:
        return [guarded.state.tick for guarded in self.app.engine.guarded.values()]

    @property
    def acted(self) -> list[Any]:
        return [write for write in self.box.writes if write.by == "api"]

    @property
    def told(self) -> str:
        return " ".join(str(page.payload) for page in self.box.pages)

    def all_is_well(self) -> None:
        """No crash, no stall, no action, nothing unforeseen, nobody sent elsewhere."""
        assert self.app.healthy()[0], self.app.healthy()
        assert len(self.ticks) == 2
        assert min(self.ticks) >= self.now() - 60, [self.now() - tick for tick in self.ticks]
        assert max(self.ticks) <= self.now() + 1
        assert not self.acted
        assert not self.errors, self.errors[:3]
        assert not self.network.strayed

    async def stop_is_pulled(self) -> None:
        """A real breach after all that still acts."""
        began = self.loop.time()
        users = self.box.pix_immo.cohorts
        users["native"] = replace(users["native"], error_rate=0.4)
        while not self.acted:
            assert self.loop.time() < began + SOON, self.told
            await asyncio.sleep(15)
        assert self.acted[0].what["value"]["emergency_proxy"] is True
        assert not self.errors, self.errors[:3]


def in_a_house(seed: int, story: Any) -> None:
    """Run `story` with a house, and everything that is logged as an error."""

    async def main(_: Any) -> None:
        house = House(seed)

        def capture(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
            if method in ("error", "exception", "critical"):
                house.errors.append({**event, "raised": repr(sys.exc_info()[1])})
            raise structlog.DropEvent

        before = structlog.get_config()
        structlog.configure(processors=[capture], cache_logger_on_first_use=False)
        try:
            coroutine: Coroutine[Any, Any, None] = story(house)
            await coroutine
        finally:
            structlog.configure(**before)
            await house.app.crash()

    run(main)


def test_through_every_kind_of_garbage_it_ticks_on_does_nothing_and_recovers(rounds: int, begin: int) -> None:
    """Garbage taken for data is an action without evidence; garbage that ends the loop is a silent daemon."""

    async def story(house: House) -> None:
        await house.app.start()
        await house.until(QUIET)
        house.all_is_well()
        kinds = sorted(KINDS)
        random.Random(house.seed).shuffle(kinds)
        for turn, kind in enumerate(kinds):
            house.network.kind = kind
            await house.until(QUIET + (turn + 1) * 30)
            house.all_is_well()
        assert "cannot be evaluated" in house.told or "blind" in house.told.lower(), house.told
        house.network.kind = None
        await house.until(QUIET + len(kinds) * 30 + HEALED)
        house.all_is_well()
        assert abs(house.app.clock.now() - house.now()) < 2
        await house.stop_is_pulled()

    for seed in range(begin, begin + rounds):
        in_a_house(seed, story)


@pytest.mark.parametrize("kind", ["drip", "lies", "another year"])
def test_it_starts_on_garbage_alone(kind: str) -> None:
    """The service manager would start it again and again, and each time for nothing."""

    async def story(house: House) -> None:
        house.network.kind = kind
        await house.app.start()
        await house.until(120)
        house.all_is_well()
        house.network.kind = None
        await house.until(240)
        house.all_is_well()
        assert abs(house.app.clock.now() - house.now()) < 2

    in_a_house(7, story)


def test_each_kind_alone_is_told_as_blindness(rounds: int, begin: int) -> None:
    """Some garbage could pass for silence. (All kinds with `--rounds 25`; one of them, in turn, otherwise.)"""
    blinding = sorted(set(KINDS) - {"lies", "begin of time", "end of time", "another year"})
    for number in range(min(rounds, len(blinding))):
        kind = blinding[(begin + number) % len(blinding)]

        async def story(house: House, kind: str = kind) -> None:
            await house.app.start()
            await house.until(QUIET)
            house.network.kind = kind
            await house.until(QUIET + BLIND)
            house.all_is_well()
            assert "cannot be evaluated" in house.told or "blind" in house.told.lower(), (kind, house.told)
            house.network.kind = None
            await house.until(QUIET + BLIND + HEALED)
            house.all_is_well()
            await house.stop_is_pulled()

        in_a_house(number, story)
