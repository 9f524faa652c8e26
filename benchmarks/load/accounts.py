"""Several accounts behind one address: a sandbox each, with one service in it, and a record of who asked what of which.

`python -m benchmarks.load.accounts --number 20 --clock REAL,VIRTUAL,SPEED` serves them; its first line of output is
that of `notaus sandbox --json`. `GET /asked` gives the record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load.crowd import Crowd, sandbox
from benchmarks.load.virtual import kind_of
from notaus.sandbox import Sandbox
from notaus.sandbox.server import Clock, serving

ACCOUNT = re.compile(r"/accounts/([0-9a-f]{32})/|accountTag: .{0,2}\"([0-9a-f]{32})")
TOKENS = tuple(f"cfat_replica-{n}-0123456789-0123456789-0123" for n in range(3))
"""One for each replica, all of one user: Cloudflare counts their calls together."""

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def named(number: int) -> list[str]:
    """So many accounts."""
    return [f"a{n:031x}" for n in range(1, number + 1)]


def asked_of(path: str, body: str) -> str | None:
    """The account that a request names; a zone's names none."""
    found = ACCOUNT.search(f"{path}/ {body}")
    return (found[1] or found[2]) if found else None


def write(accounts: list[str], directory: Path, step: int) -> Path:
    """A configuration directory with a service in each account."""
    for n, account in enumerate(accounts):
        crowd = Crowd(1, account, step)
        crowd.write(directory)
        one = directory / "services" / f"{crowd.pix[0]}.yaml"
        text = one.read_text().replace(f"name: {crowd.pix[0]}\n", f"name: svc-{n:02}\n", 1)
        one.unlink()
        (directory / "services" / f"svc-{n:02}.yaml").write_text(text)
    return directory


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the API."""

    at: float
    account: str | None
    replica: int
    kind: str
    refused: bool


@dataclass
class Fleet:
    """The sandboxes, and the ASGI application in front of them."""

    boxes: dict[str, Sandbox]
    asked: list[Asked] = field(default_factory=list)
    abort: Callable[[Any], bool] = lambda scope: False

    @property
    def app(self) -> Fleet:
        """What is served."""
        return self

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] == "/asked":
            await _say(send, json.dumps([asdict(one) for one in self.asked]).encode())
            return
        body = await _body(receive)
        account = asked_of(scope["path"], body.decode("utf-8", "replace"))
        box = self.boxes[account] if account is not None else next(iter(self.boxes.values()))
        unread, refused = [{"type": "http.request", "body": body}], False

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        async def watched(message: Message) -> None:
            nonlocal refused
            refused |= message.get("status") == 429 or b"rate limiter budget depleted" in message.get("body", b"")
            await send(message)

        await box.app(scope, again, watched)
        if scope["path"].startswith("/client/v4"):
            self.asked.append(Asked(box.now(), account, _replica(scope), kind_of(scope["path"]), refused))


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _say(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _replica(scope: Any) -> int:
    token = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
    return TOKENS.index(token)


def fleet(accounts: list[str], step: int, now: Callable[[], float]) -> Fleet:
    """A sandbox each, which every replica's token may use."""
    boxes = {account: sandbox(Crowd(1, account, step), now) for account in accounts}
    for box in boxes.values():
        for token in TOKENS:
            box.account.add_token(token)
    return Fleet(boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--step", type=int, default=60, help="seconds")
    parser.add_argument("--clock", type=Clock.parse, required=True)
    given = parser.parse_args()
    served = fleet(named(given.number), given.step, given.clock)

    def ready(base: str) -> None:
        urls = next(iter(served.boxes.values())).urls(base)
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()

    asyncio.run(serving(served, on_ready=ready))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
