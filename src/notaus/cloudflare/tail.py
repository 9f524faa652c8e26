"""A live tail: what a Worker logs from now on. It cannot be asked for later, so it is for Workers that keep no logs."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from notaus import body as bodies
from notaus import log
from notaus.cloudflare.client import Call, Client, account_path
from notaus.cloudflare.edge import Edge
from notaus.errors import NotausError, ReadFailed

PROTOCOL = Subprotocol("trace-v1")
PERMISSION = "Workers Tail Read"
PING_SECONDS = 10.0
"""As wrangler does it: the other side sends nothing where nothing happens."""
OPEN_SECONDS = 10.0
MOST_EVENTS = 5000
MOST_BYTES = 8 * 1024 * 1024


class LiveTail:
    """Listens to the Workers of the accounts that a client may read."""

    def __init__(self, client: Client, edge: Edge) -> None:
        self._client, self._edge = client, edge

    async def listen(self, account: str, script: str, seconds: float) -> tuple[list[str], bool]:
        """The events (JSON, one each) of so many of the daemon's seconds, and whether these are all that came.

        Raises NotausError where there is no tail to be had; one that breaks off is what came until then.
        """
        path = account_path(account, "workers", "scripts", script, "tails")
        made = (await self._client.envelope(Call("POST", path, json={"filters": []}, permission=PERMISSION))).result
        match made:
            case {"id": str(id), "url": str(url)} if url.startswith(("wss://", "ws://")):
                log.redact_address(url, whole=True)  # whoever knows it can listen
            case _:
                raise ReadFailed(f"tail: {script}: the answer describes no tail")
        try:
            return await self._events(script, url, seconds)
        finally:
            await self._end(f"{path}/{id}")

    async def _events(self, script: str, url: str, seconds: float) -> tuple[list[str], bool]:
        events: list[str] = []
        there = False
        try:
            async with (
                asyncio.timeout(seconds / self._edge.speed),
                connect(
                    self._address(url),
                    subprotocols=[PROTOCOL],
                    open_timeout=OPEN_SECONDS,
                    close_timeout=1,
                    ping_interval=PING_SECONDS,
                    max_size=MOST_BYTES,
                    proxy=None,
                ) as socket,
            ):
                await socket.send('{"debug":false}')
                there = True
                left = MOST_BYTES
                async for frame in socket:
                    left -= len(frame)
                    if left < 0 or len(events) == MOST_EVENTS:
                        return events, False
                    events.append(_kept(frame))
        except TimeoutError:
            if not there:
                raise ReadFailed(f"tail: {script}: no connection to it in time") from None
            return events, True
        except (OSError, WebSocketException, InvalidURI, httpx.InvalidURL) as error:
            if not events:
                raise ReadFailed(f"tail: {script}: {type(error).__name__} on the way to it") from None
        return events, False

    def _address(self, url: str) -> str:
        """Where to connect: the host of the address may be stood for by another (`origins:`)."""
        found = self._edge.resolved(url)
        return str(found.copy_with(scheme={"https": "wss", "http": "ws"}[found.scheme]))

    async def _end(self, path: str) -> None:
        """Left alone, it ends after six hours; ten of them keep everybody else's from beginning."""
        with contextlib.suppress(NotausError):
            await self._client.envelope(Call("DELETE", path, permission=PERMISSION))


def _kept(frame: str | bytes) -> str:
    """An event on one line, without credentials; what is no JSON stays as it is."""
    try:
        return json.dumps(log.clean(bodies.as_json(frame)), separators=(",", ":"))
    except ValueError:
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        return " ".join(text.split())
