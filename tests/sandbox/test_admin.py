"""The admin API: a second pair of hands, faults and behaviour over HTTP, and reading everything back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from notaus.sandbox import Sandbox

from .conftest import START

ADMIN = "https://api.cloudflare.com/admin"


async def test_a_person_writes_kv_and_deploys(client: httpx.AsyncClient, box: Sandbox) -> None:
    """What a person does must be told apart from what the API was asked to do."""
    await client.post(f"{ADMIN}/kv", json={"key": "config", "value": {"canary_percent": 7}})
    await client.post(f"{ADMIN}/deploy", json={"service": "bookstrack", "tag": "v2.0.0", "faulty": {"error_rate": 0.2}})
    await client.post(f"{ADMIN}/deploy", json={"worker": "api-worker", "version": "v1.9.0"})
    assert [(write.by, write.kind) for write in box.writes] == [("human", "kv"), *[("human", "deployment")] * 2]
    assert box.worker("bookstrack").tagged("v2.0.0").behaviour.error_rate == 0.2
    assert (await client.get("https://api.oooefam.net/health")).json()["data"]["version"] == "v1.9.0"


async def test_faults_come_and_go_over_http(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """The demo's and the browser's way in."""
    await client.post(f"{ADMIN}/faults", json={"target": "kv.get", "with": [500], "for": 60})
    assert (await client.get(f"{values}/config")).status_code == 500
    await client.delete(f"{ADMIN}/faults")
    assert (await client.get(f"{values}/config")).status_code == 200


async def test_behaviour_lag_and_clock_can_be_set(client: httpx.AsyncClient, box: Sandbox) -> None:
    """Each knob of an incident has its own address."""
    await client.post(f"{ADMIN}/traffic", json={"service": "pix-immo", "cohort": "native", "error_rate": 0.04})
    await client.post(f"{ADMIN}/traffic", json={"service": "bookstrack", "version": "v1.9.0", "latency_ms": 3000})
    await client.post(f"{ADMIN}/r2", json={"failures_per_minute": 12})
    await client.post(
        f"{ADMIN}/ingestion", json={"dataset": "pix_canary", "lag": 90, "revise": {"share": 0.5, "delay": 30}}
    )
    await client.post(f"{ADMIN}/clock", json={"advance": 60})
    assert box.pix_immo.cohorts["native"].error_rate == 0.04
    assert box.worker("bookstrack").tagged("v1.9.0").behaviour.latency_ms == 3000
    assert box.pix_immo.r2_failures_per_minute == 12
    assert box.rows.lags["pix_canary"] == 90
    assert box.rows.revisions["pix_canary"].share == 0.5
    assert box.now() == START + 60
    state = (await client.get(f"{ADMIN}/state")).json()
    assert state["workers"]["api-worker"]["live_at_edge"] == "v1.9.0"
    assert state["traffic"]["pix-immo"]["cohorts"]["native"]["error_rate"] == 0.04


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("faults", {"target": "nope"}, "one of"),
        ("faults", {"target": "kv.put", "with": ["bad"]}, "unknown kind"),
        ("faults", {"target": "kv.put", "for": -1}, "at least 0"),
        ("kv", {"key": "a"}, "value"),
        ("kv", {"value": "a", "namespace": "x"}, "namespace"),
        ("kv", {"vaule": "a"}, "vaule"),
        ("deploy", {"service": "x", "tag": "v"}, "bookstrack"),
        ("deploy", {"service": "bookstrack"}, "tag"),
        ("deploy", {"service": "bookstrack", "tag": "v", "faulty": {"eror_rate": 1}}, "eror_rate"),
        ("deploy", {"service": "bookstrack", "version": "v0"}, "v1.9.0"),
        ("traffic", {"service": "pix-immo", "cohort": "x", "error_rate": 0}, "native"),
        ("traffic", {"service": "pix-immo", "error_rate": 4}, "0 to 1"),
        ("traffic", {"service": "pix-immo"}, "nothing to set"),
        ("r2", {"failures_per_minute": "a"}, "number"),
        ("ingestion", {"dataset": "x"}, "pix_canary"),
        ("clock", {}, "advance"),
        ("clock", [], "object"),
    ],
)
async def test_bad_input_is_told_what_is_wrong(client: httpx.AsyncClient, path: str, body: Any, words: str) -> None:
    """A fault that was not injected must not look like one that was."""
    answer = await client.post(f"{ADMIN}/{path}", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


async def test_every_request_can_be_read_back(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """Tests assert on what was really asked."""
    await client.put(f"{values}/a%2Fb?expiration_ttl=60", content=b"x" * 5_000)
    served = (await client.get(f"{ADMIN}/requests")).json()
    assert len(served) == 1
    assert (served[0]["method"], served[0]["status"], served[0]["query"]) == ("PUT", 200, "expiration_ttl=60")
    assert served[0]["path"].endswith("/values/a/b")
    assert served[0]["body"] == "x" * 4_000
    assert (await client.get(f"{ADMIN}/requests?path=graphql")).json() == []
