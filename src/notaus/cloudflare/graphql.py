"""GraphQL Analytics: documents built from nodes; nodes asked for at the same moment share a document.

Nodes that differ in nothing but whose rows they want are asked as one. One failing node fails its whole document: so when
a document fails for good, its nodes are tried alone by their kind, and those that fail alone are kept apart from then on,
until they succeed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from notaus.body import as_json
from notaus.cloudflare.budget import Family
from notaus.cloudflare.client import Call, Client
from notaus.cloudflare.wire import brief
from notaus.errors import Busy, CallFailed, NotausError, ReadFailed, Refused
from notaus.together import Asked, Together, chunks

NODES_PER_DOCUMENT = 20
OWNERS_PER_NODE = 200
"""Whose rows one node asks for at most: a few dozen rows each stay below `MAX_ROWS`."""
AT_ONCE = 4
"""Documents under way at the same time: a backfill must not crowd out the levers."""
MAX_ROWS = 9999
BACK_OFF = (
    "rate limiter budget depleted",
    "limit reached, please try again",
    "has exceeded its rate limit",
    "too many nodes, zones and accounts",
    "excessive resources",
    "too many queries in progress",
    "internal server error",
    "unable to execute",
)
FORBIDDEN = ("not authorized", "does not have access", "authentication error", "authorization")
PERMISSIONS = {"accounts": "Account Analytics Read", "zones": "Analytics Read (of the zone)"}

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Scope:
    """An account or a zone."""

    kind: str
    """`accounts` or `zones`."""
    tag: str

    @classmethod
    def account(cls, tag: str) -> Scope:
        return cls("accounts", tag)

    @classmethod
    def zone(cls, tag: str) -> Scope:
        return cls("zones", tag)

    @property
    def opening(self) -> str:
        name = "accountTag" if self.kind == "accounts" else "zoneTag"
        return f"{self.kind}({'limit: 1, ' if self.kind == 'zones' else ''}filter: {{{name}: {_literal(self.tag)}}})"

    def __str__(self) -> str:
        return f"{'account' if self.kind == 'accounts' else 'zone'} {self.tag}"


@dataclass(frozen=True, slots=True)
class Node:
    """One dataset with a filter. Rows cut at `limit` fail the read, unless `head` says that only the first count."""

    dataset: str
    filter: Mapping[str, object]
    fields: str
    """The selection, such as `count dimensions { edgeResponseStatus }`."""
    limit: int = MAX_ROWS
    order_by: str | None = None
    head: bool = False
    own: tuple[str, str] | None = None
    """A dimension, and the value that the rows wanted have there."""

    def text(self, alias: str, owners: Sequence[str]) -> str:
        """The node as the document has it, for the rows of all `owners`."""
        wanted, fields = dict(self.filter), self.fields
        if self.own is not None and len(owners) == 1:
            wanted[self.own[0]] = owners[0]
        elif self.own is not None:
            wanted[f"{self.own[0]}_in"] = list(owners)
            fields = _with_dimension(fields, self.own[0])
        filters = ", ".join(f"{name}: {_literal(value)}" for name, value in wanted.items())
        order = f", orderBy: [{self.order_by}]" if self.order_by else ""
        return f"{alias}: {self.dataset}(limit: {self.limit}{order}, filter: {{{filters}}}) {{ {fields} }}"

    @property
    def shape(self) -> tuple[object, ...]:
        """Everything but whose rows are wanted."""
        return (self.dataset, self._filter(times=True), self.fields, self.limit, self.order_by, self._dimension)

    @property
    def likeness(self) -> tuple[object, ...]:
        """What stays the same from poll to poll: everything but the times and the owner."""
        return (self.dataset, self._filter(times=False), self.fields, self._dimension)

    @property
    def _dimension(self) -> str | None:
        return None if self.own is None else self.own[0]

    def _filter(self, *, times: bool) -> tuple[tuple[str, str], ...]:
        return tuple((k, str(v)) for k, v in self.filter.items() if times or not k.startswith("date"))


@dataclass(slots=True)
class _Question:
    """Nodes of one shape, asked as one."""

    asked: Sequence[Asked[tuple[Scope, Node], Rows]]

    @property
    def node(self) -> Node:
        return self.asked[0].question[1]

    @property
    def likeness(self) -> tuple[object, ...]:
        return (self.asked[0].question[0], *self.node.likeness)

    @property
    def owners(self) -> list[str]:
        return list(dict.fromkeys(each.question[1].own[1] for each in self.asked if each.question[1].own is not None))

    def text(self, alias: str) -> str:
        return self.node.text(alias, self.owners)

    def fail(self, error: Exception) -> None:
        for each in self.asked:
            each.fail(error)

    def settle(self, rows: Rows) -> None:
        """Each asker gets its own rows."""
        dimension, owners = self.node.own, self.owners
        if dimension is None or len(owners) == 1:
            for each in self.asked:
                each.answer(rows)
            return
        found: dict[str, Rows] = {owner: [] for owner in owners}
        for row in rows:
            found[row["dimensions"][dimension[0]]].append(row)
        for each in self.asked:
            assert each.question[1].own is not None
            each.answer(found[each.question[1].own[1]])


class GraphQL:
    """Reads datasets; share one instance, so that askers can share documents."""

    def __init__(self, client: Client, nodes_per_document: int = NODES_PER_DOCUMENT) -> None:
        self._client = client
        self._limit = nodes_per_document
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._apart: set[tuple[object, ...]] = set()
        self._nodes: Together[tuple[Scope, Node], Rows] = Together(self._read)

    async def rows(self, scope: Scope, nodes: Sequence[Node]) -> list[Rows]:
        """The rows of each node, all or none. Raises ReadFailed, or CallFailed where trying again may help."""
        found = await self.each(scope, nodes)
        for rows in found:
            if isinstance(rows, NotausError):
                raise rows
        return [rows for rows in found if not isinstance(rows, NotausError)]

    async def each(self, scope: Scope, nodes: Sequence[Node]) -> list[Rows | NotausError]:
        """The rows of each node, or why they could not be read. What comes first is asked first."""
        answers = [self._nodes.ask((scope, node)) for node in nodes]
        found: list[Rows | NotausError] = []
        for rows in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(rows, BaseException) and not isinstance(rows, NotausError):
                raise rows
            found.append(rows)
        return found

    async def _read(self, asked: Sequence[Asked[tuple[Scope, Node], Rows]]) -> None:
        scopes: dict[Scope, list[Asked[tuple[Scope, Node], Rows]]] = {}
        for each in asked:
            scopes.setdefault(each.question[0], []).append(each)
        await asyncio.gather(*(self._read_scope(scope, every) for scope, every in scopes.items()))

    async def _read_scope(self, scope: Scope, asked: Sequence[Asked[tuple[Scope, Node], Rows]]) -> None:
        """The first document is the newest; what comes after it, a backfill, can wait."""
        documents = self._documents(_questions(asked))
        await asyncio.gather(*(self._answer(scope, each, unhurried=n > 0) for n, each in enumerate(documents)))

    def _documents(self, questions: Sequence[_Question]) -> list[Sequence[_Question]]:
        """Documents of at most so many nodes; the kinds that failed alone before stay alone."""
        shared = [each for each in questions if each.likeness not in self._apart]
        alone = _kinds(each for each in questions if each.likeness in self._apart)
        return [piece for kind in (shared, *alone) for piece in chunks(kind, self._limit)]

    async def _answer(self, scope: Scope, questions: Sequence[_Question], *, unhurried: bool = False) -> None:
        try:
            answers = await self._fetch(scope, questions, unhurried=unhurried)
        except ReadFailed as error:
            kinds = _kinds(questions)
            if len(kinds) == 1:
                self._apart.add(questions[0].likeness)
                for question in questions:
                    question.fail(error)
            else:
                for kind in kinds:
                    await self._answer(scope, kind, unhurried=unhurried)
        except Exception as error:  # an asker must never wait for ever
            for question in questions:
                question.fail(error)
        else:
            for question, rows in zip(questions, answers, strict=True):
                await self._settle(scope, question, rows)

    async def _settle(self, scope: Scope, question: _Question, rows: Rows) -> None:
        self._apart.discard(question.likeness)
        node, owners = question.node, question.owners
        if node.head or len(rows) < node.limit:
            question.settle(rows)
        elif len(owners) > 1:  # fewer have fewer rows
            for half in chunks(owners, -(-len(owners) // 2)):
                asked = [each for each in question.asked if each.question[1].own[1] in half]  # type: ignore[index]
                await self._answer(scope, [_Question(asked)])
        else:
            question.fail(ReadFailed(f"{node.dataset}: truncated at {node.limit} rows, so the rest is unknown"))

    async def _fetch(self, scope: Scope, questions: Sequence[_Question], *, unhurried: bool) -> list[Rows]:
        permission = PERMISSIONS[scope.kind]
        body = {"query": _document(scope, [question.text(f"n{i}") for i, question in enumerate(questions)])}
        call = Call(
            "POST",
            "/graphql",
            json=body,
            family=Family.GRAPHQL,
            query=True,
            unhurried=unhurried,
            permission=permission,
        )
        try:
            async with self._turns:
                answer = await self._client.send(call)
        except Refused as refused:
            raise ReadFailed(f"analytics of {scope}: {refused}") from None
        return _unpacked(scope, answer.body, len(questions), permission)


def _questions(asked: Iterable[Asked[tuple[Scope, Node], Rows]]) -> list[_Question]:
    """Nodes of one shape as one question, in the order in which they were asked."""
    shapes: dict[tuple[object, ...], list[Asked[tuple[Scope, Node], Rows]]] = {}
    for each in asked:
        shapes.setdefault(each.question[1].shape, []).append(each)
    return [_Question(piece) for shape in shapes.values() for piece in chunks(shape, OWNERS_PER_NODE)]


def _kinds(questions: Iterable[_Question]) -> list[list[_Question]]:
    """Questions of one kind together: what fails for good, fails for all times and owners."""
    kinds: dict[tuple[object, ...], list[_Question]] = {}
    for each in questions:
        kinds.setdefault(each.likeness, []).append(each)
    return list(kinds.values())


def _with_dimension(fields: str, name: str) -> str:
    """The selection with one dimension more."""
    if "dimensions {" in fields:
        return fields.replace("dimensions {", f"dimensions {{ {name}", 1)
    return f"dimensions {{ {name} }} {fields}"


def _document(scope: Scope, nodes: Sequence[str]) -> str:
    """The GraphQL document that asks for `nodes`, aliased n0, n1, …"""
    asked = "\n    ".join(nodes)
    return f"query notaus {{\n  viewer {{ {scope.opening} {{\n    {asked}\n  }} }}\n}}"


def time_literal(at: int) -> str:
    """Epoch seconds as the schema's `Time`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def trailing(at: int, window: int) -> dict[str, object]:
    """The filter for (at - window, at]."""
    return {"datetime_gt": time_literal(at - window), "datetime_leq": time_literal(at)}


