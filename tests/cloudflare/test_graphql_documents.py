"""GraphQL: what the answers mean, and how askers share documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from notaus.cloudflare.budget import Budgets
from notaus.cloudflare.graphql import GraphQL, Node, Scope
from notaus.errors import Busy, CallFailed, ReadFailed

from .conftest import Wire, refusal

Wires = Callable[..., Wire]
SCOPE = Scope.account("acc")


def a_node(name: str = "script", **more: Any) -> Node:
    return Node("workersInvocationsAdaptive", {"scriptName": name, "datetime_gt": "t"}, "sum { requests }", **more)


def rows(*nodes: list[Any]) -> httpx.Response:
    found = {f"n{i}": node for i, node in enumerate(nodes)}
    return httpx.Response(200, json={"data": {"viewer": {"accounts": [found]}}, "errors": None})


def errors(message: str, code: str | None = None, data: Any = None) -> httpx.Response:
    entry = {"message": message, "path": None, "extensions": {"code": code} if code else None}
    return httpx.Response(200, json={"data": data, "errors": [entry]})


def nodes_sent(wire: Wire) -> list[int]:
    """How many nodes each document had."""
    return [json.loads(r.content)["query"].count("workersInvocationsAdaptive") for r in wire.sent]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("rate limiter budget depleted, try again after 5 minutes", "budget"),
        ("limit reached, please try again later", None),
        ("Query has exceeded its rate limit", None),
        ("too many nodes, zones and accounts", None),
        ("whatever", "quota"),
        ("Internal server error", None),
        ("unable to execute", None),
    ],
)
async def test_errors_that_pass_are_busy(wire: Wires, message: str, code: str | None) -> None:
    """A full budget would be told as a mistake of the user's."""
    with pytest.raises(Busy):
        await GraphQL(wire(errors(message, code)).client()).rows(SCOPE, [a_node()])


@pytest.mark.parametrize(
    "message", ["unknown field xyz", "cannot request data older than 7d", "limit must be positive"]
)
async def test_errors_that_stay_are_failed_reads(wire: Wires, message: str) -> None:
    """A mistake would be retried for ever in silence; an error beside data would count as data."""
    answer = errors(message, data={"viewer": {"accounts": [{"n0": []}]}})
    with pytest.raises(ReadFailed, match=message):
        await GraphQL(wire(answer).client()).rows(SCOPE, [a_node()])


@pytest.mark.parametrize("answer", [errors("account acc is not authorized", "authz"), refusal(403, 10000, "Auth")])
async def test_a_missing_permission_is_named(wire: Wires, answer: httpx.Response) -> None:
    """Nobody would know which box to tick."""
    with pytest.raises(ReadFailed, match="Account Analytics Read"):
        await GraphQL(wire(answer).client()).rows(SCOPE, [a_node()])


@pytest.mark.parametrize(
    "body", ["{", "[]", '{"data": null}', '{"data": {"viewer": {"accounts": [{}]}}}', '{"data": {"viewer": {}}}']
)
async def test_an_odd_answer_is_no_observation(wire: Wires, body: str) -> None:
    """A broken answer would be taken for no traffic."""
    with pytest.raises(CallFailed):
        await GraphQL(wire(httpx.Response(200, text=body)).client()).rows(SCOPE, [a_node()])


async def test_an_unknown_account_is_told(wire: Wires) -> None:
    """A typo in the account would look like no traffic."""
    answer = httpx.Response(200, json={"data": {"viewer": {"accounts": []}}, "errors": None})
    with pytest.raises(ReadFailed, match="account acc: not found"):
        await GraphQL(wire(answer).client()).rows(SCOPE, [a_node()])


async def test_rows_cut_at_the_limit_are_a_failed_read(wire: Wires) -> None:
    """Rows beyond the limit are silently missing, and with them errors."""
    its = wire(rows([{}, {}]))
    with pytest.raises(ReadFailed, match="truncated at 2 rows"):
        await GraphQL(its.client()).rows(SCOPE, [a_node(limit=2)])
    assert await GraphQL(its.client()).rows(SCOPE, [a_node(limit=3)]) == [[{}, {}]]
    assert await GraphQL(its.client()).rows(SCOPE, [a_node(limit=2, head=True)]) == [[{}, {}]]


async def test_askers_of_one_moment_share_a_document_and_get_their_own_rows(wire: Wires) -> None:
    """The number of queries would grow with the number of services, or rows go to the wrong one."""
    its = wire(rows([{"a": 1}], [{"b": 1}], [{"c": 1}]))
    graphql = GraphQL(its.client())
    found = await asyncio.gather(graphql.rows(SCOPE, [a_node("a"), a_node("b")]), graphql.rows(SCOPE, [a_node("c")]))
    assert found == [[[{"a": 1}], [{"b": 1}]], [[{"c": 1}]]]
    assert nodes_sent(its) == [3]


