"""The one door for orders: from the API, the hooks, Slack and links alike. Each is answered once it is written down."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from notaus.core.event import Order, Reply
from notaus.errors import NotausError
from notaus.web.answers import Problem
from notaus.web.ports import DaemonView

ORDER_SECONDS = 30.0
"""How long one waits for the answer to an order; the order itself is not withdrawn by that."""


class Door:
    """Carries orders to the daemon."""

    def __init__(self, daemon: DaemonView) -> None:
        self.daemon = daemon
        self._under_way: set[asyncio.Task[Reply]] = set()

    async def order(self, service: str, order: Order) -> Reply:
        """The daemon's reply. Raises Problem (503, 504)."""
        # Shielded: an order that was taken is carried out, whether or not somebody still waits for the answer.
        task = asyncio.ensure_future(self.daemon.order(service, order))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            hint = "it may still be carried out: look at GET /api/status before repeating it"
            raise Problem(504, f"no answer within {ORDER_SECONDS:g} s", hint) from None
        except NotausError as error:
            raise Problem(503, str(error), "look at GET /api/status, then try again") from None


async def body_of(request: Request, most: int, hint: str) -> bytes:
    """The body, given up as soon as it is known to be larger than `most` bytes. Raises Problem (413) with the `hint`."""
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if declared.isdigit() and int(declared[:19]) > most:
        raise _too_large(hint)
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(hint)
    return bytes(body)


def _too_large(hint: str) -> Problem:
    return Problem(413, "the body is too large", hint, {"connection": "close"})
