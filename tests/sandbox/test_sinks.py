"""The page sinks: what they take, what they turn down, and what they remember."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from notaus.sandbox import Sandbox

from .conftest import START

KEY = "r" * 32
ENQUEUE = "https://events.pagerduty.com/v2/enqueue"


def event(action: str = "trigger", **changes: Any) -> dict[str, Any]:
    payload = {"summary": "s", "source": "notaus", "severity": "critical"}
    return {"routing_key": KEY, "event_action": action, "dedup_key": "d", "payload": payload, **changes}


async def test_pagerduty_keeps_the_state_of_an_alert(client: httpx.AsyncClient, box: Sandbox) -> None:
    """A page raised, acknowledged and resolved is one alert, by its dedup key."""
    for action, state in (("trigger", "triggered"), ("acknowledge", "acknowledged"), ("resolve", "resolved")):
        answer = await client.post(ENQUEUE, json=event(action))
        assert answer.status_code == 202
        assert answer.json() == {"status": "success", "message": "Event processed", "dedup_key": "d"}
        assert box.sinks.alerts[KEY, "d"] == state
    await client.post(ENQUEUE, json=event("resolve", dedup_key="other"))
    assert (KEY, "other") not in box.sinks.alerts


@pytest.mark.parametrize(
    "wrong",
    [
        event(routing_key="short"),
        event("shout"),
        event("resolve", dedup_key=None),
        event(dedup_key="x" * 256),
        event(payload=None),
        event(payload={"summary": "s", "source": "x", "severity": "fatal"}),
        event(payload={"summary": "s" * 1025, "source": "x", "severity": "info"}),
        [],
    ],
)
async def test_a_bad_event_is_turned_down(client: httpx.AsyncClient, box: Sandbox, wrong: Any) -> None:
    """PagerDuty would lose it, so the sender must hear of it here."""
    answer = await client.post(ENQUEUE, json=wrong)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert box.pages[0].accepted is False


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"text": "hello"}, "ok"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}]}, "ok"),
        ({"text": ""}, "no_text"),
        ("text", "invalid_payload"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        (
            {"blocks": [{"type": "actions", "elements": [{"type": "button", "text": {"text": "x" * 76}}]}]},
            "invalid_blocks",
        ),
    ],
)
async def test_slack_holds_messages_to_its_limits(client: httpx.AsyncClient, message: Any, answer: str) -> None:
    """One block too long, and Slack drops the whole message."""
    got = await client.post("https://hooks.slack.com/services/T/B/x", json=message)
    assert (got.status_code, got.text) == (200 if answer == "ok" else 400, answer)


async def test_everything_received_is_listed_in_order(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The demo and the tests read it back."""
    pages = box.urls()["pages"]
    await client.post(f"{pages}/pagerduty/v2/enqueue", json=event())
    await client.post(f"{pages}/slack/incidents", json={"text": "hello"})
    await client.post(f"{pages}/webhook/any", json={"a": 1})
    key, token = {"Authorization": "OAuth k"}, {"Authorization": "Bearer t"}
    incident = await client.post(
        "https://api.statuspage.io/v1/pages/p/incidents", json={"incident": {"name": "n"}}, headers=key
    )
    changed = await client.patch(
        f"https://api.statuspage.io/v1/pages/p/incidents/{incident.json()['id']}",
        json={"incident": {"status": "resolved"}},
        headers=key,
    )
    assert changed.json()["status"] == "resolved"
    issue = await client.post("https://api.github.com/repos/o/r/issues", json={"title": "t"}, headers=token)
    assert (issue.status_code, issue.json()["number"]) == (201, 1)
    started = await client.post(
        "https://api.github.com/repos/o/r/actions/workflows/w.yml/dispatches",
        json={"ref": "main", "inputs": {}},
        headers=token,
    )
    assert started.status_code == 204
    listed = (await client.get(str(pages))).json()
    assert [page["channel"] for page in listed] == [
        "pagerduty", "slack:incidents", "webhook:any", "statuspage", "statuspage", "github", "github",
    ]  # fmt: skip
    assert listed[1] == {"at": START, "channel": "slack:incidents", "payload": {"text": "hello"}, "accepted": True}


async def test_a_change_event_opens_no_alert(client: httpx.AsyncClient, box: Sandbox) -> None:
    """A quiet update would look as if it had rung."""
    change = "https://events.pagerduty.com/v2/change/enqueue"
    payload = {"summary": "s"}
    assert (await client.post(change, json={"routing_key": KEY, "payload": payload})).status_code == 202
    assert (await client.post(change, json={"routing_key": "x", "payload": payload})).status_code == 400
    assert (await client.post(change, json={"routing_key": KEY})).status_code == 400
    assert (box.sinks.alerts, len(box.sinks.changes)) == ({}, 1)


BOT = {"Authorization": "Bearer xoxb-1"}


