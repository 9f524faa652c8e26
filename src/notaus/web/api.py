"""The JSON API: what is going on, and orders. Every order is answered after it has been written down."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from notaus.core.event import Reply
from notaus.errors import NotausError
from notaus.web.answers import Answer, Problem, unknown
from notaus.web.door import Door, body_of
from notaus.web.openapi import description
from notaus.web.orders import ORDERS, parsed
from notaus.web.ports import DaemonView

T = TypeVar("T")

BODY_BYTES = 64 * 1024
MOST_INCIDENTS = 1000
SHOWN_INCIDENTS = 50


class Api:
    """The routes under /api."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon
        self._door = Door(daemon)
        self.router = Router(
            [
                Route("/status", self.status),
                Route("/incidents", self.incidents),
                Route("/incidents/{id:path}", self.incident),
                Route("/services/{service}/{order}", self.order, methods=["POST"]),
                Route("/openapi.json", self.openapi),
            ]
        )

    async def status(self, request: Request) -> Response:
        return Answer(self._daemon.status())

    async def incidents(self, request: Request) -> Response:
        limit = _limit(request.query_params.get("limit", str(SHOWN_INCIDENTS)))
        return Answer(await _read(self._daemon.incidents(limit)))

    async def incident(self, request: Request) -> Response:
        id = request.path_params["id"]
        found = await _read(self._daemon.incident(id))
        if found is None:
            raise Problem(404, f"there is no incident {id!r}", "GET /api/incidents lists them")
        return Answer(found)

    async def openapi(self, request: Request) -> Response:
        return Answer(description())

    async def order(self, request: Request) -> Response:
        """Pass an order on; 409 where the daemon says no."""
        service, name = request.path_params["service"], request.path_params["order"]
        if name not in ORDERS:
            raise unknown("order", name, ORDERS)
        services = self._daemon.services()
        if service not in services:
            raise unknown("service", service, services)
        body = parsed(name, await body_of(request, BODY_BYTES, f"an order takes at most {BODY_BYTES} bytes"))
        reply = await self._door.order(service, body.order(self._daemon.now()))
        return Answer(_told(reply), 200 if reply.accepted else 409)


async def _read(reading: Awaitable[T]) -> T:
    try:
        return await reading
    except NotausError as error:
        raise Problem(503, str(error), "GET /readyz says what is missing") from None


def _told(reply: Reply) -> dict[str, Any]:
    told = {"accepted": reply.accepted, "text": reply.text, "incident": reply.incident}
    return told if reply.accepted else {**told, "error": reply.text, "hint": "GET /api/status says where things stand"}


def _limit(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_INCIDENTS:
        return int(text)
    raise Problem(
        422, f"limit={text[:40]!r} is not a number of incidents", f"a whole number from 1 to {MOST_INCIDENTS}"
    )
