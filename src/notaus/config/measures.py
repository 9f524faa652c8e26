"""Kinds of values with a unit: durations, holds, limits, bounds, statuses, percentages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeVar

from notaus.config.document import List, Node
from notaus.config.kinds import REFERENCE, Number, Schema, described, hidden, scalar, text_of
from notaus.config.problems import Misread, Report
from notaus.config.quantities import DURATION_PATTERN, count_per, duration, quantity, statuses, whole_seconds

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Duration:
    """Whole seconds; at least `low` of them."""

    low: int = 0
    words: str = "a duration such as 90s, 5m or 1h30m"

    def read(self, node: Node, report: Report) -> int:
        seconds = _quantity(node, self.words, whole_seconds)
        if seconds < self.low:
            raise Misread(f"{described(node)} is too short", f"at least {self.low}s")
        return seconds

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Timeout:
    """Seconds as a float, above zero; parts of a second allowed."""

    words: str = "a duration such as 5s or 500ms"

    def read(self, node: Node, report: Report) -> float:
        seconds = _quantity(node, self.words, duration)
        if seconds <= 0:
            raise Misread(f"{described(node)} is too short", "a duration above 0s")
        return float(seconds)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, REFERENCE]}


class _Parser(Protocol[T_co]):
    def __call__(self, text: str) -> T_co: ...


def _quantity(node: Node, words: str, parse: _Parser[T]) -> T:
    """A quantity parsed from text; a bare number goes to the parser too, which tells what unit is missing."""
    found = scalar(node, words)
    if isinstance(found.value, bool):
        raise Misread(f"is {described(found)}", f"must be {words}")
    try:
        return parse(found.value if isinstance(found.value, str) else found.written)
    except Misread as error:
        raise (hidden(found, error) if found.filled else error) from None


@dataclass(frozen=True, slots=True)
class Hold:
    """The seconds of `5m`, or those of `3m of 5m` as a pair."""

    words: str = "a duration such as 5m, or `3m of 5m`"

    def read(self, node: Node, report: Report) -> tuple[int, int | None]:
        return _quantity(node, self.words, self.parse)

    @staticmethod
    def parse(text: str) -> tuple[int, int | None]:
        part, of, whole = text.partition(" of ")
        if not of:
            return whole_seconds(text), None
        hold, within = whole_seconds(part), whole_seconds(whole)
        if not 0 < hold <= within:
            raise Misread(f"`{text}`: {part.strip()} does not fit into {whole.strip()}", "the shorter duration first")
        return hold, within

    def schema(self) -> Schema:
        one = DURATION_PATTERN.strip("^$")
        return {"anyOf": [{"type": "string", "pattern": f"^{one}(\\s+of\\s+{one})?$"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class OfDeploy:
    """The seconds of `30m of deploy`."""

    words: str = "`30m of deploy`"

    def read(self, node: Node, report: Report) -> int:
        return _quantity(node, self.words, self.parse)

    @staticmethod
    def parse(text: str) -> int:
        part, of, event = text.partition(" of ")
        seconds = whole_seconds(part)
        if not of:
            raise Misread(f"`{text}` does not say of what", f"write `{text.strip()} of deploy`")
        if event.strip() not in ("deploy", "deployment"):
            raise Misread(f"`{event.strip()}` is unknown here", f"write `{part.strip()} of deploy`")
        return seconds

    def schema(self) -> Schema:
        one = DURATION_PATTERN.strip("^$")
        return {"anyOf": [{"type": "string", "pattern": f"^{one}\\s+of\\s+deploy(ment)?$"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class CountPer:
    """`4 per hour` as (4, 3600)."""

    words: str = "a limit such as `4 per hour`"

    def read(self, node: Node, report: Report) -> tuple[int, int]:
        return _quantity(node, self.words, count_per)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "pattern": r"^\d+\s*(per|/)\s*\S+$"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class PerYear:
    """How often a year, or `any` (None)."""

    often: Fraction | None


@dataclass(frozen=True, slots=True)
class FalseActions:
    words: str = "a number per year, or `any`"

    def read(self, node: Node, report: Report) -> PerYear:
        found = scalar(node, self.words)
        if found.typed == "any":
            return PerYear(None)
        value = found.typed
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Misread(f"is {described(node)}", "must be a number per year such as 1, or `any`")
        if not 0 < value < 1e9:
            raise Misread(f"{described(node)} is out of range", "a number above 0, or `any` to act without evidence")
        return PerYear(Fraction(str(value)))

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "any"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Below:
    """An upper bound on latency such as `< 1s`, in milliseconds."""

    words: str = "an upper bound such as `< 1s`"

    def read(self, node: Node, report: Report) -> int:
        return _quantity(node, self.words, self.parse)

    @staticmethod
    def parse(text: str) -> int:
        found = re.fullmatch(r"\s*<\s*(\S.*)", text)
        if not found or found[1].startswith("="):
            raise Misread(f"`{text.strip()}` is no upper bound", "write `< 1s` or `< 800ms`")
        bound = quantity(found[1])
        if bound.unit not in ("ms", "s"):
            raise Misread(f"`{text.strip()}` is no duration", "write `< 1s` or `< 800ms`")
        milliseconds = bound.number * (1000 if bound.unit == "s" else 1)
        if milliseconds.denominator != 1 or milliseconds <= 0:
            raise Misread(f"`{text.strip()}` is no whole number of milliseconds", "write `< 1s` or `< 800ms`")
        return int(milliseconds)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "pattern": r"^\s*<\s*[\d.]+\s*(ms|s)$"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Status:
    """One HTTP status or a range, as an inclusive range."""

    words: str = "an HTTP status such as 500-599 or 408"

    def read(self, node: Node, report: Report) -> tuple[int, int]:
        return _quantity(node, self.words, statuses)

    def schema(self) -> Schema:
        forms: list[Schema] = [{"type": "integer", "minimum": 100, "maximum": 599}]
        forms.append({"type": "string", "pattern": r"^[1-5](\d\d(\s*-\s*[1-5]\d\d)?|[xX]{2})$"})
        return {"anyOf": [*forms, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Percent:
    """`20%` as a fraction of one."""

    words: str = "a percentage such as 20%"

    def read(self, node: Node, report: Report) -> Fraction:
        text = text_of(node, self.words).strip()
        number = text.removesuffix("%").strip()
        if number == text or not number.isdecimal() or not 0 <= int(number) <= 100:
            raise Misread(f"{described(node)} is no percentage", "write 0% to 100%")
        return Fraction(int(number), 100)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "pattern": r"^\d{1,3}\s*%$"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Anchor:
    """`[real, virtual]`, both epoch seconds."""

    words: str = "two numbers [real, virtual]"

    def read(self, node: Node, report: Report) -> tuple[float, float]:
        if not isinstance(node, List) or len(node.items) != 2:
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        real, virtual = (float(Number().read(item, report)) for item in node.items)
        return real, virtual

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
