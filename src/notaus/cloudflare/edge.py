"""Requests to the guarded Worker itself, past every cache, as a user at Cloudflare's edge makes them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from notaus import body as bodies
from notaus.errors import Silent

BODY_BYTES = 1024 * 1024
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of the WebSocket protocol (RFC 6455): shows that the server understood the handshake."""
MISSING = object()
AT_ONCE = 100
"""Requests under way together: the next one's deadline begins with its turn. Those that wait inside the HTTP client are
gone through at every answer, which for a thousand of them held the event loop up for 24 s."""


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """What came back; `seconds`, of the daemon's clock, is from the request to the last byte."""

    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Edge:
    """Asks URLs; `origins` maps a host to the base URL that stands for it (a sandbox, a staging service)."""

    http: httpx.AsyncClient
    origins: Mapping[str, str] = field(default_factory=dict)
    speed: float = 1.0
    """Of the daemon's clock: latencies are told in its seconds, deadlines are kept in the machine's."""
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), compare=False)

    async def get(self, url: str, *, within: float) -> EdgeAnswer:
        """A GET that no cache answers. Raises Silent where no whole answer came `within` so many seconds."""
        fresh = self.resolved(url).copy_merge_params({"notaus": secrets.token_hex(6)})
        return await self._ask(url, fresh, {"Cache-Control": "no-cache"}, within)

    async def handshake(self, url: str, *, within: float) -> tuple[EdgeAnswer, str | None]:
        """A WebSocket handshake: the answer, and what is wrong with it (None: accepted). Raises Silent."""
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
        }
        answer = await self._ask(url, self.resolved(url), headers, within)
        if answer.status != 101:
            return answer, f"status is {answer.status}, expected 101"
        accepted = base64.b64encode(hashlib.sha1(key.encode() + MAGIC, usedforsecurity=False).digest()).decode()
        if answer.headers.get("Sec-WebSocket-Accept") != accepted:
            return answer, "Sec-WebSocket-Accept is wrong: something other than a WebSocket server answered"
        return answer, None

    async def send(
        self, method: str, target: httpx.URL, headers: Mapping[str, str], body: bytes, *, within: float, most: int
    ) -> EdgeAnswer:
        """A request that was made ready elsewhere, to just this URL; at `most` so many bytes. Raises Silent."""
        return await self._ask(str(target.copy_with(query=None)), target, headers, within, method, body, most)

    def resolved(self, url: str) -> httpx.URL:
        """What stands for a URL, as `http` or `https`."""
        parsed = httpx.URL(url)
        base = self.origins.get(parsed.netloc.decode()) or self.origins.get(parsed.host)
        if base is not None:
            origin = httpx.URL(base)
            path = origin.raw_path.partition(b"?")[0].rstrip(b"/") + parsed.raw_path
            parsed = origin.copy_with(raw_path=path)
        plain = {"wss": "https", "ws": "http"}.get(parsed.scheme)
        return parsed.copy_with(scheme=plain) if plain else parsed

    async def _ask(
        self,
        url: str,
        target: httpx.URL,
        headers: Mapping[str, str],
        within: float,
        method: str = "GET",
        content: bytes = b"",
        most: int = BODY_BYTES,
    ) -> EdgeAnswer:
        async with self.turns:
            return await self._answer(url, target, headers, within, method, content, most)

    async def _answer(
        self,
        url: str,
        target: httpx.URL,
        headers: Mapping[str, str],
        within: float,
        method: str,
        content: bytes,
        most: int,
    ) -> EdgeAnswer:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with (
                asyncio.timeout(within),
                self.http.stream(
                    method,
                    target,
                    headers={"Accept-Encoding": bodies.ACCEPTED, **headers},
                    content=content or None,
                    timeout=within,
                ) as response,
            ):
                # An accepted handshake has no body: the stream behind it would never end.
                body = b"" if response.status_code == 101 else (await bodies.read(response, most))[:most]
                return EdgeAnswer(response.status_code, response.headers, body, (loop.time() - started) * self.speed)
        except (TimeoutError, httpx.TimeoutException):
            raise Silent(f"no answer from {url} within {within:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Silent(f"no answer from {url}: {type(error).__name__}") from None


def mismatches(body: bytes, expected: Mapping[str, object]) -> list[str]:
    """How the JSON `body` differs from `expected` (dotted path to value), one sentence each; none where it does not."""
    if not expected:
        return []
    try:
        document = bodies.as_json(body)
    except ValueError:
        return ["the body is not JSON"]
    found = {path: at_path(document, path) for path in expected}
    return [
        f"{path} is {'missing' if found[path] is MISSING else _shown(found[path])}, expected {_shown(value)}"
        for path, value in expected.items()
        if not same(found[path], value)
    ]


def at_path(document: Any, path: str) -> Any:
    """The value at a dotted path (`canary.percent`, `items.0.id`), or MISSING."""
    here = document
    for part in path.split("."):
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        else:
            return MISSING
    return here


def same(found: object, expected: object) -> bool:
    """Equal in value and kind: 5 is 5.0, but neither "5" nor, for 1 and 0, true and false."""
    return isinstance(found, bool) is isinstance(expected, bool) and found == expected


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."
