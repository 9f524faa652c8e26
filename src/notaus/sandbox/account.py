"""The account itself: its tokens and what they may do, the rate limits, and the routes about users and accounts."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from .wire import Answer, Call, Refused, envelope, failure

GROUPS: Final = {
    "analytics.read": ("Account Analytics Read",),
    "zone.read": ("Analytics Read",),
    "scripts.read": ("Workers Scripts Read",),
    "scripts.write": ("Workers Scripts Write",),
    "kv.read": ("Workers KV Storage Read",),
    "kv.write": ("Workers KV Storage Write",),
    "r2.read": ("Workers R2 Storage Read",),
    "r2.write": ("Workers R2 Storage Write",),
    "tail.read": ("Workers Tail Read",),
    "telemetry.write": ("Workers Observability Write",),
    "account.read": ("Account Settings Read",),
    "tokens.read": ("Account API Tokens Read", "API Tokens Read"),
}
"""Permissions and the permission groups, as Cloudflare calls them, that grant them."""
PERMISSIONS: Final = frozenset(GROUPS) - {"tokens.read"}
"""What a token may do unless it is told otherwise: everything, but look at tokens."""
WINDOW_SECONDS: Final = 300
RATELIMIT_HEADERS: Final = (("Ratelimit", '"default";r=1199;t=1'), ("Ratelimit-Policy", '"default";q=1200;w=300'))


@dataclass(frozen=True, slots=True)
class Token:
    """An API token. ``kind`` is "account" or "user"; the permissions are names out of `GROUPS`."""

    value: str = field(repr=False)
    id: str
    kind: str = "account"
    permissions: frozenset[str] = PERMISSIONS
    status: str = "active"


@dataclass(slots=True)
class Bucket:
    """So many calls in five minutes; one too many blocks every call for the next five. ``limit`` None: no limit."""

    limit: int | None
    _calls: deque[float] = field(default_factory=deque)
    _blocked_until: float = 0.0

    def retry_after(self, at: float) -> float | None:
        """Count a call; the seconds to wait if it is one too many, else None."""
        if self.limit is None:
            return None
        if at < self._blocked_until:
            return self._blocked_until - at
        while self._calls and self._calls[0] <= at - WINDOW_SECONDS:
            self._calls.popleft()
        if len(self._calls) >= self.limit:
            self._blocked_until = at + WINDOW_SECONDS
            return float(WINDOW_SECONDS)
        self._calls.append(at)
        return None


@dataclass(slots=True)
class Account:
    """Tokens and limits of the emulated account. Set a limit to None to turn it off."""

    id: str
    name: str = "Sandbox"
    api_limit: int | None = 1_200
    graphql_limit: int | None = 300
    tokens: dict[str, Token] = field(default_factory=dict)
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def add_token(
        self, value: str, permissions: Iterable[str] = PERMISSIONS, kind: str = "account", status: str = "active"
    ) -> Token:
        """A further token; raises ValueError for a permission that does not exist."""
        wanted = frozenset(permissions)
        if unknown := wanted - frozenset(GROUPS):
            raise ValueError(f"unknown permissions {sorted(unknown)}: out of {sorted(GROUPS)}")
        token = Token(value, f"{len(self.tokens) + 1:032x}", kind, wanted, status)
        self.tokens[value] = token
        return token

    def authenticate(self, call: Call) -> Token:
        """Whose call it is; raises `Refused` as the live API does."""
        header = call.headers.get("authorization")
        if header is None:
            raise Refused(400, 9106, "Authentication failed: missing Authorization header")
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "bearer" or not value or " " in value.strip():
            chain = ((6111, "Invalid format for Authorization header"),)
            raise Refused(400, 6003, "Invalid request headers", chain=chain)
        token = self.tokens.get(value.strip())
        if token is None or token.status != "active":
            if call.segments[-2:] == ("tokens", "verify"):
                raise Refused(401, 1000, "Invalid API Token")
            raise Refused(401, 10000, "Authentication error")
        return token

    def permit(self, token: Token, permission: str | None, account: str | None) -> None:
        """Raises `Refused` (403) where the token may not do this, or not in this account."""
        if (permission is not None and permission not in token.permissions) or account not in (None, self.id):
            raise Refused(403, 10000, "Authentication error")

    def limited(self, token: Token, at: float, *, graphql: bool = False) -> float | None:
        """Count the call in the token's bucket: seconds to wait, or None. GraphQL has a bucket of its own."""
        limit = self.graphql_limit if graphql else self.api_limit
        bucket = self._buckets.setdefault((token.value, "graphql" if graphql else "api"), Bucket(limit))
        bucket.limit = limit
        return bucket.retry_after(at)


