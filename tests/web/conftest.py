"""A daemon that remembers what it was asked, and clients of its web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import httpx
import pytest

from notaus.core.event import Order, Reply
from notaus.metrics import Metrics
from notaus.web import create

NOW = 1_795_396_800
TOKEN = "planted-web-token"


class FakeDaemon:
    """A DaemonView whose answers a test sets, and whose orders it reads."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Order]] = []
        self.reply = Reply(True, "done, and written down", "7")
        self.error: Exception | None = None
        self.health = (True, "the loop turns")
        self.readiness = (True, "journal and lease are there")
        self.limits: list[int] = []

    def now(self) -> int:
        return NOW

    def healthy(self) -> tuple[bool, str]:
        return self.health

    def ready(self) -> tuple[bool, str]:
        return self.readiness

    def status(self) -> Mapping[str, Any]:
        if self.error:
            raise self.error
        return {"services": {"pix-immo": {"rung": "normal", "value": Fraction(3, 200), "age": float("nan")}}}

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        self.limits.append(limit)
        return [{"id": "7"}]

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        return {"id": id, "timeline": ({"at": NOW},)} if id in ("7", "pix/8") else None

    def services(self) -> Sequence[str]:
        return ("pix-immo", "bookstrack")

    async def order(self, service: str, order: Order) -> Reply:
        if self.error:
            raise self.error
        self.orders.append((service, order))
        return self.reply


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
async def stranger(daemon: FakeDaemon) -> AsyncIterator[httpx.AsyncClient]:
    """A client without the token."""
    transport = httpx.ASGITransport(create(daemon, Metrics("1.2.3"), TOKEN), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://notaus.test") as client:
        yield client


@pytest.fixture
async def client(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with the token."""
    stranger.headers["authorization"] = f"Bearer {TOKEN}"
    return stranger
