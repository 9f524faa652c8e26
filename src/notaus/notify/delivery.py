"""One request to a channel, with a deadline; every failure becomes `Undelivered`, and no address is ever named in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx

from notaus import body as bodies
from notaus import log
from notaus.errors import Undelivered
from notaus.notify.text import cut

DEADLINE_SECONDS = 5.0
EXCERPT_CHARACTERS = 200
EXCERPT_BYTES = 4096
ANSWER_BYTES = 4_000_000
"""A hundred issues with long texts, or all the open incidents of a page."""
LONGEST_PAUSE_SECONDS = 60.0
"""A page must not wait for as long as some broken receiver says."""
AGAIN = frozenset({408, 420, 429})
"""The 4xx that mean "later", not "no"; 420 is Statuspage's old word for 429."""


async def post(
    http: httpx.AsyncClient, url: str, body: bytes, to: str, headers: Mapping[str, str] | None = None
) -> None:
    """Deliver the JSON `body`; `to` names the contact in errors, since its address may be a secret.

    Raises Undelivered: permanent after a 4xx other than 408, 420 and 429, else worth another try (after `retry_after`
    seconds where the other side said so).
    """
    await _call(http, "POST", url, to, body, headers or {}, answer_bytes=0)


class Api:
    """A provider's JSON API, spoken to with one entry's credentials."""

    def __init__(self, http: httpx.AsyncClient, base: str, to: str, headers: Mapping[str, str]) -> None:
        self._http, self._base, self._to, self._headers = http, base.rstrip("/"), to, headers

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer. Raises Undelivered as `post` does, also where a success says nothing that can be read."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode(errors="replace")
        said = await _call(
            self._http, method, self._base + path, self._to, content, self._headers, answer_bytes=ANSWER_BYTES
        )
        try:
            return bodies.as_json(said)
        except ValueError:
            raise self.unexpected() from None

    def unexpected(self) -> Undelivered:
        """For an answer without what the API's documentation promises."""
        return Undelivered(f"{self._to}: answered something unexpected")


async def _call(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    to: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    answer_bytes: int,
) -> bytes:
    """What a success answered, up to `answer_bytes`."""
    kind = {} if body is None else {"content-type": "application/json; charset=utf-8"}
    sent = {**kind, "accept-encoding": bodies.ACCEPTED, **headers}
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            async with http.stream(method, url, content=body, headers=sent, timeout=DEADLINE_SECONDS) as response:
                if not response.is_success:
                    raise _undelivered(response, await _said(response), to)
                return await bodies.read(response, answer_bytes) if answer_bytes else b""
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
    retry_after = _retry_after(response.headers.get("retry-after", ""))
    # GitHub says "too many" with a 403, and by these two headers.
    throttled = status == 403 and (retry_after is not None or response.headers.get("x-ratelimit-remaining") == "0")
    return Undelivered(
        f"{to}: answered {status}" + (f" ({said})" if said else ""),
        permanent=400 <= status < 500 and status not in AGAIN and not throttled,
        retry_after=retry_after,
    )


def _retry_after(value: str) -> float | None:
    """Seconds; the date form of the header is left aside, as none of the channels sends it."""
    seconds = value.strip()
    return min(float(seconds), LONGEST_PAUSE_SECONDS) if seconds.isascii() and seconds.isdigit() else None
