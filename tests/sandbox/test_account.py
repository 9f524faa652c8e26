"""Tokens, permissions, the envelope and the rate limits."""

from __future__ import annotations

import httpx

from notaus.sandbox import Sandbox
from notaus.sandbox.account import Bucket

from .conftest import START, Clock


async def test_a_token_is_verified_on_the_route_of_its_kind(client: httpx.AsyncClient, box: Sandbox, api: str) -> None:
    """Code 10000 among the messages is good news; code 1000 tells the other kind of token."""
    verified = (await client.get(f"{api}/tokens/verify")).json()
    assert verified["result"]["status"] == "active"
    assert verified["messages"][0]["code"] == 10000
    other = await client.get(f"{box.urls()['api']}/user/tokens/verify")
    assert (other.status_code, other.json()["errors"][0]["code"]) == (401, 1000)
    box.account.add_token("person", kind="user")
    own = await client.get(f"{box.urls()['api']}/user/tokens/verify", headers={"Authorization": "Bearer person"})
    assert own.json()["success"] is True


async def test_a_wrong_or_narrow_token_is_refused(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """`notaus check` must be able to tell which permission is missing."""
    box.account.add_token("reader", ["kv.read"])
    cases = [
        ({"Authorization": "Bearer wrong"}, 401, 10000),
        ({"Authorization": "Basic x"}, 400, 6003),
        ({"Authorization": "Bearer reader"}, 403, 10000),
    ]
    for headers, status, code in cases:
        answer = await client.put(f"{values}/a", content=b"1", headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
        assert answer.json()["result"] is None
    assert (await client.get(f"{values}/config", headers={"Authorization": "Bearer reader"})).status_code == 200
    async with httpx.AsyncClient(transport=box.transport()) as nobody:
        assert (await nobody.get(f"{values}/config")).json()["errors"][0]["code"] == 9106


async def test_an_unknown_route_and_a_foreign_account(client: httpx.AsyncClient, box: Sandbox) -> None:
    """Both are configuration mistakes that the client has to name."""
    root = box.urls()["api"]
    unknown = await client.get(f"{root}/zones/x/nothing")
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (404, 7003)
    foreign = await client.get(f"{root}/accounts/{'0' * 32}/workers/scripts/api-worker/deployments")
    assert (foreign.status_code, foreign.json()["errors"][0]["code"]) == (403, 10000)


async def test_one_call_too_many_blocks_for_five_minutes(
    client: httpx.AsyncClient, box: Sandbox, script: str, values: str, clock: Clock
) -> None:
    """The headers never show it coming; the client must count for itself."""
    box.account.api_limit = 3
    for _ in range(3):
        answer = await client.get(f"{script}/deployments")
        assert answer.headers["Ratelimit"] == '"default";r=1199;t=1'
    blocked = await client.get(f"{values}/config")
    assert (blocked.status_code, blocked.headers["Retry-After"]) == (429, "300")
    clock.now = START + 299
    assert (await client.get(f"{values}/config")).status_code == 429
    clock.now = START + 300
    assert (await client.get(f"{values}/config")).status_code == 200


async def test_graphql_has_a_budget_of_its_own(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """It answers HTTP 200 with an error, and leaves the rest of the API alone."""
    box.account.graphql_limit = 1
    url = f"{box.urls()['api']}/graphql"
    assert (await client.post(url, json={"query": "{ cost }"})).json()["data"] == {"cost": 1}
    spent = await client.post(url, json={"query": "{ cost }"})
    assert (spent.status_code, spent.json()["errors"][0]["extensions"]["code"]) == (200, "budget")
    assert (await client.get(f"{values}/config")).status_code == 200


def test_a_limit_of_none_is_no_limit() -> None:
    """Tests and demos turn limits off."""
    bucket = Bucket(None)
    assert all(bucket.retry_after(START) is None for _ in range(5_000))


async def test_every_answer_carries_the_sandboxs_date(client: httpx.AsyncClient, values: str, clock: Clock) -> None:
    """The client takes its idea of now from it."""
    clock.now = 0.0
    assert (await client.get(f"{values}/config")).headers["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_token_never_shows_in_a_repr(box: Sandbox) -> None:
    """Reprs end up in logs."""
    assert box.token not in repr(box.account.tokens[box.token])