async def test_a_document_has_no_more_nodes_than_allowed(wire: Wires) -> None:
    """A large document is refused as a whole."""
    its = wire(rows([], []))
    await GraphQL(its.client(), nodes_per_document=2).rows(SCOPE, [a_node(str(n)) for n in range(4)])
    assert nodes_sent(its) == [2, 2]


async def test_accounts_and_zones_do_not_share(wire: Wires) -> None:
    """A document may name one account only."""
    its = wire(httpx.Response(200, json={"data": {"viewer": {"accounts": [{"n0": []}], "zones": [{"n0": []}]}}}))
    graphql = GraphQL(its.client())
    scopes = (SCOPE, Scope.account("other"), Scope.zone("z"))
    await asyncio.gather(*(graphql.rows(scope, [a_node()]) for scope in scopes))
    assert nodes_sent(its) == [1, 1, 1]


async def test_a_bad_node_is_found_and_kept_apart_until_it_is_good_again(wire: Wires) -> None:
    """One service's mistake would blind all others of the account."""
    bad_now = True

    def answer(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)["query"]
        if bad_now and "bad" in query:
            return errors("unknown field")
        return rows(*([[{}]] * query.count("workersInvocationsAdaptive")))

    its = wire()
    client = its.client()
    its._answer = None  # type: ignore[method-assign,assignment]
    sent: list[int] = []

    def counted(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["query"].count("workersInvocationsAdaptive"))
        return answer(request)

    client._http = httpx.AsyncClient(transport=httpx.MockTransport(counted))
    graphql = GraphQL(client)

    async def poll() -> list[Any]:
        asks = (graphql.rows(SCOPE, [a_node(name)]) for name in ("one", "bad", "two"))
        return list(await asyncio.gather(*asks, return_exceptions=True))

    first, second = await poll(), await poll()
    for found in (first, second):
        assert (found[0], found[2]) == ([[{}]], [[{}]])
        assert isinstance(found[1], ReadFailed)
    assert sorted(sent) == [1, 1, 1, 1, 2, 3]
    bad_now = False
    assert (await poll())[1] == [[{}]]
    sent.clear()
    await poll()
    assert sent == [3]


async def test_a_passing_failure_is_not_retried_node_by_node(wire: Wires) -> None:
    """A depleted budget would be asked again for every node."""
    its = wire(errors("rate limiter budget depleted", "budget"))
    graphql = GraphQL(its.client())
    asks = [graphql.rows(SCOPE, [a_node(str(n))]) for n in range(5)]
    found = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(f, Busy) for f in found)
    assert nodes_sent(its) == [5]


def owned(name: str, at: str = "t", **more: Any) -> Node:
    return Node("workersInvocationsAdaptive", {"datetime_gt": at}, "sum { requests }", own=("scriptName", name), **more)


def of(name: str, number: int) -> dict[str, Any]:
    return {"sum": {"requests": number}, "dimensions": {"scriptName": name}}


async def test_nodes_that_differ_only_in_whose_rows_they_want_are_asked_as_one(wire: Wires) -> None:
    """The number of queries would grow with the number of services, or a service get another's rows."""
    its = wire(rows([of("b", 2), of("a", 1), of("b", 3)]))
    graphql = GraphQL(its.client())
    found = await asyncio.gather(*(graphql.rows(SCOPE, [owned(name)]) for name in "abc"))
    assert found == [[[of("a", 1)]], [[of("b", 2), of("b", 3)]], [[]]]
    query = json.loads(its.sent[0].content)["query"]
    assert nodes_sent(its) == [1]
    assert 'scriptName_in: ["a", "b", "c"]' in query
    assert "dimensions { scriptName }" in query


async def test_shared_rows_cut_at_the_limit_are_asked_for_in_halves(wire: Wires) -> None:
    """One service with many rows would blind all that share its node."""
    cut, first, second = rows([of("a", 1), of("a", 2), of("b", 1)]), rows([of("a", 1), of("a", 2)]), rows([of("b", 1)])
    its = wire(cut, first, second)
    graphql = GraphQL(its.client())
    found = await asyncio.gather(*(graphql.rows(SCOPE, [owned(name, limit=3)]) for name in "ab"))
    assert found == [[[of("a", 1), of("a", 2)]], [[of("b", 1)]]]


async def test_a_backfill_leaves_budget_for_the_newest(wire: Wires) -> None:
    """A backfill larger than the budget would use all of it, fail, begin anew, and nothing would be read, ever."""
    its = wire(rows([]))
    client = its.client(budgets=Budgets(graphql=10, reserve=0.1))
    graphql = GraphQL(client, nodes_per_document=1)
    found = await graphql.each(SCOPE, [owned("a", at=str(n)) for n in range(20)])
    assert found[:6] == [[]] * 6
    assert all(isinstance(failure, Busy) for failure in found[6:])
    for _ in range(3):
        assert await graphql.rows(SCOPE, [owned("a")]) == [[]]
    with pytest.raises(Busy):
        await graphql.rows(SCOPE, [owned("a")])