def _literal(value: object) -> str:
    # JSON's strings, numbers, booleans and lists are GraphQL's too.
    return json.dumps(value)


def opened(scope: Scope, body: bytes, permission: str) -> Mapping[str, Any]:
    """What an answer holds of `scope`. Raises ReadFailed, or CallFailed where trying again may help."""
    try:
        answer = as_json(body)
    except ValueError:
        raise Busy(f"analytics of {scope}: the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise Busy(f"analytics of {scope}: the answer is no JSON object")
    if answer.get("errors"):
        raise _failure(scope, answer["errors"], permission)
    try:
        scopes = answer["data"]["viewer"][scope.kind]
        if not scopes:
            raise ReadFailed(f"{scope}: not found; does it exist, and does the token have {permission!r}?")
        found = scopes[0]
    except (KeyError, TypeError, IndexError):
        found = None
    if not isinstance(found, dict):
        raise Busy(f"analytics of {scope}: the answer lacks what was asked for")
    return found


def _unpacked(scope: Scope, body: bytes, count: int, permission: str) -> list[Rows]:
    found = opened(scope, body, permission)
    try:
        return [_rows(found[f"n{i}"]) for i in range(count)]
    except (KeyError, TypeError):
        raise Busy(f"analytics of {scope}: the answer lacks what was asked for") from None


def _rows(found: Any) -> Rows:
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise TypeError("rows are a list of objects")
    return found


def _failure(scope: Scope, errors: Any, permission: str) -> CallFailed | ReadFailed:
    """What errors beside HTTP 200 mean: back off, a permission that is missing, or a mistake for good."""
    entries = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    said = brief("; ".join(str(e.get("message", "")) for e in entries) or str(errors))
    extensions = [e.get("extensions") for e in entries]
    codes = {str(e.get("code", "")) for e in (*entries, *extensions) if isinstance(e, dict)}
    low = said.lower()
    if codes & {"budget", "quota"} or any(words in low for words in BACK_OFF):
        return Busy(f"analytics of {scope}: {said}")
    if codes & {"authz", "10000"} or any(words in low for words in FORBIDDEN):
        return ReadFailed(
            f"analytics of {scope}: {said}; the token needs the permission {permission!r}, the plan must have the field"
        )
    return ReadFailed(f"analytics of {scope}: {said}")
