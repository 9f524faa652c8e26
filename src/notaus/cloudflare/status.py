"""Cloudflare's own status, from its public status page: is it us, or is it them? Never waited for longer than seconds.

Source: https://www.cloudflarestatus.com/api
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from notaus.clock import Clock

DEADLINE_SECONDS = 3.0
KEPT_SECONDS = 60.0
"""How long an answer (or its absence) serves: one look for all the messages of a minute."""
MOST_INCIDENTS = 3
UNKNOWN = "unknown: its status page did not answer"


class CloudflareStatus:
    """Asks the status page's summary, at most once a minute."""

    def __init__(self, http: httpx.AsyncClient, url: str, clock: Clock) -> None:
        self._http, self._url, self._clock = http, url, clock
        self._looked_at = float("-inf")
        self._found = UNKNOWN
        self._looking = asyncio.Lock()

    async def said(self) -> str:
        """Its status in words; `unknown …` where it cannot be had. Never raises."""
        async with self._looking:  # messages that go out together wait for one look
            if abs(self._clock.now() - self._looked_at) >= KEPT_SECONDS:
                self._found = await self._look()
                self._looked_at = self._clock.now()
            return self._found

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                response = await self._http.get(self._url, timeout=DEADLINE_SECONDS, follow_redirects=True)
            return _spelled(response.raise_for_status().json())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError):
            return UNKNOWN


def _spelled(summary: Any) -> str:
    """Such as `Minor Service Outage: Workers KV errors (identified)`. Raises ValueError for anything but a summary."""
    try:
        overall = str(summary["status"]["description"])
        incidents = [f"{one['name']} ({one['status']})" for one in summary.get("incidents", ())]
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no summary of a status page") from None
    more = [f"and {len(incidents) - MOST_INCIDENTS} more"] if len(incidents) > MOST_INCIDENTS else []
    return ": ".join(part for part in (overall, "; ".join([*incidents[:MOST_INCIDENTS], *more])) if part)
