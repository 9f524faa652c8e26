"""Visitors of a Worker on this machine: a bounded stream of real requests, and which cohort answered each of them."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

MARK: Final = "X-Pix-Canary"
COOKIE: Final = "pix_cohort"
AT_ONCE: Final = 64
REQUESTS_AT_MOST: Final = 50_000
PATHS: Final = ("/api/listings", "/api/listings?page=2", "/api/media/42")
ANSWER_SECONDS: Final = 10.0


class Visit(NamedTuple):
    """One answered request. ``at``: seconds of the event loop's clock; ``status`` 0: no answer."""

    at: float
    status: int
    cohort: str
    reason: str
    returning: str | None


@dataclass(slots=True)
class Visitors:
    """``per_second`` requests a second for at most ``seconds``; ``returning``: the share that brings a native cookie.

    Raises ValueError for a URL that is not on this machine: this is no load generator for anybody's service.
    """

    url: str
    per_second: float
    seconds: float
    returning: float = 0.1
    seed: int = 0
    visits: list[Visit] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not _loopback(urlsplit(self.url).hostname or ""):
            raise ValueError(f"{self.url}: visitors only go to this machine (127.0.0.1, ::1, localhost)")
        if self.per_second * self.seconds > REQUESTS_AT_MOST:
            raise ValueError(f"{self.per_second:g}/s for {self.seconds:g} s: more than {REQUESTS_AT_MOST} requests")

    async def come(self) -> None:
        """Send them all, evenly spaced; cancel it to end earlier."""
        loop, rng = asyncio.get_running_loop(), random.Random(self.seed)
        start, under_way = loop.time(), set[asyncio.Task[None]]()
        limits = httpx.Limits(max_connections=AT_ONCE)
        async with httpx.AsyncClient(base_url=self.url, limits=limits, timeout=ANSWER_SECONDS) as client:
            try:
                for number in itertools.count():
                    due = start + number / self.per_second
                    if due >= start + self.seconds:
                        break
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    task = asyncio.create_task(self._visit(client, rng))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
            finally:
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)

    async def _visit(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        returning = "native" if rng.random() < self.returning else None
        headers = {"Cookie": f"{COOKIE}={returning}"} if returning else {}
        try:
            answer = await client.get(rng.choice(PATHS), headers=headers)
            status, mark = answer.status_code, marks(answer.headers.get(MARK, ""))
        except httpx.HTTPError:
            status, mark = 0, {}
        at = asyncio.get_running_loop().time()
        self.visits.append(Visit(at, status, mark.get("cohort", ""), mark.get("reason", ""), returning))
        client.cookies.clear()

    def since(self, at: float) -> Iterator[Visit]:
        """The visits answered after a time of the event loop's clock."""
        return (visit for visit in self.visits if visit.at > at)

    def counted(self) -> Counter[tuple[str, str, int]]:
        """How many got which cohort for which reason with which status."""
        return Counter((visit.cohort, visit.reason, visit.status) for visit in self.visits)


def marks(header: str) -> dict[str, str]:
    """``1;tag=B2a;cohort=proxy;reason=roll`` as a mapping."""
    return dict(part.partition("=")[::2] for part in header.split(";") if "=" in part)


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
