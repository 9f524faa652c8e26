"""Cloudflare's own status on pages: asked for once a minute, and never waited for long."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from notaus.clock import SystemClock
from notaus.cloudflare import status
from notaus.cloudflare.status import UNKNOWN, CloudflareStatus
from notaus.sandbox import Sandbox

URL = "https://www.cloudflarestatus.com/api/v2/summary.json"


class Asked:
    """The sandbox's status page behind a client, and a clock set by hand."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None, url: str = URL) -> None:
        self.now = 1_795_396_800.0
        self.box = Sandbox(lambda: self.now, traffic=False)
        http = httpx.AsyncClient(transport=transport or self.box.transport())
        self.status = CloudflareStatus(http, url, SystemClock(wall=lambda: self.now, monotonic=lambda: self.now))

    async def said(self) -> str:
        return await self.status.said()

    @property
    def looks(self) -> int:
        return sum("status" in request.path for request in self.box.journal.requests)


async def test_it_is_told_in_cloudflares_own_words() -> None:
    """Is it us, or is it them? The first question of every incident."""
    asked = Asked()
    assert await asked.said() == "All Systems Operational"
    asked.now += 61
    asked.box.status.description = "Partial System Outage"
    asked.box.status.incidents = [{"name": f"Trouble {n}", "status": "identified"} for n in range(5)]
    assert await asked.said() == (
        "Partial System Outage: Trouble 0 (identified); Trouble 1 (identified); Trouble 2 (identified); and 2 more"
    )


async def test_messages_that_go_out_together_cause_one_look_and_so_does_an_outage() -> None:
    """A page with ten contacts would ask ten times, or wait ten times for nobody."""
    asked = Asked()
    asked.box.faults.add("status", 500)
    assert await asyncio.gather(*(asked.said() for _ in range(10))) == [UNKNOWN] * 10
    assert asked.looks == 1
    asked.now += 61
    assert await asked.said() == "All Systems Operational"


@pytest.mark.parametrize("fault", [500, "garbage", "html", "reset", "outage", "timeout"])
async def test_whatever_it_answers_the_page_goes_out(fault: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status page that is down, as it may be when it is needed most, would keep a page from going out."""
    monkeypatch.setattr(status, "DEADLINE_SECONDS", 0.05)
    asked = Asked()
    asked.box.faults.add("status", [fault])
    assert await asked.said() == UNKNOWN


async def test_an_answer_of_another_kind_or_an_address_that_is_none_is_unknown() -> None:
    """JSON of something else, or a typing mistake in the configuration, would end the sending of pages."""
    for body in (b"[]", b'{"status": 1}', b'{"status": {"description": "x"}, "incidents": [1]}'):
        transport = httpx.MockTransport(lambda _, body=body: httpx.Response(200, content=body))
        assert await Asked(transport).said() == UNKNOWN
    assert await Asked(url="nowhere").said() == UNKNOWN
