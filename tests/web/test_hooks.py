"""The hooks: who may call them, how often, what becomes of what they bring, and that garbage becomes nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from notaus.config.settings import Hook
from notaus.core.event import Cleared, Deployed, Reply, Trigger
from notaus.errors import NotausError
from notaus.web.senders import SIGNED_SECONDS

from .conftest import NOW, SECRET, FakeDaemon

ALERT = {
    "status": "firing",
    "labels": {"alertname": "PixDatabase", "env": "production", "pod": "a"},
    "annotations": {"summary": "the pool is exhausted"},
    "startsAt": "2026-11-24T10:00:00Z",
    "fingerprint": "0123456789abcdef",
}
NOTICE = {
    "name": "origin",
    "text": "Origin is unhealthy",
    "data": {"status": "Unhealthy", "zone_name": "pix.immo"},
    "ts": NOW,
    "account_id": "a",
    "policy_id": "p",
    "policy_name": "origin",
    "alert_type": "health_check_status_notification",
    "alert_correlation_id": "c1",
    "alert_event": "ALERT_STATE_EVENT_START",
}
DEPLOYED = {"service": "bookstrack", "by": "kim", "tag": "v2.0.0", "commit": "abc123", "message": "Deploy v2.0\n\nmore"}
BEARER = {"authorization": f"Bearer {SECRET}"}
PROOF = {"alertmanager": BEARER, "cloudflare": {"cf-webhook-auth": SECRET}, "deploy": BEARER, "push": BEARER}
PUSHED = {"service": "bookstrack", "signal": "queue", "values": [{"value": 7}, {"time": NOW - 60, "value": 0.25}]}
BODY: dict[str, Any] = {
    "alertmanager": {"version": "4", "alerts": [ALERT]},
    "cloudflare": NOTICE,
    "deploy": DEPLOYED,
    "push": PUSHED,
}
NAMES = sorted(BODY)


def alerts(**changes: Any) -> dict[str, Any]:
    return {"version": "4", "alerts": [{**ALERT, **changes}]}


async def call(client: httpx.AsyncClient, name: str, body: Any = None, **headers: str) -> httpx.Response:
    return await client.post(f"/hooks/{name}", json=BODY[name] if body is None else body, headers=PROOF[name] | headers)


async def test_a_firing_alert_is_a_trigger_by_a_hook(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """The emergency that Prometheus saw would not reach the service."""
    answer = await call(stranger, "alertmanager")
    assert answer.status_code == 200
    assert answer.json() == {
        "alerts": 1,
        "taken": [{"service": "pix-immo", "rule": "database", "accepted": True, "text": "done, and written down"}],
    }
    fingerprint = "alertmanager/database/0123456789abcdef"
    trigger = Trigger(NOW, "alertmanager", "database", "the pool is exhausted", True, fingerprint)
    assert daemon.orders == [("pix-immo", trigger)]


async def test_an_alert_that_is_over_is_noted_and_triggers_nothing(
    stranger: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """The end of the trouble would be taken for its beginning."""
    await call(stranger, "alertmanager", alerts(status="resolved"))
    await call(stranger, "cloudflare", {**NOTICE, "alert_event": "ALERT_STATE_EVENT_END"})
    assert [order for _, order in daemon.orders] == [
        Cleared(NOW, "alertmanager", "database", "the pool is exhausted"),
        Cleared(NOW, "cloudflare", "database", "Origin is unhealthy"),
    ]


async def test_a_notification_of_cloudflare_is_a_trigger_by_a_hook(
    stranger: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """Cloudflare's own alerts would not reach the service."""
    await call(stranger, "cloudflare")
    ((service, order),) = daemon.orders
    assert (service, order) == (
        "pix-immo",
        Trigger(NOW, "cloudflare", "database", "Origin is unhealthy", True, "cloudflare/database/c1"),
    )


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("alertmanager", alerts(labels={"alertname": "PixDatabase", "env": "staging"})),
        ("alertmanager", alerts(labels={"alertname": "PixDatabase"})),
        ("alertmanager", {"alerts": []}),
        ("alertmanager", alerts(labels={"alert_type": NOTICE["alert_type"], "data.status": "Unhealthy"})),
        ("cloudflare", {**NOTICE, "data": {"status": "Healthy"}}),
        ("cloudflare", {**NOTICE, "alert_type": "billing_usage_alert"}),
        ("cloudflare", {"text": "Hello World! This is a test message. If you can see this, all is well."}),
        ("cloudflare", {"text": "Hello", "data": None}),
    ],
)
async def test_what_no_trigger_names_is_answered_and_does_nothing(
    stranger: httpx.AsyncClient, daemon: FakeDaemon, name: str, body: Any
) -> None:
    """An alert about something else would stop the service; or Cloudflare would call the webhook broken."""
    answer = await call(stranger, name, body)
    assert (answer.status_code, answer.json()["taken"], daemon.orders) == (200, [], [])


