"""The words of a message."""

from __future__ import annotations

import pytest

from notaus.core.page import Kind, Status
from notaus.core.rule import Severity
from notaus.notify.text import cut, headline, is_command, plain, word

from .messages import a_message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "CRITICAL"),
        ({"severity": Severity.WARNING}, "WARNING"),
        ({"kind": Kind.NOTICE, "severity": Severity.WARNING}, "NOTICE"),
        ({"kind": Kind.NOTICE}, "CRITICAL NOTICE"),
        ({"status": Status.UPDATE, "loud": False}, "UPDATE"),
        ({"status": Status.UPDATE}, "CRITICAL"),
        ({"status": Status.RESOLVED}, "RESOLVED"),
    ],
)
def test_one_word_says_how_bad_it_is(changes: dict[str, object], expected: str) -> None:
    """People would learn to ignore the first word."""
    assert word(a_message(**changes)) == expected


def test_the_headline_is_one_line_and_names_the_service_once() -> None:
    """A line break would hide the rest of the title in every channel."""
    assert headline(a_message(title="two\nlines")) == "CRITICAL · pix-immo: two lines"
    assert headline(a_message(title="pix-immo back to normal")) == "CRITICAL · pix-immo back to normal"


def test_the_plain_text_has_everything_in_the_order_of_the_runbooks() -> None:
    """Channels without markup would show less than the others."""
    told = plain(a_message())
    places = [
        told.index(part) for part in ("CRITICAL", "above 3%", "Rule: ", "Values: native", "Command: npx", "incident 7")
    ]
    assert places == sorted(places)


def test_a_cut_text_says_that_it_was_cut() -> None:
    """Half a sentence would be taken for a whole one."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"


def test_a_recovery_command_is_shown_as_something_to_be_typed() -> None:
    """A channel would wrap it or make its quotes curly, and it would do something else when pasted."""
    assert is_command("recovery: restore from R2", "npx wrangler r2 object get x")
    assert not is_command("values", "native.error_rate 4 %")