@pytest.mark.parametrize(
    ("method", "body", "headers", "error"),
    [
        ("chat.postMessage", {"channel": "#a", "text": "x"}, {"Authorization": ""}, "not_authed"),
        ("chat.postMessage", {"channel": "#a", "text": "x"}, {"Authorization": "Bearer no"}, "invalid_auth"),
        ("chat.postMessage", {"channel": "nowhere", "text": "x"}, BOT, "channel_not_found"),
        ("chat.postMessage", {"channel": "#a"}, BOT, "no_text"),
        ("chat.postMessage", {"channel": "#a", "text": "x", "blocks": [{}]}, BOT, "invalid_blocks"),
        ("chat.postMessage", {"channel": "#a", "text": "x", "thread_ts": "1.2"}, BOT, "thread_not_found"),
        ("chat.update", {"channel": "#a", "text": "x", "ts": "1.2"}, BOT, "channel_not_found"),
        ("chat.shout", {"channel": "#a", "text": "x"}, BOT, "unknown_method"),
    ],
)
async def test_slacks_api_answers_200_and_says_what_is_wrong(
    client: httpx.AsyncClient, method: str, body: dict[str, Any], headers: dict[str, str], error: str
) -> None:
    """A client that looks at the status alone would lose pages, and nobody would notice here."""
    answer = await client.post(f"https://slack.com/api/{method}", json=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"ok": False, "error": error})


async def test_a_message_of_slacks_api_can_be_replied_to_and_updated(client: httpx.AsyncClient, box: Sandbox) -> None:
    """A thread in the sandbox would not be one at Slack."""
    api = "https://slack.com/api"
    first = (await client.post(f"{api}/chat.postMessage", json={"channel": "#a", "text": "x"}, headers=BOT)).json()
    where = {"channel": first["channel"], "text": "y"}
    await client.post(f"{api}/chat.postMessage", json={**where, "thread_ts": first["ts"]}, headers=BOT)
    updated = await client.post(f"{api}/chat.update", json={**where, "ts": first["ts"]}, headers=BOT)
    assert updated.json()["ok"]
    missing = await client.post(f"{api}/chat.update", json={**where, "ts": "0.0"}, headers=BOT)
    assert missing.json()["error"] == "message_not_found"
    assert [message["text"] for message in box.slack.messages.values()] == ["y", "y"]


async def test_statuspage_wants_its_key_and_sound_incidents(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The first request to the real one would show what is missing."""
    incidents, key = "https://api.statuspage.io/v1/pages/p/incidents", {"Authorization": "OAuth k"}
    for headers, incident, status in (
        ({"Authorization": "Bearer k"}, {"name": "n"}, 401),
        ({"Authorization": "OAuth wrong"}, {"name": "n"}, 401),
        (key, {}, 422),
        (key, {"name": "n", "status": "over"}, 422),
        (key, {"name": "n", "metadata": {"a": "text"}}, 422),
        (key, {"name": "n", "components": {"c": "broken"}}, 422),
        (key, {"name": "n" * 256}, 422),
    ):
        answer = await client.post(incidents, json={"incident": incident}, headers=headers)
        assert answer.status_code == status, incident
    assert (await client.patch(f"{incidents}/none", json={"incident": {}}, headers=key)).status_code == 404
    assert (await client.get(f"{incidents}/unresolved", headers=key)).json() == []


async def test_github_wants_its_token_and_lists_what_it_has(client: httpx.AsyncClient, box: Sandbox) -> None:
    """An issue that is not found again is opened twice."""
    issues, token = "https://api.github.com/repos/o/r/issues", {"Authorization": "Bearer t"}
    for headers, body, status in (
        ({"Authorization": ""}, {"title": "t"}, 401),
        ({"Authorization": "Bearer wrong"}, {"title": "t"}, 401),
        ({**token, "User-Agent": ""}, {"title": "t"}, 403),
        (token, {"body": "b"}, 422),
        (token, {"title": "t", "body": "b" * 65_537}, 422),
    ):
        assert (await client.post(issues, json=body, headers=headers)).status_code == status, body
    for title in "ab":
        await client.post(issues, json={"title": title}, headers=token)
    await client.patch(f"{issues}/1", json={"state": "closed"}, headers=token)
    assert [i["title"] for i in (await client.get(issues, headers=token)).json()] == ["b"]
    assert [i["title"] for i in (await client.get(f"{issues}?state=all", headers=token)).json()] == ["b", "a"]
    elsewhere = "https://api.github.com/repos/o/other/issues?state=all"
    assert (await client.get(elsewhere, headers=token)).json() == []
    assert (await client.post(f"{issues}/9/comments", json={"body": "c"}, headers=token)).status_code == 404
    assert (await client.post(f"{issues}/1/comments", json={"body": ""}, headers=token)).status_code == 422
