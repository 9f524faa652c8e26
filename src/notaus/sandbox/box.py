"""The sandbox: one emulated Cloudflare account with its state, and the application and transport that serve it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import httpx

from .account import Account, AccountRoutes
from .actions import Actions
from .admin import AdminRoutes
from .analytics_engine import AnalyticsEngine
from .app import App
from .bindings import Bindings
from .deployments import Worker
from .faults import Faults
from .graphql import GraphQL
from .issues import Issues
from .journal import Journal, Write
from .kv import Kv, KvRoutes
from .router import Router
from .routes import every_route
from .rows import Rows
from .s3 import S3
from .scripts import ScriptRoutes
from .services import CANARY_KEY, BooksTrack, CloudflareStatus, PixImmo
from .sinks import Page, Sinks
from .slack import SlackApi
from .statuspage import Statuspage
from .tails import Tails
from .telemetry import Telemetry
from .traffic import Traffic
from .transport import InProcessTransport
from .wire import iso_seconds

ACCOUNT: Final = "023e105f4ecef8ad9ca31a8372d0c353"
TOKEN: Final = "cfat_sandbox-0123456789-0123456789-012345"
KV_NAMESPACE: Final = "0f2ac74b498b48028cb68387c421e279"
ZONE: Final = "3a1f0c5d9b7e4826a0d5c1e2f3b4a596"
SERVICES: Final = {"pix-immo": "pix-immo-api", "bookstrack": "api-worker"}
HOUR: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Lags:
    """How late things show, in seconds: KV writes and deployments at the edge."""

    kv: tuple[float, float] = (5.0, 30.0)
    deployment: float = 3.0


class Sandbox:
    """An emulated Cloudflare account.

    ``now`` gives the sandbox's clock in seconds since the epoch. Everything random comes from ``seed``.
    With ``traffic`` the example services have users (and a healthy past); without, there are only the rows that
    somebody writes. ``speed``: how much faster ``now`` runs than the event loop; delays are shortened by it.
    """

    def __init__(
        self,
        now: Callable[[], float],
        seed: int = 0,
        account: str = ACCOUNT,
        token: str = TOKEN,
        traffic: bool = False,
        services: Iterable[str] = tuple(SERVICES),
        *,
        speed: float = 1.0,
        lags: Lags = Lags(),  # frozen
        history_seconds: float = 5_400.0,
    ) -> None:
        self._clock, self.offset, self.speed, self.token = now, 0.0, speed, token
        self.services = tuple(services)
        if unknown := set(self.services) - set(SERVICES):
            raise ValueError(f"unknown services {sorted(unknown)}: out of {', '.join(SERVICES)}")
        self.journal, self.faults, self.sinks, self.status = Journal(), Faults(self.now), Sinks(), CloudflareStatus()
        self.slack, self.statuspage, self.issues = SlackApi(self.sinks), Statuspage(self.sinks), Issues(self.sinks)
        self.actions = Actions(self.sinks, self.now)
        self.account, self.tails = Account(account), Tails()
        self.account.add_token(token)
        self.rows = Rows(self.now, random.Random(f"rows {seed}"))
        self.kv_namespace, self.zone = KV_NAMESPACE, ZONE
        self.graphql = GraphQL(self.rows, self.account, self.zone)
        self.kv = Kv(self.now, self.journal, random.Random(f"kv {seed}"), lags.kv)
        self.kv.create(KV_NAMESPACE, "KV_CANARY_CONFIG")
        self.workers = {
            SERVICES[name]: Worker(
                SERVICES[name], self.now, self.journal, random.Random(f"{name} {seed}"), lags.deployment
            )
            for name in self.services
        }
        self.pix_immo = PixImmo(self.kv, KV_NAMESPACE, random.Random(f"users {seed}"))
        books = self.workers.get("api-worker") or Worker("api-worker", self.now, self.journal, random.Random(seed))
        self.bookstrack = BooksTrack(books, random.Random(f"readers {seed}"))
        self._founding()
        self.traffic = Traffic(self, seed, history_seconds) if traffic else None
        self.bindings = Bindings(self.kv, self.rows, KV_NAMESPACE)
        self.app = App(self, self._router(), self.bindings, random.Random(f"rays {seed}"))

    def _founding(self) -> None:
        """What was there before: a canary at 10 %, and three versions of bookstrack, the last of them live."""
        now = self.now()
        if "pix-immo" in self.services:
            config = {"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": False}
            self.kv.write(KV_NAMESPACE, CANARY_KEY, {**config, "last_updated": iso_seconds(now - HOUR)}, lag=-HOUR)
            self.kv.namespaces[KV_NAMESPACE].written.clear()
            pix = self.workers["pix-immo-api"]
            pix.kv_namespace = KV_NAMESPACE
            pix.deploy(pix.upload("B2a", created=now - 48 * HOUR).id, at=now - 48 * HOUR)
        if "bookstrack" in self.services:
            books = self.workers["api-worker"]
            for tag, age in (("v1.7.0", 316), ("v1.8.0", 116), ("v1.9.0", 26)):
                books.deploy(books.upload(tag, created=now - age * HOUR).id, at=now - age * HOUR)
        self.journal.writes.clear()

    def _router(self) -> Router:
        router = Router()
        router.add(
            every_route(
                account=AccountRoutes(self.account),
                kv=KvRoutes(self.kv),
                s3=S3(self.account, self.bindings),
                scripts=ScriptRoutes(self.workers, self.tails),
                sql=AnalyticsEngine(self.rows),
                graphql=self.graphql,
                telemetry=Telemetry(self.rows, self.workers),
                services={"pix-immo": self.pix_immo.answer, "bookstrack": self.bookstrack.answer},
                served=self.services,
                origin=self.pix_immo.origin,
                status=self.status,
                sinks=self.sinks,
                slack=self.slack,
                statuspage=self.statuspage,
                issues=self.issues,
                actions=self.actions,
                admin=AdminRoutes(self),
            )
        )
        return router

    def now(self) -> float:
        """The sandbox's clock: seconds since the epoch."""
        return self._clock() + self.offset

    async def sleep(self, seconds: float) -> None:
        """Let sandbox seconds pass on the event loop."""
        await asyncio.sleep(seconds / self.speed)

    def advance(self, at: float | None = None) -> None:
        """Let the users' requests up to now happen; each call to the sandbox does so first."""
        if self.traffic is not None:
            self.traffic.advance(self.now() if at is None else at)

    def transport(self) -> httpx.AsyncBaseTransport:
        """An httpx transport that calls the sandbox in this process, by any of the hosts it stands for."""
        return InProcessTransport(self.app)

    def worker(self, name: str) -> Worker:
        """A script by its name, or by the name of its service; KeyError if there is none."""
        return self.workers[SERVICES.get(name, name)]

    @property
    def writes(self) -> list[Write]:
        """The KV writes and deployments applied since the start, in order."""
        return self.journal.writes

    @property
    def pages(self) -> list[Page]:
        """The messages received by the page sinks, in order."""
        return self.sinks.pages

    def urls(self, base: str = "https://api.cloudflare.com") -> dict[str, object]:
        """Where to find what, below a base URL such as ``http://127.0.0.1:8787``."""
        base = base.rstrip("/")
        return {
            "api": f"{base}/client/v4",
            "token": self.token,
            "account": self.account.id,
            "kv_namespace": self.kv_namespace,
            "workers": {name: f"{base}/workers/{name}" for name in self.services},
            "admin": f"{base}/admin",
            "pages": f"{base}/pages",
        }
