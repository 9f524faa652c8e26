"""The JSON API: what is going on, and how mistakes are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from jsonschema import Draft202012Validator

from notaus import log
from notaus.core.event import Order, Reply
from notaus.errors import JournalFailed
from notaus.web import door

from .conftest import FakeDaemon

STOP = "/api/services/pix-immo/stop"


async def test_the_status_is_json_whatever_numbers_are_in_it(client: httpx.AsyncClient) -> None:
    """One unknown value would make the whole status unreadable."""
    service = (await client.get("/api/status")).json()["services"]["pix-immo"]
    assert service == {"rung": "normal", "value": 0.015, "age": None}


async def test_incidents_are_listed_and_shown(client: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """Nobody could read what happened."""
    assert (await client.get("/api/incidents")).json() == [{"id": "7"}]
    await client.get("/api/incidents?limit=3")
    assert daemon.limits == [50, 3]
    assert (await client.get("/api/incidents/7")).json()["timeline"] == [{"at": 1_795_396_800}]
    assert (await client.get("/api/incidents/pix/8")).json()["id"] == "pix/8"
    missing = await client.get("/api/incidents/9")
    assert (missing.status_code, missing.json()["error"]) == (404, "there is no incident '9'")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", "", "1e2", "²", "9" * 5000])
async def test_a_limit_that_is_none_is_refused(client: httpx.AsyncClient, daemon: FakeDaemon, limit: str) -> None:
    """The whole journal could be asked for at once, or the answer be a failure of ours."""
    answer = await client.get("/api/incidents", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["hint"] == "a whole number from 1 to 1000"
    assert daemon.limits == []


async def test_an_unknown_service_is_answered_with_the_near_misses(
    client: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """At 3 a.m. a typing mistake would cost minutes."""
    near = await client.post("/api/services/Pix-imo/stop", json={"by": "kim"})
    assert (near.status_code, near.json()["hint"]) == (404, "did you mean pix-immo?")
    far = await client.post("/api/services/zzz/stop", json={"by": "kim"})
    assert far.json() == {"error": "no service is called 'zzz'", "hint": "there are: bookstrack, pix-immo"}
    assert daemon.orders == []


async def test_an_unknown_order_is_answered_with_the_near_misses(client: httpx.AsyncClient) -> None:
    """`roll-back` would look as if there were no such thing."""
    answer = await client.post("/api/services/pix-immo/roll-back", json={"by": "kim"})
    assert (answer.status_code, answer.json()["hint"]) == (404, "did you mean rollback?")


async def test_an_order_by_get_is_not_taken(client: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A browser that prefetches a link would stop the service."""
    answer = await client.get(STOP)
    assert (answer.status_code, answer.json()["hint"]) == (405, "orders are POST, everything else is GET")
    assert daemon.orders == []


async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """One request could take all the memory of the daemon."""
    answer = await client.post(STOP, content=b'{"by": "' + b"x" * 64 * 1024 + b'"}')
    assert (answer.status_code, answer.json()["error"]) == (413, "the body is too large")
    assert daemon.orders == []


async def test_a_large_body_of_undeclared_length_is_given_up_midway(
    client: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """Leaving out the length would get around the limit."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b"x" * 10_000

    assert (await client.post(STOP, content=endless())).status_code == 413
    assert daemon.orders == []
    assert read < 20


async def test_a_refusal_of_the_daemon_is_an_answer_with_its_reason(
    client: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """A script would take a refused rollback for a done one."""
    daemon.reply = Reply(False, "a hold by robin is in force", "7")
    answer = await client.post(STOP, json={"by": "kim"})
    assert answer.status_code == 409
    assert answer.json()["accepted"] is False
    assert answer.json()["text"] == answer.json()["error"] == "a hold by robin is in force"


async def test_a_failing_journal_is_told_as_such(client: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A person would not know whether the order was taken."""
    daemon.error = JournalFailed("the disk is full; nothing was done")
    answer = await client.post(STOP, json={"by": "kim"})
    assert (answer.status_code, answer.json()["error"]) == (503, "the disk is full; nothing was done")


async def test_a_mistake_of_ours_shows_no_details(client: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A traceback could tell a secret."""
    daemon.error = RuntimeError("secret detail")
    for answer in (await client.get("/api/status"), await client.post(STOP, json={"by": "kim"})):
        assert (answer.status_code, answer.json()["hint"]) == (500, "its log says more")
        assert "secret detail" not in answer.text


async def test_no_answer_shows_a_known_secret(client: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """The reason of a failed call could carry the token that failed."""
    log.redact("planted-cloudflare-token")
    daemon.reply = Reply(True, "said planted-cloudflare-token")
    assert "planted-cloudflare-token" not in (await client.post(STOP, json={"by": "kim"})).text


async def test_an_order_that_takes_too_long_is_not_withdrawn(
    client: httpx.AsyncClient, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emergency stop would be cancelled because its caller got impatient."""
    monkeypatch.setattr(door, "ORDER_SECONDS", 0.01)
    go, carried_out = asyncio.Event(), asyncio.Event()

    async def slow(service: str, order: Order) -> Reply:
        await go.wait()
        carried_out.set()
        return daemon.reply

    monkeypatch.setattr(daemon, "order", slow)
    answer = await client.post(STOP, json={"by": "kim"})
    assert answer.status_code == 504
    assert "look at GET /api/status before repeating it" in answer.json()["hint"]
    go.set()
    await asyncio.wait_for(carried_out.wait(), 5)


async def test_the_description_names_every_order_and_its_shapes_are_schemas(client: httpx.AsyncClient) -> None:
    """Tools made from the description would lack an order, or not load."""
    described = (await client.get("/api/openapi.json")).json()
    orders = {path.rpartition("/")[2] for path in described["paths"] if "{service}" in path}
    assert orders == {
        "hold",
        "release",
        "approve",
        "deny",
        "trigger",
        "set",
        "stop",
        "rollback",
        "restore",
        "close",
        "judge",
        "drilled",
    }
    for path in (path for path in described["paths"] if "{service}" in path):
        shape = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        Draft202012Validator.check_schema(shape)
        assert "by" in shape["required"]
        assert shape["additionalProperties"] is False
