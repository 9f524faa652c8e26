"""Apprise: the library itself, sending to the sandbox over HTTP, and what its silence and its absence mean."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from notaus.core.page import Status
from notaus.core.rule import Severity
from notaus.core.service import Contact
from notaus.errors import Undelivered
from notaus.notify import Apprise, Channels, apprise
from notaus.sandbox import Sandbox
from notaus.sandbox.server import serving

from .conftest import AT
from .messages import COMMAND, a_message

CONTACT = Contact("apprise", "matrix")


@pytest.fixture
async def base(box: Sandbox) -> AsyncIterator[str]:
    """The sandbox as a server: Apprise speaks HTTP of its own."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serving(box, on_ready=ready.set_result))
    yield (await ready).removeprefix("http://")
    server.cancel()
    with suppress(asyncio.CancelledError):
        await server


async def send(url: str, **changes: object) -> None:
    async with httpx.AsyncClient() as http:
        await Channels(http, {"apprise": {"matrix": Apprise(url)}}).send(CONTACT, a_message(**changes))


async def test_a_page_arrives_through_apprise(base: str, box: Sandbox) -> None:
    """Whoever has neither PagerDuty nor Slack would hear of nothing."""
    await send(f"json://{base}/pages/webhook/apprise")
    (page,) = box.pages
    assert page.payload["title"] == "CRITICAL · pix-immo: NOT-AUS: all traffic to proxy"
    assert COMMAND in page.payload["message"]
    assert page.payload["type"] == "failure"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"severity": Severity.WARNING}, "warning"),
        ({"status": Status.UPDATE, "loud": False}, "info"),
        ({"status": Status.RESOLVED}, "success"),
    ],
)
async def test_how_bad_it_is_is_said_in_apprises_words(
    base: str, box: Sandbox, changes: dict[str, object], kind: str
) -> None:
    """Services that show or ring by type would show the end as a failure."""
    await send(f"json://{base}/pages/webhook/apprise", **changes)
    assert box.pages[0].payload["type"] == kind


async def test_what_the_service_refused_is_tried_again_and_names_no_address(base: str, box: Sandbox) -> None:
    """Apprise cannot tell "no" from "later": a page given up at once would be lost; its URL is a secret."""
    box.faults.add("page", 500, duration=60, at=AT)
    with pytest.raises(Undelivered, match="apprise: matrix: Apprise could not deliver it") as refused:
        await send(f"json://planted:s3cret-word@{base}/pages/webhook/apprise")
    assert not refused.value.permanent
    assert "s3cret-word" not in str(refused.value)


async def test_a_url_that_apprise_does_not_know_is_refused_for_good() -> None:
    """A typing mistake would be retried for ever, and nobody be told."""
    with pytest.raises(Undelivered, match="knows no service") as refused:
        await send("nosuch://planted-word")
    assert refused.value.permanent
    assert "planted-word" not in str(refused.value)


async def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import error in a traceback is no answer at 3 a.m."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(Undelivered, match=r"pip install 'notaus\[apprise\]'") as refused:
        await send("json://x")
    assert refused.value.permanent


async def test_a_service_that_hangs_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library blocks: on the event loop it would stop every lever and every poll."""
    monkeypatch.setattr(apprise, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(apprise, "_notify", lambda *given: time.sleep(0.5))
    with pytest.raises(Undelivered, match="no answer within") as late:
        await send("json://x")
    assert not late.value.permanent
