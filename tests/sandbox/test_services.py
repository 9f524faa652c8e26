"""The example services: their answers follow KV and deployments at the edge."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha1

import httpx
import pytest

from notaus.sandbox import Behaviour, Lags, Sandbox

from .conftest import START, Clock

QA = "https://api.pix.immo/api/qa"


async def test_qa_shows_the_canary_of_the_edge(clock: Clock) -> None:
    """Verification reads this; were it the API's view, an unpropagated write would count as done."""
    box = Sandbox(clock, lags=Lags(kv=(10.0, 10.0)))
    emergency = {"canary_percent": 0, "canary_tag": "B2a", "emergency_proxy": True}
    box.kv.write(box.kv_namespace, "config", emergency)
    async with httpx.AsyncClient(transport=box.transport()) as client:
        before = await client.get(QA)
        assert before.json()["canary"] == {"percent": 10, "tag": "B2a", "emergency_proxy": False}
        clock.now = START + 10
        after = await client.get(QA, headers={"Cookie": "pix_cohort=native"})
    assert after.json()["canary"] == {"percent": 0, "tag": "B2a", "emergency_proxy": True}
    assert after.headers["X-Pix-Canary"] == "1;tag=B2a;cohort=proxy;reason=emergency"


async def test_users_are_assigned_and_stay(client: httpx.AsyncClient, box: Sandbox) -> None:
    """Sticky users are why reducing does not empty the canary at once."""
    sticky = await client.get(QA, headers={"Cookie": "pix_cohort=native"})
    assert sticky.headers["X-Pix-Canary"] == "1;tag=B2a;cohort=native;reason=sticky"
    client.cookies.clear()
    natives = 0
    for _ in range(400):
        answer = await client.get(QA)
        client.cookies.clear()
        natives += "cohort=native;reason=roll" in answer.headers["X-Pix-Canary"]
    assert 20 < natives < 65


@pytest.mark.parametrize(
    "stored",
    [
        None,
        b"not json",
        b"[]",
        b"{}",
        b'{"canary_percent": "10", "canary_tag": "B2a", "emergency_proxy": false}',
        b'{"canary_percent": 101, "canary_tag": "B2a", "emergency_proxy": false}',
        b'{"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": "no"}',
        b'{"canary_percent": 10, "canary_tag": 1, "emergency_proxy": false}',
        b'{"canary_percent": 10, "canary_tag": "B2a"}',
    ],
)
async def test_a_missing_or_broken_value_sends_everyone_to_the_proxy(
    client: httpx.AsyncClient, box: Sandbox, stored: bytes | None
) -> None:
    """As the Worker in examples/ reads it: no canary on a guess, and none for those with a cookie either."""
    if stored is None:
        box.kv.delete(box.kv_namespace, "config")
    else:
        box.kv.write(box.kv_namespace, "config", stored)
    answer = await client.get(QA, headers={"Cookie": "pix_cohort=native"})
    assert answer.json()["canary"] == {"percent": 0, "tag": "", "emergency_proxy": True}
    assert answer.headers["X-Pix-Canary"] == "1;tag=;cohort=proxy;reason=emergency"


