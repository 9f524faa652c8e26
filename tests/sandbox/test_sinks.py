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
        "https://api.github.com/repos/o/r/actions/workflows/w.yml/dispatches", json={"ref": "main", "inputs": {}}
    )
    assert started.status_code == 204
    listed = (await client.get(str(pages))).json()
    assert [page["channel"] for page in listed] == [
        "pagerduty", "slack:incidents", "webhook:any", "statuspage", "statuspage", "github", "github",
    ]  # fmt: skip
    assert listed[1] == {"at": START, "channel": "slack:incidents", "payload": {"text": "hello"}, "accepted": True}
