"""YAML 1.2 documents as trees whose every value knows its file, line, column and key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from notaus.config.hints import comment_lost, syntax_hint
from notaus.config.problems import Misread, Report, Where

Word = bool | int | float | str | None

MAX_DEPTH = 20
"""Deeper nesting is a mistake; the bound also ends aliases that contain themselves."""
MAX_VALUES = 20_000
"""More keys and values are a mistake: the largest example has 400. The bound also ends aliases that multiply."""
TOO_DEEP = f"at most {MAX_DEPTH} levels"
TOO_MANY = f"at most {MAX_VALUES} keys and values in a file"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    where: Where
    value: Word
    written: str
    """As the file has it, before `${X}` is filled in: the only form that messages may show."""
    plain: bool = True
    """Written without quotes."""
    filled: bool = False
    """`value` holds something from the environment, which may be secret."""
    unset: bool = False
    """`value` holds a placeholder for a variable that is not set; of any form."""
    comment: bool = False
    """Empty, and followed by a comment: perhaps an unquoted `#name`."""

    @property
    def typed(self) -> Word:
        """The value; where the environment filled in a plain one, with the type that YAML would give it."""
        return resolved(self.value) if self.filled and self.plain and isinstance(self.value, str) else self.value


@dataclass(frozen=True, slots=True)
class List:
    where: Where
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the file's order, each key once."""

    where: Where
    entries: tuple[tuple[Scalar, Node], ...]

    def get(self, name: str) -> Node | None:
        return next((value for key, value in self.entries if key.value == name), None)

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return ((str(key.value), value) for key, value in self.entries)


Node = Scalar | List | Table


def parse(text: str, file: str, report: Report) -> Node | None:
    """The document in `text`; None if it is empty or cannot be parsed, which is reported."""
    try:
        parser = YAML(typ="rt", pure=True)
        parser.Composer = _Composer
        root = parser.compose(text)
        return None if root is None else _Builder(file, text.splitlines(), report).node(root, Where(file, 1, 1), 0)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line, max(0, len(text.splitlines()) - 1)) if mark else 0
        wrong, right, hinted = syntax_hint(error, text.splitlines(), line)
        report.problem(Where(file, hinted + 1, mark.column + 1 if mark and hinted == line else 1), wrong, right)
    except YAMLError as error:
        report.problem(Where(file, 1, 1), "not YAML: " + str(error).splitlines()[0].strip(), "save it as UTF-8 text")
    except Misread as error:
        error.where = replace(error.where or Where("", 1, 1), file=file)
        report.misread(error.where, error)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, NotImplementedError):
        # The parser trips over some broken texts itself, without saying where.
        report.problem(Where(file, 1, 1), "not YAML: the text cannot be parsed", "check the directives and tags")
    return None


class _Composer(Composer):
    """The parser's own, which stops at one value or level too many: it would take seconds for them all."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # it prints them
        self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise Misread("too many values", TOO_MANY, self._here())
        if self.depth > MAX_DEPTH:
            raise Misread("nested too deeply", TOO_DEEP, self._here())
        return super().compose_node(parent, index)

    def _here(self) -> Where:
        mark = self.parser.peek_event().start_mark
        return Where("", mark.line + 1, mark.column + 1)


class _Builder:
    """Turns the parser's nodes into ours, and reports keys that are given twice or are not words."""

    def __init__(self, file: str, lines: list[str], report: Report) -> None:
        self.file = file
        self.lines = lines
        self.report = report
        self.count = 0

    def node(self, node: object, where: Where, depth: int) -> Node:
        self.count += 1
        if depth > MAX_DEPTH:
            raise Misread("nested too deeply", TOO_DEEP, where)
        if self.count > MAX_VALUES:
            raise Misread("too many values", TOO_MANY, where)
        if isinstance(node, MappingNode):
            return self.table(node, where, depth)
        if isinstance(node, SequenceNode):
            items = (self.node(item, self.at(item, where.item(i)), depth + 1) for i, item in enumerate(node.value))
            return List(where, tuple(items))
        assert isinstance(node, ScalarNode)
        return self.scalar(node, where)

    def table(self, node: MappingNode, where: Where, depth: int) -> Table:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.report.problem(self.at(key_node, where), "a key must be a word", "write `key: value`")
                continue
            name = str(key_node.value)
            place = self.at(key_node, where.key(name))
            if name in entries:
                first = entries[name][0].where.line
                self.report.problem(place, f"`{name}` is given twice, first in line {first}", "keep one of them")
                continue
            key = Scalar(place, name, name)
            entries[name] = (key, self.value(value_node, place, depth))
        return Table(where, tuple(entries.values()))

    def value(self, node: object, key: Where, depth: int) -> Node:
        empty = isinstance(node, ScalarNode) and node.value == "" and node.style is None
        if empty:  # the parser places what is left out behind the comments that follow
            line = self.lines[key.line - 1] if key.line <= len(self.lines) else ""
            return Scalar(key, None, "", comment=comment_lost(line, key.column - 1))
        return self.node(node, self.at(node, key), depth + 1)

    def scalar(self, node: ScalarNode, where: Where) -> Scalar:
        tag = str(node.tag) if node.tag else ""
        if tag and not tag.startswith("tag:yaml.org,2002:"):
            self.report.problem(where, f"the tag `{tag}` means nothing here", "leave it out")
        plain = node.style is None
        typed = plain and not tag.endswith(":str")
        text = str(node.value)
        if node.style == ">":  # the parser marks each folded line end with a BELL, which no YAML text may hold
            text = text.replace("\a", "")
        return Scalar(where, resolved(text) if typed else text, text, plain)

    def at(self, node: object, where: Where) -> Where:
        mark = getattr(node, "start_mark", None)
        return where if mark is None else Where(self.file, mark.line + 1, mark.column + 1, where.field)


_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, Word] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def resolved(text: str) -> Word:
    """What YAML 1.2 makes of a plain scalar: `no`, `on` and `3:00` stay words."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) and len(text) < 40 else text


def plain(node: Node) -> object:
    """The tree as dicts, lists and scalars."""
    match node:
        case Scalar():
            return node.value
        case List():
            return [plain(item) for item in node.items]
        case Table():
            return {name: plain(value) for name, value in node}
