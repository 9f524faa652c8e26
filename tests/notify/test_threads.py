"""One incident, one thread: what PagerDuty, Slack, Statuspage and GitHub hold after the messages of an incident."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from notaus.core.page import Kind, Message, Public, Remedy, Stage, Status, Symptom
from notaus.core.rule import Severity
from notaus.core.service import Contact
from notaus.errors import Undelivered
from notaus.notify import Channels
from notaus.notify.slack_app import APPROVE, DENY
from notaus.sandbox import Sandbox

from .conftest import GITHUB, KEY, PAGERDUTY, SLACK, STATUSPAGE
from .messages import a_message

PUBLIC = Public(Stage.INVESTIGATING, "BooksTrack API", Symptom.ERRORS, Remedy.ROLLED_BACK, 6)


def an_update(sequence: int, *, loud: bool = False, stage: Stage = Stage.INVESTIGATING, **changes: Any) -> Message:
    public = replace(PUBLIC, stage=stage)
    return a_message(sequence=sequence, status=Status.UPDATE, loud=loud, public=public, **changes)


def the_end(sequence: int = 9, **changes: Any) -> Message:
    return replace(
        an_update(sequence, stage=Stage.RESOLVED, **changes),
        status=Status.RESOLVED,
        timeline=("2026-11-23 01:20:00 UTC - rolled back",),
    )


async def told(channels: Channels, contact: Contact, *messages: Message, receipt: str | None = None) -> str | None:
    """Deliver in order, handing on the receipt as the executor does; the last one."""
    for message in messages:
        receipt = await channels.send(contact, message, receipt) or receipt
    return receipt


# PagerDuty


async def test_a_page_rings_and_its_end_resolves_it(channels: Channels, box: Sandbox) -> None:
    """The alert would stay open, or the end open another one."""
    await told(channels, PAGERDUTY, a_message(), an_update(2, loud=True), the_end())
    assert box.sinks.alerts == {(KEY, "pix-immo/7"): "resolved"}


async def test_a_quiet_update_never_rings_also_where_people_have_resolved_the_alert(
    channels: Channels, box: Sandbox
) -> None:
    """Somebody would be woken to read "verified"."""
    receipt = await told(channels, PAGERDUTY, a_message())
    box.sinks.alerts[KEY, "pix-immo/7"] = "resolved"
    await told(channels, PAGERDUTY, an_update(2), receipt=receipt)
    assert box.sinks.alerts == {(KEY, "pix-immo/7"): "resolved"}
    assert box.sinks.changes[0]["payload"]["summary"].startswith("UPDATE · pix-immo")


async def test_a_page_raised_to_critical_rings_anew_and_both_alerts_end(channels: Channels, box: Sandbox) -> None:
    """PagerDuty does not ring again for an open alert: the on-call would sleep through the worst."""
    warning = a_message(severity=Severity.WARNING)
    receipt = await told(channels, PAGERDUTY, warning, an_update(2, loud=True))
    assert set(box.sinks.alerts) == {(KEY, "pix-immo/7"), (KEY, "pix-immo/7/critical")}
    await told(channels, PAGERDUTY, the_end(), receipt=receipt)
    assert set(box.sinks.alerts.values()) == {"resolved"}


# Slack


async def test_an_incident_is_one_thread_whose_first_message_shows_the_present_state(
    channels: Channels, box: Sandbox
) -> None:
    """People would gather an incident from messages strewn over the channel."""
    await told(channels, SLACK, a_message(), an_update(2), an_update(3, loud=True), the_end(4))
    first, *replies = box.slack.messages.values()
    (_, ts) = next(iter(box.slack.messages))
    assert [reply["thread_ts"] for reply in replies] == [ts] * 3
    assert [reply["reply_broadcast"] for reply in replies] == [False, True, False]
    assert "thread_ts" not in first
    assert first["text"].startswith("RESOLVED · ")


async def test_a_request_has_buttons_until_it_is_answered(channels: Channels, box: Sandbox) -> None:
    """A button that is still there invites a second answer; one that is missing, none."""
    asked = an_update(2, loud=True, request="pix-immo-4")
    answered = an_update(3, facts={"approval": "approved by alice: rolling back to v1.9.0"})
    receipt = await told(channels, SLACK, a_message(), asked)
    first, question = box.slack.messages.values()
    for message in (first, question):  # the first shows the present state, so it asks as well
        (buttons,) = [block for block in message["blocks"] if block["type"] == "actions"]
        assert (
            [element["action_id"] for element in buttons["elements"]]
            == [APPROVE, DENY]
            == [
                "notaus_approve",
                "notaus_deny",
            ]
        )
        assert {element["value"] for element in buttons["elements"]} == {"pix-immo/pix-immo-4"}
        assert all(element["confirm"] for element in buttons["elements"])
    receipt = await told(channels, SLACK, an_update(3, request="pix-immo-4"), receipt=receipt)
    assert [block["type"] for block in first["blocks"]].count("actions") == 1  # a quiet update takes it from nobody
    await told(channels, SLACK, answered, receipt=receipt)
    for message in (first, question):
        assert not any(block["type"] == "actions" for block in message["blocks"])
    assert question["text"] == "Request pix-immo-4: approved by alice: rolling back to v1.9.0"


async def test_a_thread_that_was_deleted_is_begun_anew(channels: Channels, box: Sandbox) -> None:
    """Every later page of the incident would be refused, for good."""
    receipt = await told(channels, SLACK, a_message())
    box.slack.messages.clear()
    await told(channels, SLACK, an_update(2, loud=True), receipt=receipt)
    (message,) = box.slack.messages.values()
    assert "thread_ts" not in message


async def test_an_update_of_the_first_message_that_fails_loses_no_page(channels: Channels, box: Sandbox) -> None:
    """The reply would be sent again and again for the sake of a decoration."""
    receipt = await told(channels, SLACK, a_message())
    del box.slack.messages[next(iter(box.slack.messages))]
    box.slack.messages[json.loads(receipt or "")["channel"], json.loads(receipt or "")["ts"]] = {}
    box.faults.add("slack", ["slow:0", 500])
    await told(channels, SLACK, an_update(2), receipt=receipt)
    assert len(box.slack.messages) == 2


async def test_slacks_errors_come_with_200_and_say_whether_to_try_again(channels: Channels, box: Sandbox) -> None:
    """A page that Slack refused would count as delivered."""
    with pytest.raises(Undelivered, match="slack: #typo: Slack answered channel_not_found") as refused:
        await channels.send(Contact("slack", "#typo"), a_message())
    assert refused.value.permanent
    box.faults.add("slack", "429:7")
    with pytest.raises(Undelivered) as later:
        await channels.send(SLACK, a_message())
    assert (later.value.permanent, later.value.retry_after) == (False, 7.0)


# Statuspage


async def test_the_public_incident_goes_through_its_four_stages(channels: Channels, box: Sandbox) -> None:
    """Customers would read of a mitigation before they read of trouble, or never of its end."""
    begun = a_message(public=PUBLIC)
    steps = (an_update(2, stage=Stage.IDENTIFIED), an_update(3, stage=Stage.MONITORING), an_update(4))
    receipt = await told(channels, STATUSPAGE, begun, *steps[:2], an_update(4, stage=Stage.RESOLVED), the_end())
    (incident,) = box.statuspage.incidents.values()
    assert [update["status"] for update in reversed(incident["incident_updates"])] == [
        "investigating", "identified", "monitoring", "resolved",
    ]  # fmt: skip
    assert incident["name"] == "[RESOLVED] API Error Rate Elevated"
    assert box.statuspage.components == {"c1": "operational"}
    assert receipt == f"{incident['id']} resolved"


async def test_the_words_for_the_public_are_the_runbooks(channels: Channels, box: Sandbox) -> None:
    """The template is what people have agreed on."""
    await told(channels, STATUSPAGE, a_message(public=PUBLIC))
    (incident,) = box.statuspage.incidents.values()
    assert incident["name"] == "[INVESTIGATING] API Error Rate Elevated"
    assert incident["incident_updates"][0]["body"] == (
        "We are investigating elevated error rates on the BooksTrack API.\n"
        "Mitigation in progress. ETA: 6 minutes.\n"
        "Last Update: 2026-11-23 01:20 UTC"
    )
    await told(channels, STATUSPAGE, an_update(2, stage=Stage.RESOLVED), receipt=f"{incident['id']} investigating")
    assert incident["incident_updates"][0]["body"] == (
        "The issue has been resolved by rolling back to a previous stable version.\n"
        "All systems operating normally.\n"
        "We will tell you more.\n"
        "Resolved: 2026-11-23 01:20 UTC"
    )


async def test_a_page_that_begins_further_on_catches_up_at_once(channels: Channels, box: Sandbox) -> None:
    """notaus acts within seconds: the page would begin with the second stage, or lag behind."""
    await told(channels, STATUSPAGE, a_message(public=replace(PUBLIC, stage=Stage.IDENTIFIED)))
    (incident,) = box.statuspage.incidents.values()
    assert [update["status"] for update in incident["incident_updates"]] == ["identified", "investigating"]


async def test_the_public_reads_no_internal_word(channels: Channels, box: Sandbox) -> None:
    """A rule, a version, an account or a service's internal name would be read by everybody."""
    secret = {"rule": "planted-rule", "by hand": "npx wrangler planted-command", "deployment": "planted-version"}
    messages = [
        a_message(facts=secret, title="planted-title", lines=("planted-line",), public=replace(PUBLIC, stage=stage))
        for stage in Stage
    ]
    await told(channels, STATUSPAGE, *messages)
    shown = json.dumps(list(box.statuspage.incidents.values()))
    assert not any(word in shown for word in ("planted", "pix-immo", "wrangler", "notaus/"))


