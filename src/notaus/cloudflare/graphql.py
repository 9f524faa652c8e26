"""GraphQL Analytics: documents built from nodes; nodes asked for at the same moment share a document.

One failing node fails its whole document. So when a shared document fails for good, each asker's nodes are tried
alone, and those that fail alone are kept apart from then on, until they succeed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from notaus.cloudflare.budget import Family
from notaus.cloudflare.client import Call, Client
from notaus.errors import Busy, CallFailed, ReadFailed, Refused

NODES_PER_DOCUMENT = 20
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

    def text(self, alias: str) -> str:
        filters = ", ".join(f"{name}: {_literal(value)}" for name, value in self.filter.items())
        order = f", orderBy: [{self.order_by}]" if self.order_by else ""
        return f"{alias}: {self.dataset}(limit: {self.limit}{order}, filter: {{{filters}}}) {{ {self.fields} }}"

    @property
    def likeness(self) -> tuple[object, ...]:
        """What stays the same from poll to poll: everything but the times."""
        lasting = tuple((k, str(v)) for k, v in self.filter.items() if not k.startswith("date"))
        return (self.dataset, lasting, self.fields)


@dataclass(slots=True)
class _Ask:
    """The nodes of one asker, answered together."""

    scope: Scope
    nodes: tuple[Node, ...]
    answer: asyncio.Future[list[Rows]]

    @property
    def likeness(self) -> tuple[object, ...]:
        return (self.scope, *dict.fromkeys(node.likeness for node in self.nodes))

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class GraphQL:
    """Reads datasets; share one instance, so that askers can share documents."""

    def __init__(self, client: Client, nodes_per_document: int = NODES_PER_DOCUMENT) -> None:
        self._client = client
        self._limit = nodes_per_document
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[Scope, list[_Ask]] = {}
        self._apart: set[tuple[object, ...]] = set()
        self._flushing: set[asyncio.Task[None]] = set()

    async def rows(self, scope: Scope, nodes: Sequence[Node]) -> list[Rows]:
        """The rows of each node, all or none. Raises ReadFailed, or CallFailed where trying again may help."""
        chunks = [tuple(nodes[i : i + self._limit]) for i in range(0, len(nodes), self._limit)]
        asks = [_Ask(scope, chunk, asyncio.get_running_loop().create_future()) for chunk in chunks]
        for ask in asks:
            self._enqueue(ask)
        answers = await asyncio.gather(*(ask.answer for ask in asks))
        return [rows for answer in answers for rows in answer]

    def _enqueue(self, ask: _Ask) -> None:
        waiting = self._waiting.setdefault(ask.scope, [])
        waiting.append(ask)
        if len(waiting) == 1:
            task = asyncio.get_running_loop().create_task(self._flush(ask.scope))
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)

    async def _flush(self, scope: Scope) -> None:
        await asyncio.sleep(0)  # the other askers of this turn
        await asyncio.sleep(0)  # and those whom they started
        asks = self._waiting.pop(scope, [])
        await asyncio.gather(*(self._answer(document) for document in self._documents(asks)))

    def _documents(self, asks: Sequence[_Ask]) -> list[list[_Ask]]:
        """Askers grouped into documents of at most so many nodes; those that failed alone before stay alone."""
        documents: list[list[_Ask]] = []
        shared: list[_Ask] = []
        for ask in asks:
            if ask.likeness in self._apart:
                documents.append([ask])
            elif shared and sum(len(a.nodes) for a in shared) + len(ask.nodes) > self._limit:
                documents.append(shared)
                shared = [ask]
            else:
                shared.append(ask)
        return [*documents, shared] if shared else documents

    async def _answer(self, asks: Sequence[_Ask]) -> None:
        try:
            answers = await self._fetch(asks[0].scope, [node for ask in asks for node in ask.nodes])
        except ReadFailed as error:
            if len(asks) == 1:
                self._apart.add(asks[0].likeness)
                asks[0].fail(error)
            else:
                for ask in asks:
                    await self._answer([ask])
            return
        except Exception as error:  # an asker must never wait for ever
            for ask in asks:
                ask.fail(error)
            return
        for ask in asks:
            self._settle(ask, [answers.pop(0) for _ in ask.nodes])

    def _settle(self, ask: _Ask, rows: list[Rows]) -> None:
        self._apart.discard(ask.likeness)
        for node, found in zip(ask.nodes, rows, strict=True):
            if not node.head and len(found) >= node.limit:
                ask.fail(ReadFailed(f"{node.dataset}: truncated at {node.limit} rows, so the rest is unknown"))
        if not ask.answer.done():
            ask.answer.set_result(rows)

    async def _fetch(self, scope: Scope, nodes: Sequence[Node]) -> list[Rows]:
        permission = PERMISSIONS[scope.kind]
        body = {"query": document(scope, nodes)}
        call = Call("POST", "/graphql", json=body, family=Family.GRAPHQL, query=True, permission=permission)
        try:
            async with self._turns:
                answer = await self._client.send(call)
        except Refused as refused:
            raise ReadFailed(f"analytics of {scope}: {refused}") from None
        return _unpacked(scope, answer.body, len(nodes), permission)


def document(scope: Scope, nodes: Sequence[Node]) -> str:
    """The GraphQL document that asks for `nodes`, aliased n0, n1, …"""
    asked = "\n    ".join(node.text(f"n{i}") for i, node in enumerate(nodes))
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


def _unpacked(scope: Scope, body: bytes, count: int, permission: str) -> list[Rows]:
    try:
        answer = json.loads(body)
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
        return [_rows(scopes[0][f"n{i}"]) for i in range(count)]
    except (KeyError, TypeError, IndexError):
        raise Busy(f"analytics of {scope}: the answer lacks what was asked for") from None


def _rows(found: Any) -> Rows:
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise TypeError("rows are a list of objects")
    return found


def _failure(scope: Scope, errors: Any, permission: str) -> CallFailed | ReadFailed:
    """What errors beside HTTP 200 mean: back off, a permission that is missing, or a mistake for good."""
    entries = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    said = "; ".join(str(e.get("message", "")) for e in entries) or str(errors)[:200]
    codes = {str((e.get("extensions") or {}).get("code", "")) for e in entries} | {
        str(e.get("code", "")) for e in entries
    }
    low = said.lower()
    if codes & {"budget", "quota"} or any(words in low for words in BACK_OFF):
        return Busy(f"analytics of {scope}: {said}")
    if codes & {"authz", "10000"} or any(words in low for words in FORBIDDEN):
        return ReadFailed(
            f"analytics of {scope}: {said}; the token needs the permission {permission!r}, the plan must have the field"
        )
    return ReadFailed(f"analytics of {scope}: {said}")
