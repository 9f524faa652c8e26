"""The probe: what counts as failed, and what only means that our own network is broken."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import httpx
import pytest

from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.config.sources import Probe
from notaus.core.sample import Readings, Sample
from notaus.sources import Context

from .conftest import API, NOW, FixedClock, Lab

HEALTH = Probe("https://api.oooefam.net/health", json={"data.status": "ok"})


async def test_a_healthy_endpoint_is_a_known_zero(lab: Lab) -> None:
    """The rule on the health check could never be evaluated."""
    found = await lab.read(
        lab.entry(HEALTH, "health.failed", "health.failure_rate", "health.latency_p90", name="health")
    )
    assert found["health.failed"] == (Sample(NOW, Fraction(0), among=Fraction(1)),)
    assert found["health.failure_rate"] == (Sample(NOW, Fraction(0), Fraction(0), Fraction(1)),)
    assert found["health.latency_p90"][0].known


async def test_an_outage_of_the_service_is_a_failure(lab: Lab) -> None:
    """An outage would not be seen."""
    worker = lab.box.worker("api-worker")
    worker.deploy(worker.upload("v2", faulty={"outage": True}).id, lag=0)
    found = await lab.read(lab.entry(HEALTH, "health.failed", name="health"))
    assert found["health.failed"][0].value == 1


async def test_one_request_is_made_per_read_and_older_times_are_unknown(lab: Lab) -> None:
    """A backfill would send a burst of requests and tell the past by the present."""
    entry = lab.entry(HEALTH, "health.failed", name="health")
    found = await lab.read(entry, NOW - 30, NOW - 15, NOW)
    assert [s.known for s in found["health.failed"]] == [False, False, True]
    assert len(lab.asked("health")) == 1


async def test_what_was_found_is_remembered(lab: Lab) -> None:
    """A time read again would turn from known to unknown."""
    entry = lab.entry(HEALTH, "health.failed", name="health")
    await lab.read(entry, NOW)
    await lab.read(entry, NOW)
    found = await lab.read(entry, NOW, NOW + 15)
    assert [s.known for s in found["health.failed"]] == [True, True]
    assert len(lab.asked("health")) == 2


def a_lab_where(lab: Lab, answer: Callable[[httpx.Request], httpx.Response]) -> Lab:
    """The lab with a network of its own making."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = Client(http, API, "a", "t", FixedClock())
    return Lab(lab.box, lab.clock, Context(client, Edge(http)), [])


def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route to host", request=request)


async def probe(lab: Lab, source: Probe = HEALTH, *signals: str) -> Readings:
    readings: Readings = await lab.read(lab.entry(source, *(signals or ("health.failed",)), name="health"))
    return readings


async def test_no_answer_while_the_control_answers_is_a_failure(lab: Lab) -> None:
    """A dead endpoint would count as missing data."""

    def answer(request: httpx.Request) -> httpx.Response:
        return silent(request) if request.url.host == "api.oooefam.net" else httpx.Response(401)

    found = await probe(a_lab_where(lab, answer), HEALTH, "health.failed", "health.latency_p50")
    assert found["health.failed"][0].value == 1
    assert not found["health.latency_p50"][0].known


async def test_no_answer_from_anywhere_is_unknown(lab: Lab) -> None:
    """The daemon's own broken network would roll back a good version."""
    assert not (await probe(a_lab_where(lab, silent)))["health.failed"][0].known


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500),
        httpx.Response(200, json={"data": {"status": "down"}}),
        httpx.Response(200, text="<html>"),
        httpx.Response(301, headers={"Location": "/"}),
    ],
)
async def test_a_wrong_answer_is_a_failure(lab: Lab, response: httpx.Response) -> None:
    """A page that says it is down would count as up."""
    found = await probe(a_lab_where(lab, lambda request: response))
    assert found["health.failed"][0].value == 1


async def test_a_websocket_is_probed_by_its_handshake(lab: Lab) -> None:
    """A WebSocket service could not be watched from outside."""
    source = Probe("wss://api.oooefam.net/ws/progress?jobId=test&token=test", websocket=True)
    assert (await lab.read(lab.entry(source, "health.failed", name="ws")))["health.failed"][0].value == 0


async def test_rates_and_quantiles_are_over_the_probes_of_the_window(lab: Lab) -> None:
    """One slow probe would be the whole story."""
    answers = iter([200, 500, 200, 500])
    other = a_lab_where(lab, lambda request: httpx.Response(next(answers), json={"data": {"status": "ok"}}))
    entry = other.entry(HEALTH, "health.failure_rate", name="health")
    for n in range(4):
        found = await other.read(entry, NOW + 15 * n)
    assert found["health.failure_rate"][0] == Sample(NOW + 45, Fraction(1, 2), Fraction(2), Fraction(4))
