"""Key tables: a level of the language as a list of keys, and the one reader that holds a document against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from notaus import log
from notaus.config.document import Node, Scalar, Table
from notaus.config.kinds import Kind, Schema, described, is_unset
from notaus.config.problems import Misread, Report, Where, near_miss

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Key(Generic[T]):
    """One key: its name, what it takes, and what it means. Everything that is said of it anywhere comes from here."""

    name: str
    kind: Kind[T]
    meaning: str
    default: str = ""
    """As it would be written; read by `kind`, so that what is documented is what happens."""
    default_words: str = ""
    """Where the default is no constant: how it comes about."""
    required: bool = False
    secret: bool = False
    """Never shown, and from the moment it is read kept out of every log and error."""
    in_part: bool = False
    """Of a secret address: only its password and what its query says."""

    @property
    def builtin(self) -> T:
        """The default's value."""
        assert self.default, f"{self.name} has no default"
        return self.kind.read(Scalar(Where("default"), self.default, self.default, filled=True), Report())


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The keys that a mapping of one level may have."""

    level: str
    """What the level is called in the reference: `service`, `rule`."""
    keys: tuple[Key[Any], ...]
    meaning: str = ""
    only_one_of: tuple[Key[Any], ...] = ()
    """Exactly one of these must be there."""

    def __iter__(self) -> Any:
        return iter(self.keys)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)


@dataclass(frozen=True, slots=True)
class Values:
    """What a mapping says, key by key."""

    where: Where
    found: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Where] = field(default_factory=dict)
    """Where each key stands that is there, readable or not."""

    def get(self, key: Key[T]) -> T | None:
        """The value, or None where the key is left out or cannot be read."""
        return self.found.get(key.name)

    def of(self, key: Key[T]) -> T:
        """The value, or the key's default."""
        value: T | None = self.found.get(key.name)
        return key.builtin if value is None else value

    def has(self, key: Key[Any]) -> bool:
        """Whether the key is there, readable or not."""
        return key.name in self.places

    def at(self, key: Key[Any]) -> Where:
        return self.places.get(key.name) or self.where.key(key.name)


def inner_wins(key: Key[T], *levels: Values) -> T:
    """The value of `key` at the innermost of `levels` (given from within to without) that has it, else its default."""
    value = given(key, *levels)
    return key.builtin if value is None else value


def given(key: Key[T], *levels: Values) -> T | None:
    """As `inner_wins`, None where no level has it."""
    return next((value for level in levels if (value := level.get(key)) is not None), None)


def read_keys(keys: Keys, node: Node, report: Report) -> Values:
    """Hold `node` against `keys`: unknown, missing and unreadable keys are reported, the rest comes back."""
    if not isinstance(node, Table):
        raise Misread(f"is {described(node)}", f"must be a mapping with {keys.names[0]}: … and so on")
    known = {key.name: key for key in keys.keys}
    found: dict[str, Any] = {}
    places: dict[str, Where] = {}
    unknown: list[str] = []
    for written, value in node.entries:
        name = str(written.value)
        key = known.get(name)
        if key is None:
            unknown.append(near_miss(name, known))
            report.problem(written.where, f"unknown key `{name}`", unknown[-1])
            continue
        places[name] = value.where if value.where.line else written.where
        if key.secret:
            _keep_secret(key, value)
        try:
            found[name] = key.kind.read(value, report)
        except Misread as error:
            if key.required or not is_unset(value):  # a placeholder where the form matters: as if left out
                report.misread(places[name], _untold(error, value) if key.secret else error)
    _report_missing(keys, Values(node.where, found, places), " ".join(unknown), report)
    return Values(node.where, found, places)


def _keep_secret(key: Key[Any], value: Node) -> None:
    """Before anything can be said about it; of a mapping, each of its values."""
    if isinstance(value, Table):
        for _, each in value:
            _keep_secret(key, each)
        return
    text = str(value.value) if isinstance(value, Scalar) and not value.unset else ""
    log.redact_address(text, whole=not key.in_part)
    if not key.in_part:
        log.redact(text)


def _untold(error: Misread, value: Node) -> Misread:
    """The same without what stands there."""
    written = value.written if isinstance(value, Scalar) else ""
    if written not in error.wrong + error.right or not written:
        return error
    return Misread(error.wrong.replace(written, "…"), error.right.replace(written, "…"), error.where)


