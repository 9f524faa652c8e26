"""What goes into the journal comes out equal, whatever its type; what is not of its type does not come out at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notaus.core import effect, event, ladder, page, rule, sample, service, signal, verification, world
from notaus.core.effect import Effect, LeverResult, Outcome, PullLever, WriteKv
from notaus.core.event import Event, LeverEnded, Polled, Started
from notaus.core.sample import History, Sample
from notaus.errors import JournalFailed
from notaus.journal.codec import decode, encode

CORE = (effect, event, ladder, page, rule, sample, service, signal, verification, world)

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5
)
# Fields declared as `object` hold JSON.
st.register_type_strategy(object, _json)


class Colour(Enum):
    RED = 1
    BLUE = "b"


class Word(StrEnum):
    A = "a"


class Old(str, Enum):  # noqa: UP042 - the older spelling must work as well
    A = "a"


@dataclass(frozen=True, slots=True)
class Leaf:
    n: int


@dataclass(frozen=True, slots=True)
class Branch:
    left: Tree
    right: Tree | None = None


Tree = Leaf | Branch


@dataclass(frozen=True, slots=True)
class Everything:
    """One field for each shape that a state may have."""

    exact: Fraction
    maybe_exact: Fraction | None
    scalar: bool | int | float | str | None
    colours: frozenset[Colour]
    by_time: Mapping[int, Leaf]
    by_word: Mapping[Word, tuple[Leaf | Branch, ...]]
    by_pair: Mapping[tuple[str, int], Fraction]
    nested: Mapping[str, Mapping[int, frozenset[str]]]
    pair: tuple[str, float]
    one_or_word: Leaf | str
    anything: object
    words: list[str]
    trees: tuple[Tree | None, ...] = ()
    old: Old = Old.A
    flag: bool = False


def _through_json(value: object) -> Any:
    return json.loads(json.dumps(encode(value)))


def _dataclasses(module: ModuleType) -> list[type]:
    return [v for v in vars(module).values() if dataclasses.is_dataclass(v) and v.__module__ == module.__name__]


def _same(one: Any, other: Any) -> bool:
    """Equal, and of the same types throughout: True is not 1, and 5.0 is not 5."""
    if isinstance(one, dict) and isinstance(other, Mapping):
        return list(one) == list(other) and all(_same(v, other[k]) for k, v in one.items())
    if type(one) is not type(other):
        return False
    if dataclasses.is_dataclass(one):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other or (one != one and other != other)  # not-a-number is not equal to itself


@pytest.mark.parametrize("kind", [k for m in CORE for k in _dataclasses(m)] + [Everything], ids=lambda k: k.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_of_the_core_comes_back_equal_and_of_the_same_types(kind: type, data: st.DataObject) -> None:
    """A restart would go on from a state that is not the one written down."""
    value = data.draw(st.from_type(kind))
    assert _same(decode(kind, _through_json(value)), value)


@pytest.mark.parametrize("union", [Event, Effect, world.World, Tree], ids=["Event", "Effect", "World", "Tree"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_member_of_a_union_comes_back_as_itself(union: Any, data: st.DataObject) -> None:
    """Two classes with the same fields (Hold and Release, say) would be taken for each other."""
    value = data.draw(st.from_type(union))
    assert _same(decode(union, _through_json(value)), value)


def test_collections_at_the_top_keep_the_class_of_their_members() -> None:
    """An outbox kept as a list of effects could not be read back."""
    effects = (PullLever("a", "s", WriteKv("reduced"), 15), PullLever("b", "s", WriteKv("emergency", blind=True), 30))
    assert decode(tuple[Effect, ...], _through_json(effects)) == effects
    assert decode(Mapping[int, Effect], _through_json({15: effects[0]})) == {15: effects[0]}


def test_the_form_is_plain_enough_to_read_by_hand() -> None:
    """Journals of earlier releases hold this form: a change of it needs a migration."""
    polled = Polled(15, 16, {"a": (Sample(15, Fraction(1, 3), Fraction(1), Fraction(3)),)}, problems={"b": "silent"})
    assert encode(polled) == {
        "is": "Polled",
        "tick": 15,
        "now": 16,
        "readings": {"a": [{"at": 15, "value": "1/3", "of": 1, "among": 3, "effective": None}]},
        "world": None,
        "problems": {"b": "silent"},
    }
    assert encode(History({"a": {15: Sample(15)}}))["series"]["a"].keys() == {"15"}
    assert encode(frozenset({Colour.RED, Colour.BLUE})) == ["b", 1]
    assert _through_json(world.Deployment("d", 1, (("v", 50.0),)))["versions"] == [["v", 50.0]]


def test_equal_sets_are_written_alike() -> None:
    """The same state would have two forms, and a digest of a simulation would differ from run to run."""
    forward, backward = frozenset(map(str, range(100))), frozenset(map(str, reversed(range(100))))
    assert encode(forward) == encode(backward) == sorted(map(str, range(100)))


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (Sample, {"at": "15"}, "expected int, found '15' @ $.at"),
        (Sample, {"at": True}, "expected int, found True @ $.at"),
        (Sample, {"at": 15, "value": 0.1}, 'expected an integer or "n/d", found 0.1 @ $.value'),
        (Sample, {"at": 15, "value": "nan"}, "found 'nan'"),
        (Sample, {"at": 15, "value": "1/0"}, "found '1/0'"),
        (Sample, {}, "at"),
        (Sample, {"is": "Rule", "at": 15}, "it is a Rule"),
        (Sample, 5, "Sample"),
        (Event, {"is": "Startled", "now": 1}, "found 'Startled'"),
        (Event, {"now": 1, "config": "x"}, "found None"),
        (Event, None, "found None"),
        (Started, {"now": 1, "config": None}, "expected str, found None"),
        (page.Kind, "letter", "'letter' is not a valid Kind"),
        (world.Deployment, {"id": "a", "created": 1, "versions": [["v"]]}, "expected 2 members, found 1"),
        (History, {"series": {"a": {"noon": {"at": 1}}}}, "noon"),
        (History, {"series": [1]}, "History"),
        (tuple[int, ...], "123", "expected a list"),
    ],
)
def test_what_is_not_of_the_type_is_refused_and_the_place_named(kind: Any, data: Any, said: str) -> None:
    """A damaged or foreign state would be acted upon, or die with a traceback nobody can read."""
    with pytest.raises(JournalFailed) as refusal:
        decode(kind, data)
    assert said in str(refusal.value)


def test_a_state_outlives_a_release_that_adds_or_drops_a_field() -> None:
    """An upgrade of the daemon would find its own state unreadable."""
    assert decode(Sample, {"at": 15, "colour": "red"}) == Sample(15)


def test_a_union_that_json_cannot_tell_apart_is_refused_by_name() -> None:
    """A field of such a type would come back as the wrong one."""

    @dataclass(frozen=True)
    class Ambiguous:
        value: Fraction | str

    with pytest.raises(TypeError, match="cannot be told apart"):
        encode(Ambiguous("1/3"))


def test_what_others_keep_in_the_steering_key_comes_out_of_the_journal() -> None:
    """An incident of a key with somebody's list in it could have no document, and the row could never be read again."""
    theirs = {"canary_percent": 5, "beta": [1, 2, {"x": None}]}
    ended = LeverEnded(7, "pix/1-pull", LeverResult(Outcome.DONE, "written", theirs, {**theirs, "canary_percent": 0}))
    assert decode(LeverEnded, json.loads(json.dumps(encode(ended)))) == ended
