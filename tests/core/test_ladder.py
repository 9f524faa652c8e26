"""The ladder: places form a total order, and steps only go up it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notaus.core.ladder import Ladder, Rung, unordered_field
from tests.builders import a_deployment_ladder, a_kv_ladder, a_rung

LADDER = a_kv_ladder()
NAMES = [rung.name for rung in LADDER.rungs]
VALUES = st.fixed_dictionaries({"canary_percent": st.integers(0, 100), "emergency_proxy": st.booleans()})


def test_rungs_stand_in_their_order() -> None:
    """A safer rung taken for a less safe one: automation would move down."""
    places = [LADDER.place_of(name) for name in NAMES]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    assert [LADDER.rung_at(place).name for place in places] == NAMES  # type: ignore[union-attr]
    assert LADDER.safest.name == "emergency"
    assert (LADDER.index("disabled"), LADDER.has("disabled"), LADDER.has("nowhere")) == (2, True, False)


@given(VALUES, VALUES)
def test_values_are_ranked_by_emergency_proxy_first_and_then_by_percentage(
    one: dict[str, object], other: dict[str, object]
) -> None:
    """Spec 5: a total order. `emergency_proxy` with 10 % is safer than 0 % without it."""
    places = LADDER.place(one), LADDER.place(other)
    assert places[0] is not None
    assert places[1] is not None
    wanted = [(v["emergency_proxy"], -int(v["canary_percent"])) for v in (one, other)]  # type: ignore[call-overload]
    assert (places[0] > places[1]) == (wanted[0] > wanted[1])
    assert (places[0] == places[1]) == (wanted[0] == wanted[1])


@given(VALUES, st.sampled_from([*NAMES, None]))
def test_the_next_safer_rung_is_the_nearest_above_and_within_the_limit(
    value: dict[str, object], limit: str | None
) -> None:
    """A step down, past the limit, or over a rung that would have done."""
    place = LADDER.place(value)
    assert place is not None
    found = LADDER.next_safer(place, limit)
    safer = [name for name in NAMES if LADDER.place_of(name) > place]
    allowed = [] if limit is None else NAMES[: NAMES.index(limit) + 1]
    wanted = [name for name in safer if name in allowed]
    assert (found.name if found else None) == (wanted[0] if wanted else None)


@pytest.mark.parametrize(
    ("percent", "rung", "limit"),
    [(8, "reduced", "disabled"), (3, "disabled", "disabled"), (0, None, "disabled"), (0, "emergency", "emergency")],
)
def test_between_rungs_the_next_is_what_the_spec_says(percent: int, rung: str | None, limit: str) -> None:
    """Spec 5: from 8 % set by hand, `reduced` is 5 %; at 3 %, `then: reduced` takes `disabled`."""
    place = LADDER.place({"canary_percent": percent, "emergency_proxy": False})
    assert place is not None
    found = LADDER.next_safer(place, limit)
    assert (found.name if found else None) == rung
    if percent in (8, 3):
        assert LADDER.rung_at(place) is None


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"canary_percent": 5},
        {"emergency_proxy": True},
        {"canary_percent": "5", "emergency_proxy": False},
        {"canary_percent": True, "emergency_proxy": False},
        {"canary_percent": 5, "emergency_proxy": 0},
        {"canary_percent": None, "emergency_proxy": False},
        {"canary_percent": [5], "emergency_proxy": False},
        {"canary_percent": 10**400, "emergency_proxy": False},
        {"canary_percent": float("nan"), "emergency_proxy": False},
        {"canary_percent": float("-inf"), "emergency_proxy": False},
    ],
)
def test_a_value_that_cannot_be_ranked_has_no_place(value: dict[str, object]) -> None:
    """`true` taken for 1 %, or a missing field for 0: a step decided on a value nobody understands."""
    assert LADDER.place(value) is None


def test_words_are_ranked_by_the_ladder_and_numbers_by_its_direction() -> None:
    """A field that grows toward safety read as one that shrinks."""
    rungs = (
        Rung("low", {"mode": "open", "delay": 0, "strict": False}),
        Rung("mid", {"mode": "open", "delay": 2.5, "strict": False}),
        Rung("high", {"mode": "shut", "delay": 10, "strict": True}),
    )
    ladder = Ladder(LADDER.lever, rungs)
    assert ladder.ranked_fields == ("strict", "delay", "mode")
    assert ladder.place({"mode": "shut", "delay": 3, "strict": False}) == (0.0, 3.0, 2.0)
    assert ladder.place({"mode": "ajar", "delay": 3, "strict": False}) is None
    assert ladder.place({"mode": 1, "delay": 3, "strict": False}) is None
    assert unordered_field(rungs) is None


def test_a_deployment_ladder_is_ranked_by_position() -> None:
    """Rungs without fields have nothing else to be ranked by."""
    ladder = a_deployment_ladder()
    assert ladder.place_of("normal") < ladder.place_of("rolled_back")
    assert ladder.next_safer((0.0,), "rolled_back") == ladder.rungs[1]


@pytest.mark.parametrize(
    ("rungs", "field"),
    [
        ((a_rung("a", 10), a_rung("b", 5), a_rung("c", 0, proxy=True)), None),
        ((a_rung("a", 10), a_rung("b", 0), a_rung("c", 5)), "canary_percent"),
        ((a_rung("a", 10), a_rung("b", 5, proxy=True), a_rung("c", 0)), "emergency_proxy"),
        ((a_rung("a", 10), Rung("b", {"canary_percent": 5})), "emergency_proxy"),
        ((Rung("a", {"m": "x"}), Rung("b", {"m": "y"}), Rung("c", {"m": "x"})), "m"),
        ((Rung("a", {"m": "x"}), Rung("b", {"m": "x"}), Rung("c", {"m": "y"})), None),
        ((Rung("a", {"n": 0}), Rung("b", {"n": 2})), None),
        ((Rung("a"), Rung("b")), None),
    ],
)
def test_a_field_that_moves_both_ways_is_named(rungs: tuple[Rung, ...], field: str | None) -> None:
    """Spec 5: each field moves one way down the ladder, else a load error."""
    assert unordered_field(rungs) == field
