"""Tokens: whose they are, and what they may do."""

from __future__ import annotations

import httpx
import pytest

from notaus.cloudflare import tokens
from notaus.cloudflare.client import Client
from notaus.cloudflare.tokens import Policies
from notaus.cloudflare.wire import PolicyShape
from notaus.errors import CallFailed, Refused
from notaus.sandbox import Sandbox

from .conftest import API, FixedClock


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(FixedClock().now)


def client(box: Sandbox, token: str) -> Client:
    return Client(httpx.AsyncClient(transport=box.transport()), API, box.account.id, token, FixedClock())


async def test_account_and_user_tokens_are_told_apart(box: Sandbox) -> None:
    """A good token of the other kind would be called invalid."""
    box.account.add_token("cfut_user", kind="user")
    assert (await tokens.verify(client(box, box.token))).kind == "account"
    user = await tokens.verify(client(box, "cfut_user"))
    assert (user.kind, user.active) == ("user", True)


async def test_a_wrong_token_is_refused(box: Sandbox) -> None:
    """`notaus check` would say yes."""
    with pytest.raises(Refused, match="Invalid API Token"):
        await tokens.verify(client(box, "wrong"))


@pytest.mark.parametrize("result", ["yes", [], 7, {"status": {}}, {"status": "active", "expires_on": "never"}])
async def test_an_answer_that_describes_no_token_is_no_answer(result: object) -> None:
    """The daemon asks this first: an unforeseen error would keep it from starting."""
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"success": True, "result": result}))
    )
    with pytest.raises(CallFailed):
        await tokens.verify(Client(http, API, "acc", "cfat_x", FixedClock()))


async def test_missing_permissions_are_found_by_using_them_once(box: Sandbox) -> None:
    """They would be found out in the incident."""
    box.account.add_token("cfat_poor", permissions=["kv.read"])
    rich, poor = client(box, box.token), client(box, "cfat_poor")
    account = box.account.id
    for one, granted in ((rich, [True] * 4), (poor, [False, False, False, True])):
        probes = [
            await tokens.probe_analytics(one, account),
            await tokens.probe_zone(one, box.zone),
            await tokens.probe_script(one, account, "api-worker"),
            await tokens.probe_kv(one, account, box.kv_namespace, "config"),
        ]
        assert [p.problem is None for p in probes] == granted, probes


ACCOUNT, ZONE = "com.cloudflare.api.account", "com.cloudflare.api.account.zone"
READ, WRITE = "Workers KV Storage Read", "Workers KV Storage Write"


def policy(effect: str, group: str, **resources: object) -> PolicyShape:
    return PolicyShape.model_validate(
        {"effect": effect, "permission_groups": [{"id": "1", "name": group}], "resources": resources}
    )


def test_policies_grant_what_they_name_where_they_name_it() -> None:
    """A permission of another account, or one that is denied, would be found out in the incident."""
    here = Policies((policy("allow", WRITE, **{f"{ACCOUNT}.a": "*"}),))
    assert here.grants(WRITE, "a")
    assert here.grants(READ, "a")
    assert not here.grants(WRITE, "b")
    assert not here.grants("Workers Scripts Write", "a")
    assert not here.grants(WRITE, "a", "z")
    assert Policies((policy("allow", READ, **{f"{ACCOUNT}.*": "*"}),)).grants(READ, "a")
    assert not Policies((policy("allow", READ, **{f"{ACCOUNT}.a": "*"}),)).grants(WRITE, "a")
    denied = (policy("allow", WRITE, **{f"{ACCOUNT}.*": "*"}), policy("deny", WRITE, **{f"{ACCOUNT}.a": "*"}))
    assert not Policies(denied).grants(WRITE, "a")
    assert Policies(denied).grants(WRITE, "b")


@pytest.mark.parametrize(
    "resources",
    [
        {f"{ZONE}.z": "*"},
        {f"{ZONE}.*": "*"},
        {f"{ACCOUNT}.a": {f"{ZONE}.*": "*"}},
        {f"{ACCOUNT}.*": {f"{ZONE}.z": "*"}},
    ],
)
def test_a_zone_is_named_by_itself_or_within_its_account(resources: dict[str, object]) -> None:
    """The dashboard writes it in four ways; three of them would be called missing."""
    found = Policies((policy("allow", "Analytics Read", **resources),))
    assert found.grants("Analytics Read", "a", "z")
    assert not found.grants("Analytics Read", "a")
