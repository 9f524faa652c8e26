"""Many Workers asked at once: none is taken for silent because others are, and the loop is not held up."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from notaus.cloudflare.edge import AT_ONCE, Edge
from notaus.errors import Silent


async def test_a_request_that_waits_for_its_turn_is_not_late() -> None:
    """A hundred hosts that hang would make every healthy one look down, and its version be rolled back."""
    asked = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(30 if request.url.host == "hangs.invalid" else 0)
        return httpx.Response(200, text="fine")

    edge = Edge(httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    hanging = [asyncio.create_task(edge.get("https://hangs.invalid/", within=0.2)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    found = await edge.get("https://healthy.invalid/", within=0.05)
    assert (found.status, found.body) == (200, b"fine")
    assert found.seconds < 0.05
    assert asked == AT_ONCE + 1
    for each in hanging:
        with pytest.raises(Silent):
            await each
