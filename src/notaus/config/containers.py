"""Kinds of values that hold others: lists, mappings, pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from notaus.config.document import List, Node, Scalar, Table
from notaus.config.kinds import Kind, Schema, described, text_of
from notaus.config.problems import Misread, Report, Where

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list of at least `least`; a single value stands for a list of one where `single`."""

    of: Kind[T]
    single: bool = False
    least: int = 0

    @property
    def words(self) -> str:
        return f"a list, each {self.of.words}" if not self.single else f"{self.of.words}, or a list of them"

    def read(self, node: Node, report: Report) -> tuple[T, ...]:
        if not isinstance(node, List):
            if self.single:
                return (self.of.read(node, report),)
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        if len(node.items) < self.least:
            raise Misread("is empty", f"must be {self.words}")
        found = []
        for item in node.items:
            try:
                found.append(self.of.read(item, report))
            except Misread as error:
                report.misread(item.where, error)
        return tuple(found)

    def schema(self) -> Schema:
        many: Schema = {"type": "array", "items": self.of.schema()} | ({"minItems": self.least} if self.least else {})
        return {"anyOf": [self.of.schema(), many]} if self.single else many


class Entries(dict[str, T]):
    """A mapping with names of the user's own, and where each stands."""

    def __init__(self, found: Mapping[str, T], places: Mapping[str, Where]) -> None:
        super().__init__(found)
        self.places = places


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A mapping from names of the user's own to values of one kind."""

    of: Kind[T]
    names: str = "a mapping"

    @property
    def words(self) -> str:
        return self.names

    def read(self, node: Node, report: Report) -> Entries[T]:
        if not isinstance(node, Table):
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        found = {}
        for name, value in node:
            try:
                found[name] = self.of.read(value, report)
            except Misread as error:
                report.misread(value.where, error)
        return Entries(found, {name: value.where for name, value in node})

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self.of.schema()}


@dataclass(frozen=True, slots=True)
class Pair:
    """A mapping with exactly one key, as `{slack: "#incidents"}`."""

    words: str = 'one pair such as `slack: "#incidents"`'

    def read(self, node: Node, report: Report) -> tuple[Scalar, str]:
        if not isinstance(node, Table):
            raise Misread(f"is {described(node)}", f"must be {self.words}")
        if len(node.entries) != 1:
            raise Misread(f"has {len(node.entries)} keys", "one pair in each item of the list")
        key, value = node.entries[0]
        try:
            return key, text_of(value, "a name")
        except Misread as error:
            error.where = error.where or value.where
            raise

    def schema(self) -> Schema:
        values: Schema = {"type": "string", "minLength": 1}
        return {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": values}
