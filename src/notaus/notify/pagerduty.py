"""PagerDuty, Events API v2: one alert per thread, kept together by its dedup key.

Everything but the end of a thread is a `trigger`: PagerDuty folds it into the open alert, and opens a new one where
people have resolved it meanwhile, so nothing is told to nobody. notaus never acknowledges: that is a person's word.
Source: https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from notaus.core.page import Message, Status
from notaus.core.rule import Severity
from notaus.notify.delivery import post
from notaus.notify.text import body_lines, cut, footer, headline, is_address, iso, label

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
DEDUP_KEY_CHARACTERS = 255
SUMMARY_CHARACTERS = 1024
EVENT_BYTES = 512 * 1024
MOST_LINES = 100
MOST_FACTS = 50
TEXT_CHARACTERS = (8000, 2000, 500, 100)
"""How long one text may be, tried in turn until the whole event fits; the last one always does."""

SEVERITY = {Severity.CRITICAL: "critical", Severity.WARNING: "warning"}


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """An entry of `channels.pagerduty`: the integration's routing key."""

    routing_key: str = field(repr=False)
    url: str = EVENTS_URL

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.routing_key,)


async def send(http: httpx.AsyncClient, entry: PagerDuty, to: str, message: Message, link: str | None) -> None:
    """Deliver one event. Raises Undelivered."""
    await post(http, entry.url, _encoded(event(entry, message, link)), to)


def event(entry: PagerDuty, message: Message, link: str | None = None) -> dict[str, Any]:
    """The event of `message`, within PagerDuty's limits; `link` is where people read more."""
    key = dedup_key(message.thread)
    if message.status is Status.RESOLVED:
        return {"routing_key": entry.routing_key, "event_action": "resolve", "dedup_key": key}
    candidates = (_trigger(entry, message, key, link, limit) for limit in TEXT_CHARACTERS)
    return next(e for e in candidates if len(_encoded(e)) <= EVENT_BYTES)


def dedup_key(thread: str) -> str:
    """The thread itself; one too long is cut and told apart by its hash."""
    if len(thread) <= DEDUP_KEY_CHARACTERS:
        return thread
    digest = hashlib.sha256(thread.encode(errors="replace")).hexdigest()[:32]
    return f"{thread[: DEDUP_KEY_CHARACTERS - 33]}-{digest}"


def _trigger(entry: PagerDuty, message: Message, key: str, link: str | None, limit: int) -> dict[str, Any]:
    event: dict[str, Any] = {
        "routing_key": entry.routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "client": "notaus",
        "payload": {
            "summary": cut(headline(message), SUMMARY_CHARACTERS),
            "source": cut(message.service, limit),
            "severity": SEVERITY[message.severity],
            "timestamp": iso(message.at),
            "component": cut(message.service, limit),
            "class": str(message.kind),
            "custom_details": _details(message, limit),
        },
        "links": _links(message, link),
    }
    return event if link is None else {**event, "client_url": link}


def _details(message: Message, limit: int) -> dict[str, Any]:
    """Facts by their labels; the lines under a name no fact has a reason to use."""
    lines = [cut(line, limit) for line in body_lines(message)[:MOST_LINES]]
    facts = {cut(label(key), 100): cut(value, limit) for key, value in list(message.facts.items())[:MOST_FACTS]}
    return {"What happened": lines, **facts, "About": cut(footer(message), limit)}


def _links(message: Message, link: str | None) -> list[dict[str, str]]:
    """The incident first, then every fact that is an address."""
    own = [] if link is None else [{"href": link, "text": "notaus"}]
    facts = [{"href": value, "text": label(key)} for key, value in message.facts.items() if is_address(value)]
    return [each for each in (own + facts)[:20] if len(each["href"]) <= 2000]


def _encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode(errors="replace")
