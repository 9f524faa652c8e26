"""The checks of a step, against the sandbox's two services and against answers of our own making."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from notaus.checks import Checks
from notaus.checks.expectation import Unfilled, filled, filled_text
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge, same
from notaus.core.effect import RunChecks
from notaus.core.ladder import DeploymentLever, KvLever, Ladder, Rung
from notaus.core.service import Service
from notaus.core.verification import Check, CheckKind, CheckResult, HttpCheck, ReadBack, WebSocketCheck
from notaus.sandbox import Sandbox

NOW = 1_790_000_400
API = "https://api.cloudflare.com/client/v4"
ORIGINS = {
    "api.pix.immo": "https://api.cloudflare.com/workers/pix-immo",
    "api.oooefam.net": "https://api.cloudflare.com/workers/bookstrack",
}
REDUCED = {"canary_percent": 5, "emergency_proxy": False}


@dataclass
class FixedClock:
    """A time that tests set."""

    time: float = NOW
    speed: float = 1.0
    skew: float = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    def observe(self, remote: float, uncertainty: float) -> None: ...


@dataclass
class Stage:
    """A sandbox and the checks of a service in it."""

    box: Sandbox
    clock: FixedClock
    checks: Checks

    async def run(self, kind: CheckKind, rung: str = "reduced", **variables: Any) -> CheckResult:
        (result,) = await self.all([Check(kind, "the check")], rung, **variables)
        return result

    async def all(self, verify: list[Check], rung: str = "reduced", **variables: Any) -> tuple[CheckResult, ...]:
        given = {name.replace("__", "."): value for name, value in variables.items()} or dict(REDUCED)
        service = self.books(verify) if rung == "rolled_back" else self.pix(verify)
        return await self.checks.check(service, RunChecks("1", service.name, rung, NOW + 120, given))

    def pix(self, verify: list[Check]) -> Service:
        rungs = (Rung("reduced", REDUCED), Rung("emergency", {"canary_percent": 0, "emergency_proxy": True}))
        ladder = Ladder(KvLever(self.box.kv_namespace, "config"), rungs)
        return Service("pix-immo", self.box.account.id, "pix-immo-api", {}, (), ladder, verify=tuple(verify))

    def books(self, verify: list[Check]) -> Service:
        ladder = Ladder(DeploymentLever("api-worker"), (Rung("normal"), Rung("rolled_back", stable=True)))
        return Service("bookstrack", self.box.account.id, "api-worker", {}, (), ladder, verify=tuple(verify))

    def write(self, **fields: Any) -> None:
        self.box.kv.write(self.box.kv_namespace, "config", fields, lag=0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    clock = FixedClock()
    box = Sandbox(clock.now)
    async with httpx.AsyncClient(transport=box.transport()) as http:
        client = Client(http, API, box.account.id, box.token, clock)
        yield Stage(box, clock, Checks(client, Edge(http, ORIGINS)))


QA = HttpCheck(
    "https://api.pix.immo/api/qa",
    json={"canary.percent": "$canary_percent", "canary.emergency_proxy": "$emergency_proxy", "canary.tag": "B2a"},
)


async def test_an_http_check_passes_when_the_worker_shows_the_step(stage: Stage) -> None:
    """A step that took effect would never be verified."""
    stage.write(canary_percent=5, emergency_proxy=False, canary_tag="B2a")
    result = await stage.run(QA)
    assert result.passed, result.detail


async def test_an_http_check_says_what_differs(stage: Stage) -> None:
    """People would read "failed" and have to look for themselves."""
    stage.write(canary_percent=10, emergency_proxy=False, canary_tag="B2a")
    result = await stage.run(QA)
    assert (result.passed, result.detail) == (False, "canary.percent is 10, expected 5")


async def test_a_header_is_compared_whole(stage: Stage) -> None:
    """The wrong cohort's header would pass."""
    stage.write(canary_percent=0, emergency_proxy=True, canary_tag="B2a")
    good = HttpCheck("https://api.pix.immo/api/qa", headers={"X-Pix-Canary": "1;tag=B2a;cohort=proxy;reason=emergency"})
    bad = HttpCheck("https://api.pix.immo/api/qa", headers={"X-Pix-Canary": "1;tag=B2a", "X-None": "x"})
    assert (await stage.run(good, "emergency")).passed
    result = await stage.run(bad, "emergency")
    assert "header X-Pix-Canary is 1;tag=B2a;cohort=proxy;reason=emergency, expected 1;tag=B2a" in result.detail
    assert "header X-None is missing, expected x" in result.detail


