"""A daemon that remembers what it was asked, and clients of its web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from notaus.config import Settings, load_settings
from notaus.config.settings import Hook
from notaus.config.settings import Slack as SlackEntry
from notaus.core.event import Order, Reply
from notaus.core.rule import Alert, Rule, Severity
from notaus.core.service import Service
from notaus.core.state import State
from notaus.metrics import Metrics
from notaus.web import create
from tests.builders import a_rollback_service, a_service

NOW = 1_795_396_800
TOKEN = "planted-web-token"
SECRET = "planted-hook-secret"
PIX_ALERT = Alert("alertmanager", (("alertname", "PixDatabase"), ("env", "production")))
PIX_NOTICE = Alert("cloudflare", (("alert_type", "health_check_status_notification"), ("data.status", "Unhealthy")))


def guarded_services() -> tuple[Service, ...]:
    trigger = Rule("database", Severity.CRITICAL, "emergency", trigger=True, alerts=(PIX_ALERT, PIX_NOTICE))
    pix = replace(a_service(), name="pix-immo")
    return replace(pix, rules=(*pix.rules, trigger)), replace(a_rollback_service(), name="bookstrack")


class FakeDaemon:
    """A DaemonView whose answers a test sets, and whose orders it reads."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Order]] = []
        self.reply = Reply(True, "done, and written down", "7")
        self.error: Exception | None = None
        self.health = (True, "the loop turns")
        self.readiness = (True, "journal and lease are there")
        self.limits: list[int] = []
        self.present = NOW
        self.looked: list[str] = []
        self.pushed: list[tuple[str, str, list[tuple[int, Any]]]] = []
        self.elsewhere: set[str] = set()
        """Services that another replica guards."""
        hooks = {
            name: Hook(SecretStr(SECRET), (60, 60))
            for name in ("alertmanager", "cloudflare", "deploy", "push", "slack")
        }
        self.set = replace(load_settings(Path("nowhere"), {}, lenient=True), hooks=hooks)
        approvers = SlackEntry(None, SecretStr("xoxb-planted"), "#approvers")
        self.set = replace(self.set, channels=replace(self.set.channels, slack={"#approvers": approvers}))
        self.services_now = guarded_services()
        self.states: dict[str, State] = {}

    def now(self) -> int:
        return self.present

    def settings(self) -> Settings:
        return self.set

    def configured(self) -> Sequence[Service]:
        return self.services_now

    def state(self, service: str) -> State | None:
        return None if service in self.elsewhere else self.states.get(service, State(service))

    async def push(self, service: str, signal: str, values: Sequence[tuple[int, Any]]) -> Reply:
        if self.error:
            raise self.error
        self.pushed.append((service, signal, list(values)))
        return self.reply

    def look(self, service: str) -> None:
        self.looked.append(service)

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
