"""Durations and numbers with a unit are read exactly, or refused with the form that would be right."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notaus.config.problems import Misread
from notaus.config.quantities import (
    SECONDS,
    Quantity,
    count_per,
    decimal,
    duration,
    quantity,
    span,
    statuses,
    whole_seconds,
)


@given(st.integers(0, 10**8))
def test_a_span_reads_back_as_the_same_seconds(seconds: int) -> None:
    """Messages would name durations that mean something else when copied into a file."""
    assert whole_seconds(span(seconds)) == seconds


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(sorted(SECONDS))), min_size=1, max_size=4))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    """`1h30m` read as an hour would hold a rule for the wrong time."""
    written = "".join(f"{count}{unit}" for count, unit in parts)
    assert duration(written) == sum((count * SECONDS[unit] for count, unit in parts), Fraction(0))


@given(st.text(max_size=12))
def test_any_other_text_is_refused_with_advice(text: str) -> None:
    """A text that crashes the parser would take the daemon down at a reload."""
    assert _advice(duration, text)


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["%", "ms", "s", "/min", "/hour", ""]))
def test_a_number_with_a_unit_is_exact(number: object, unit: str) -> None:
    """0.1 % as the nearest binary fraction would fire at equality."""
    assert quantity(f"{number}{unit}") == Quantity(Fraction(str(number)), unit)


@given(st.text(max_size=12))
def test_any_other_text_is_no_quantity(text: str) -> None:
    """As for durations."""
    assert _advice(quantity, text)


def _advice(parse: Callable[[str], object], text: str) -> bool:
    """Whether `text` can be read, or is refused with a form that would be right."""
    try:
        return parse(text) is not None
    except Misread as error:
        return bool(error.wrong and error.right)


@given(st.fractions(-(10**6), 10**6, max_denominator=1000))
def test_a_decimal_means_the_same_number(number: Fraction) -> None:
    """A message that names a rounded bound misleads whoever mends it."""
    assert Fraction(decimal(number)) == number


@pytest.mark.parametrize(
    ("text", "pair"), [("4 per hour", (4, 3600)), ("300 per 5m", (300, 300)), ("2/30m", (2, 1800))]
)
def test_a_limit_is_a_count_in_a_time(text: str, pair: tuple[int, int]) -> None:
    """A limit read wrongly lets automation act too often, or never."""
    assert count_per(text) == pair


@pytest.mark.parametrize(
    ("text", "pair"), [("5xx", (500, 599)), ("500-599", (500, 599)), ("408", (408, 408)), ("400 - 404", (400, 404))]
)
def test_statuses_are_inclusive_ranges(text: str, pair: tuple[int, int]) -> None:
    """A status left out is an error not counted."""
    assert statuses(text) == pair


@pytest.mark.parametrize("text", ["600", "5x", "504-500", "", "4"])
def test_other_statuses_are_refused(text: str) -> None:
    """They would count nothing."""
    with pytest.raises(Misread):
        statuses(text)
