"""What Analytics Engine's SQL can call: which arguments each function takes, what it gives, and how SQLite does it."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

UNSIGNED: Final = ("UInt8", "UInt16", "UInt32", "UInt64")
SIGNED: Final = ("Int8", "Int16", "Int32", "Int64")
NUMBERS: Final = frozenset({*UNSIGNED, *SIGNED, "Float64"})
DAY: Final = 86_400

Result = str | Callable[[list[str]], str]


@dataclass(frozen=True, slots=True)
class Function:
    """``takes``: a letter per argument (n number, s text, t time, * anything), those after ``|`` optional.

    ``sql`` is a template over ``{0}``, ``{1}``…; without one, the Python function of the same name does it.
    """

    takes: str
    gives: Result
    sql: str | None = None

    @property
    def least(self) -> int:
        return len(self.takes.partition("|")[0])

    @property
    def kinds(self) -> str:
        return self.takes.replace("|", "")

    def type(self, arguments: list[str]) -> str:
        return self.gives if isinstance(self.gives, str) else self.gives(arguments)


def first_type(types: list[str]) -> str:
    return types[0]


def common_type(types: list[str]) -> str:
    """The type that holds all of these exactly; "" if there is none."""
    if len(set(types)) == 1:
        return types[0]
    if not set(types) <= NUMBERS:
        return ""
    if "Float64" in types:
        return "" if {"UInt64", "Int64"} & set(types) else "Float64"
    bits = max(int(name.lstrip("UInt")) for name in types)
    return f"UInt{bits}" if all(name in UNSIGNED for name in types) else f"Int{min(64, bits * 2)}"


def sum_type(types: list[str]) -> str:
    return "Float64" if types[0] == "Float64" else "UInt64" if types[0] in UNSIGNED else "Int64"


def _truncated(seconds: int) -> Function:
    return Function("t", "DateTime", f"({{0}} / {seconds} * {seconds})")


def _of_rows(aggregate: str) -> str:
    """Of no rows ClickHouse gives the type's empty value."""
    return f"CASE WHEN count(*) = 0 THEN {{empty}} ELSE {aggregate} END"


def _unless_nan(value: str, condition: str, aggregate: str) -> str:
    """One nan makes the result nan. To SQLite nan is NULL, and nothing else in the rows is NULL."""
    return f"CASE WHEN count(CASE WHEN {condition} AND {value} IS NULL THEN 1 END) > 0 THEN NULL ELSE {aggregate} END"


SCALARS: Final[dict[str, Function]] = {
    "if": Function("n**", lambda types: common_type(types[1:]), "CASE WHEN {0} THEN {1} ELSE {2} END"),
    "intdiv": Function("nn", lambda types: "Int64" if "Float64" in types else first_type(types)),
    "round": Function("n|n", first_type),
    "floor": Function("n|n", first_type),
    "ceil": Function("n|n", first_type),
    "pow": Function("nn", "Float64"),
    "log": Function("n", "Float64"),
    "abs": Function("n", lambda types: types[0].replace("UInt", "Int").replace("Int", "UInt"), "abs({0})"),
    "touint8": Function("n", "UInt8", "(CAST({0} AS INTEGER) & 255)"),
    "touint32": Function("n", "UInt32", "(CAST({0} AS INTEGER) & 4294967295)"),
    "bitand": Function("nn", common_type, "({0} & {1})"),
    "bitor": Function("nn", common_type, "({0} | {1})"),
    "bitxor": Function("nn", common_type, "(({0} | {1}) - ({0} & {1}))"),
    "bitnot": Function("n", first_type, "(~{0})"),
    "bitshiftleft": Function("nn", first_type, "({0} << {1})"),
    "bitshiftright": Function("nn", first_type, "({0} >> {1})"),
    "bittest": Function("nn", "UInt8", "(({0} >> {1}) & 1)"),
    "bitcount": Function("n", "UInt8"),
    "lower": Function("s", "String", "lower({0})"),
    "upper": Function("s", "String", "upper({0})"),
    "length": Function("s", "UInt64"),
    "empty": Function("s", "UInt8", "({0} = '')"),
    "substring": Function("sn|n", "String"),
    "position": Function("ss", "UInt64", "instr({0}, {1})"),
    "startswith": Function("ss", "UInt8"),
    "endswith": Function("ss", "UInt8"),
    "format": Function("s|*********", "String"),
    "formatdatetime": Function("ts|s", "String"),
    "tounixtimestamp": Function("t", "UInt32", "{0}"),
    "tostartofminute": _truncated(60),
    "tostartoffiveminutes": _truncated(300),
    "tostartoffiveminute": _truncated(300),
    "tostartoftenminutes": _truncated(600),
    "tostartoffifteenminutes": _truncated(900),
    "tostartofhour": _truncated(3_600),
    "tostartofday": _truncated(DAY),
    "tohour": Function("t", "UInt8", "({0} / 3600 % 24)"),
    "tominute": Function("t", "UInt8", "({0} / 60 % 60)"),
    "tosecond": Function("t", "UInt8", "({0} % 60)"),
    "todayofweek": Function("t", "UInt8", "(({0} / 86400 + 3) % 7 + 1)"),
    "toyear": Function("t", "UInt16"),
    "tomonth": Function("t", "UInt8"),
    "todayofmonth": Function("t", "UInt8"),
    "toyyyymm": Function("t", "UInt32"),
}

