"""Answers that are none: cut off, endless, packed twice, of another shape, about another time."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

Path = tuple[str | int, ...]

LIES: tuple[Any, ...] = (
    *(None, True, -1, 10**400, 1e308, float("inf"), float("nan"), "", "x", "9" * 400, "-1", "\x00\x1b[31m\u202e"),
    *(
        [],
        {},
        [None],
        [[[[[[[[]]]]]]]],
        {"a": {"a": {"a": None}}},
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00",
    ),
)
GONE = object()
"""In the place of a value: its key or item is left out."""
HTML = b"<!doctype html><html><head><title>Attention Required!</title></head><body><h1>Sorry</h1></body></html>"
MEGABYTE = b"[1," * 350_000
AWAY = "https://elsewhere.invalid/stolen"
FOREVER = 10_000


def positions(document: Any, here: Path = ()) -> Iterator[Path]:
    """Every place in a JSON document; of a list, its first item stands for all."""
    yield here
    match document:
        case dict():
            for key, value in document.items():
                yield from positions(value, (*here, key))
        case [first, *_]:
            yield from positions(first, (*here, 0))


def changed(document: Any, path: Path, value: Any) -> Any:
    """A copy of `document` with `value` at `path`."""
    if not path:
        return None if value is GONE else value
    found = copy.deepcopy(document)
    holder = found
    for step in path[:-1]:
        holder = holder[step]
    if value is GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return found


class Stream(httpx.AsyncByteStream):
    """A body that comes in pieces, `pause` seconds apart."""

    def __init__(self, pieces: Iterator[bytes], pause: float = 0.0) -> None:
        self._pieces, self._pause = pieces, pause
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if self._pause:
                await asyncio.sleep(self._pause)
            self.sent += len(piece)
            yield piece


def streamed(body: bytes, headers: dict[str, str], status: int = 200) -> httpx.Response:
    """As a network gives it: in pieces, not yet unpacked."""
    pieces = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    return httpx.Response(status, headers=headers, stream=Stream(pieces))


def _bomb(layers: int) -> bytes:
    """Twenty megabytes of nothing, packed so many times."""
    body = b"\0" * 20_000_000
    for _ in range(layers):
        body = gzip.compress(body, 9)
    return body


BOMB, BOMB_IN_BOMB = _bomb(1), _bomb(2)
JSON = {"content-type": "application/json"}
Maker = Callable[[random.Random, httpx.Response], httpx.Response]


def _lied(rng: random.Random, real: httpx.Response) -> httpx.Response:
    try:
        document = json.loads(real.content)
    except ValueError:
        return httpx.Response(real.status_code, headers=JSON, content=b"\xff\xfe")
    path = rng.choice(list(positions(document)))
    lie = rng.choice((*LIES, GONE))
    return httpx.Response(real.status_code, headers=JSON, content=json.dumps(changed(document, path, lie)))


def _cut(rng: random.Random, real: httpx.Response) -> httpx.Response:
    return httpx.Response(real.status_code, headers=JSON, content=real.content[: rng.randrange(len(real.content) + 1)])


def _flipped(rng: random.Random, real: httpx.Response) -> httpx.Response:
    body = bytearray(real.content or b"x")
    for _ in range(5):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return httpx.Response(real.status_code, headers=JSON, content=b"\x00" + bytes(body))


def _status(rng: random.Random, real: httpx.Response) -> httpx.Response:
    status = rng.choice((201, 204, 206, 299, 300, 304, 400, 401, 403, 404, 405, 408, 409, 410, 418, 422, 429))
    status = rng.choice((status, status, 500, 501, 502, 503, 504, 520, 522, 524, 599, 799))
    return httpx.Response(status, headers=JSON, content=rng.choice((b"", HTML, b"null", b'{"success":true}')))


def _headers(rng: random.Random, real: httpx.Response) -> httpx.Response:
    absurd = (b"1e99", b"-1", b"nan", b"inf", b"9" * 400, b"\xff\xfe", b"Mon, 01 Jan 99999999999 00:00:00 GMT", b"")
    names = (b"retry-after", b"date", b"content-type", b"cf-ray", b"ratelimit", b"content-encoding")
    found = [(name, rng.choice(absurd)) for name in names]
    return httpx.Response(rng.choice((200, 429, 503)), headers=found, stream=Stream(iter((real.content,))))


def _dated(date: str) -> Maker:
    def made(rng: random.Random, real: httpx.Response) -> httpx.Response:
        return httpx.Response(real.status_code, headers={**JSON, "date": date}, content=real.content)

    return made


def _same(response: Callable[[], httpx.Response]) -> Maker:
    return lambda rng, real: response()


KINDS: dict[str, Maker] = {
    "lies": _lied,
    "cut off": _cut,
    "flipped": _flipped,
    "statuses": _status,
    "headers": _headers,
    "html": _same(lambda: httpx.Response(200, headers={"content-type": "text/html"}, content=HTML)),
    "html as json": _same(lambda: httpx.Response(200, headers=JSON, content=HTML)),
    "empty": _same(lambda: httpx.Response(200, headers=JSON)),
    "null": _same(lambda: httpx.Response(200, headers=JSON, content=b"null")),
    "utf-16": lambda rng, real: httpx.Response(200, headers=JSON, content=real.text.encode("utf-16")),
    "charset": _same(
        lambda: httpx.Response(400, headers={"content-type": "text/plain; charset=zlib"}, content=b"\xff{")
    ),
    "deep": _same(lambda: httpx.Response(200, headers=JSON, content=b"[" * 100_000 + b"]" * 100_000)),
    "deep objects": _same(lambda: httpx.Response(200, headers=JSON, content=b'{"a":' * 50_000 + b"1" + b"}" * 50_000)),
    "huge": _same(lambda: httpx.Response(200, headers=JSON, stream=Stream(iter([MEGABYTE] * 50)))),
    "drip": _same(lambda: httpx.Response(200, headers=JSON, stream=Stream(iter([b"["] * FOREVER), 0.9))),
    "bomb": _same(lambda: streamed(BOMB, {**JSON, "content-encoding": "gzip"})),
    "bomb in a bomb": _same(lambda: streamed(BOMB_IN_BOMB, {**JSON, "content-encoding": "gzip, gzip"})),
    "packed otherwise": _same(lambda: streamed(b"\x1b\x00\x00", {**JSON, "content-encoding": "br"})),
    "not packed": _same(lambda: streamed(b'{"success":true}', {**JSON, "content-encoding": "gzip"})),
    "packed and cut": _same(lambda: streamed(BOMB[:500], {**JSON, "content-encoding": "gzip"})),
    "redirect": _same(lambda: httpx.Response(302, headers={"location": AWAY})),
    "redirect for good": _same(lambda: httpx.Response(308, headers={"location": AWAY}, content=HTML)),
    "begin of time": _dated("Thu, 01 Jan 1970 00:00:00 GMT"),
    "end of time": _dated("Fri, 31 Dec 9999 23:59:59 GMT"),
    "another year": _dated("Mon, 01 Mar 2027 12:00:00 GMT"),
}
"""What an answer is turned into, by name. `date`s of a kind stand still."""


OF_THE_REAL = {"lies", "cut off", "flipped", "headers", "utf-16", "begin of time", "end of time", "another year"}
"""Kinds that are made out of the true answer."""


def only_reads(request: httpx.Request) -> bool:
    return request.method == "GET" or request.url.path.endswith(("/graphql", "/analytics_engine/sql"))


class GarbageTransport(httpx.AsyncBaseTransport):
    """Lets requests through to `inner`, and turns answers into garbage while `kind` says so.

    What needs no true answer is not looked up for it; what changes something always arrives.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, seed: int) -> None:
        self._inner, self.rng = inner, random.Random(f"garbage {seed}")
        self.kind: str | None = None
        self.concerns: Callable[[httpx.Request], bool] = lambda request: True
        self.strayed: list[str] = []
        """Requests to where nobody should be sent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == httpx.URL(AWAY).host:
            self.strayed.append(str(request.url))
        if self.kind is None or not self.concerns(request):
            return await self._inner.handle_async_request(request)
        response = httpx.Response(200)
        if self.kind in OF_THE_REAL or not only_reads(request):
            response = await self._inner.handle_async_request(request)
            await response.aread()
        return KINDS[self.kind](self.rng, response)