def too_many_requests(retry_after: float) -> Answer:
    """The 429 of the five-minute budget."""
    answer = failure(Refused(429, 971, "Please wait and consider throttling your request speed"))
    return answer.with_headers(("Retry-After", str(int(retry_after) or 1)))


def page_info(page: int, per_page: int, count: int, total: int) -> dict[str, Any]:
    """``result_info`` of the page style."""
    pages = -(-total // per_page)
    return {"page": page, "per_page": per_page, "count": count, "total_count": total, "total_pages": pages}


@dataclass(frozen=True, slots=True)
class AccountRoutes:
    """``/user``, ``/accounts``, ``/memberships`` and the two ways to verify a token."""

    account: Account

    def verify_user_token(self, call: Call) -> Answer:
        return self._verified(call, "user")

    def verify_account_token(self, call: Call) -> Answer:
        return self._verified(call, "account")

    def _verified(self, call: Call, kind: str) -> Answer:
        assert call.token is not None
        if call.token.kind != kind:
            raise Refused(401, 1000, "Invalid API Token")
        message = {"code": 10000, "message": "This API Token is valid and active", "type": None}
        return envelope({"id": call.token.id, "status": call.token.status}, messages=[message])

    def described_token(self, call: Call) -> Answer:
        """``GET …/tokens/{token}``: the token with its policies."""
        token = next((t for t in self.account.tokens.values() if t.id == call.params["token"]), None)
        if token is None:
            raise Refused(404, 1001, "Token not found")
        names = sorted(name for permission in token.permissions for name in GROUPS[permission])
        zone = [name for name in names if name == "Analytics Read"]
        policies = [
            self._policy(f"com.cloudflare.api.account.{self.account.id}", [n for n in names if n not in zone]),
            self._policy("com.cloudflare.api.account.zone.*", zone),
        ]
        return envelope({"id": token.id, "name": "notaus", "status": token.status, "policies": policies})

    def _policy(self, resource: str, groups: list[str]) -> dict[str, Any]:
        listed = [{"id": f"{zlib.crc32(name.encode()):032x}", "name": name} for name in groups]
        return {"id": resource[-8:], "effect": "allow", "permission_groups": listed, "resources": {resource: "*"}}

    def user(self, call: Call) -> Answer:
        self._needs_user(call, 9109)
        return envelope({"id": "7c5dae5552338874e5053f2534d2767a", "email": "user@example.com"})

    def memberships(self, call: Call) -> Answer:
        self._needs_user(call, 9106)
        member = {"id": "4536bcfad5faccb111b47003c79917fa", "status": "accepted", "account": self._described()}
        return envelope([member], info=page_info(1, 20, 1, 1))

    def accounts(self, call: Call) -> Answer:
        return envelope([self._described()], info=page_info(1, 20, 1, 1))

    def one_account(self, call: Call) -> Answer:
        return envelope(self._described())

    def _needs_user(self, call: Call, code: int) -> None:
        if call.token is None or call.token.kind != "user":
            raise Refused(403, code, "Unauthorized to access requested resource")

    def _described(self) -> dict[str, Any]:
        return {"id": self.account.id, "name": self.account.name, "type": "standard", "settings": {}}
