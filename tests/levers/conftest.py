"""Levers against the sandbox, in one process, on an event loop whose time is virtual: waiting takes no time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from notaus.cloudflare.client import Client
from notaus.core.ladder import DeploymentLever, KvLever, Ladder, Rung, Scalar
from notaus.core.service import Service
from notaus.sandbox import Sandbox
from notaus.sandbox.box import Lags

START = 1_790_000_000
API = "https://api.cloudflare.com/client/v4"


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it."""

    _virtual = 0.0

    def time(self) -> float:
        return self._virtual

    def _run_once(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:  # a deadline that was kept is no time to jump to
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1
        if not self._ready and self._scheduled:
            self._virtual = max(self._virtual, self._scheduled[0]._when)
        super()._run_once()


class VirtualPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualLoop()


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return VirtualPolicy()


class VirtualClock:
    """The loop's time, from START on."""

    speed = 1.0
    skew = 0.0

    def now(self) -> float:
        return START + asyncio.get_event_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def observe(self, remote: float, uncertainty: float) -> None:
        assert abs(remote - self.now()) <= 1 + uncertainty


@dataclass
class Account:
    """A sandbox, and a client of it."""

    box: Sandbox
    client: Client
    clock: VirtualClock

    def calls(self, method: str) -> list[str]:
        """The paths of the requests served, by method."""
        return [r.path for r in self.box.journal.requests if r.method == method]


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    clock = VirtualClock()
    box = Sandbox(clock.now, lags=Lags(kv=(0.0, 0.0)))
    async with httpx.AsyncClient(transport=box.transport()) as http:
        yield Account(box, Client(http, API, box.account.id, box.token, clock), clock)


def a_kv_service(box: Sandbox, **fixed: Scalar) -> Service:
    """pix-immo, with the ladder of its service file."""
    lever = KvLever(box.kv_namespace, "config", {"canary_tag": "B2a", "last_updated": "$now", **fixed})
    rungs = tuple(
        Rung(name, {"canary_percent": percent, "emergency_proxy": emergency})
        for name, percent, emergency in (
            ("normal", 10, False),
            ("reduced", 5, False),
            ("disabled", 0, False),
            ("emergency", 0, True),
        )
    )
    return Service("pix-immo", box.account.id, "pix-immo-api", {}, (), Ladder(lever, rungs))


def a_deployment_service(box: Sandbox) -> Service:
    """bookstrack, with the ladder of its service file."""
    rungs = (Rung("normal"), Rung("rolled_back", stable=True))
    return Service("bookstrack", box.account.id, "api-worker", {}, (), Ladder(DeploymentLever("api-worker"), rungs))