async def test_a_deployment_is_announced_and_looked_at(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """The page of a rollback would not say whose release it was, and the look at it would wait for a minute."""
    answer = await call(stranger, "deploy", {**DEPLOYED, "link": "https://ci.example/1"})
    assert answer.status_code == 200
    said = Deployed(NOW, "kim", None, "v2.0.0", "abc123", "Deploy v2.0", "https://ci.example/1")
    assert daemon.orders == [("bookstrack", said)]
    assert daemon.looked == ["bookstrack"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer x", "Bearer planted-hook-secre", "Basic planted-hook-secret", "Bearer é"]
)
async def test_who_does_not_know_the_secret_is_turned_away(
    stranger: httpx.AsyncClient, daemon: FakeDaemon, name: str, shown: str
) -> None:
    """Whoever reaches the port could stop the service."""
    headers = [(b"authorization", shown.encode()), (b"cf-webhook-auth", shown.encode())]
    answer = await stranger.post(f"/hooks/{name}", json=BODY[name], headers=headers)
    assert (answer.status_code, daemon.orders) == (401, [])
    assert SECRET not in answer.text


def signature(body: bytes, at: str = str(NOW), secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-notaus-timestamp": at, "x-notaus-signature": f"sha256={digest}"}


async def test_a_deployment_can_be_signed(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """The secret would have to travel."""
    body = json.dumps(DEPLOYED).encode()
    assert (await stranger.post("/hooks/deploy", content=body, headers=signature(body))).status_code == 200
    assert len(daemon.orders) == 1


OLD, FAR = str(NOW - SIGNED_SECONDS - 1), str(NOW + SIGNED_SECONDS + 1)


@pytest.mark.parametrize(
    "headers",
    [
        signature(b"{}"),
        signature(json.dumps(DEPLOYED).encode(), OLD),
        signature(json.dumps(DEPLOYED).encode(), FAR),
        signature(json.dumps(DEPLOYED).encode(), "now"),
        signature(json.dumps(DEPLOYED).encode(), secret="another-hook-secret"),
        {**signature(json.dumps(DEPLOYED).encode()), "x-notaus-timestamp": str(NOW - 1)},
        {**BEARER, "x-notaus-signature": "sha256=00"},
    ],
)
async def test_a_signature_is_of_this_body_at_this_time(
    stranger: httpx.AsyncClient, daemon: FakeDaemon, headers: dict[str, str]
) -> None:
    """What was overheard could be sent again, or about another release."""
    answer = await stranger.post("/hooks/deploy", content=json.dumps(DEPLOYED).encode(), headers=headers)
    assert (answer.status_code, daemon.orders) == (401, [])


async def test_calls_beyond_the_rate_wait_and_are_admitted_after_it(
    stranger: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """A sender that runs wild would keep the daemon from its work."""
    daemon.set = replace(daemon.set, hooks={"deploy": Hook(SecretStr(SECRET), (2, 60))})
    assert [(await call(stranger, "deploy")).status_code for _ in range(3)] == [200, 200, 429]
    assert (await call(stranger, "deploy")).headers["retry-after"] == "30"
    daemon.present += 29
    assert (await call(stranger, "deploy")).status_code == 429
    daemon.present += 1
    assert (await call(stranger, "deploy")).status_code == 200


async def test_strangers_do_not_use_up_the_senders_rate(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """Anybody could keep the alert from getting through by calling often."""
    refused = [(await stranger.post("/hooks/deploy", json=DEPLOYED)).status_code for _ in range(70)]
    assert (refused[0], refused[-1]) == (401, 429)
    assert (await call(stranger, "deploy")).status_code == 200


async def test_a_hook_without_a_secret_is_shut(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A daemon that was never told to listen would."""
    daemon.set = replace(daemon.set, hooks={})
    answer = await call(stranger, "alertmanager")
    assert (answer.status_code, answer.json()["error"]) == (404, "the hook alertmanager is shut")
    assert "secret" in answer.json()["hint"]
    assert (await stranger.post("/hooks/alertmanger", json={})).json()["hint"] == "did you mean alertmanager?"
    assert (await stranger.get("/hooks/alertmanager")).status_code == 405


async def test_what_cannot_be_taken_now_is_asked_for_again(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """Alertmanager repeats what was answered with 5xx; with another answer the emergency would be lost."""
    daemon.elsewhere = {"pix-immo"}
    assert (await call(stranger, "alertmanager")).status_code == 503
    daemon.elsewhere, daemon.error = set(), NotausError("the journal fails")
    assert (await call(stranger, "alertmanager")).status_code == 503


async def test_what_is_guarded_here_is_done_before_the_sender_is_sent_on(
    stranger: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """An alert about services of two replicas would be refused by both of them, for ever."""
    first = replace(daemon.services_now[0], name="a-first")
    daemon.services_now = (first, *daemon.services_now)
    daemon.elsewhere = {"a-first"}
    assert (await call(stranger, "alertmanager")).status_code == 503
    assert [service for service, _ in daemon.orders] == ["pix-immo"]


async def test_what_the_daemon_refuses_is_told(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A sender that repeats it for ever would change nothing."""
    daemon.reply = Reply(False, "people are told, nothing was done: an override is in force")
    answer = await call(stranger, "alertmanager")
    assert (answer.status_code, answer.json()["taken"][0]["accepted"]) == (200, False)


async def test_pushed_values_reach_their_signal(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A rule on what only the team can measure would be blind."""
    answer = await call(stranger, "push")
    assert (answer.status_code, answer.json()["accepted"]) == (200, True)
    assert daemon.pushed == [("bookstrack", "queue", [(NOW, 7), (NOW - 60, 0.25)])]
    body = json.dumps(PUSHED).encode()
    assert (await stranger.post("/hooks/push", content=body, headers=signature(body))).status_code == 200


async def test_values_that_are_refused_or_cannot_be_taken_are_told(
    stranger: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """The sender would take them for written down."""
    daemon.reply = Reply(False, "queue: a value of 7 is 9 s too old")
    answer = await call(stranger, "push")
    assert (answer.status_code, answer.json()["error"]) == (409, "queue: a value of 7 is 9 s too old")
    daemon.error = NotausError("the journal fails")
    assert (await call(stranger, "push")).status_code == 503
    daemon.elsewhere = {"bookstrack"}
    assert (await call(stranger, "push")).status_code == 503
    assert (await call(stranger, "push", {**PUSHED, "service": "books"})).status_code == 404


@pytest.mark.parametrize(("name", "kind"), [("firing", Trigger), ("resolved", Cleared)])
async def test_what_alertmanager_itself_sent_is_understood(
    stranger: httpx.AsyncClient, daemon: FakeDaemon, name: str, kind: type
) -> None:
    """The documented shape is not always the one that comes. Recorded from Alertmanager 0.25, whose call was answered."""
    body = (FIXTURES / f"alertmanager-0.25-{name}.json").read_bytes()
    answer = await stranger.post("/hooks/alertmanager", content=body, headers=BEARER)
    assert answer.status_code == 200
    assert [type(order) for _, order in daemon.orders] == [kind]


FIXTURES = Path(__file__).parents[1] / "fixtures" / "hooks"

WRONG: list[tuple[str, Any, str]] = [
    ("push", {**PUSHED, "values": []}, "values"),
    ("push", {**PUSHED, "values": [{"value": "7"}]}, "values.0.value"),
    ("push", {**PUSHED, "values": [{"value": True}]}, "values.0.value"),
    ("push", {**PUSHED, "values": [{"value": 10**400}]}, "values.0.value"),
    ("push", {**PUSHED, "values": [{"value": None}]}, "values.0.value"),
    ("push", {**PUSHED, "values": [{"value": 1, "time": -1}]}, "values.0.time"),
    ("push", {**PUSHED, "values": [{"value": 1, "time": 10**18}]}, "values.0.time"),
    ("alertmanager", [], "object"),
    ("alertmanager", {}, "alerts"),
    ("alertmanager", alerts(status="burning"), "alerts.0.status"),
    ("alertmanager", alerts(fingerprint=""), "alerts.0.fingerprint"),
    ("alertmanager", {"alerts": [ALERT] * 501}, "alerts"),
    ("cloudflare", {"data": 7}, "data"),
    ("deploy", {**DEPLOYED, "tag": None}, "should say what was deployed"),
    ("deploy", {**DEPLOYED, "by": "a\nb"}, "by"),
    ("deploy", {**DEPLOYED, "link": "javascript:alert(1)"}, "link"),
    ("deploy", {**DEPLOYED, "comit": "x"}, "comit"),
]


@pytest.mark.parametrize(("name", "body", "told"), WRONG)
async def test_a_wrong_body_is_nothing_and_the_answer_says_what_is_wrong(
    stranger: httpx.AsyncClient, daemon: FakeDaemon, name: str, body: Any, told: str
) -> None:
    """A misread delivery would be carried out, or be a failure of ours."""
    answer = await call(stranger, name, body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]
    assert daemon.orders == []


async def test_a_deployment_of_an_unknown_service_is_told(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A typing mistake in CI would go unnoticed until the rollback."""
    answer = await call(stranger, "deploy", {**DEPLOYED, "service": "bookstrac"})
    assert (answer.status_code, answer.json()["hint"]) == (404, "did you mean bookstrack?")


async def test_a_body_that_is_too_large_is_refused(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """One sender could take all the memory of the daemon."""
    answer = await stranger.post("/hooks/deploy", content=b"x" * 256 * 1024 + b"x", headers=BEARER)
    assert (answer.status_code, daemon.orders) == (413, [])


async def test_text_from_outside_is_one_printable_line(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """An alert's text could forge lines of the journal, or steer a terminal."""
    await call(stranger, "alertmanager", alerts(annotations={"summary": "a\nb\x1b[2J\u202ec" + "x" * 900}))
    order = daemon.orders[0][1]
    assert isinstance(order, Trigger)
    assert order.reason.startswith("a b [2J cx")
    assert len(order.reason) == 500
