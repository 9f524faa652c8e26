"""Orders: each body becomes exactly one order of the core, and a wrong one becomes none."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from notaus.core import event

from .conftest import NOW, FakeDaemon

KIM = {"by": "kim"}
TAKEN: list[tuple[str, dict[str, Any], event.Order]] = [
    ("hold", {"seconds": 3600, "reason": "migration 42"}, event.Hold(NOW, "kim", 3600, "migration 42", False)),
    ("hold", {"seconds": 60, "reason": "x", "all": True}, event.Hold(NOW, "kim", 60, "x", True)),
    ("release", {}, event.Release(NOW, "kim")),
    ("approve", {}, event.Answer(NOW, "kim", True, None)),
    ("approve", {"request": "r1"}, event.Answer(NOW, "kim", True, "r1")),
    ("deny", {"request": "r1"}, event.Answer(NOW, "kim", False, "r1")),
    ("trigger", {"rule": "data loss", "reason": "orders gone"}, event.Trigger(NOW, "kim", "data loss", "orders gone")),
    ("set", {"rung": "reduced"}, event.SetRung(NOW, "kim", "reduced", "")),
    ("set", {"rung": "reduced", "reason": "a\nb"}, event.SetRung(NOW, "kim", "reduced", "a\nb")),
    ("stop", {"reason": "smoke"}, event.SetRung(NOW, "kim", None, "smoke")),
    ("rollback", {}, event.RollBack(NOW, "kim", None, "", False)),
    (
        "rollback",
        {"to": "v1.9.0", "reason": "bad", "accept_changed_secrets": True},
        event.RollBack(NOW, "kim", "v1.9.0", "bad", True),
    ),
    ("restore", {}, event.RestoreOrder(NOW, "kim", ())),
    ("restore", {"attest": ["fixed", "reviewed"]}, event.RestoreOrder(NOW, "kim", ("fixed", "reviewed"))),
    ("close", {"incident": "7", "reason": "false alarm"}, event.Close(NOW, "kim", "7", "false alarm")),
    ("judge", {"version": "v2.0.0", "flagged": True}, event.Judge(NOW, "kim", "v2.0.0", True)),
    ("judge", {"version": "v2.0.0", "flagged": False}, event.Judge(NOW, "kim", "v2.0.0", False)),
    (
        "drilled",
        {"passed": True, "restored": True, "text": "13 things measured", "where": "var/drills/1.md"},
        event.Drilled(NOW, "kim", True, True, "13 things measured", "var/drills/1.md"),
    ),
]


@pytest.mark.parametrize(("name", "body", "order"), TAKEN)
async def test_an_order_reaches_the_daemon_exactly(
    client: httpx.AsyncClient, daemon: FakeDaemon, name: str, body: dict[str, Any], order: event.Order
) -> None:
    """Something else would be done than the person asked for."""
    answer = await client.post(f"/api/services/pix-immo/{name}", json=KIM | body)
    assert answer.status_code == 200
    assert answer.json() == {"accepted": True, "text": "done, and written down", "incident": "7"}
    assert daemon.orders == [("pix-immo", order)]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("stop", {"by": ""}, "by"),
    ("stop", {"by": "  "}, "by: should be one line of text, not blank"),
    ("stop", {"by": "kim\nadmin"}, "by: should be one line"),
    ("stop", {"by": "x" * 201}, "by"),
    ("stop", {"by": 7}, "by"),
    ("stop", {"by": "kim", "resaon": "typo"}, "resaon: Extra inputs are not permitted"),
    ("hold", {"by": "kim", "reason": "x"}, "seconds: Field required"),
    ("hold", {"by": "kim", "seconds": 0, "reason": "x"}, "seconds"),
    ("hold", {"by": "kim", "seconds": "3600", "reason": "x"}, "seconds"),
    ("hold", {"by": "kim", "seconds": 10**9, "reason": "x"}, "seconds"),
    ("hold", {"by": "kim", "seconds": 60, "reason": " \n"}, "reason: should not be blank"),
    ("hold", {"by": "kim", "seconds": 60, "reason": "x", "all": "yes"}, "all"),
    ("trigger", {"by": "kim", "rule": "data loss"}, "reason: Field required"),
    ("set", {"by": "kim"}, "rung: Field required"),
    ("stop", {"by": "kim", "reason": "\x1b[2J"}, "reason: should be text without control characters"),
    ("restore", {"by": "kim", "attest": "fixed"}, "attest"),
    ("restore", {"by": "kim", "attest": [""]}, "attest.0"),
    ("judge", {"by": "kim", "version": "v2"}, "flagged: Field required"),
    ("judge", {"by": "kim", "version": "v2", "flagged": 1}, "flagged"),
    ("drilled", {"by": "kim", "passed": True, "text": "x"}, "restored: Field required"),
]


@pytest.mark.parametrize(("name", "body", "told"), WRONG)
async def test_a_wrong_body_is_no_order_and_the_answer_says_what_is_wrong(
    client: httpx.AsyncClient, daemon: FakeDaemon, name: str, body: dict[str, Any], told: str
) -> None:
    """A misunderstood order would be carried out, or refused without a word."""
    answer = await client.post(f"/api/services/pix-immo/{name}", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]
    assert answer.json()["hint"].startswith(f"`{name}` takes a JSON object with `by`")
    assert daemon.orders == []


@pytest.mark.parametrize("raw", [b"", b"by=kim", b"[]", b"null", b'{"by": "kim"', b"\xff\xfe", b'{"by": "\\ud800"}'])
async def test_what_is_no_json_object_is_told(client: httpx.AsyncClient, daemon: FakeDaemon, raw: bytes) -> None:
    """It would be a failure of ours instead of an answer."""
    answer = await client.post("/api/services/pix-immo/stop", content=raw)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert daemon.orders == []
