"""Whose token it is, and what it may do: for `notaus check`, before any incident.

A read shows its permission by being used once. A write shows in the token's own policies alone, which only a token with
`Account API Tokens Read` (a user's token: `API Tokens Read`) may look at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from notaus.cloudflare.analytics_engine import AnalyticsEngine
from notaus.cloudflare.client import Call, Client, account_path, shaped
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.graphql import GraphQL, Node, Scope, time_literal
from notaus.cloudflare.kv import Kv
from notaus.cloudflare.telemetry import Telemetry
from notaus.cloudflare.wire import AccountList, PolicyShape, TokenPolicies, TokenState
from notaus.errors import CallFailed, NotausError, Refused

ACCOUNT = "com.cloudflare.api.account"
LOOK = {"account": "Account API Tokens Read", "user": "API Tokens Read"}
"""The permission groups with which a token of each kind may look at itself."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that Cloudflare knows."""

    kind: str
    """`account` or `user`."""
    status: str
    expires: datetime | None = None
    id: str = ""

    @property
    def active(self) -> bool:
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class Policies:
    """What a token's own policies say."""

    policies: tuple[PolicyShape, ...]

    def grants(self, group: str, account: str, zone: str | None = None) -> bool:
        """Whether the permission group is granted for the account, or for one zone of it. A write grants the read."""
        wanted = {group, group.replace(" Read", " Write")}
        found = [
            p for p in self.policies if wanted & {g.name for g in p.permission_groups} and _covers(p, account, zone)
        ]
        return bool(found) and all(policy.effect == "allow" for policy in found)

    @property
    def groups(self) -> tuple[str, ...]:
        """Every permission group that is allowed somewhere."""
        return tuple(sorted({g.name for p in self.policies if p.effect == "allow" for g in p.permission_groups}))


def _covers(policy: PolicyShape, account: str, zone: str | None) -> bool:
    """Whether a policy's resources contain the account or zone; an account may hold its zones in a mapping of its own."""
    accounts = {f"{ACCOUNT}.{account}", f"{ACCOUNT}.*"}
    if zone is None:
        return any(policy.resources.get(name) == "*" for name in accounts)
    zones = {f"{ACCOUNT}.zone.{zone}", f"{ACCOUNT}.zone.*"}
    nested: Iterable[object] = (policy.resources.get(name) for name in accounts)
    inner = (name for held in nested if isinstance(held, Mapping) for name in held)
    return bool(zones & {*policy.resources, *inner})


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether one permission is there, found by using it once; `problem` is None where it is."""

    permission: str
    problem: str | None = None
    denied: bool = False
    """It is missing; where it is not denied but failed, something else is wrong."""


async def verify(client: Client, account: str | None = None, *, lever: bool = False) -> Token:
    """What the token (with `lever`, the levers' own) is. Raises CallFailed; Refused where neither route knows it."""
    try:
        return await _verified(client, "account", account_path(account or client.account, "tokens", "verify"), lever)
    except Refused:
        return await _verified(client, "user", "/user/tokens/verify", lever)


async def _verified(client: Client, kind: str, path: str, lever: bool) -> Token:
    call = Call("GET", path, lever=lever)
    state = shaped(TokenState, (await client.envelope(call)).result, call)
    return Token(kind, state.status, state.expires_on, state.id)


async def policies(client: Client, token: Token, account: str, *, lever: bool = False) -> Policies | None:
    """The token's own policies; None where it may not look at them. Raises Busy or Silent."""
    at = account_path(account, "tokens", token.id) if token.kind == "account" else f"/user/tokens/{token.id}"
    call = Call("GET", at, lever=lever, permission=LOOK[token.kind])
    try:
        return Policies(tuple(shaped(TokenPolicies, (await client.envelope(call)).result, call).policies))
    except Refused:
        return None


async def accounts(client: Client) -> tuple[str, ...]:
    """The accounts that the token can list, `name (id)`; none where it may not, or is no token."""
    call = Call("GET", "/accounts", permission="Account Settings Read")
    try:
        found = shaped(AccountList, {"accounts": (await client.envelope(call)).result}, call).accounts
    except CallFailed:
        return ()
    return tuple(f"{each.name} ({each.id})" for each in found)


async def probe_analytics(client: Client, account: str) -> Probe:
    return await probed("Account Analytics Read", AnalyticsEngine(client).query(account, "SHOW TABLES FORMAT JSON"))


async def probe_zone(client: Client, zone: str) -> Probe:
    at = int(client.clock.now())
    times = {"datetime_gt": time_literal(at - 600), "datetime_leq": time_literal(at)}
    node = Node("httpRequestsAdaptiveGroups", times, "count", limit=1, head=True)
    return await probed("Analytics Read", GraphQL(client).rows(Scope.zone(zone), [node]))


async def probe_telemetry(client: Client, account: str) -> Probe:
    at = int(client.clock.now())
    return await probed("Workers Observability Write", Telemetry(client).alive(account, at - 600, at))


async def probe_kv(client: Client, account: str, namespace: str, key: str, *, lever: bool = False) -> Probe:
    """Reading only: whether the token may write shows at the first write."""
    return await probed("Workers KV Storage Read", Kv(client).get(account, namespace, key, lever=lever))


async def probe_script(client: Client, account: str, script: str, *, lever: bool = False) -> Probe:
    """Reading only: whether the token may deploy shows at the first deployment."""
    return await probed("Workers Scripts Read", Deployments(client).newest(account, script, lever=lever))


async def probe_tail(client: Client, account: str, script: str) -> Probe:
    """Reading only: the list of those who listen."""
    permission = "Workers Tail Read"
    call = Call("GET", account_path(account, "workers", "scripts", script, "tails"), permission=permission)
    return await probed(permission, client.envelope(call))


async def probed(permission: str, attempt: Awaitable[object]) -> Probe:
    """Whether a permission is there, by an attempt that needs it."""
    try:
        await attempt
    except NotausError as error:
        said = str(error)
        denied = getattr(error, "status", None) in (401, 403) or "needs the permission" in said
        return Probe(permission, said, denied)
    return Probe(permission)