async def test_a_repetition_after_a_crash_opens_no_second_public_incident(channels: Channels, box: Sandbox) -> None:
    """Customers would read of two outages where there is one."""
    await told(channels, STATUSPAGE, a_message(public=PUBLIC))
    await told(channels, STATUSPAGE, a_message(public=PUBLIC), the_end())  # the receipt was lost
    (incident,) = box.statuspage.incidents.values()
    assert incident["status"] == "resolved"


async def test_trouble_that_comes_back_after_the_end_is_a_public_incident_of_its_own(
    channels: Channels, box: Sandbox
) -> None:
    """A resolved incident would be shown to be open again, and its end be lost."""
    await told(channels, STATUSPAGE, a_message(public=PUBLIC), an_update(2, stage=Stage.RESOLVED), an_update(3))
    assert [i["status"] for i in box.statuspage.incidents.values()] == ["resolved", "investigating"]


@pytest.mark.parametrize("message", [a_message(kind=Kind.NOTICE, public=PUBLIC), the_end()])
async def test_what_is_no_incident_of_the_publics_is_not_shown(
    channels: Channels, box: Sandbox, message: Message
) -> None:
    """A notice, a drill or the end of something never shown would alarm customers."""
    assert await channels.send(STATUSPAGE, message) is None
    assert box.statuspage.incidents == {}


