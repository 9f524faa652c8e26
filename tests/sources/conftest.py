"""Sources against rows written by hand into the sandbox, each visible at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from notaus.backtest.virtual_time import VirtualTimeLoop
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.config.sources import Entry, Source
from notaus.sandbox import Sandbox
from notaus.sources import Context, build

NOW = 1_790_000_400
"""A whole minute."""
API = "https://api.cloudflare.com/client/v4"


@dataclass
class FixedClock:
    """A time that tests set; sleeping moves it."""

    time: float = NOW
    speed: float = 1.0
    skew: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def observe(self, remote: float, uncertainty: float) -> None: ...


@dataclass
class Lab:
    """A sandbox whose rows show at once, and readers of it."""

    box: Sandbox
    clock: FixedClock
    context: Context
    problems: list[str]
    readers: dict[type, Any] = field(default_factory=dict)

    def entry(self, source: Source, *signals: str, name: str = "canary", window: int = 60, settle: int = 60) -> Entry:
        return Entry("pix-immo", self.box.account.id, name, source, signals, window, settle)

    async def read(self, entry: Entry, *times: int) -> Any:
        kind = type(entry.source)
        reader = self.readers.setdefault(kind, build(kind, self.context))
        return await reader.read(entry, times or (NOW,))

    def asked(self, part: str) -> list[Any]:
        """The requests served whose path holds `part`."""
        return [r for r in self.box.journal.requests if part in r.path]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    clock = FixedClock()
    box = Sandbox(clock.now)
    problems: list[str] = []
    async with httpx.AsyncClient(transport=box.transport()) as http:
        client = Client(http, API, box.account.id, box.token, clock)
        edge = Edge(http, {"api.oooefam.net": "https://api.cloudflare.com/workers/bookstrack"})
        yield Lab(box, clock, Context(client, edge, lambda entry, said: problems.append(said)), problems)


HANGING = {"test_sql_source.py", "test_observability_source.py"}
"""Modules in which a call hangs until it is given up after ten seconds, three times; the remote end is in this process."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """There, waiting takes no time."""
    return {"loop": VirtualTimeLoop if item.path.name in HANGING else asyncio.new_event_loop}
