"""Buttons in Slack: Slack's signature, once; an approver's channel; the answer to whoever pressed it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from notaus.config.settings import Slack as SlackEntry
from notaus.core.event import Answer, Reply
from notaus.core.service import Contact
from notaus.metrics import Metrics
from notaus.web import create, slack
from notaus.web.senders import SIGNED_SECONDS
from tests.builders import APPROVER

from .conftest import NOW, SECRET, TOKEN, FakeDaemon

PRESSED: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U1", "username": "kim", "name": "kim", "team_id": "T1"},
    "channel": {"id": "C1", "name": "approvers"},
    "actions": [{"action_id": "notaus_approve", "block_id": "notaus_answer", "value": "bookstrack/bookstrack-7"}],
    "response_url": "https://hooks.slack.com/actions/T1/1/x",
}


class Slack:
    """Presses buttons, and keeps what is said to people."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client, self.told, self.status = client, list[tuple[str, Any]](), 200

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.told.append((str(request.url), json.loads(request.content)))
        return httpx.Response(self.status)

    async def press(self, at: int = NOW, secret: str = SECRET, **changes: Any) -> httpx.Response:
        body = urlencode({"payload": json.dumps(PRESSED | changes)}).encode()
        answer = await self.client.post("/hooks/slack", content=body, headers=signed(body, at, secret))
        for _ in range(20):
            await asyncio.sleep(0)
        return answer


def signed(body: bytes, at: int = NOW, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": str(at),
        "x-slack-signature": f"v0={digest}",
    }


@pytest.fixture
async def room(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slack]:
    transport = httpx.ASGITransport(create(daemon, Metrics(), TOKEN), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://notaus.test") as client:
        found = Slack(client)
        real = httpx.AsyncClient
        monkeypatch.setattr(slack, "client", lambda: real(transport=httpx.MockTransport(found.answer)))
        yield found


async def test_a_button_is_the_answer_of_whoever_pressed_it(room: Slack, daemon: FakeDaemon) -> None:
    """A no would be a yes, or nobody would know whose word it was."""
    assert (await room.press()).status_code == 200
    deny = [{"action_id": "notaus_deny", "value": "bookstrack/bookstrack-7"}]
    await room.press(at=NOW - 1, actions=deny)
    by = "kim (U1, in Slack)"
    assert daemon.orders == [
        ("bookstrack", Answer(NOW, by, True, "bookstrack-7", APPROVER)),
        ("bookstrack", Answer(NOW, by, False, "bookstrack-7", APPROVER)),
    ]
    address, said = room.told[0]
    assert (address, said["text"]) == (PRESSED["response_url"], "done, and written down")
    assert (said["response_type"], said["replace_original"]) == ("ephemeral", False)


async def test_slack_is_answered_before_the_order_is(room: Slack, daemon: FakeDaemon) -> None:
    """After three seconds Slack tells the person that it failed."""
    gate = asyncio.Event()
    real = daemon.order

    async def slow(service: str, order: Any) -> Reply:
        await gate.wait()
        return await real(service, order)

    daemon.order = slow  # type: ignore[method-assign]
    assert (await room.press()).status_code == 200
    assert room.told == []
    gate.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(room.told) == 1


@pytest.mark.parametrize(
    ("configured", "pressed", "is_approver"),
    [
        ("#approvers", {"id": "C1", "name": "approvers"}, True),
        ("C1", {"id": "C1", "name": "privategroup"}, True),
        ("C2", {"id": "C1", "name": "approvers"}, False),
        (None, {"id": "C1", "name": "approvers"}, False),
    ],
)
async def test_the_channel_is_the_one_that_the_approvers_entry_names(
    room: Slack, daemon: FakeDaemon, configured: str | None, pressed: Any, is_approver: bool
) -> None:
    """A channel that was given an approver's name would approve; and a private one is known by its id alone."""
    entry = SlackEntry(None, SecretStr("xoxb-planted"), configured) if configured else None
    channels = replace(daemon.set.channels, slack={"#approvers": entry} if entry else {})
    daemon.set = replace(daemon.set, channels=channels)
    await room.press(channel=pressed)
    ((_, order),) = daemon.orders
    assert isinstance(order, Answer)
    assert (order.through == APPROVER) is is_approver


@pytest.mark.parametrize("channel", [{"id": "C2", "name": "random"}, {"id": "D1", "name": "directmessage"}, None])
async def test_a_channel_that_is_no_approver_is_named_to_the_core_which_refuses(
    room: Slack, daemon: FakeDaemon, channel: Any
) -> None:
    """Whoever pastes the message elsewhere would make approvers of its readers."""
    await room.press(channel=channel)
    ((_, order),) = daemon.orders
    assert isinstance(order, Answer)
    assert isinstance(order.through, Contact)
    assert order.through != APPROVER


@pytest.mark.parametrize(
    "changes",
    [{"secret": "another"}, {"at": NOW - SIGNED_SECONDS - 1}, {"at": NOW + SIGNED_SECONDS + 1}],
    ids=["secret", "old", "early"],
)
async def test_what_slack_did_not_sign_just_now_is_refused(room: Slack, daemon: FakeDaemon, changes: Any) -> None:
    """Anybody could press the button."""
    assert (await room.press(**changes)).status_code == 401
    assert daemon.orders == []


async def test_a_request_that_was_sent_before_is_refused(room: Slack, daemon: FakeDaemon) -> None:
    """What was overheard would answer the next request."""
    assert [(await room.press()).status_code for _ in range(2)] == [200, 401]
    assert len(daemon.orders) == 1
    daemon.present += SIGNED_SECONDS
    assert (await room.press()).status_code == 401
    daemon.present += 1
    assert (await room.press()).status_code == 401
    assert len(daemon.orders) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "view_submission"},
        {"actions": []},
        {"actions": [{"action_id": "other", "value": "bookstrack/bookstrack-7"}]},
    ],
)
async def test_other_interactions_are_taken_notice_of(room: Slack, daemon: FakeDaemon, changes: Any) -> None:
    """Slack would switch the app off."""
    assert (await room.press(**changes)).status_code == 200
    assert daemon.orders == []


async def test_a_button_of_an_unknown_service_is_told(room: Slack, daemon: FakeDaemon) -> None:
    """A person would wait for what never comes."""
    await room.press(actions=[{"action_id": "notaus_approve", "value": "shop/1"}])
    assert "no service is called 'shop'" in room.told[0][1]["text"]
    assert daemon.orders == []


async def test_a_reply_goes_to_slack_alone(room: Slack, daemon: FakeDaemon) -> None:
    """Whoever has the secret could have the daemon post anywhere."""
    for address in ("https://hooks.slack.com.evil.example/x", "http://127.0.0.1:1/x", ""):
        await room.press(at=NOW - len(address), response_url=address)
    assert room.told == []
    room.status = 500
    await room.press(at=NOW - 100)
    assert len(daemon.orders) == 4


@pytest.mark.parametrize(
    ("body", "status"), [(b"ssl_check=1", 200), (b"", 422), (b"payload=%7B", 422), (b"\xff" * 99, 422)]
)
async def test_what_is_no_interaction_is_told(room: Slack, daemon: FakeDaemon, body: bytes, status: int) -> None:
    """It would be a failure of ours."""
    answer = await room.client.post("/hooks/slack", content=body, headers=signed(body))
    assert (answer.status_code, daemon.orders) == (status, [])
