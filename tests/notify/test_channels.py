"""Delivery: what the channels receive, and what a failure means."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, fields

import httpx
import pytest

from notaus import log
from notaus.core.page import Message
from notaus.core.service import Contact
from notaus.errors import Undelivered
from notaus.notify import Channels, PagerDuty, Slack, Webhook, delivery, webhook

from .messages import a_message

KEY = "R0123456789abcdefR0123456789abcd"
HOOK = "https://hooks.example/services/T000/B000/plantedSlackToken"
ENTRIES = {
    "pagerduty": {"pix-oncall": PagerDuty(KEY)},
    "slack": {"#incidents": Slack(HOOK)},
    "webhook": {
        "board": Webhook("https://board.example/in", secret="planted-hook-secret"),
        "open": Webhook("https://o.example"),
    },
}
PAGERDUTY, SLACK = Contact("pagerduty", "pix-oncall"), Contact("slack", "#incidents")
BOARD, OPEN = Contact("webhook", "board"), Contact("webhook", "open")

Handler = Callable[[httpx.Request], httpx.Response]


async def delivered(contact: Contact, message: Message, handler: Handler | None = None, **more: str) -> httpx.Request:
    """The one request that `send` makes."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return handler(request) if handler else httpx.Response(202, text="ok")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        await Channels(http, ENTRIES, **more).send(contact, message)
    assert len(seen) == 1
    return seen[0]


async def refusal(status: int, contact: Contact = SLACK, **answer: object) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        await delivered(contact, a_message(), lambda _: httpx.Response(status, **answer))  # type: ignore[arg-type]
    return caught.value


async def test_each_contact_is_reached_at_the_address_of_its_entry() -> None:
    """A page would ring the wrong team."""
    assert str((await delivered(PAGERDUTY, a_message())).url) == "https://events.pagerduty.com/v2/enqueue"
    assert str((await delivered(SLACK, a_message())).url) == HOOK
    assert str((await delivered(BOARD, a_message())).url) == "https://board.example/in"


async def test_the_page_links_to_its_incident_where_the_web_page_has_a_public_address() -> None:
    """The person woken would have to search for the incident."""
    request = await delivered(PAGERDUTY, a_message(incident="pix 7"), public_url="https://notaus.example/")
    assert json.loads(request.content)["client_url"] == "https://notaus.example/incidents/pix%207"


async def test_a_contact_without_an_entry_is_refused_for_good_and_named() -> None:
    """It would be retried for ever, and nobody would learn which entry is missing."""
    with pytest.raises(Undelivered, match=r"statuspage: api: no such entry under `channels:`") as caught:
        await delivered(Contact("statuspage", "api"), a_message())
    assert caught.value.permanent


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_refusal_is_permanent(status: int) -> None:
    """A page that can never be delivered would be retried instead of going to the next contact."""
    assert (await refusal(status)).permanent


@pytest.mark.parametrize("status", [302, 408, 429, 500, 502, 503])
async def test_anything_else_is_worth_another_try(status: int) -> None:
    """A page would be lost to a passing failure."""
    assert not (await refusal(status)).permanent


async def test_the_wait_that_was_asked_for_is_passed_on() -> None:
    """The outbox would hammer a channel that asked for quiet."""
    assert (await refusal(429, headers={"Retry-After": "17"})).retry_after == 17.0
    assert (await refusal(429, headers={"Retry-After": "Mon, 23 Nov 2026 08:00:00 GMT"})).retry_after is None
    assert (await refusal(503)).retry_after is None


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
async def test_a_broken_connection_is_worth_another_try(error: httpx.HTTPError) -> None:
    """An unhandled transport error would kill the sender, or lose the page."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(Undelivered) as caught:
        await delivered(SLACK, a_message(), broken)
    assert not caught.value.permanent


async def test_a_channel_that_never_answers_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hanging channel would hold the message for ever; httpx alone limits each phase, not the whole."""
    monkeypatch.setattr(delivery, "DEADLINE_SECONDS", 0.05)

    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang)) as http:
        with pytest.raises(Undelivered, match="no answer within") as caught:
            await asyncio.wait_for(Channels(http, ENTRIES).send(SLACK, a_message()), 5)
    assert not caught.value.permanent


async def test_an_address_that_is_none_is_refused_for_good() -> None:
    """A typing mistake in the configuration would be retried for ever."""
    async with httpx.AsyncClient() as http:
        with pytest.raises(Undelivered, match="not a valid") as caught:
            await Channels(http, {"slack": {"x": Slack("ftp://nowhere.example")}}).send(
                Contact("slack", "x"), a_message()
            )
    assert caught.value.permanent


async def test_no_error_names_a_secret() -> None:
    """The routing key or webhook address would end up in the journal and the logs."""
    told = await refusal(404, text=f"no_service at {HOOK} for {KEY}")
    assert "plantedSlackToken" not in str(told)
    assert KEY not in str(told)
    assert "no_service" in str(told)


async def test_a_secret_in_a_message_is_not_delivered() -> None:
    """A token in an error text of some API would be read aloud to a whole channel."""
    log.redact("planted-api-token")
    message = a_message(
        title="KV refused planted-api-token", lines=("planted-api-token",), facts={"said": "planted-api-token"}
    )
    for contact in (PAGERDUTY, SLACK, BOARD):
        assert b"planted-api-token" not in (await delivered(contact, message)).content


def test_the_repr_of_an_entry_hides_its_secrets() -> None:
    """A log line of the configuration would give them away."""
    shown = repr(ENTRIES)
    assert not any(secret in shown for secret in (KEY, "plantedSlackToken", "planted-hook-secret", "board.example"))


async def test_a_webhook_carries_every_field_of_the_message() -> None:
    """A program that reads the webhook could not tell incidents, repetitions or severities apart."""
    message = a_message(request="r1")
    body = json.loads((await delivered(OPEN, message)).content)
    for name in (f.name for f in fields(Message)):
        value = getattr(message, name)
        plain = {"lines": list, "timeline": list, "facts": dict, "public": asdict}.get(name, lambda same: same)
        assert body[name] == plain(value)
    assert body["time"] == "2026-11-23T01:20:00Z"


async def test_a_webhook_with_a_secret_is_signed_over_the_raw_body() -> None:
    """The receiver could not tell our messages from forged ones."""
    request = await delivered(BOARD, a_message(title="Rückfall"))
    expected = hmac.new(b"planted-hook-secret", request.content, hashlib.sha256).hexdigest()
    assert request.headers[webhook.SIGNATURE_HEADER] == f"sha256={expected}"
    assert webhook.SIGNATURE_HEADER not in (await delivered(OPEN, a_message())).headers


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "text/plain; charset=zlib"}, b"\xff{"),
        ({"content-type": "text/plain; charset=hex"}, b"zz"),
        ({"content-type": "text/plain; charset=\u0130"}, b"zz"),
        ({"retry-after": "9" * 400}, b""),
    ],
)
async def test_an_answer_in_a_strange_encoding_loses_no_page(headers: dict[str, str], content: bytes) -> None:
    """An unforeseen error counts as final: nobody would ever hear of the incident."""
    raw = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    answer = httpx.Response(503, headers=raw, stream=httpx.ByteStream(content))
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer))
    with pytest.raises(Undelivered) as caught:
        await delivery.post(http, "https://hooks.invalid/x", b"{}", "slack #x")
    assert not caught.value.permanent
    assert (caught.value.retry_after or 0) <= 60
