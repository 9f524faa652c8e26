"""Healthy noise against thresholds: what chance alone would do to a rule at the traffic that there is."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from notaus.core.baseline import Baseline, healthy
from notaus.core.noise import crossings, noise
from notaus.core.rule import INVESTIGATE, Operator
from notaus.core.sample import rate
from tests.config.texts import PIX as TEXT
from tests.config.texts import loaded

PIX = loaded(TEXT).service
HIGH = PIX.rule("native errors high")
SLOWER = PIX.rule("native far slower")


def usual(share: float, requests: int) -> dict[str, Baseline]:
    """A day of so many requests a minute that fail independently."""
    return {"native.error_rate": healthy(share, requests, 1440, 0)}


def test_a_busy_service_is_not_bothered() -> None:
    """A table that warns of every rule is read by nobody."""
    found = noise(HIGH, PIX, usual(0.003, 1000), {})
    assert found is not None
    assert not found.bothers
    assert "practically never" in found.text


def test_little_traffic_crosses_a_threshold_by_chance() -> None:
    """One failure of thirty is 3.3 %: the rule would send notices for ever, and nobody would know why."""
    found = noise(HIGH, PIX, usual(0.01, 30), {})
    assert found is not None
    assert found.bothers
    assert "at 30 counted requests a minute with the usual 1 %" in found.text
    assert "the evidence gate makes that notices" in found.text
    assert "`for: 10m`" in found.right
    assert "a bound of " in found.right


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"false_actions": None}, "take the step to emergency"), ({"then": INVESTIGATE}, "tell people")],
)
def test_without_the_gate_it_would_act(changes: dict[str, Any], words: str) -> None:
    """`false_actions: any` takes the step each time, and `investigate` has no gate at all."""
    found = noise(replace(HIGH, **changes), PIX, usual(0.01, 30), {})
    assert found is not None
    assert f"each time it would {words}" in found.text


def test_what_is_advised_would_be_left_alone() -> None:
    """Advice that does not help sends people in a circle."""
    (comparison,) = HIGH.when
    base = usual(0.01, 30)["native.error_rate"]
    assert crossings(comparison, base, 60, 180) > 12 > crossings(comparison, base, 60, 600)


def test_the_estimate_is_of_the_size_that_a_simulation_finds() -> None:
    """A formula that nobody compared with anything: `about twice a week` could be twice an hour."""
    chance, days, n, p = random.Random(7), 60, 32, 0.01
    quarters = [0, 0, 0, 0]  # trailing windows of a minute, every 15 seconds
    run = held = 0
    for step in range(days * 5760):
        quarters[step % 4] = sum(chance.random() < p for _ in range(n // 4))
        run = run + 1 if sum(quarters) * 100 > 3 * n else 0
        held += run == 13  # true from s to s + 180
    (comparison,) = HIGH.when
    estimate = crossings(comparison, usual(p, n)["native.error_rate"], 60, 180)
    assert estimate / 2 < held * 365.25 / days < estimate * 2


def test_bursts_make_chance_more_frequent() -> None:
    """Retries come in bursts; counted as independent, a threshold would look safe that is crossed each week."""
    even, bursts = Baseline(), Baseline()
    for minute in range(2880):
        even = even.learned(rate(minute * 60, 3, 300))
        bursts = bursts.learned(rate(minute * 60, 30 if minute % 10 == 0 else 0, 300))
    (comparison,) = HIGH.when
    assert crossings(comparison, bursts, 60, 180) > 100 * crossings(comparison, even, 60, 180)


def test_too_few_hits_are_too_many_misses() -> None:
    """A rule that looks downward would be judged by the wrong tail."""
    (comparison,) = HIGH.when
    below = replace(comparison, op=Operator.BELOW, bound=replace(comparison.bound, constant=Fraction(97, 100)))
    mirrored = usual(0.99, 30)["native.error_rate"]
    plain = usual(0.01, 30)["native.error_rate"]
    assert crossings(below, mirrored, 60, 180) == pytest.approx(crossings(comparison, plain, 60, 180), rel=1e-6)


def test_a_quantile_without_the_requests_it_needs_is_told() -> None:
    """It looks guarded, and the gate would refuse every hold of it."""
    few = {"native.latency_p90": 6.0, "proxy.latency_p90": 60.0}
    found = noise(SLOWER, PIX, {}, few)
    assert found is not None
    assert found.bothers
    assert "about 18 requests stand behind native.latency_p90 in a hold, 100 are needed: it could not act" in found.text
    enough = noise(SLOWER, PIX, {}, {"native.latency_p90": 60.0, "proxy.latency_p90": 600.0})
    assert enough is not None
    assert not enough.bothers


def test_without_history_nothing_is_said() -> None:
    """A figure from a hundred requests would be made up."""
    found = noise(HIGH, PIX, {"native.error_rate": healthy(0.01, 30, 10, 0)}, {})
    assert found is not None
    assert (found.per_year, found.bothers) == (None, False)
    assert found.text == "300 counted requests in a day are too few to tell"
    assert noise(PIX.rule("uploads failing"), PIX, {}, {}) is None


def test_nobody_is_there_to_be_counted() -> None:
    """A night without requests is no chance of anything; and what only tells needs no requests behind it."""
    (comparison,) = HIGH.when
    assert crossings(comparison, healthy(0.01, 0.2, 10_000, 0), 60, 180) == 0.0
    assert noise(PIX.rule("native slow"), PIX, {}, {"native.latency_p90": 1.0}) is None
    assert noise(SLOWER, PIX, {}, {}) is None


def test_where_neither_a_hold_nor_a_bound_helps_that_is_said() -> None:
    """Advice would be made up."""
    found = noise(replace(HIGH, hold=1800), PIX, usual(0.9, 30), {})
    assert found is not None
    assert found.right == "more traffic, or a wider `window`"