async def test_a_version_is_expected_by_its_tag(stage: Stage) -> None:
    """A rollback could not be verified at the Worker."""
    health = HttpCheck("https://api.oooefam.net/health", json={"data.status": "ok", "data.version": "$target.tag"})
    assert (await stage.run(health, "rolled_back", target__tag="v1.9.0")).passed
    result = await stage.run(health, "rolled_back", target__tag="v1.8.0")
    assert 'data.version is "v1.9.0", expected "v1.8.0"' in result.detail


async def test_every_request_passes_the_caches(stage: Stage) -> None:
    """An edge cache would show the state before the step, or after it has gone."""
    await stage.run(QA)
    await stage.run(HttpCheck("https://api.pix.immo/api/qa?lang=de"))
    first, second = (r for r in stage.box.journal.requests if r.path.endswith("/api/qa"))
    assert first.query.startswith("notaus=")
    assert second.query.startswith("lang=de&notaus=")
    assert first.query not in second.query


async def test_a_websocket_handshake_is_checked(stage: Stage) -> None:
    """A Worker that no longer accepts sockets would pass."""
    good = await stage.run(WebSocketCheck("wss://api.oooefam.net/ws/progress?jobId=test&token=test"), "rolled_back")
    assert good.passed, good.detail
    bad = await stage.run(WebSocketCheck("wss://api.oooefam.net/health"), "rolled_back")
    assert not bad.passed
    assert "expected 101" in bad.detail


async def test_the_key_is_read_back(stage: Stage) -> None:
    """A write that was not stored would be verified."""
    stage.write(canary_percent=10, emergency_proxy=False)
    result = await stage.run(ReadBack("kv"))
    assert (result.passed, result.detail) == (False, "canary_percent is 10, expected 5")
    stage.write(canary_percent=5, emergency_proxy=False, other=[1])
    assert (await stage.run(ReadBack("kv"))).passed


@pytest.mark.parametrize("stored", [b"no json", b"[]", b'{"canary_percent": "5", "emergency_proxy": false}'])
async def test_an_odd_key_does_not_pass(stage: Stage, stored: bytes) -> None:
    """A broken value would be taken for the rung."""
    stage.box.kv.write(stage.box.kv_namespace, "config", stored, lag=0)
    assert not (await stage.run(ReadBack("kv"))).passed


async def test_a_missing_key_does_not_pass(stage: Stage) -> None:
    """Nothing would be taken for the rung."""
    stage.box.kv.delete(stage.box.kv_namespace, "config", lag=0)
    assert "does not exist" in (await stage.run(ReadBack("kv"))).detail


async def test_the_deployment_is_read_back(stage: Stage) -> None:
    """A rollback that did not happen would be verified."""
    worker = stage.box.worker("api-worker")
    target, other = worker.tagged("v1.9.0").id, worker.tagged("v1.8.0").id
    assert (await stage.run(ReadBack("deployment"), "rolled_back", target__id=target)).passed
    assert not (await stage.run(ReadBack("deployment"), "rolled_back", target__id=other)).passed
    worker.deploy([(target, 50), (other, 50)])
    result = await stage.run(ReadBack("deployment"), "rolled_back", target__id=target)
    assert "at 50 %" in result.detail
    assert not (await stage.run(ReadBack("deployment"), "rolled_back", x=1)).passed


async def test_a_read_that_fails_is_a_failed_check_and_no_crash(stage: Stage) -> None:
    """An outage of the API would end the verification."""
    stage.box.faults.add("kv.get", [403])
    result = await stage.run(ReadBack("kv"))
    assert not result.passed
    assert "kv could not be read" in result.detail