async def test_statuspages_limit_is_waited_for(channels: Channels, box: Sandbox, now: list[float]) -> None:
    """One request a second: a page beyond it would be dropped as refused."""
    box.statuspage.calls["planted-statuspage-key"] = deque([now[0]] * 60)
    with pytest.raises(Undelivered) as later:
        await channels.send(STATUSPAGE, a_message(public=PUBLIC))
    assert (later.value.permanent, later.value.retry_after) == (False, 60.0)


# GitHub


async def test_an_incident_that_has_acted_gets_one_issue_and_a_comment_at_its_end(
    channels: Channels, box: Sandbox
) -> None:
    """The root cause would be nobody's, or everybody's twice."""
    watching = a_message(public=replace(PUBLIC, remedy=Remedy.NONE))
    assert await channels.send(GITHUB, watching) is None
    assert box.issues.issues == []
    await told(channels, GITHUB, a_message(public=PUBLIC), an_update(2), the_end())
    (issue,) = box.issues.issues
    assert issue["title"] == "Root cause of 7: NOT-AUS: all traffic to proxy"
    assert [label["name"] for label in issue["labels"]] == ["incident"]
    assert [user["login"] for user in issue["assignees"]] == ["lead"]
    for part in ("- [ ] Why did testing before production not catch it?", "cc @bookstrack/team", "`npx wrangler"):
        assert part in issue["body"]
    (comment,) = box.issues.comments[1]
    assert "- 2026-11-23 01:20:00 UTC - rolled back" in comment
    assert "notaus report 7" in comment
    assert "https://notaus.example/incidents/7" in comment


async def test_a_repetition_after_a_crash_opens_no_second_issue(channels: Channels, box: Sandbox) -> None:
    """Two issues for one cause: each thinks the other one is being worked on."""
    box.faults.add("github", ["slow:0", "lost_reply"])
    with pytest.raises(Undelivered):
        await channels.send(GITHUB, a_message(public=PUBLIC))
    assert await channels.send(GITHUB, a_message(public=PUBLIC)) == "1"
    assert await channels.send(GITHUB, a_message(thread="pix-immo/8", public=PUBLIC)) == "2"
    assert len(box.issues.issues) == 2


async def test_an_issue_calls_nobody_but_those_named(channels: Channels, box: Sandbox) -> None:
    """An error text with an @ in it would call strangers, one with a # link to a stranger's issue."""
    message = a_message(facts={"said": "@everybody see #12 <!-- x"}, title="for @all", public=PUBLIC)
    await told(channels, GITHUB, message, the_end(facts={"said": "@everybody"}))
    texts = box.issues.issues[0]["body"], box.issues.comments[1][0]
    assert not any(word in text for text in texts for word in ("@everybody", "@all", "#12", "<!-- x"))


async def test_githubs_throttling_is_waited_for(channels: Channels, box: Sandbox) -> None:
    """Its secondary limit comes as a 403: the issue would be given up for good."""
    box.faults.add("github", ["403:30"])
    with pytest.raises(Undelivered) as later:
        await channels.send(GITHUB, a_message(public=PUBLIC))
    assert (later.value.permanent, later.value.retry_after) == (False, 30.0)
