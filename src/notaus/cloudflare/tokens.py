"""Whose token it is, and what it may do: for `notaus check`, before any incident."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime

from notaus.cloudflare.analytics_engine import AnalyticsEngine
from notaus.cloudflare.client import Call, Client, account_path, shaped
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.graphql import GraphQL, Node, Scope, time_literal
from notaus.cloudflare.kv import Kv
from notaus.cloudflare.wire import TokenState
from notaus.errors import NotausError, Refused

INVALID_TOKEN = 1000
"""An account token's answer on the route for user tokens, and the reverse."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that Cloudflare knows."""

    kind: str
    """`account` or `user`."""
    status: str
    expires: datetime | None = None

    @property
    def active(self) -> bool:
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether one permission is there, found by using it once; `problem` is None where it is."""

    permission: str
    problem: str | None = None


async def verify(client: Client, account: str | None = None) -> Token:
    """What the token is. Raises CallFailed; Refused where neither route knows it."""
    try:
        return await _verified(client, "account", account_path(account or client.account, "tokens", "verify"))
    except Refused:
        return await _verified(client, "user", "/user/tokens/verify")


async def _verified(client: Client, kind: str, path: str) -> Token:
    call = Call("GET", path)
    state = shaped(TokenState, (await client.envelope(call)).result, call)
    return Token(kind, state.status, state.expires_on)


async def probe_analytics(client: Client, account: str) -> Probe:
    return await _probe("Account Analytics Read", AnalyticsEngine(client).query(account, "SHOW TABLES FORMAT JSON"))


async def probe_zone(client: Client, zone: str) -> Probe:
    at = int(client.clock.now())
    times = {"datetime_gt": time_literal(at - 600), "datetime_leq": time_literal(at)}
    node = Node("httpRequestsAdaptiveGroups", times, "count", limit=1, head=True)
    return await _probe("Analytics Read (of the zone)", GraphQL(client).rows(Scope.zone(zone), [node]))


async def probe_kv(client: Client, account: str, namespace: str, key: str) -> Probe:
    """Reading only: whether the token may write shows at the first write."""
    return await _probe("Workers KV Storage Read", Kv(client).get(account, namespace, key))


async def probe_script(client: Client, account: str, script: str) -> Probe:
    """Reading only: whether the token may deploy shows at the first deployment."""
    return await _probe("Workers Scripts Read", Deployments(client).newest(account, script))


async def _probe(permission: str, attempt: Awaitable[object]) -> Probe:
    try:
        await attempt
    except NotausError as error:
        return Probe(permission, str(error))
    return Probe(permission)
