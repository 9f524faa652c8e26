"""An httpx transport that calls the sandbox in the same process: no sockets, no threads, only ``asyncio`` time."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

import httpx

from .app import IN_PROCESS
from .wire import Dropped

if TYPE_CHECKING:
    from .app import App

WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


@dataclass(slots=True)
class _Exchange:
    """The two ends of one ASGI call, held in memory."""

    body: bytes
    opening: str
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    received: int = 0

    async def receive(self) -> MutableMapping[str, Any]:
        self.received += 1
        if self.opening == "websocket":
            return {"type": "websocket.connect" if self.received == 1 else "websocket.disconnect", "code": 1000}
        if self.received == 1:
            return {"type": "http.request", "body": self.body, "more_body": False}
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status, self.headers = message["status"], list(message["headers"])
            case "http.response.body" | "websocket.http.response.body":
                self.content.append(message.get("body", b""))
            case "websocket.accept":
                self.status = 101


class InProcessTransport(httpx.AsyncBaseTransport):
    """Calls the app directly. A dropped connection is ``httpx.ReadError`` (an outage: ``ConnectError``), and the
    client's read timeout is kept, as ``httpx.ReadTimeout``, on whatever clock the event loop has.

    A GET with ``Upgrade: websocket`` goes through the websocket scope; it is answered 101, ``Sec-WebSocket-Accept``.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        opening = "websocket" if request.headers.get("upgrade", "").lower() == "websocket" else "http"
        exchange = _Exchange(body, opening)
        deadline = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(deadline):
                await self._app(_scope(request, opening), exchange.receive, exchange.send)
        except Dropped as dropped:
            error = httpx.ConnectError if dropped.refused else httpx.ReadError
            raise error(str(dropped), request=request) from None
        except TimeoutError:
            raise httpx.ReadTimeout("the sandbox did not answer in time", request=request) from None
        headers = exchange.headers
        if exchange.status == 101:
            key = request.headers.get("sec-websocket-key", "").encode()
            headers = [
                (b"upgrade", b"websocket"),
                (b"connection", b"Upgrade"),
                (b"sec-websocket-accept", b64encode(sha1(key + WEBSOCKET_GUID).digest())),
            ]
        return httpx.Response(exchange.status, headers=headers, content=b"".join(exchange.content), request=request)


def _scope(request: httpx.Request, opening: str) -> dict[str, Any]:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": opening,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": raw_path,
        "query_string": query,
        "headers": request.headers.raw,
        "client": ("127.0.0.1", 0),
        "server": (request.url.host, request.url.port),
        "extensions": {IN_PROCESS: {}, "websocket.http.response": {}},
    }
