"""Reading sqlglot's nodes for `sql`: what a node is called, its children in order, literals, intervals, types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlglot import exp

from .sql_functions import NUMBERS, UNSIGNED, Function

SECONDS_OF: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800}
MONTHS_OF: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
NAMES: Final[dict[type[exp.Expression], str]] = {  # how sqlglot calls what it knows by another name
    exp.Ln: "log", exp.Pow: "pow", exp.Abs: "abs", exp.Lower: "lower", exp.Upper: "upper", exp.Length: "length",
    exp.StartsWith: "startswith", exp.EndsWith: "endswith", exp.TimeToStr: "formatdatetime", exp.If: "if",
    exp.Round: "round", exp.Floor: "floor", exp.Ceil: "ceil", exp.Substring: "substring", exp.StrPosition: "position",
    exp.Format: "format", exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min", exp.Max: "max", exp.CountIf: "countif",
    exp.ArgMin: "argmin", exp.ArgMax: "argmax", exp.FirstValue: "first_value", exp.LastValue: "last_value",
    exp.DayOfWeekIso: "todayofweek",
}  # fmt: skip


class SqlRefused(Exception):
    """Analytics Engine would not run this query; the message says what it stumbles over."""


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of SQLite's SQL and its ClickHouse type."""

    sql: str
    type: str


def called_term(name: str, function: Function, terms: list[Term]) -> Term:
    kinds = function.kinds
    if not function.least <= len(terms) <= len(kinds):
        raise SqlRefused(f"{name} takes {function.least} to {len(kinds)} arguments, not {len(terms)}")
    for place, (kind, term) in enumerate(zip(kinds, terms, strict=False), 1):
        if kind != "*" and kind_of(term.type) != kind:
            wanted = {"n": "a number", "s": "text", "t": "a DateTime"}[kind]
            raise SqlRefused(f"{name}: argument {place} is a {term.type}, but {wanted} is needed")
    type = function.type([term.type for term in terms])
    if not type:
        raise SqlRefused(f"{name}: there is no common type of {', '.join(term.type for term in terms)}")
    if function.sql is None:
        return Term(f"ae_{name}({', '.join(term.sql for term in terms)})", type)
    return Term(function.sql.format(*(term.sql for term in terms), empty="''" if type == "String" else "0"), type)


def function_name_of(node: exp.Expression) -> str:
    return function_of(node)[0]


def function_of(node: exp.Expression) -> tuple[str, list[exp.Expression]]:
    """The lower-case name and the arguments of a call, ``("", [])`` where it is none."""
    if isinstance(node, exp.CombinedParameterizedAgg):
        return "", []
    if isinstance(node, exp.ParameterizedAgg):
        return str(node.this).lower(), [*node.expressions, *node.args["params"]]
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.CombinedAggFunc):
        return str(node.this).lower(), list(node.expressions)
    if isinstance(node, exp.TimestampTrunc):
        return f"tostartof{node.args['unit'].name.lower()}", [node.this]
    if type(node) not in NAMES:
        return "", []
    return NAMES[type(node)], children_of(node)


def children_of(node: exp.Expression) -> list[exp.Expression]:
    """The expressions directly below a node, in the order of its arguments."""
    if isinstance(node, exp.ParameterizedAgg | exp.Anonymous | exp.AnonymousAggFunc | exp.CombinedAggFunc):
        return function_of(node)[1]
    if isinstance(node, exp.If):
        return [value for name in ("this", "true", "false") if (value := node.args.get(name)) is not None]
    values: list[exp.Expression] = []
    for value in node.args.values():
        values += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, exp.Expression)]
    return values


def literal_term(node: exp.Literal) -> Term:
    if node.is_string:
        escaped = node.name.replace("'", "''")
        return Term(f"'{escaped}'", "String")
    if not node.name.isdigit():
        return Term(repr(float(node.name)), "Float64")
    value = int(node.name)
    return Term(str(value), next((name for name in UNSIGNED if value < 2 ** int(name[4:])), "UInt64"))


def is_text(node: exp.Expression) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def moment_term(text: str, zone: str) -> Term:
    """``'2026-11-23 01:10:00'`` as seconds since the epoch; no ISO form with T and Z, as in Analytics Engine."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", text):
        raise SqlRefused(f"cannot parse DateTime {text!r}: the form is 'YYYY-MM-DD hh:mm:ss'")
    try:
        then = datetime.fromisoformat(text).replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise SqlRefused(f"cannot parse DateTime {text!r}: {error}") from None
    return Term(str(int(then.timestamp())), "DateTime")


def interval_of(node: exp.Interval) -> tuple[int, str]:
    value, unit = node.this, node.args.get("unit")
    name = unit.name.upper().removesuffix("S") if unit is not None else ""
    if not isinstance(value, exp.Literal) or not value.name.isdigit() or name not in SECONDS_OF | MONTHS_OF:
        raise SqlRefused(f"{text_of(node)}: an interval is written INTERVAL '10' MINUTE")
    return int(value.name), name


def arithmetic_type(operator: str, a: str, b: str) -> str:
    if "Float64" in (a, b):
        return "Float64"
    if operator == "%":
        return b
    bits = min(64, 2 * max(int(name.lstrip("UInt")) for name in (a, b)))
    unsigned = operator != "-" and a in UNSIGNED and b in UNSIGNED
    return f"UInt{bits}" if unsigned else f"Int{bits}"


def negated_type(type: str, *, literal: bool) -> str:
    """The type of a minus sign before something of a type; a literal stays as small as it is."""
    if type == "Float64":
        return type
    bits = int(type.lstrip("UInt"))
    return f"Int{bits if literal else min(64, 2 * bits)}"


def kind_of(type: str) -> str:
    return "n" if type in NUMBERS else {"String": "s", "DateTime": "t"}.get(type, "a")


def quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def text_of(node: exp.Expression) -> str:
    return node.name if isinstance(node, exp.Column) else node.sql(dialect="clickhouse")


def spoken(clause: str) -> str:
    names = {"joins": "JOIN", "with_": "WITH", "with": "WITH", "distinct": "DISTINCT", "laterals": "ARRAY JOIN"}
    return names.get(clause, clause.strip("_").replace("_", " ").upper())


def spoken_call(node: exp.Expression) -> str:
    name = node.this if isinstance(node.this, str) else ""
    return name or text_of(node)
