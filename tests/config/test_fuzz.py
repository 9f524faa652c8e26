"""No change to a file, however senseless, ends in anything but a configuration or its problems."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notaus.config import InvalidConfiguration, load_service_text
from notaus.config.document import parse
from notaus.config.environment import Filler
from notaus.config.problems import Report
from notaus.config.settings import read_settings

from .texts import BOOKS, DAEMON, ENVIRON, PIX, SECRET

WORDS = "${X} ${PIX_DATABASE_URL} null true no 5 1e999 -1 5m 3:00 *a --- native rules: 0x .inf normal emergency https://[ $x of"
FRAGMENTS = (
    *"{}[]:,#'\"&*!|>%@`-?$\n\t 0é\x00\u2028",
    *WORDS.split(),
    "> 3%",
    "&a ",
    "<<: ",
    "!!int ",
    "- ",
    "  ",
    "9" * 30,
)


def mutated(text: str, random: random.Random) -> str:
    """`text` after one to four senseless edits."""
    for _ in range(random.randint(1, 4)):
        at, length = random.randrange(len(text)), random.choice((0, 0, 1, 1, 2, 5, 20, 200))
        match random.randrange(4):
            case 0:
                text = text[:at] + text[at + length :]
            case 1:
                text = text[:at] + random.choice(FRAGMENTS) + text[at:]
            case 2:
                text = text[:at] + random.choice(FRAGMENTS) + text[at + length :]
            case _:
                other = random.randrange(len(text))
                text = text[:at] + text[other : other + length] + text[at:]
        text = text or "x"
    return text


def outcome(text: str) -> str:
    """The name of the service in `text`, or what is wrong with it."""
    try:
        return load_service_text(text, "service.yaml", ENVIRON).service.name
    except InvalidConfiguration as error:
        return str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.sampled_from([PIX, BOOKS]))
def test_a_senseless_service_file_is_a_service_or_its_problems(chance: random.Random, text: str) -> None:
    """A reload with a broken file must leave the daemon running."""
    told = outcome(mutated(text, chance))
    assert told
    assert SECRET not in told


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_a_senseless_daemon_file_is_settings_or_its_problems(chance: random.Random) -> None:
    """As for service files."""
    report = Report()
    root = parse(mutated(DAEMON, chance), "notaus.yaml", report)
    if root is not None:
        read_settings(Filler(ENVIRON, report).fill(root), report, lenient=False)
    assert SECRET not in "\n".join(map(str, report.problems))


@pytest.mark.parametrize("text", [PIX, BOOKS])
def test_every_line_left_out_is_a_service_or_its_problems(text: str) -> None:
    """The commonest accident of an editor."""
    lines = text.splitlines(keepends=True)
    for i in range(len(lines)):
        assert outcome("".join(lines[:i] + lines[i + 1 :]))
