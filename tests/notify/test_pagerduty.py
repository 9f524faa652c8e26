"""PagerDuty: the shape and the limits of Events API v2."""

from __future__ import annotations

import json

import pytest

from notaus.core.page import Kind, Status
from notaus.core.rule import Severity
from notaus.notify.pagerduty import PagerDuty, change, dedup_key, trigger

from .messages import COMMAND, a_message

ENTRY = PagerDuty("R" * 32)


def test_a_page_triggers_an_alert_with_everything_a_person_needs() -> None:
    """The person woken would not know what happened, or what to type."""
    made = trigger(ENTRY, a_message(), "https://notaus.example/incidents/7")
    assert made["routing_key"] == "R" * 32
    assert made["event_action"] == "trigger"
    assert made["dedup_key"] == "pix-immo/7"
    assert made["payload"]["summary"] == "CRITICAL · pix-immo: NOT-AUS: all traffic to proxy"
    assert made["payload"]["source"] == "pix-immo"
    assert made["payload"]["timestamp"] == "2026-11-23T01:20:00Z"
    assert made["payload"]["custom_details"]["Command"] == COMMAND
    assert made["payload"]["custom_details"]["What happened"][0].startswith("native.error_rate")
    assert [link["href"] for link in made["links"]] == [
        "https://notaus.example/incidents/7",
        "https://dash.example/pix",
    ]


@pytest.mark.parametrize(("severity", "expected"), [(Severity.CRITICAL, "critical"), (Severity.WARNING, "warning")])
def test_the_severity_is_one_that_pagerduty_knows(severity: Severity, expected: str) -> None:
    """The event would be refused, or ring with the wrong urgency."""
    assert trigger(ENTRY, a_message(severity=severity))["payload"]["severity"] == expected


def test_a_loud_update_belongs_to_the_alert_of_its_thread() -> None:
    """Each update would open an alert of its own, or none would be seen."""
    made = trigger(ENTRY, a_message(status=Status.UPDATE, sequence=3))
    assert (made["event_action"], made["dedup_key"]) == ("trigger", "pix-immo/7")


def test_a_quiet_update_is_a_change_event_which_cannot_ring() -> None:
    """People who have resolved the alert and gone back to bed would be woken by "verified"."""
    made = change(ENTRY, a_message(status=Status.UPDATE, loud=False, sequence=3))
    assert "event_action" not in made
    assert "dedup_key" not in made
    assert made["payload"]["summary"].startswith("UPDATE · ")
    assert made["payload"]["custom_details"]["Command"] == COMMAND


def test_a_long_thread_gets_a_key_within_the_limit_that_is_its_own() -> None:
    """PagerDuty would refuse the event, or two incidents would share an alert."""
    one, two = dedup_key("x" * 300 + "1"), dedup_key("x" * 300 + "2")
    assert len(one) == len(two) == 255
    assert one != two
    assert one == dedup_key("x" * 300 + "1")
    assert dedup_key("y" * 255) == "y" * 255


def test_the_largest_message_stays_within_the_limits() -> None:
    """The page with the most to tell would be the one that is refused."""
    long = "Ü🚨" * 30_000
    message = a_message(title=long, lines=(long,) * 300, facts={f"fact {n}": long for n in range(200)}, service=long)
    made = trigger(ENTRY, message)
    assert len(json.dumps(made, ensure_ascii=False).encode()) <= 512 * 1024
    assert 0 < len(made["payload"]["summary"]) <= 1024
    assert made["payload"]["custom_details"]["What happened"]


def test_a_notice_is_told_from_a_page() -> None:
    """Rules on PagerDuty's side could not treat them differently."""
    made = trigger(ENTRY, a_message(kind=Kind.NOTICE, severity=Severity.WARNING, incident=None))
    assert made["payload"]["class"] == "notice"
    assert made["payload"]["summary"].startswith("NOTICE · ")
