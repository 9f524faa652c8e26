"""The ASGI application: takes a request in, lets faults, tokens and limits have their say, and sends the answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from .account import RATELIMIT_HEADERS, too_many_requests
from .bindings import Bindings
from .faults import HANG_SECONDS, Kind, faulty_answer
from .graphql import budget_depleted
from .router import Route, Router
from .s3 import HOST as R2_HOST
from .tails import PROTOCOL, Tail
from .wire import Answer, Call, Dropped, Headers, Refused, failure, http_date, segments_of, text_answer

if TYPE_CHECKING:
    from .box import Sandbox

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

IN_PROCESS: Final = "notaus.sandbox.in_process"  # the scope extension under which a drop is raised, not acted out
PREFIX_OF_HOST: Final = {
    "api.pix.immo": ("workers", "pix-immo"),
    "api.oooefam.net": ("workers", "bookstrack"),
    "data.pix.example": ("origins", "native"),
    "legacy.pix.example": ("origins", "proxy"),
    "events.pagerduty.com": ("pages", "pagerduty"),
    "hooks.slack.com": ("pages", "slack"),
    "slack.com": ("pages", "slackapi"),
    "api.statuspage.io": ("pages", "statuspage"),
    "api.github.com": ("pages", "github"),
    "www.cloudflarestatus.com": ("status",),
}


@dataclass(slots=True)
class App:
    """The ASGI application over one sandbox. `abort` is set by the server: it cuts the connection of a scope."""

    box: Sandbox
    router: Router
    bindings: Bindings
    rays: random.Random
    abort: Callable[[Scope], bool] = field(default=lambda scope: False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call(scope, await _body_of(receive))
        try:
            answer = await _until_gone(self.serve(call), receive, watch=IN_PROCESS not in _extensions(scope))
        except Dropped:
            if IN_PROCESS in _extensions(scope):
                raise
            await self._drop(scope, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in self._headers(call, answer)]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        call = self._call(scope, b"")
        tail = self.box.tails.listened(call)
        if tail is not None:
            await _followed(tail, receive, send)
            return
        try:
            answer = await self.serve(call)
        except Dropped:
            if IN_PROCESS in _extensions(scope):
                raise
            self.abort(scope)
            return
        if answer.status != 101:
            await _refuse_handshake(scope, send, answer)
            return
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": '{"type":"ready","jobId":"test"}'})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    def _call(self, scope: Scope, body: bytes) -> Call:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").rpartition("@")[2].split(":")[0]
        raw_path = scope.get("raw_path") or scope["path"].encode()
        segments = segments_of(raw_path.decode("latin-1"))
        prefix = ("r2",) if host.endswith(R2_HOST) else PREFIX_OF_HOST.get(host, ())
        return Call(
            at=self.box.now(),
            method=scope.get("method", "GET"),
            host=host,
            segments=prefix + segments if segments[: len(prefix)] != prefix else segments,
            query_string=scope.get("query_string", b"").decode("latin-1"),
            headers=headers,
            body=body,
            websocket=scope["type"] == "websocket",
        )

    async def serve(self, call: Call) -> Answer:
        """Answer one call, and write it down. Raises `Dropped` where the connection ends without an answer."""
        self.box.advance(call.at)
        found = self.router.find(call)
        kind = self._fault(found[0]) if found is not None else None
        status, fault = 0, None if kind is None else str(kind)
        try:
            answer = await self._answered(call, found, kind)
            status = answer.status
        finally:
            if found is None or found[0].area != "admin" or call.method != "GET":
                self.box.journal.served(call, status, fault)
        if found is not None and found[0].area == "service":
            self.box.tails.happened(self.box.worker(found[0].pattern.split("/")[1]).name, found[1], answer)
        return answer

    def _fault(self, route: Route) -> Kind | None:
        if route.area == "admin":
            return None
        area = "verify" if route.area == "service" else route.area
        return self.box.faults.take(route.faults | {area, "all"}, self.box.now())

    async def _answered(self, call: Call, found: tuple[Route, Call] | None, kind: Kind | None) -> Answer:
        if found is None:
            return self.bindings.answer(call) if self.bindings.wanted(call) else _unknown(call)
        route, call = found
        if kind is not None:
            if (answer := faulty_answer(kind, graphql=route.graphql)) is not None:
                return self._decorated(route, answer)
            if kind.name in ("timeout", "hang"):
                await self.box.sleep(HANG_SECONDS)
                raise Dropped
            if kind.name in ("reset", "outage"):
                raise Dropped(refused=kind.name == "outage")
            if kind.name == "slow":
                await self.box.sleep(kind.seconds or 0.0)
                call = replace(call, at=self.box.now())
        answer = self._decorated(route, self._handled(route, call))
        if answer.delay:
            await self.box.sleep(answer.delay)
        if kind is not None and kind.name == "late_reply":
            await self.box.sleep(kind.seconds or 0.0)
        if kind is not None and kind.name == "lost_reply":
            raise Dropped
        return answer

    def _handled(self, route: Route, call: Call) -> Answer:
        try:
            if route.area == "api":
                account = self.box.account
                token = account.authenticate(call)
                wait = account.limited(token, call.at, graphql=route.graphql)
                if wait is not None:
                    return budget_depleted(call.at) if route.graphql else too_many_requests(wait)
                if not route.graphql:
                    account.permit(token, route.permission, call.params.get("account"))
                call = replace(call, token=token)
            return route.handler(call)
        except Refused as refused:
            return failure(refused)

    def _decorated(self, route: Route, answer: Answer) -> Answer:
        return answer.with_headers(*RATELIMIT_HEADERS) if route.workers else answer

    def _headers(self, call: Call, answer: Answer) -> Headers:
        ray = ("CF-Ray", f"{self.rays.getrandbits(64):016x}-FRA")
        length = () if answer.status == 204 else (("Content-Length", str(len(answer.body))),)
        return (*answer.headers, *length, ("Date", http_date(self.box.now())), ray)

    async def _drop(self, scope: Scope, send: Send) -> None:
        """Cut the connection; where the server cannot, promise more than is sent and stop."""
        if self.abort(scope):
            await asyncio.sleep(0)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


def _unknown(call: Call) -> Answer:
    if call.segments[:2] == ("client", "v4"):
        path = "/" + "/".join(call.segments[2:])
        return failure(Refused(404, 7003, f"Could not route to {path}, perhaps your object identifier is invalid?"))
    return text_answer("not found\n", 404)


def _extensions(scope: Scope) -> Any:
    return scope.get("extensions") or {}


async def _body_of(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _until_gone(work: Awaitable[Answer], receive: Receive, *, watch: bool) -> Answer:
    """The answer; given up when the client goes away first, so that a hanging call ends with its client."""
    if not watch:
        return await work
    answering = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise Dropped
        return answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()


async def _followed(tail: Tail, receive: Receive, send: Send) -> None:
    """Send a tail's events until its listener goes away."""
    await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
    leaving = asyncio.ensure_future(_left(receive))
    try:
        while not leaving.done():
            event = asyncio.ensure_future(tail.events.get())
            await asyncio.wait((event, leaving), return_when=asyncio.FIRST_COMPLETED)
            if event.done():
                await send({"type": "websocket.send", "bytes": event.result().encode()})
            event.cancel()
    finally:
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _refuse_handshake(scope: Scope, send: Send, answer: Answer) -> None:
    if "websocket.http.response" not in _extensions(scope):
        await send({"type": "websocket.close", "code": 1011})
        return
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