async def test_the_origins_behind_a_real_worker_fail_as_their_cohort(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The closed loop with workerd needs native handlers that fail while the proxy does not."""
    box.speed = 1e6
    box.pix_immo.cohorts["native"] = Behaviour(1.0, 400.0)
    box.pix_immo.cohorts["proxy"] = Behaviour(0.0, 400.0)
    assert (await client.get("https://data.pix.example/api/listings?q=1")).status_code == 500
    legacy = await client.get("https://legacy.pix.example/api/listings")
    assert (legacy.status_code, legacy.json()) == (200, {"from": "proxy", "path": "/api/listings"})


async def test_a_faulty_version_answers_badly_and_slowly(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The bad deployment of the demo: /health keeps saying ok, the searches fail."""
    worker = box.worker("bookstrack")
    worker.deploy(worker.upload("v2", faulty={"error_rate": 0.5, "latency_ms": 1.0}).id)
    assert (await client.get("https://api.oooefam.net/health")).json()["data"]["status"] == "ok"
    url = "https://api.oooefam.net/v1/search/title?q=hamlet"
    answers = [(await client.get(url)).status_code for _ in range(200)]
    assert 60 < answers.count(500) < 140
    worker.deploy(worker.upload("v3", faulty=Behaviour(outage=True)).id)
    down = await client.get("https://api.oooefam.net/health")
    assert (down.status_code, down.json()["data"]) == (503, {"status": "error", "version": "v3"})


async def test_a_websocket_handshake_is_answered_in_process(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The websocket check needs a correct Sec-WebSocket-Accept."""
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
    url = "https://api.oooefam.net/ws/progress?jobId=test&token=test"
    answer = await client.get(url, headers=headers)
    expected = b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    assert (answer.status_code, answer.headers["Sec-WebSocket-Accept"]) == (101, expected)
    assert (await client.get(url)).status_code == 426
    worker = box.worker("bookstrack")
    worker.deploy(worker.upload("v2", faulty={"websocket_error_rate": 1.0}).id)
    assert (await client.get(url, headers=headers)).status_code in (101, 500)
    worker.deploy(worker.upload("v3", faulty={"outage": True}).id)
    assert (await client.get(url, headers=headers)).status_code == 503


async def test_a_service_that_was_not_asked_for_is_not_there(clock: Clock) -> None:
    """One service alone is one stage less to look at."""
    box = Sandbox(clock, services=("pix-immo",))
    async with httpx.AsyncClient(transport=box.transport()) as client:
        assert (await client.get(QA)).status_code == 200
        assert (await client.get("https://api.oooefam.net/health")).status_code == 404
    with pytest.raises(ValueError, match="bookstrack"):
        Sandbox(clock, services=("nothing",))


async def test_a_real_workers_bindings_are_served(client: httpx.AsyncClient, box: Sandbox) -> None:
    """workerd reads KV and writes points over plain HTTP: the edge's view, strings as byte arrays."""
    marked = {"CF-KV-FLPROD-405": "https://fake-host/config", "Host": "fake-host"}
    read = await client.get("http://sandbox/config?urlencoded=true&cache_ttl=30", headers=marked)
    assert read.json()["canary_percent"] == 10
    assert (await client.get("http://sandbox/none?urlencoded=true", headers=marked)).status_code == 404
    box.kv.write(box.kv_namespace, "config", {"canary_percent": 1}, lag=30)
    read = await client.get("http://sandbox/config?urlencoded=true&cache_ttl=30", headers=marked)
    assert read.json()["canary_percent"] == 10
    point = {
        "dataset": [*b"pix_canary"],
        "timestamp": str(int(START) * 10**9),
        "index1": [*b"native"],
        "blob1": [*b"native"],
        "double1": 12.5,
    }
    assert (await client.post("http://sandbox/", json=point)).status_code == 200
    row = box.rows.db.execute("SELECT dataset, timestamp, blob1, double1, double2 FROM points").fetchone()
    assert row == ("pix_canary", int(START), "native", 12.5, 0)


async def test_a_real_workers_bucket_keeps_what_is_put(client: httpx.AsyncClient, box: Sandbox) -> None:
    """workerd sends JSON ahead of the object; the put counts among the bucket's operations."""
    put = json.dumps({"version": 1, "method": "put", "object": "a/b", "httpFields": {"contentType": "text/plain"}})
    headers = {"CF-R2-Metadata-Size": str(len(put)), "X-Sandbox-Bucket": "piximmo-media"}
    stored = await client.put("http://sandbox/", headers=headers, content=put.encode() + b"hello")
    assert (stored.json()["name"], stored.json()["size"]) == ("a/b", 5)
    asked = {"X-Sandbox-Bucket": "piximmo-media"}
    get = {"CF-R2-Request": json.dumps({"version": 1, "method": "get", "object": "a/b"}), **asked}
    found = await client.get("http://sandbox/", headers=get)
    assert found.content[int(found.headers["CF-R2-Metadata-Size"]) :] == b"hello"
    missing = {"CF-R2-Request": json.dumps({"version": 1, "method": "head", "object": "none"}), **asked}
    absent = await client.get("http://sandbox/", headers=missing)
    assert (absent.status_code, json.loads(absent.headers["CF-R2-Error"])["v4code"]) == (404, 10007)
    rows = box.rows.db.execute("SELECT bucketName, actionType, actionStatus FROM r2OperationsAdaptiveGroups").fetchall()
    assert rows == [("piximmo-media", "PutObject", "success")]


async def test_cloudflares_own_status_is_there(client: httpx.AsyncClient, box: Sandbox) -> None:
    """Pages quote it."""
    box.status.indicator = "major"
    answer = await client.get("https://www.cloudflarestatus.com/api/v2/summary.json")
    assert answer.json()["status"]["indicator"] == "major"
