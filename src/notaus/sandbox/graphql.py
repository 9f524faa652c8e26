"""GraphQL Analytics: Cloudflare's own types (``cloudflare.graphql``) over the rows, one grouped query per node."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    SelectionSetNode,
    ValueNode,
    build_schema,
    execute_sync,
    parse,
    validate,
    value_from_ast_untyped,
    visit,
)
from graphql import Visitor as AstVisitor

from .account import GROUPS, Account
from .graphql_rows import Query, QueryRefused, group_rows
from .rows import GRAPHQL_COLUMNS, Rows
from .wire import Answer, Call, Refused, failure, iso_micros, json_answer

LIMITS: Final = {"maxDuration": 2_678_400, "maxNumberOfFields": 60, "maxPageSize": 10_000, "notOlderThan": 7_776_000}
TOLERATED_TYPES: Final = {"String": "string", "Int": "int64", "Float": "float64", "Boolean": "bool"}
INTEGERS: Final = {"uint8": (0, 2**8), "uint16": (0, 2**16), "uint32": (0, 2**32), "uint64": (0, 2**64),
                   "int8": (-(2**7), 2**7), "int64": (-(2**63), 2**63)}  # fmt: skip


def failed(at: float, message: str, code: str, path: Any = None) -> Answer:
    """An error as the GraphQL API sends it: HTTP 200, no data."""
    return json_answer({"data": None, "errors": [_error(at, message, code, path)]})


def budget_depleted(at: float) -> Answer:
    """The answer once the GraphQL budget of five minutes is spent."""
    return failed(at, "rate limiter budget depleted, please try again after 5 minutes", "budget")


def _error(at: float, message: str, code: str, path: Any = None) -> dict[str, Any]:
    ray = f"{random.Random(f'{at} {message}').getrandbits(64):016x}"
    extensions = {"code": code, "timestamp": iso_micros(at), "ray_id": ray}
    return {
        "message": message,
        "path": None if path is None else [str(part) for part in path],
        "extensions": extensions,
    }


class NotPermitted(GraphQLError):
    """The account or zone is not this token's."""


@lru_cache(1)
def schema() -> GraphQLSchema:
    """Cloudflare's schema with scalars that check what they are given and resolvers on the datasets (built once)."""
    text = files(__package__ or "notaus.sandbox").joinpath("cloudflare.graphql").read_text(encoding="utf-8")
    built = build_schema(text, assume_valid=True)
    for name, type in built.type_map.items():
        if (isinstance(type, GraphQLScalarType) and name[0].islower()) or name in ("Time", "Date"):
            _check_scalar(name, type)  # type: ignore[arg-type]
    return built


def _check_scalar(name: str, scalar: GraphQLScalarType) -> None:
    def parse_value(value: Any) -> Any:
        if (wrong := _wrong_with(name, value)) is not None:
            raise GraphQLError(f"cannot parse {value!r} as {name}: {wrong}")
        return value

    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        return parse_value(value_from_ast_untyped(node, variables))

    if name in INTEGERS:
        scalar.serialize = int  # type: ignore[method-assign, assignment]
    scalar.parse_value = parse_value  # type: ignore[method-assign]
    scalar.parse_literal = parse_literal  # type: ignore[method-assign]