def _report_missing(keys: Keys, values: Values, misspelled: str, report: Report) -> None:
    """Keys that must be there and are not, not even `misspelled`: the near misses of unknown keys, told already."""
    for key in keys.keys:
        if key.required and not values.has(key) and f"mean `{key.name}`" not in misspelled:
            report.problem(values.where.key(key.name), f"`{key.name}` is missing", f"{key.name}: {key.kind.words}")
    if keys.only_one_of:
        present = [key for key in keys.only_one_of if values.has(key)]
        names = " or ".join(f"`{key.name}`" for key in keys.only_one_of)
        if not present:
            report.problem(values.where, f"{names} is missing", "give one of them")
        for extra in present[1:]:
            report.problem(values.at(extra), f"`{extra.name}` and `{present[0].name}` exclude each other", "keep one")


@dataclass(frozen=True, slots=True)
class Nested:
    """A mapping of a level of its own."""

    keys: Keys

    @property
    def words(self) -> str:
        return f"a mapping ({', '.join(self.keys.names[:4])}{', …' if len(self.keys.names) > 4 else ''})"

    def read(self, node: Node, report: Report) -> Values:
        return read_keys(self.keys, node, report)

    def schema(self) -> Schema:
        return table_schema(self.keys)


@dataclass(frozen=True, slots=True)
class ByTag:
    """A mapping whose `tag` key says which level it is: `source: r2`."""

    tag: str
    variants: Mapping[str, Keys]
    words: str

    def read(self, node: Node, report: Report) -> tuple[str, Values]:
        if not isinstance(node, Table):
            raise Misread(f"is {described(node)}", f"must be a mapping with `{self.tag}: …`")
        value = node.get(self.tag)
        if value is None:
            raise Misread(f"`{self.tag}` is missing", near_miss("", self.variants), node.where.key(self.tag))
        if not isinstance(value, Scalar) or value.value not in self.variants:
            name = (
                value.value if isinstance(value, Scalar) and isinstance(value.value, str) and not value.filled else ""
            )
            raise Misread(f"{described(value)} is no {self.tag}", near_miss(name, self.variants), value.where)
        return str(value.value), read_keys(self.variants[str(value.value)], node, report)

    def schema(self) -> Schema:
        return {"oneOf": [table_schema(keys, {self.tag: {"const": name}}) for name, keys in self.variants.items()]}


@dataclass(frozen=True, slots=True)
class ByKey:
    """A mapping whose distinguishing key says which level it is: `get: …` or `signal: …`."""

    variants: Mapping[str, Keys]
    words: str

    def read(self, node: Node, report: Report) -> tuple[str, Values]:
        if not isinstance(node, Table):
            raise Misread(f"is {described(node)}", f"must be a mapping with one of {', '.join(self.variants)}")
        present = [name for name, _ in node if name in self.variants]
        if not present:
            named = {str(key.value): near_miss(str(key.value), self.variants) for key, _ in node.entries}
            close = next((hint for hint in named.values() if hint.startswith("did you mean")), "")
            raise Misread(f"has none of {', '.join(self.variants)}", close or f"give one of {', '.join(self.variants)}")
        if len(present) > 1:
            raise Misread(f"has both `{present[0]}` and `{present[1]}`", "one of them; make two entries of it")
        return present[0], read_keys(self.variants[present[0]], node, report)

    def schema(self) -> Schema:
        return {"oneOf": [table_schema(keys) for keys in self.variants.values()]}


@dataclass(frozen=True, slots=True)
class TextOr:
    """Text, or a mapping of a level, or of one of several."""

    text: Kind[Any]
    keys: Keys | ByKey

    @property
    def words(self) -> str:
        names = self.keys.names if isinstance(self.keys, Keys) else (f"with {' or '.join(self.keys.variants)}",)
        return f"{self.text.words}, or a mapping ({', '.join(names)})"

    def read(self, node: Node, report: Report) -> Any:
        return self._mapping.read(node, report) if isinstance(node, Table) else self.text.read(node, report)

    def schema(self) -> Schema:
        return {"anyOf": [self.text.schema(), self._mapping.schema()]}

    @property
    def _mapping(self) -> Kind[Any]:
        return Nested(self.keys) if isinstance(self.keys, Keys) else self.keys


def table_schema(keys: Keys, fixed: Mapping[str, Schema] | None = None) -> Schema:
    """The JSON Schema of a mapping of this level."""
    fixed = fixed or {}
    properties = {key.name: _described(key, fixed.get(key.name)) for key in keys.keys}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required := [key.name for key in keys.keys if key.required]:
        schema["required"] = required
    if keys.only_one_of:
        schema["oneOf"] = [{"required": [key.name]} for key in keys.only_one_of]
    if keys.meaning:
        schema["description"] = keys.meaning
    return schema


def _described(key: Key[Any], fixed: Schema | None) -> Schema:
    schema = {"description": key.meaning} | (key.kind.schema() if fixed is None else fixed)
    if key.default:
        schema["default"] = key.default
    return schema
