"""Who may use the API."""

from __future__ import annotations

import httpx
import pytest

from notaus.metrics import Metrics
from notaus.web import create

from .conftest import TOKEN, FakeDaemon

PATHS = ["/api/status", "/api/incidents", "/api/incidents/7", "/api/openapi.json", "/api/nothing-here"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "shown", [None, "Bearer wrong", f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}", TOKEN, "Bearer ü"]
)
async def test_without_the_token_nothing_is_shown(stranger: httpx.AsyncClient, path: str, shown: str | None) -> None:
    """Whoever reaches the port would see, or find out, what is guarded."""
    headers = {} if shown is None else {b"authorization": shown.encode()}
    answer = await stranger.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "not logged in"
    assert "Authorization: Bearer TOKEN" in answer.json()["hint"]
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in answer.text


async def test_without_the_token_no_order_is_taken(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """Anybody on the network could stop the service."""
    answer = await stranger.post("/api/services/pix-immo/stop", json={"by": "mallory"})
    assert answer.status_code == 401
    assert daemon.orders == []


async def test_the_word_bearer_is_read_in_any_case(stranger: httpx.AsyncClient) -> None:
    """Clients that write `bearer` would be kept out (RFC 7235: the scheme is case-insensitive)."""
    assert (await stranger.get("/api/status", headers={"authorization": f"bearer {TOKEN}"})).status_code == 200


@pytest.mark.parametrize("shown", ["Bearer ", "Bearer", "Bearer x"])
async def test_an_empty_token_keeps_everybody_out(daemon: FakeDaemon, shown: str) -> None:
    """A forgotten setting would open the levers to everybody."""
    transport = httpx.ASGITransport(create(daemon, Metrics(), ""))
    async with httpx.AsyncClient(transport=transport, base_url="http://notaus.test") as client:
        answer = await client.get("/api/status", headers={"authorization": shown})
    assert answer.status_code == 401
    assert "no API token" in answer.json()["hint"]