def _wrong_with(name: str, value: Any) -> str | None:
    if name == "string":
        return None if isinstance(value, str) else "not a string"
    if name == "bool":
        return None if isinstance(value, bool) else "not true or false"
    if name in ("Time", "Date"):
        return _wrong_with_time(name, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not a number"
    least, beyond = INTEGERS.get(name, (None, None))
    if least is not None and beyond is not None and not (isinstance(value, int) and least <= value < beyond):
        return "not an integer in range"
    return None


def _wrong_with_time(name: str, value: Any) -> str | None:
    try:
        moment_of(value) if name == "Time" else date.fromisoformat(value)
    except (ValueError, TypeError):
        return "expected RFC3339 such as 2026-11-23T01:20:00Z" if name == "Time" else "expected YYYY-MM-DD"
    return None


def moment_of(text: str) -> float:
    """Seconds since the epoch of an RFC3339 time; ValueError without an offset."""
    then = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if then.tzinfo is None:
        raise ValueError("no offset from UTC")
    return then.astimezone(UTC).timestamp()


class _TolerantTypes(AstVisitor):
    """Variables declared ``String!`` are taken for ``string!``, as the live API does."""

    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> None:
        node.name.value = TOLERATED_TYPES.get(node.name.value, node.name.value)


@dataclass(slots=True)
class GraphQL:
    """``POST /graphql``."""

    rows: Rows
    account: Account
    zone: str
    limits: dict[str, int] = field(default_factory=lambda: dict(LIMITS))

    def query(self, call: Call) -> Answer:
        """Parse, validate and execute a document; any error fails it as a whole."""
        try:
            body = call.json()
        except Refused as refused:
            return failure(refused)
        if not isinstance(body, dict) or not isinstance(body.get("query"), str):
            return failed(call.at, "query: is missing", "parse")
        permissions = frozenset(GROUPS) if call.token is None else call.token.permissions
        return self._executed(call.at, body, permissions)

    def _executed(self, at: float, body: Mapping[str, Any], permissions: frozenset[str]) -> Answer:
        try:
            document = visit(parse(body["query"]), _TolerantTypes())
        except GraphQLError as error:
            return failed(at, f"error parsing query: {error.message}", "parse")
        if wrong := validate(schema(), document):
            return json_answer({"data": None, "errors": [_error(at, e.message, "parse") for e in wrong[:5]]})
        result = execute_sync(
            schema(),
            document,
            root_value={"viewer": _Viewer(self, at, permissions), "cost": 1},
            variable_values=body.get("variables") or {},
            operation_name=body.get("operationName"),
        )
        if result.errors:
            errors = [_error(at, e.message, _code(e), e.path) for e in result.errors]
            return json_answer({"data": None, "errors": errors})
        return json_answer({"data": result.data, "errors": None})


def _code(error: GraphQLError) -> str:
    original = error.original_error or error
    return (
        "authz"
        if isinstance(original, NotPermitted)
        else "invalid"
        if isinstance(original, QueryRefused)
        else "internal"
    )


@dataclass(frozen=True, slots=True)
class _Viewer:
    api: GraphQL
    at: float
    permissions: frozenset[str]
    budget: int = 300

    def accounts(self, info: GraphQLResolveInfo, filter: Mapping[str, Any] | None = None) -> list[_Scope]:
        tag = (filter or {}).get("accountTag", self.api.account.id)
        if tag != self.api.account.id or "analytics.read" not in self.permissions:
            raise NotPermitted(f"account {tag} is not authorized")
        return [_Scope(self.api, self.at, tag, "account")]

    def zones(
        self, info: GraphQLResolveInfo, filter: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> list[_Scope]:
        given = filter or {}
        tags = given.get("zoneTag_in") or [given.get("zoneTag", self.api.zone)]
        if len(tags) > 10:
            raise QueryRefused("too many nodes, zones and accounts: at most 10 zones")
        for tag in tags:
            if tag != self.api.zone or "zone.read" not in self.permissions:
                raise NotPermitted(f"zone {tag} is not authorized")
        return [_Scope(self.api, self.at, tag, "zone") for tag in tags]

    def organizations(self, info: GraphQLResolveInfo, filter: Mapping[str, Any] | None = None) -> list[Any]:
        return []


class _Scope:
    """An account or a zone: every field of it that takes a filter is a dataset."""

    def __init__(self, api: GraphQL, at: float, tag: str, kind: str) -> None:
        self._api, self._at, self._tag, self._kind = api, at, tag, kind
        self.accountTag = self.zoneTag = tag

    def settings(self, info: GraphQLResolveInfo) -> dict[str, Any]:
        limits, type = self._api.limits, info.schema.type_map[f"{self._kind.capitalize()}Settings"]
        available = {name: {"availableFields": _available(info.schema, self._kind, name)} for name in type.fields}  # type: ignore[attr-defined]
        return {name: {"enabled": True, **limits, **fields} for name, fields in available.items()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def resolved(info: GraphQLResolveInfo, filter: Any, limit: int, orderBy: Any = None) -> list[dict[str, Any]]:
            if name not in GRAPHQL_COLUMNS:
                return []
            selected = _selection(info)
            if self._kind == "zone":
                filter = {"AND": [filter, {"zoneTag": self._tag}]}
            query = Query(name, filter, limit, tuple(orderBy or ()), selected, self._at)
            return group_rows(self._api.rows.db, query, self._api.limits)

        return resolved


def _available(schema: GraphQLSchema, kind: str, dataset: str) -> list[str]:
    """The names of the fields below a dataset, as ``sum_requests``."""
    name = f"{kind.capitalize()}{dataset[0].upper()}{dataset[1:]}"
    names = []
    for block, inner in schema.type_map[name].fields.items():  # type: ignore[attr-defined]
        type = getattr(inner.type, "of_type", inner.type)
        names += [f"{block}_{field}" for field in type.fields] if hasattr(type, "fields") else [block]
    return names


def _selection(info: GraphQLResolveInfo) -> dict[str, Any]:
    """What is selected below a dataset node, by real names: ``{"sum": {"requests": {}}, …}``, fragments resolved."""
    merged: dict[str, Any] = {}
    for node in info.field_nodes:
        _collect(info, node.selection_set, merged)
    return merged


def _collect(info: GraphQLResolveInfo, chosen: SelectionSetNode | None, into: dict[str, Any]) -> None:
    for node in chosen.selections if chosen is not None else ():
        if isinstance(node, FieldNode):
            _collect(info, node.selection_set, into.setdefault(node.name.value, {}))
        elif isinstance(node, InlineFragmentNode):
            _collect(info, node.selection_set, into)
        elif isinstance(node, FragmentSpreadNode):
            _collect(info, info.fragments[node.name.value].selection_set, into)
