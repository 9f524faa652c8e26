"""Values to JSON and back, driven by their types alone: what `core` declares is what the journal can keep.

Frozen dataclasses become objects, `Fraction`s an integer or "n/d", enums their value, tuples and frozensets lists.
Where a field is declared as a union of dataclasses, and at the top, an object carries its class name under "is" (no
field can be called that, for it is a keyword). Types are checked on the way in: a "5" is never taken for a 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, overload

from cattrs import BaseValidationError, Converter, transform_error

from notaus.errors import JournalFailed

T = TypeVar("T")
Json = Any
"""What `json` can write: None, bool, int, float, str, lists and objects of these."""

TAG = "is"
_SCALARS = (bool, int, float, str)
_FRACTION = re.compile(r"-?\d+/[1-9]\d*")


def encode(value: object) -> Json:
    """`value` as JSON; `decode` with its type, or with a union it belongs to, gives an equal value."""
    if is_dataclass(value) and not isinstance(value, type):
        return {TAG: type(value).__name__, **_converter.unstructure(value)}
    if isinstance(value, Mapping):
        return _encode_mapping(value, encode)
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return _sorted(encode(v) for v in value)
    return _converter.unstructure(value)


@overload
def decode(kind: type[T], data: Json) -> T: ...
@overload
def decode(kind: Any, data: Json) -> Any: ...
def decode(kind: Any, data: Json) -> Any:
    """The value of type `kind` (a class, or a union of them) that `encode` made `data` of.

    Fields that are missing take their defaults and unknown ones are passed over, so that a state outlives a release.
    Raises JournalFailed, naming the place, where `data` is anything else.
    """
    try:
        if is_dataclass(kind) and isinstance(data, Mapping) and data.get(TAG) not in (None, _name(kind, data)):
            raise ValueError(f"it is a {data[TAG]}")
        return _converter.structure(data, kind)
    except (BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JournalFailed(
            f"the journal holds no readable {_name(kind, data)}: {'; '.join(_reasons(error))}"
        ) from error


def _name(kind: Any, data: Json) -> str:
    if _is_union(kind):
        return str(data[TAG]) if isinstance(data, Mapping) and TAG in data else "member of a union"
    return str(getattr(kind, "__name__", kind))


def _reasons(error: Exception) -> list[str]:
    if isinstance(error, BaseValidationError):
        return transform_error(error, format_exception=lambda e, _: _plain(e))
    return [_plain(error)]


def _plain(error: BaseException) -> str:
    return f"field {error} is missing" if isinstance(error, KeyError) else str(error)


# Scalars: exactly what they are declared as.


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    accepted = (float, int) if kind is float else (kind,)

    def check(data: Any, wanted: Any) -> Any:
        if _is_enum(wanted):  # a StrEnum is a str, so it comes here too
            return _decode_enum(data, wanted)
        if type(data) not in accepted:
            raise TypeError(f"expected {kind.__name__}, found {data!r}")
        return data

    return check


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _decode_enum(data: Any, kind: Any) -> Any:
    return kind(data)


def _encode_fraction(value: Fraction) -> int | str:
    return value.numerator if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def _decode_fraction(data: Any, _: Any) -> Fraction:
    if type(data) is int or (isinstance(data, str) and _FRACTION.fullmatch(data)):
        return Fraction(data)
    raise TypeError(f'expected an integer or "n/d", found {data!r}')


# Mappings: JSON's keys are strings; keys that are neither strings nor integers make a list of pairs.


def _encode_mapping(value: Mapping[Any, Any], encode_value: Callable[[Any], Json]) -> Json:
    if all(isinstance(k, str) or type(k) is int for k in value):
        return {_key(k): encode_value(v) for k, v in value.items()}
    return [[encode(k), encode_value(v)] for k, v in value.items()]


def _key(key: str | int) -> str:
    return str(key.value) if isinstance(key, Enum) else str(key)


def _mapping_encoder(kind: Any, converter: Converter) -> Callable[[Any], Json]:
    _, value_type = get_args(kind) or (Any, Any)
    return lambda value: _encode_mapping(value, converter.get_unstructure_hook(value_type))


def _mapping_decoder(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    key_type, value_type = get_args(kind) or (Any, Any)

    def decode_mapping(data: Any, _: Any) -> dict[Any, Any]:
        if isinstance(data, Mapping):
            pairs: Any = ((int(k) if key_type is int else k, v) for k, v in data.items())
        elif isinstance(data, list):
            pairs = data
        else:
            raise TypeError(f"expected an object, found {data!r}")
        return {converter.structure(k, key_type): converter.structure(v, value_type) for k, v in pairs}

    return decode_mapping


# Sequences and sets.


def _sorted(values: Any) -> list[Json]:
    return sorted(values, key=lambda v: json.dumps(v, sort_keys=True))


def _set_encoder(kind: Any, converter: Converter) -> Callable[[Any], Json]:
    (member,) = get_args(kind) or (Any,)
    return lambda value: _sorted(converter.unstructure(v, member) for v in value)


def _is_tuple(kind: Any) -> bool:
    return kind is tuple or get_origin(kind) is tuple


def _tuple_decoder(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    members = get_args(kind) or (Any, ...)
    endless = len(members) == 2 and members[1] is ...

    def decode_tuple(data: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(data, list):
            raise TypeError(f"expected a list, found {data!r}")
        if endless:
            return tuple(converter.structure(v, members[0]) for v in data)
        if len(data) != len(members):
            raise ValueError(f"expected {len(members)} members, found {len(data)}")
        return tuple(converter.structure(v, m) for v, m in zip(data, members, strict=True))

    return decode_tuple


# Unions: of dataclasses (told apart by their tag), JSON scalars (by themselves), or one other type and these.


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _members(union: Any) -> tuple[dict[str, type], list[Any], bool]:
    """The dataclasses of a union by name, its other members, and whether objects need a tag.

    Raises TypeError for a union whose values could not be told apart in JSON.
    """
    members = [m for m in get_args(union) if m is not NoneType]
    classes: dict[str, type] = {m.__name__: m for m in members if isinstance(m, type) and is_dataclass(m)}
    others = [m for m in members if not is_dataclass(m)]
    scalar = all(m in _SCALARS for m in others)
    if len(classes) + len(others) > 1 and not scalar:
        raise TypeError(f"{union} cannot be told apart in JSON: use dataclasses, or JSON scalars")
    return classes, others, len(classes) > 1


def _union_encoder(union: Any, converter: Converter) -> Callable[[Any], Json]:
    classes, others, tagged = _members(union)
    known = set(classes.values())

    def encode_union(value: Any) -> Json:
        kind = type(value)
        if value is None:
            return None
        if kind in known:
            data = converter.unstructure(value, kind)
            return {TAG: kind.__name__, **data} if tagged else data
        if not others:
            raise TypeError(f"{kind.__name__} is not one of {', '.join(classes)}")
        return converter.unstructure(value, others[0]) if len(others) == 1 else value

    return encode_union


def _union_decoder(union: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    classes, others, tagged = _members(union)
    optional = NoneType in get_args(union)

    def decode_union(data: Any, _: Any) -> Any:
        if data is None and optional:
            return None
        if classes and isinstance(data, Mapping):
            return converter.structure(data, _class_of(data, classes, tagged))
        if len(others) == 1:
            return converter.structure(data, others[0])
        # A float field may hold 5: JSON keeps it so, and so do we.
        if type(data) in others or (type(data) is int and float in others):
            return data
        raise TypeError(f"expected one of {', '.join([*classes, *(o.__name__ for o in others)])}, found {data!r}")

    return decode_union


def _class_of(data: Mapping[str, Any], classes: dict[str, type], tagged: bool) -> type:
    name = data.get(TAG) if tagged else next(iter(classes))
    if name not in classes:
        raise ValueError(f'"{TAG}" must be one of {", ".join(classes)}, found {name!r}')
    return classes[name]


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_set(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, (set, frozenset))


def _make_converter() -> Converter:
    converter = Converter()
    for kind in _SCALARS:
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook_func(_is_enum, _decode_enum)
    converter.register_unstructure_hook_func(_is_enum, lambda value: value.value)
    converter.register_structure_hook(Fraction, _decode_fraction)
    converter.register_unstructure_hook(Fraction, _encode_fraction)
    converter.register_structure_hook_func(lambda kind: kind is object, lambda data, _: data)
    converter.register_unstructure_hook_func(lambda kind: kind is object, lambda value: value)
    converter.register_unstructure_hook_factory(_is_mapping, _mapping_encoder)
    converter.register_structure_hook_factory(_is_mapping, _mapping_decoder)
    converter.register_unstructure_hook_factory(_is_set, _set_encoder)
    converter.register_structure_hook_factory(_is_tuple, _tuple_decoder)
    converter.register_unstructure_hook_factory(_is_union, _union_encoder)
    converter.register_structure_hook_factory(_is_union, _union_decoder)
    return converter


_converter = _make_converter()