AGGREGATES: Final[dict[str, Function]] = {
    "sum": Function("n", sum_type, _unless_nan("{0}", "1", "coalesce(sum({0}), 0)")),
    "avg": Function("n", "Float64", _unless_nan("{0}", "1", "avg({0})")),
    "min": Function("*", first_type, _of_rows("min({0})")),
    "max": Function("*", first_type, _of_rows("max({0})")),
    "countif": Function("n", "UInt64", "count(CASE WHEN {0} THEN 1 END)"),
    "sumif": Function("nn", sum_type, _unless_nan("{0}", "{1}", "coalesce(sum(CASE WHEN {1} THEN {0} END), 0)")),
    "avgif": Function("nn", "Float64", _unless_nan("{0}", "{1}", "avg(CASE WHEN {1} THEN {0} END)")),
    "argmin": Function("**", first_type, _of_rows("ae_argmin({0}, {1})")),
    "argmax": Function("**", first_type, _of_rows("ae_argmax({0}, {1})")),
    "first_value": Function("*", first_type, _of_rows("ae_first_value({0})")),
    "last_value": Function("*", first_type, _of_rows("ae_last_value({0})")),
}

PARAMETRIC: Final[dict[str, Function]] = {  # name(parameter)(arguments), the parameter being argument 0 below
    "quantileexactweighted": Function("nnn", lambda types: types[1], "ae_quantile({0}, {1}, {2})"),
    "quantileweighted": Function("nnn", lambda types: types[1], "ae_quantile({0}, {1}, {2})"),
    "topk": Function("n*", lambda types: f"Array({types[1]})", "ae_top({0}, {1}, 1)"),
    "topkweighted": Function("n*n", lambda types: f"Array({types[1]})", "ae_top({0}, {1}, {2})"),
}


def moment(at: int) -> str:
    """``2026-11-23 01:15:00``, as Analytics Engine writes a DateTime."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Quantile:
    """ClickHouse's exact weighted quantile: the first value at which the weights add up to ``level`` of the total."""

    def __init__(self) -> None:
        self._level, self._weights = 0.5, Counter[float]()

    def step(self, level: float, value: float | None, weight: float) -> None:
        self._level = level
        if value is not None and weight > 0:
            self._weights[value] += weight  # type: ignore[assignment]

    def finalize(self) -> float | None:
        if not self._weights:
            return None
        threshold = math.ceil(sum(self._weights.values()) * self._level)
        reached: float = 0
        for value in sorted(self._weights):
            reached += self._weights[value]
            if reached >= threshold:
                return value
        return max(self._weights)


class Top:
    """The ``count`` most frequent values, as a JSON array."""

    def __init__(self) -> None:
        self._count, self._weights = 10, Counter[Any]()

    def step(self, count: int, value: Any, weight: int) -> None:
        self._count = count
        self._weights[value] += weight

    def finalize(self) -> str:
        return json.dumps([value for value, _ in self._weights.most_common(self._count)])


class _Extreme:
    better: Callable[[Any, Any], bool]

    def __init__(self) -> None:
        self._at: Any = None
        self._value: Any = None

    def step(self, value: Any, at: Any) -> None:
        if at is not None and (self._at is None or type(self).better(at, self._at)):
            self._at, self._value = at, value

    def finalize(self) -> Any:
        return self._value


class ArgMin(_Extreme):
    better = staticmethod(lambda new, old: bool(new < old))


class ArgMax(_Extreme):
    better = staticmethod(lambda new, old: bool(new > old))


class FirstValue:
    def __init__(self) -> None:
        self._values: list[Any] = []

    def step(self, value: Any) -> None:
        if not self._values:
            self._values.append(value)

    def finalize(self) -> Any:
        return self._values[0] if self._values else None