async def test_only_the_checks_of_the_rung_run_and_advisory_ones_say_so(stage: Stage) -> None:
    """The emergency's header would be demanded at every rung."""
    verify = [Check(QA, "qa", at="emergency"), Check(ReadBack("kv"), "key", advisory=True)]
    results = await stage.all(verify)
    assert [(r.name, r.advisory) for r in results] == [("key", True)]
    assert len(await stage.all(verify, "emergency")) == 2


async def test_an_expectation_that_names_nothing_known_fails_in_words(stage: Stage) -> None:
    """A typo in a check would be compared as text, or crash."""
    result = await stage.run(HttpCheck("https://api.pix.immo/api/qa", json={"canary.percent": "$canary_percnt"}))
    assert "$canary_percnt is not known for this step; known are: canary_percent, emergency_proxy" in result.detail


def checks_where(answer: Callable[[httpx.Request], Any], stage: Stage) -> Stage:
    """The stage with a network of its own making."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = Client(http, API, stage.box.account.id, stage.box.token, stage.clock)
    return Stage(stage.box, stage.clock, Checks(client, Edge(http)))


async def test_a_slow_answer_fails_a_latency_bound(stage: Stage) -> None:
    """A rollback to a version that crawls would be verified."""

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        return httpx.Response(200)

    other = checks_where(slow, stage)
    result = await other.run(HttpCheck("https://api.pix.immo/", latency_below=5))
    assert not result.passed
    assert "expected less than 5 ms" in result.detail
    assert (await other.run(HttpCheck("https://api.pix.immo/", latency_below=2000))).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(503), "status is 503, expected 2xx"),
        (httpx.Response(200, text="<html>"), "the body is not JSON"),
        (httpx.Response(200, json={"a": {"b": "1"}}), 'a.b is "1", expected 1'),
        (httpx.Response(200, json={"a": {"b": True}}), "a.b is true, expected 1"),
        (httpx.Response(200, json={"a": [1]}), "a.b is missing, expected 1"),
        (httpx.ConnectError("down"), "no answer from https://api.pix.immo/"),
        (httpx.ReadTimeout("slow"), "no answer from https://api.pix.immo/ within 5 s"),
    ],
)
async def test_every_wrong_answer_is_told_in_words(stage: Stage, answer: Any, said: str) -> None:
    """A check would crash, or pass, on an answer nobody thought of."""

    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    result = await checks_where(respond, stage).run(HttpCheck("https://api.pix.immo/", json={"a.b": 1}))
    assert not result.passed
    assert said in result.detail


async def test_a_handshake_that_was_not_understood_does_not_pass(stage: Stage) -> None:
    """A proxy that answers 101 to anything would pass."""
    other = checks_where(lambda request: httpx.Response(101, headers={"Sec-WebSocket-Accept": "x"}), stage)
    result = await other.run(WebSocketCheck("wss://api.pix.immo/ws"))
    assert not result.passed
    assert "Sec-WebSocket-Accept is wrong" in result.detail


def test_a_lone_name_keeps_its_type_and_one_in_text_becomes_text() -> None:
    """5 would be compared with "5"."""
    variables = {"canary_percent": 5, "emergency_proxy": False, "target.tag": "v1"}
    assert filled("$canary_percent", variables) == 5
    assert filled("$emergency_proxy", variables) is False
    assert filled("$target.tag", variables) == "v1"
    assert filled("p=$canary_percent;e=$emergency_proxy.", variables) == "p=5;e=false."
    assert filled_text("$canary_percent", variables) == "5"
    assert filled("$canary_percent.x", variables) == "5.x"
    assert filled(7, variables) == 7
    with pytest.raises(Unfilled):
        filled("$target.id", variables)


def test_values_are_compared_with_their_types() -> None:
    """true would pass for 1."""
    assert same(5, 5.0)
    assert same(None, None)
    assert not same("5", 5)
    assert not same(True, 1)
    assert not same(0, False)
