"""One POST to a channel, with a deadline; every failure becomes `Undelivered`, and no address is ever named in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

from notaus import body as bodies
from notaus import log
from notaus.errors import Undelivered
from notaus.notify.text import cut

DEADLINE_SECONDS = 5.0
EXCERPT_CHARACTERS = 200
EXCERPT_BYTES = 4096
LONGEST_PAUSE_SECONDS = 60.0
"""A page must not wait for as long as some broken receiver says."""
AGAIN = frozenset({408, 429})
"""The 4xx that mean "later", not "no"."""


async def post(
    http: httpx.AsyncClient, url: str, body: bytes, to: str, headers: Mapping[str, str] | None = None
) -> None:
    """Deliver the JSON `body`; `to` names the contact in errors, since its address may be a secret.

    Raises Undelivered: permanent after a 4xx other than 408 and 429, else worth another try (after `retry_after`
    seconds where the other side said so).
    """
    sent = {"content-type": "application/json; charset=utf-8", "accept-encoding": bodies.ACCEPTED, **(headers or {})}
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            async with http.stream("POST", url, content=body, headers=sent, timeout=DEADLINE_SECONDS) as response:
                if not response.is_success:
                    raise _undelivered(response, await _said(response), to)
    except (TimeoutError, httpx.TimeoutException):
        raise Undelivered(f"{to}: no answer within {DEADLINE_SECONDS:g} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Undelivered(
            f"{to}: its address is not a valid http(s) URL; correct it in notaus.yaml", permanent=True
        ) from None
    except httpx.HTTPError as error:
        raise Undelivered(f"{to}: not reachable ({type(error).__name__})") from None


async def _said(response: httpx.Response) -> str:
    """The beginning of what a receiver answered, as far as it can be read."""
    try:
        answer = await bodies.read(response, EXCERPT_BYTES)
    except httpx.DecodingError:
        return ""
    return cut(" ".join(log.scrub(answer.decode("utf-8", "replace")).split()), EXCERPT_CHARACTERS)


def _undelivered(response: httpx.Response, said: str, to: str) -> Undelivered:
    status = response.status_code
    return Undelivered(
        f"{to}: answered {status}" + (f" ({said})" if said else ""),
        permanent=400 <= status < 500 and status not in AGAIN,
        retry_after=_retry_after(response.headers.get("retry-after", "")),
    )


def _retry_after(value: str) -> float | None:
    """Seconds; the date form of the header is left aside, as none of the channels sends it."""
    seconds = value.strip()
    return min(float(seconds), LONGEST_PAUSE_SECONDS) if seconds.isascii() and seconds.isdigit() else None