class LastValue(FirstValue):
    def step(self, value: Any) -> None:
        self._values[:] = [value]


def divided(a: float | None, b: float | None) -> float | None:
    """As ClickHouse divides: by zero gives infinity, 0/0 gives nan (None to SQLite)."""
    if a is None or b is None:
        return None
    if b == 0:
        return None if a == 0 else math.copysign(math.inf, a)
    return a / b


def _modulo(a: float | None, b: float | None) -> float | None:
    """The rest with the sign of ``a``; by zero it is nan."""
    return None if a is None or b is None or b == 0 else math.fmod(a, b)


def _int_div(a: float, b: float) -> int:
    """Towards zero; by zero is an error, as in ClickHouse."""
    if b == 0:
        raise ZeroDivisionError("Division by zero")
    if isinstance(a, float) or isinstance(b, float):
        return int(a / b)
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _to(rounding: Callable[[float], Any], value: float | None, digits: int = 0) -> float | None:
    """Round to decimal places; whole numbers stay what they are."""
    if isinstance(value, float):
        scale = 10.0**digits
        return float(rounding(value * scale)) / scale
    return value


def _power(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return None
    try:
        value = math.pow(a, b)
    except OverflowError:
        return math.inf
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _logarithm(value: float | None) -> float | None:
    if value is None or value < 0:
        return None
    return -math.inf if value == 0 else math.log(value)


def _substring(text: str, offset: int, length: int | None = None) -> str:
    """Counted from 1; a negative offset counts from the end."""
    start = offset - 1 if offset > 0 else max(len(text) + offset, 0)
    return "" if offset == 0 else text[start : None if length is None else start + max(length, 0)]


def _format(pattern: str, *values: Any) -> str:
    return pattern.format(*values)


def _format_date_time(at: int, pattern: str, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(at, UTC).strftime(pattern.replace("%i", "%M").replace("%s", "%S"))


@lru_cache(256)
def _like_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    translated = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.compile(translated, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _like(text: str, pattern: str, ignore_case: int) -> int:
    return int(_like_pattern(pattern, bool(ignore_case)).fullmatch(text) is not None)


def add_months(at: int, months: int) -> int:
    """The same time of day some months later (or earlier), on the last day of a month that is too short."""
    then = datetime.fromtimestamp(at, UTC)
    year, month = divmod(then.year * 12 + then.month - 1 + months, 12)
    for day in range(then.day, 27, -1):
        try:
            return int(then.replace(year=year, month=month + 1, day=day).timestamp())
        except ValueError:
            continue
    return int(then.replace(year=year, month=month + 1).timestamp())


def _of_date(part: Callable[[datetime], int]) -> Callable[[int], int]:
    return lambda at: part(datetime.fromtimestamp(at, UTC))


_PYTHON: Final[dict[str, Callable[..., Any]]] = {
    "div": divided,
    "mod": _modulo,
    "intdiv": _int_div,
    "round": lambda value, digits=0: _to(round, value, digits),
    "floor": lambda value, digits=0: _to(math.floor, value, digits),
    "ceil": lambda value, digits=0: _to(math.ceil, value, digits),
    "pow": _power,
    "log": _logarithm,
    "bitcount": lambda value: int(value).bit_count(),
    "length": lambda text: len(text.encode()),
    "substring": _substring,
    "startswith": lambda text, start: int(text.startswith(start)),
    "endswith": lambda text, end: int(text.endswith(end)),
    "format": _format,
    "formatdatetime": _format_date_time,
    "like": _like,
    "add_months": add_months,
    "toyear": _of_date(lambda then: then.year),
    "tomonth": _of_date(lambda then: then.month),
    "todayofmonth": _of_date(lambda then: then.day),
    "toyyyymm": _of_date(lambda then: then.year * 100 + then.month),
}


def install(db: sqlite3.Connection) -> None:
    """Teach a SQLite connection the functions, under names that begin with ``ae_``."""
    for name, function in _PYTHON.items():
        db.create_function(f"ae_{name}", -1, function, deterministic=True)
    aggregates: dict[str, tuple[int, Any]] = {
        "quantile": (3, Quantile), "top": (3, Top), "argmin": (2, ArgMin), "argmax": (2, ArgMax),
        "first_value": (1, FirstValue), "last_value": (1, LastValue),
    }  # fmt: skip
    for name, (arguments, kind) in aggregates.items():
        db.create_aggregate(f"ae_{name}", arguments, kind)
