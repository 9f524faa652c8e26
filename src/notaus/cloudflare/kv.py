"""Workers KV over the REST API: values read and written whole; those read at the same moment come in one request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from notaus.cloudflare.client import Call, Client, account_path
from notaus.errors import NotausError, Refused, Silent
from notaus.together import Asked, Together, chunks

SECONDS_BETWEEN_WRITES = 1.0
NAMESPACE_MISSING = 10013
KEYS_AT_ONCE = 100
"""Read with one request."""
READ = "Workers KV Storage Read"
WRITE = "Workers KV Storage Write"


@dataclass(slots=True)
class _Pace:
    """Keeps writes to one key a second apart, as Cloudflare demands."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next: float = 0.0


@dataclass(frozen=True, slots=True)
class _Key:
    account: str
    namespace: str
    name: str


class Kv:
    """The keys of an account's namespaces."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._paces: dict[tuple[str, str, str], _Pace] = {}
        self._reads: Together[_Key, bytes | None] = Together(self._read)

    async def get(self, account: str, namespace: str, key: str, *, lever: bool = False) -> bytes | None:
        """The stored bytes; None where the key does not exist. Raises CallFailed."""
        wanted = _Key(account, namespace, key)
        return await self._one(wanted, lever=True) if lever else await self._reads.ask(wanted)

    async def _read(self, asked: Sequence[Asked[_Key, bytes | None]]) -> None:
        namespaces: dict[tuple[str, str], list[Asked[_Key, bytes | None]]] = {}
        for each in asked:
            namespaces.setdefault((each.question.account, each.question.namespace), []).append(each)
        groups = [group for every in namespaces.values() for group in chunks(every, KEYS_AT_ONCE)]
        await asyncio.gather(*(self._read_group(group) for group in groups))

    async def _read_group(self, asked: Sequence[Asked[_Key, bytes | None]]) -> None:
        try:
            keys = [each.question for each in asked]
            found = [await self._one(keys[0])] if len(keys) == 1 else await self._many(keys)
        except NotausError as failure:
            for each in asked:
                each.fail(failure)
        else:
            for each, value in zip(asked, found, strict=True):
                each.answer(value)

    async def _one(self, key: _Key, *, lever: bool = False) -> bytes | None:
        path = _path(key.account, key.namespace, "values", key.name)
        return await self._found(Call("GET", path, lever=lever, permission=READ))

    async def _many(self, keys: Sequence[_Key]) -> list[bytes | None]:
        """The values of keys of one namespace, as text: what steers is JSON. Raises CallFailed."""
        path = _path(keys[0].account, keys[0].namespace, "bulk", "get")
        names = list(dict.fromkeys(key.name for key in keys))
        call = Call("POST", path, json={"keys": names}, query=True, permission=READ)
        result = (await self._client.envelope(call)).result
        values = result.get("values") if isinstance(result, dict) else None
        if not isinstance(values, dict) or any(name not in values for name in names):
            raise Silent(f"{call}: the answer lacks keys that were asked for")
        return [None if values[key.name] is None else str(values[key.name]).encode() for key in keys]

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
