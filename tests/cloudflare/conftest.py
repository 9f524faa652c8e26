"""A client whose answers tests write themselves, and whose time stands still but for its own waiting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus.cloudflare.client import Client

API = "https://api.cloudflare.com/client/v4"
NOW = 1_790_000_400.0
RECORDINGS = Path(__file__).parents[1] / "fixtures" / "contract" / "recordings"
Answer = httpx.Response | Exception


@dataclass
class FixedClock:
    """A time that tests set; sleeping moves it."""

    time: float = NOW
    speed: float = 1.0
    skew: float = 0.0
    slept: list[float] = field(default_factory=list)
    observed: list[tuple[float, float]] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def observe(self, remote: float, uncertainty: float) -> None:
        self.observed.append((remote, uncertainty))


@dataclass
class Wire:
    """What was sent, and what is answered next; the last answer repeats."""

    answers: list[Answer] = field(default_factory=list)
    sent: list[httpx.Request] = field(default_factory=list)
    clock: FixedClock = field(default_factory=FixedClock)

    def client(self, **options: Any) -> Client:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return Client(http, API, "acc", options.pop("token", "cfat_secret"), self.clock, **options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        # A response can be read once only.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def wire() -> Callable[..., Wire]:
    def answering(*answers: Answer) -> Wire:
        return Wire(list(answers))

    return answering


def ok(result: Any = None, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": result, **more})


def refusal(status: int, code: int = 10001, message: str = "no", **headers: str) -> httpx.Response:
    body = {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): v for name, v in headers.items()})


def recording(name: str) -> httpx.Response:
    """An answer of the live API."""
    recorded = json.loads((RECORDINGS / f"{name}.json").read_text())
    headers: Iterable[tuple[str, str]] = recorded["response_headers"].items()
    return httpx.Response(
        recorded["status"], headers=list(headers), content=json.dumps(recorded["response_body"]).encode()
    )
