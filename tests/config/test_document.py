"""Documents are YAML 1.2, and every value knows where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notaus.config.document import MAX_DEPTH, List, Scalar, Table, parse, plain
from notaus.config.problems import Report


def parsed(text: str) -> object:
    report = Report()
    node = parse(text, "a.yaml", report)
    assert not report.problems
    assert node is not None
    return plain(node)


@pytest.mark.parametrize(
    "word", ["no", "No", "on", "off", "yes", "y", "3:00", "1:30:00", "1_000", "2026-11-23", "0x1F", "<<"]
)
def test_words_that_yaml_1_1_reads_otherwise_stay_words(word: str) -> None:
    """`mode: no` would be false, and `for: 3:00` the number 180."""
    assert parsed(f"key: {word}") == {"key": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("5", 5),
        ("-3", -3),
        ("1.5", 1.5),
        ("010", 10),
        ("~", None),
        ('"5"', "5"),
        ("'true'", "true"),
        ("!!str 5", "5"),
    ],
)
def test_plain_values_have_their_type_and_quoted_ones_are_text(text: str, value: object) -> None:
    """`tag: "5"` is not the number five."""
    found = parsed(f"key: {text}")
    assert found == {"key": value}
    assert type(found["key"]) is type(value)  # type: ignore[index]


def test_every_value_knows_its_line_column_and_key() -> None:
    """Messages would point elsewhere."""
    root = parse("a: 1\nb:\n  - x\n  - {c: y}\n", "a.yaml", Report())
    assert isinstance(root, Table)
    inner = root.get("b")
    assert isinstance(inner, List)
    second = inner.items[1]
    assert isinstance(second, Table)
    value = second.get("c")
    assert isinstance(value, Scalar)
    assert (value.where.file, value.where.line, value.where.column, value.where.field) == ("a.yaml", 4, 9, "b[1].c")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5),
        "[" * 800,
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]",
    ],
)
def test_documents_without_an_end_are_refused(text: str) -> None:
    """A reload would hang the daemon, or eat its memory."""
    report = Report()
    assert parse(text, "a.yaml", report) is None
    assert report.problems


@given(st.text(alphabet=st.sampled_from("ab:-[]{}#'\"\n \t&*!|>%@`?,0.~$\x00é\ufeff"), max_size=40))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    """A broken file at a reload must be told, not end the daemon."""
    parse(text, "a.yaml", Report())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (">-\n  SELECT 1\n  FROM a\n", "SELECT 1 FROM a"),
        (">\n  a\n  b\n\n  c\n", "a b\nc\n"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ('"a\n  b"\n', "a b"),
        ('"a\\ab"\n', "a\ab"),
    ],
)
def test_text_over_several_lines_is_what_yaml_makes_of_it(text: str, value: str) -> None:
    """The parser's marks would stand in a folded query, and no database would understand it."""
    assert parsed(f"key: {text}") == {"key": value}
