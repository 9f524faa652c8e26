"""`notaus check`: what is ready, what is not, and why."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.cli.conftest import call

Env = dict[str, str]


def answers(found: Any) -> dict[str, str]:
    return {f["what"]: f["ready"] for f in found.json["findings"]}


def test_everything_is_tried_once_and_nothing_changed(variables: Env, sandbox: Any) -> None:
    """The first incident would show what the set-up lacks."""
    found = call("check", "--json", "--page", env=variables)
    assert found.code == 0, found
    told = answers(found)
    for what in ("clock", "journal", "pix-immo: signals.canary", "bookstrack: signals.edge", "bookstrack: rollback target",
                 "pix-immo: steering key", "pix-immo: Workers KV Storage Read", "channel pagerduty: platform"):  # fmt: skip
        assert told[what] == "yes", (what, found.out)
    assert told["pix-immo: Workers KV Storage Write"] == "?"
    assert told["pix-immo: signals.orphaned_intents"] == "yes"
    assert found.json["ready"] is True
    pages = httpx.get(sandbox["pages"], trust_env=False).json()
    assert {page["channel"] for page in pages} >= {"pagerduty", "slack:incidents"}
    assert all(page["accepted"] for page in pages)
    assert not httpx.get(f"{sandbox['admin']}/state", trust_env=False).json()["writes"]


def test_a_wrong_token_is_told_wherever_it_is_used(variables: Env) -> None:
    """A token with a missing permission looks right until the night it is needed."""
    found = call("check", env={**variables, "CLOUDFLARE_API_TOKEN": "cfat_wrong-0123456789-0123456789-0123456"})
    assert found.code == 1
    assert "no" in found.out
    assert "Invalid API Token" in found.out
    assert "cfat_wrong" not in found.out + found.err
    assert "NOT READY: " in found.out
    assert "- pix-immo: signals.canary: " in found.out
    table, reasons = found.out.split("NOT READY")
    assert max(map(len, table.splitlines())) <= 100
    assert "\x1b" not in found.out
    assert "token" in reasons


def test_no_network_is_told_without_a_crash(variables: Env) -> None:
    """It would hang, or end in a traceback."""
    found = call("check", "--json", env={**variables, "NOTAUS_CLOUDFLARE__API_URL": "http://127.0.0.1:9/client/v4"})
    assert found.code == 1
    assert answers(found)["bookstrack: rollback target"] == "no"
    assert "Traceback" not in found.err


def test_a_channel_that_does_not_take_the_test_message_says_what_it_needs(variables: Env, sandbox: Any) -> None:
    """The first page would be the one that shows that the token was wrong."""
    channels = json.loads(variables["NOTAUS_CHANNELS"])
    pages = sandbox["pages"]
    channels["slack"]["#incidents"] = {"token": "no-bot-token", "channel": "#incidents", "url": f"{pages}/slackapi/api"}
    channels["statuspage"]["api"]["token"] = "wrong"
    found = call("check", "--json", "--page", env={**variables, "NOTAUS_CHANNELS": json.dumps(channels)})
    told = {f["what"]: (f["ready"], f["why"]) for f in found.json["findings"]}
    assert found.code == 1
    assert told["channel slack: #incidents"][0] == told["channel statuspage: api"][0] == "no"
    assert "invalid_auth; it needs" in told["channel slack: #incidents"][1]
    assert "scope chat:write" in told["channel slack: #incidents"][1]
    assert told["channel github: bookstrack/api"] == (
        "yes",
        "the issues of bookstrack/api can be read; whether one can be opened only an incident shows",
    )
