"""The split of the traffic: chance and sticky visitors are no mismatch, a wrong split is told, and nothing is done."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest

from notaus.core.event import SetRung
from notaus.core.page import Message, Status
from notaus.core.sample import rate
from notaus.core.split import HOUR, VISITOR, Bounds
from tests.builders import STEP, Situation, a_service, a_situation

WINDOW = 60


def told(situation: Situation) -> list[Message]:
    return [m for m in situation.said if "split" in m.thread]


def run(situation: Situation, seconds: int, share: float, requests: int = 1000) -> None:
    """`seconds` in which `share` of `requests` a minute go to native."""
    for _ in range(seconds // STEP):
        situation.at += STEP
        poll = situation.poll({})
        at = situation.at - situation.service.signals["native.share"].settle
        readings = {**poll.readings, "native.share": (rate(at, Fraction(str(share)) * requests, requests),)}
        situation.take(replace(poll, readings=readings))


def at_rung(rung: str) -> Situation:
    return a_situation(a_service(), rung=rung)


def test_a_wrong_split_is_told_once_with_its_numbers_and_nothing_is_done() -> None:
    """Half the visitors in the wrong cohort, and the comparison of the cohorts means nothing: nobody would notice."""
    situation = at_rung("normal")
    run(situation, 2 * HOUR, 0.13)
    (message,) = [m for m in told(situation) if m.loud]
    assert "native.share is 12.5 %, 10 % would be right" in message.title  # the hour has twelve minutes of before
    assert "of 60,000 requests" in message.lines[0]
    assert situation.pulled == []
    run(situation, 2 * HOUR, 0.10)
    assert told(situation)[-1].status is Status.RESOLVED


def test_nothing_is_said_before_an_hour_has_passed_since_the_key_changed() -> None:
    """The hour would hold two splits, and fit neither."""
    situation = at_rung("normal")
    situation.take(SetRung(situation.at, "ann", "reduced"))
    run(situation, HOUR, 0.2)
    assert told(situation) == []
    run(situation, 600, 0.2)
    assert len(told(situation)) == 1


@pytest.mark.parametrize(
    ("before", "after", "share", "wrong"),
    [
        ("normal", "reduced", 0.10, False),  # everybody who came before is still there
        ("normal", "reduced", 0.07, False),
        ("normal", "reduced", 0.13, True),
        ("normal", "reduced", 0.01, True),
        ("normal", "disabled", 0.08, False),  # they wind down
        ("reduced", "normal", 0.05, False),  # only the new ones are rolled
        ("reduced", "normal", 0.02, True),
        ("normal", "emergency", 0.05, True),  # it overrides the cookie
        ("normal", "emergency", 0.005, False),
        ("emergency", "normal", 0.05, False),
    ],
)
def test_visitors_keep_the_cohort_they_were_given(before: str, after: str, share: float, wrong: bool) -> None:
    """After every step down the old visitors would be taken for a fault, or in an emergency be taken for right."""
    situation = at_rung(before)
    run(situation, 600, {"normal": 0.1, "reduced": 0.05, "disabled": 0.0, "emergency": 0.0}[before])
    situation.take(SetRung(situation.at, "ann", after))
    run(situation, HOUR + 600, share)
    assert bool(told(situation)) is wrong


def test_after_the_life_of_a_cookie_only_the_present_split_is_right() -> None:
    """A split that stays at what was is no stickiness any more."""
    service = a_service()
    ladder = replace(service.ladder, share=replace(service.ladder.share, sticky=2 * HOUR))  # type: ignore[type-var]
    situation = a_situation(replace(service, ladder=ladder), rung="normal")
    run(situation, 600, 0.1)
    situation.take(SetRung(situation.at, "ann", "reduced"))
    run(situation, 2 * HOUR - 300, 0.1)
    assert told(situation) == []
    run(situation, HOUR, 0.1)
    assert len([m for m in told(situation) if m.loud]) == 1


def test_a_step_ends_what_was_told_of_the_split_before() -> None:
    """People would look for a mismatch that is over."""
    situation = at_rung("normal")
    run(situation, HOUR + 600, 0.2)
    situation.take(SetRung(situation.at, "ann", "reduced"))
    run(situation, 60, 0.2)
    assert told(situation)[-1].status is Status.RESOLVED


def test_few_requests_say_nothing() -> None:
    """Ten visitors of whom three are native are no mismatch."""
    situation = at_rung("normal")
    run(situation, HOUR, 0.1, requests=50)
    run(situation, 2 * HOUR, 0.3, requests=50)
    assert told(situation) == []


def an_hour(random: random.Random, requests: int, share: float) -> tuple[int, int]:
    """Requests of native and of all in an hour: visitors come with 1 to 39 requests each, and all of them go one way."""
    native = among = 0
    while among < requests * 60:
        own = random.randint(1, 2 * VISITOR - 1)
        among += own
        native += own if random.random() < share else 0
    return native, among


@pytest.mark.parametrize("requests", [1000, 10000])
def test_chance_is_not_told_and_thirteen_for_ten_is(requests: int) -> None:
    """Visitors with many requests each would look like a mismatch every day, or a wrong split like chance."""
    lot, right = random.Random(7), Bounds(Fraction(1, 10), Fraction(1, 10))
    hours = 300 if requests == 1000 else 25
    counted: Counter[tuple[float, bool]] = Counter()
    for share in (0.10, 0.13):
        for _ in range(hours if share == 0.10 else (40 if requests == 1000 else 8)):
            native, among = an_hour(lot, requests, share)
            counted[share, right.hold(Fraction(native, among), Fraction(among))] += 1
    assert counted[0.10, False] == 0
    assert counted[0.13, False] >= (30 if requests == 1000 else 8)
