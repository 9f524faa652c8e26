"""A service: what documents call it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notaus.core.ladder import Fields, KvLever
from notaus.core.service import Contact, Contacts
from tests.builders import a_rollback_service, a_service


@pytest.mark.parametrize(("fields", "tag"), [({"canary_tag": "B2a"}, "B2a"), ({}, "pix"), ({"canary_tag": ""}, "pix")])
def test_documents_call_a_canary_by_its_tag_and_else_by_its_name(fields: Fields, tag: str) -> None:
    """The runbook's file name carries the phase; without one it must still have a name."""
    service = a_service()
    ladder = replace(service.ladder, lever=KvLever("namespace", "config", fields))
    assert replace(service, ladder=ladder).tag == tag


def test_documents_call_a_service_without_a_canary_by_its_name() -> None:
    """There is no tag to be had from a deployment."""
    service = a_rollback_service()
    assert service.tag == service.name


def test_everyone_is_named_once() -> None:
    """A test page would reach the same phone four times."""
    oncall, team = Contact("pagerduty", "oncall"), Contact("slack", "#team")
    contacts = Contacts(critical=(oncall, team), warning=(team,), escalate=(oncall,), approvers=(oncall,))
    assert contacts.everyone == (oncall, team)
