"""The two example services as their users see them: what they answer follows the edge's view of KV and deployments."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import dataclass, field
from typing import Any, Final

from .deployments import Behaviour, Version, Worker
from .kv import Kv
from .wire import Answer, Call, iso_seconds, json_answer, text_answer

CANARY_KEY: Final = "config"
TAG: Final = re.compile(r"[\w.-]{0,64}", re.ASCII)
LATENCY_SPREAD: Final = 0.35  # of the logarithm of the latency
P90_Z: Final = 1.2816  # the 90 % point of the normal distribution
COOKIE: Final = "pix_cohort"
GREATEST_DELAY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Canary:
    """The steering key of pix-immo as the edge reads it."""

    percent: float
    tag: str
    emergency: bool

    @classmethod
    def at_edge(cls, kv: Kv, namespace: str, at: float) -> Canary:
        """What the edge sees at a time; a missing or broken value sends everyone to the proxy, as in the real router."""
        stored = kv.namespaces[namespace].edge_get(CANARY_KEY, at)
        try:
            value: Any = json.loads(stored.value) if stored is not None else None
            percent, tag, emergency = value["canary_percent"], value.get("canary_tag", ""), value["emergency_proxy"]
        except (ValueError, TypeError, KeyError):
            return SAFE
        percent_fits = isinstance(percent, int | float) and not isinstance(percent, bool) and 0 <= percent <= 100
        if not (percent_fits and isinstance(tag, str) and TAG.fullmatch(tag) and isinstance(emergency, bool)):
            return SAFE
        return cls(float(percent), tag, emergency)


SAFE: Final = Canary(0.0, "", True)


@dataclass(slots=True)
class PixImmo:
    """pix-immo: native and proxy cohorts, steered by a KV key. ``cohorts`` says how each behaves."""

    kv: Kv
    namespace: str
    rng: random.Random
    cohorts: dict[str, Behaviour] = field(
        default_factory=lambda: {"native": Behaviour(0.003, 380.0), "proxy": Behaviour(0.003, 400.0)}
    )
    requests_per_minute: float = 10_000.0
    r2_operations_per_minute: float = 60.0
    r2_failures_per_minute: float = 0.0

    def answer(self, call: Call) -> Answer:
        """``/api/qa`` shows the canary as the edge sees it; any other path is served by a cohort."""
        canary = Canary.at_edge(self.kv, self.namespace, call.at)
        cohort, reason = self._assigned(call, canary)
        mark = ("X-Pix-Canary", f"1;tag={canary.tag};cohort={cohort};reason={reason}")
        cookie = ("Set-Cookie", f"{COOKIE}={cohort}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
        headers = (mark, cookie) if reason == "roll" else (mark,)
        if call.params["rest"].strip("/") == "api/qa":
            shown = {"percent": _plain(canary.percent), "tag": canary.tag, "emergency_proxy": canary.emergency}
            return json_answer({"canary": shown, "time": iso_seconds(call.at)}, headers=headers)
        error_rate = self.cohorts[cohort].error_rate or 0.0
        if self.rng.random() < error_rate:
            return json_answer({"error": "internal error"}, 500, headers)
        return text_answer(f"hello from {cohort}\n", headers=headers)

    def origin(self, call: Call) -> Answer:
        """What lies behind a canary Worker that runs elsewhere (`notaus.sandbox.workerd`): it fails and lags as its cohort."""
        cohort = self.cohorts.get(call.params["cohort"], Behaviour())
        spread = LATENCY_SPREAD * (self.rng.gauss(0, 1) - P90_Z)
        delay = min((cohort.latency_ms or 0.0) / 1_000 * math.exp(spread), GREATEST_DELAY_SECONDS)
        if self.rng.random() < (cohort.error_rate or 0.0):
            answer = json_answer({"error": "internal error"}, 500)
        else:
            answer = json_answer({"from": call.params["cohort"], "path": "/" + call.params["rest"]})
        return Answer(answer.status, answer.body, answer.headers, delay)

    def _assigned(self, call: Call, canary: Canary) -> tuple[str, str]:
        if canary.emergency:
            return "proxy", "emergency"
        cookies = dict(part.strip().partition("=")[::2] for part in call.headers.get("cookie", "").split(";"))
        if cookies.get(COOKIE) in self.cohorts:
            return cookies[COOKIE], "sticky"
        return ("native" if self.rng.random() * 100 < canary.percent else "proxy"), "roll"


def _plain(percent: float) -> float | int:
    return int(percent) if percent == int(percent) else percent


@dataclass(slots=True)
class BooksTrack:
    """bookstrack: one Worker; what it does follows the version live at the edge."""

    worker: Worker
    rng: random.Random
    requests_per_minute: float = 6_000.0
    usual: Behaviour = field(default_factory=lambda: Behaviour(0.005, 180.0, False, 0.8, 0.005, 0.01))

    def behaviour(self, version: Version | None) -> Behaviour:
        """How a version does: its own faults on top of the service's usual."""
        own = Behaviour() if version is None else version.behaviour
        merged = {
            name: getattr(self.usual, name) if getattr(own, name) is None else getattr(own, name)
            for name in ("error_rate", "latency_ms", "cache_hit_rate", "websocket_error_rate", "provider_timeout_rate")
        }
        return Behaviour(outage=own.outage or self.usual.outage, **merged)

    def answer(self, call: Call) -> Answer:
        """``/health``, ``/v1/search/…``, the WebSocket ``/ws/progress``; 503 in an outage."""
        version = self.worker.drawn(call.at, self.rng)
        behaviour, path = self.behaviour(version), call.params["rest"].strip("/")
        tag = version.tag if version is not None else None
        if version is None or behaviour.outage:
            return json_answer({"data": {"status": "error", "version": tag}, "error": "service unavailable"}, 503)
        if path == "health":
            return json_answer({"data": {"status": "ok", "version": tag, "worker": self.worker.name}})
        answer = self._handled(call, path, behaviour)
        delay = min((version.behaviour.latency_ms or 0.0) / 1_000, GREATEST_DELAY_SECONDS)
        return Answer(answer.status, answer.body, answer.headers, delay)

    def _handled(self, call: Call, path: str, behaviour: Behaviour) -> Answer:
        if path == "ws/progress":
            if self.rng.random() < (behaviour.websocket_error_rate or 0.0) - (self.usual.websocket_error_rate or 0.0):
                return json_answer({"error": "internal error"}, 500)
            return Answer(101) if call.websocket else json_answer({"error": "expected a WebSocket upgrade"}, 426)
        if path not in ("v1/search/title", "v1/search/isbn"):
            return json_answer({"error": "not found"}, 404)
        # A healthy version's usual errors are counted in the traffic, not thrown at whoever probes it.
        if self.rng.random() < (behaviour.error_rate or 0.0) - (self.usual.error_rate or 0.0):
            return json_answer({"error": "internal error"}, 500)
        hit = self.rng.random() < (behaviour.cache_hit_rate or 0.0)
        wanted = call.query.get("q") or call.query.get("isbn") or ""
        book = {"title": "Hamlet", "authors": ["William Shakespeare"], "isbn13": "9780743273565"}
        return json_answer(
            {"data": {"query": wanted, "books": [book]}}, headers=(("X-Cache", "HIT" if hit else "MISS"),)
        )


@dataclass(slots=True)
class CloudflareStatus:
    """Cloudflare's public status page; ``indicator`` is none, minor, major or critical."""

    indicator: str = "none"
    description: str = "All Systems Operational"
    incidents: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, call: Call) -> Answer:
        """``/api/v2/{status,summary,incidents,components}.json``: every document carries all members."""
        page = {
            "id": "yh6f0r4529hb",
            "name": "Cloudflare",
            "url": "https://www.cloudflarestatus.com",
            "time_zone": "Etc/UTC",
        }
        value = {
            "page": {**page, "updated_at": iso_seconds(call.at)},
            "status": {"indicator": self.indicator, "description": self.description},
            "components": [],
            "incidents": self.incidents,
            "scheduled_maintenances": [],
        }
        return json_answer(value)
