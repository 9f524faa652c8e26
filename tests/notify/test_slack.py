"""Slack: blocks within Block Kit's limits, and words that survive Slack's markup."""

from __future__ import annotations

from typing import Any

from notaus.core.page import Status
from notaus.notify.slack import escaped, payload

from .messages import COMMAND, a_message


def texts(made: dict[str, Any]) -> list[str]:
    return [block["text"]["text"] for block in made["blocks"] if "text" in block]


def test_the_first_line_says_whether_to_get_up() -> None:
    """At 3 a.m. the preview on the phone is all that is read."""
    made = payload(a_message())
    assert made["text"] == "CRITICAL · pix-immo: NOT-AUS: all traffic to proxy"
    assert made["blocks"][0]["text"] == {
        "type": "plain_text",
        "text": "CRITICAL · pix-immo: NOT-AUS: all traffic to proxy",
        "emoji": False,
    }


def test_values_commands_links_and_the_incident_are_all_there() -> None:
    """The reader would have to go and look for what we know."""
    made = payload(a_message(), "https://notaus.example/incidents/7?a&b")
    body = "\n".join(texts(made)[1:])
    assert "*Rule:* native.error_rate &gt; 3% for 3m" in body
    assert f"*Command:*\n```{COMMAND}```" in body
    assert "*Dashboard:* <https://dash.example/pix>" in body
    footer = made["blocks"][-1]["elements"][0]["text"]
    assert footer.startswith("incident 7 · message 1 · 2026-11-23 01:20:00 UTC · notaus")
    assert "<https://notaus.example/incidents/7?a&amp;b|open in notaus>" in footer


def test_a_message_cannot_call_everybody_or_forge_a_link() -> None:
    """A title from an error text could wake the whole company, or lead it astray."""
    made = payload(
        a_message(title="<!channel> & <https://evil.example|ok>", lines=("<!here>",), facts={"<b>": "<@U1>"})
    )
    flat = made["text"] + "".join(texts(made)[1:])
    assert not any(forged in flat for forged in ("<!", "<@", "<https", "<b>"))
    assert all(block["text"]["verbatim"] for block in made["blocks"] if block["type"] == "section")


def test_a_command_cannot_break_out_of_its_block() -> None:
    """Half of a command would be copied."""
    body = "\n".join(texts(payload(a_message(facts={"command": "a ``` b"}))))
    assert body.count("```") == 2


def test_an_approval_request_says_how_to_answer() -> None:
    """The request would expire unanswered."""
    asked = texts(payload(a_message(request="r9")))[1]
    assert "To answer: notaus approve r9 · notaus deny r9" in asked
    said = payload(a_message(request="r9", lines=("Run `notaus approve r9`.",)))
    assert "To answer" not in "".join(texts(said))


def test_updates_and_the_end_are_told_from_a_new_page() -> None:
    """The incident that is over would read like one that has begun."""
    assert payload(a_message(status=Status.UPDATE, loud=False))["text"].startswith("UPDATE · ")
    assert payload(a_message(status=Status.UPDATE, loud=True))["text"].startswith("CRITICAL · ")
    assert payload(a_message(status=Status.RESOLVED))["text"].startswith("RESOLVED · ")


def test_the_largest_message_stays_within_the_limits() -> None:
    """Slack refuses the whole message for one block too many or one character too long."""
    long = "<&>" * 5_000
    message = a_message(
        title=long,
        lines=(long,) * 100,
        facts={f"{n} {long}": long for n in range(100)} | {"command": long},
        service="s" * 500,
    )
    made = payload(message, "https://notaus.example/" + "x" * 500)
    assert len(made["blocks"]) <= 50
    assert len(made["text"]) <= 40_000
    assert 0 < len(texts(made)[0]) <= 150
    assert all(0 < len(text) <= 3000 for text in texts(made)[1:])
    assert "the rest is in" in texts(made)[-1]


def test_many_lines_are_spread_over_sections_and_none_is_lost() -> None:
    """Slack refuses a section of more than 3000 characters, and with it the page."""
    lines = tuple(f"{n:02d} " + "x" * 500 for n in range(20))
    sections = texts(payload(a_message(lines=lines, facts={})))[1:]
    assert all(len(text) <= 3000 for text in sections)
    assert "\n".join(sections) == "\n".join(lines)


def test_a_message_without_lines_or_facts_is_still_one() -> None:
    """Slack refuses an empty section."""
    made = payload(a_message(lines=(), facts={}))
    assert [block["type"] for block in made["blocks"]] == ["header", "context"]


def test_escaping_never_cuts_an_entity_in_two() -> None:
    """The reader would see `&am`."""
    for limit in range(5, 40):
        made = escaped("&<>" * 20, limit)
        assert len(made) <= limit
        assert made.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "") == "…"
