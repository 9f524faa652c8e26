"""Workers KV over the REST API: one value at a time, read and written whole."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from notaus.cloudflare.client import Call, Client, account_path
from notaus.errors import Refused

SECONDS_BETWEEN_WRITES = 1.0
NAMESPACE_MISSING = 10013
READ = "Workers KV Storage Read"
WRITE = "Workers KV Storage Write"


@dataclass(slots=True)
class _Pace:
    """Keeps writes to one key a second apart, as Cloudflare demands."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next: float = 0.0


class Kv:
    """The keys of an account's namespaces."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._paces: dict[tuple[str, str, str], _Pace] = {}

    async def get(self, account: str, namespace: str, key: str, *, lever: bool = False) -> bytes | None:
        """The stored bytes; None where the key does not exist. Raises CallFailed."""
        call = Call("GET", _path(account, namespace, "values", key), lever=lever, permission=READ)
        return await self._found(call)

    async def metadata(self, account: str, namespace: str, key: str, *, lever: bool = False) -> object:
        """The metadata stored beside the value; None where there is none. Raises CallFailed."""
        call = Call("GET", _path(account, namespace, "metadata", key), lever=lever, permission=READ)
        try:
            return (await self._client.envelope(call)).result
        except Refused as refused:
            if refused.status == 404 and refused.code != NAMESPACE_MISSING:
                return None
            raise

    async def put(self, account: str, namespace: str, key: str, value: bytes, metadata: object = None) -> None:
        """Store `value`, at most one write a second. Raises Refused, Busy, or Silent where it may be stored."""
        path = _path(account, namespace, "values", key)
        if metadata is None:
            call = Call(
                "PUT", path, content=value, content_type="text/plain;charset=UTF-8", lever=True, permission=WRITE
            )
        else:
            files = {"value": (None, value), "metadata": (None, json.dumps(metadata).encode())}
            call = Call("PUT", path, files=files, lever=True, permission=WRITE)
        pace = self._paces.setdefault((account, namespace, key), _Pace())
        async with pace.lock:
            wait = pace.next - self._client.clock.now()
            if wait > 0:
                await self._client.clock.sleep(wait)
            try:
                await self._client.envelope(call)
            finally:
                pace.next = self._client.clock.now() + SECONDS_BETWEEN_WRITES

    async def namespace_exists(self, account: str, namespace: str) -> bool:
        """Whether the namespace is there. Raises CallFailed."""
        try:
            await self._client.envelope(Call("GET", _path(account, namespace), permission=READ))
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def _found(self, call: Call) -> bytes | None:
        try:
            return (await self._client.send(call)).body
        except Refused as refused:
            if refused.status == 404 and refused.code != NAMESPACE_MISSING:
                return None
            raise


def _path(account: str, namespace: str, *parts: str) -> str:
    return account_path(account, "storage", "kv", "namespaces", namespace, *parts)
