"""Kinds of values: how each is read from a document, and how the JSON Schema and the reference describe it.

Here the single ones: text, flags, numbers, words. `measures` has those with a unit, `containers` lists and mappings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from enum import StrEnum
from fractions import Fraction
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from notaus.config.document import List, Node, Scalar, Table
from notaus.config.problems import Misread, Report, near_miss

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)
Schema = dict[str, Any]

REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
"""Where a value is not text, `${X}` may stand for it."""


class Kind(Protocol[T_co]):
    """One kind of value."""

    @property
    def words(self) -> str:
        """What it is called in messages and in the reference: `a duration`, `a number`."""
        ...

    def read(self, node: Node, report: Report) -> T_co:
        """The value. Raises `Misread` if `node` is none; several mistakes within it are reported by itself."""
        ...

    def schema(self) -> Schema: ...


def described(node: Node) -> str:
    """What was found, in words, without anything from the environment."""
    match node:
        case Table():
            return "a mapping"
        case List():
            return "a list"
    if node.filled:
        return f"the value of `{node.written}`"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return node.written
    return f"`{node.written}`" if isinstance(node.value, str) else f"the number {node.written}"


def scalar(node: Node, words: str) -> Scalar:
    """`node`, if it is a single value that is not empty."""
    if not isinstance(node, Scalar):
        raise Misread(f"is {described(node)}", f"must be {words}")
    if node.value is None:
        if node.comment:
            raise Misread("is empty: what follows `#` is a comment", 'quote it: "#…"')
        raise Misread("is empty", f"must be {words}")
    return node


def text_of(node: Node, words: str) -> str:
    """The text of a single value that must be text."""
    found = scalar(node, words)
    if isinstance(found.value, str):
        return found.value
    raise Misread(f"is {described(found)}", f'must be {words}; as text, quote it: "{found.written}"')


def is_unset(node: Node) -> bool:
    """Whether a placeholder stands for a variable that is not set; it has no form to check."""
    return isinstance(node, Scalar) and node.unset


def hidden(node: Scalar, error: Misread) -> Misread:
    """`error` without its quotations, where they would show what the environment filled in."""
    return Misread(f"{described(node)} does not fit", error.right and "see the reference for its form")


@dataclass(frozen=True, slots=True)
class Text:
    """Text, not empty; optionally of a pattern, told as `form`."""

    words: str = "text"
    pattern: str | None = None
    form: str = ""

    def read(self, node: Node, report: Report) -> str:
        text = text_of(node, self.words)
        if not text.strip():
            raise Misread("is empty", f"must be {self.words}")
        if self.pattern and not re.search(self.pattern, text) and not is_unset(node):
            raise Misread(f"{described(node)} is not {self.words}", self.form)
        return text

    def schema(self) -> Schema:
        found: Schema = {"type": "string", "minLength": 1}
        if self.pattern:
            found = {"anyOf": [found | {"pattern": self.pattern}, REFERENCE]}
        return found


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that can be asked, of one of the `schemes`."""

    schemes: tuple[str, ...] = ("http", "https")
    words: str = "an http(s) URL"

    def read(self, node: Node, report: Report) -> str:
        text = text_of(node, self.words).strip()
        if not is_unset(node) and not self._sound(text):
            raise Misread(f"{described(node)} is not {self.words}", f"write {self.schemes[-1]}://host/path")
        return text

    def _sound(self, text: str) -> bool:
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return False
        return parts.scheme in self.schemes and bool(parts.hostname) and port != 0 and " " not in text

    def schema(self) -> Schema:
        pattern = rf"^({'|'.join(self.schemes)})://[^\s/]"
        return {"anyOf": [{"type": "string", "pattern": pattern}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Written:
    """Text kept together with its place, to be read later."""

    words: str = "a condition such as native.error_rate > 3%"
    pattern: str | None = r"^\s*\S+\s*[<>]=?\s*\S"

    def read(self, node: Node, report: Report) -> Scalar:
        text_of(node, self.words)
        assert isinstance(node, Scalar)
        return node

    def schema(self) -> Schema:
        return (
            {"anyOf": [{"type": "string", "pattern": self.pattern}, REFERENCE]} if self.pattern else {"type": "string"}
        )


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression. Weekdays have names: 0 is Sunday to cron, and Monday to others."""

    words: str = "a cron expression such as `0 3 1 */3 *`"

    def read(self, node: Node, report: Report) -> str:
        from apscheduler.triggers.cron import CronTrigger  # few files have one, and it takes its time

        text = " ".join(text_of(node, self.words).split())
        parts = text.split(" ")
        if len(parts) == CRON_FIELDS and any(c.isdigit() for c in parts[-1].partition("/")[0]):
            raise Misread(f"{described(node)} counts weekdays", "write them by name: `0 3 * * mon`")
        try:
            CronTrigger.from_crontab(text, UTC)
        except ValueError:
            raise Misread(f"{described(node)} is no cron expression", "minute hour day month weekday") from None
        return text

    def schema(self) -> Schema:
        return {"type": "string", "pattern": r"^\s*(\S+\s+){4}\S+\s*$"}


CRON_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Flag:
    words: str = "true or false"

    def read(self, node: Node, report: Report) -> bool:
        value = scalar(node, self.words).typed
        if isinstance(value, bool):
            return value
        word = value if isinstance(value, str) and not getattr(node, "filled", False) else ""
        right = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(word.lower(), "")
        raise Misread(f"is {described(node)}", f"write {right}" if right else "must be true or false")

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "boolean"}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Integer:
    low: int = 0
    high: int | None = None

    @property
    def words(self) -> str:
        return f"a whole number from {self.low}" + (f" to {self.high}" if self.high is not None else "")

    def read(self, node: Node, report: Report) -> int:
        value = scalar(node, self.words).typed
        if isinstance(value, bool) or not isinstance(value, int):
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        if value < self.low or (self.high is not None and value > self.high):
            raise Misread(f"{described(node)} is out of range", f"must be {self.words}")
        return value

    def schema(self) -> Schema:
        bounds: Schema = {"minimum": self.low} | ({"maximum": self.high} if self.high is not None else {})
        return {"anyOf": [{"type": "integer"} | bounds, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Number:
    """A number above zero, exact."""

    words: str = "a number above 0"

    def read(self, node: Node, report: Report) -> Fraction:
        found = scalar(node, self.words)
        value = found.typed
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        if not 0 < value < 1e18:
            raise Misread(f"{described(node)} is out of range", f"must be {self.words}")
        return Fraction(str(value))

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, REFERENCE]}


@dataclass(frozen=True, slots=True)
class Choice(Generic[E]):
    """One of the words of an enumeration."""

    options: type[E]

    @property
    def words(self) -> str:
        return " or ".join(f"`{option}`" for option in self.options)

    def read(self, node: Node, report: Report) -> E:
        text = text_of(node, self.words)
        if text in [option.value for option in self.options]:
            return self.options(text)
        names = [option.value for option in self.options]
        hint = f"must be {self.words}" if _filled(node) else near_miss(text, names)
        raise Misread(f"{described(node)} is unknown here", hint)

    def schema(self) -> Schema:
        return {"anyOf": [{"enum": [option.value for option in self.options]}, REFERENCE]}


def _filled(node: Node) -> bool:
    return isinstance(node, Scalar) and node.filled


@dataclass(frozen=True, slots=True)
class Value:
    """A flag, a number or text, as a KV field has it; with `null`, where an expectation may ask for it."""

    null: bool = False
    words: str = "true, false, a number or text"

    def read(self, node: Node, report: Report) -> Any:
        if not isinstance(node, Scalar):
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        if self.null and node.value is None and not node.comment:
            return None
        return scalar(node, self.words).typed

    def schema(self) -> Schema:
        return {"type": ["boolean", "number", "string", *(["null"] if self.null else [])]}


@dataclass(frozen=True, slots=True)
class Raw:
    """Anything, kept as it stands, for a reader that knows more; `form` is its JSON Schema."""

    words: str = "a value"
    form: Schema = field(default_factory=dict)

    def read(self, node: Node, report: Report) -> Node:
        return node

    def schema(self) -> Schema:
        return self.form
