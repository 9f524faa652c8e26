"""PagerDuty, Events API v2: one alert per thread, kept together by its dedup key.

What is loud is a `trigger`: PagerDuty folds it into the open alert of that key, and opens a new one where people have
resolved it meanwhile, so nothing is told to nobody. An open alert does not ring again, so a page raised to critical gets
a key of its own. What is quiet is a change event, which PagerDuty shows beside the alert and never rings for: as a
trigger it would ring where people have resolved the alert. notaus never acknowledges: that is a person's word.
Sources: https://developer.pagerduty.com/docs/send-alert-event, https://developer.pagerduty.com/docs/send-change-event,
https://support.pagerduty.com/main/docs/event-management
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
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


async def send(
    http: httpx.AsyncClient, entry: PagerDuty, to: str, message: Message, link: str | None, receipt: str | None
) -> str | None:
    """Deliver one message; the receipt names the severities that have rung. Raises Undelivered."""
    rung = tuple(receipt.split()) if receipt else ()
    if message.status is Status.RESOLVED:
        for key in dict.fromkeys(_key(message.thread, rung, severity) for severity in rung or (str(message.severity),)):
            await post(http, entry.url, _encoded(_resolve(entry, key)), to)
        return receipt
    if not message.loud:
        await post(http, _change_url(entry), _encoded(change(entry, message, link)), to)
        return receipt
    rung = tuple(dict.fromkeys((*rung, str(message.severity))))
    await post(http, entry.url, _encoded(trigger(entry, message, link, rung)), to)
    return " ".join(rung)


def trigger(entry: PagerDuty, message: Message, link: str | None = None, rung: tuple[str, ...] = ()) -> dict[str, Any]:
    """The event that rings, within PagerDuty's limits; `rung` are the severities of the thread so far, this one's too."""
    key = _key(message.thread, rung, str(message.severity))
    return _fitting(_trigger(entry, message, key, link, limit) for limit in TEXT_CHARACTERS)


def change(entry: PagerDuty, message: Message, link: str | None = None) -> dict[str, Any]:
    """The event that does not ring."""
    return _fitting(_change(entry, message, link, limit) for limit in TEXT_CHARACTERS)


def _fitting(candidates: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return next(event for event in candidates if len(_encoded(event)) <= EVENT_BYTES)


def _key(thread: str, rung: tuple[str, ...], severity: str) -> str:
    """The thread's own key for the first severity that rang, and one of its own for the one it was raised to."""
    return dedup_key(thread if severity in rung[:1] or not rung else f"{thread}/{severity}")


def _resolve(entry: PagerDuty, key: str) -> dict[str, Any]:
    return {"routing_key": entry.routing_key, "event_action": "resolve", "dedup_key": key}


def _change_url(entry: PagerDuty) -> str:
    """`…/v2/change/enqueue`, beside `…/v2/enqueue`."""
    return entry.url.removesuffix("/enqueue") + "/change/enqueue"


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


def _change(entry: PagerDuty, message: Message, link: str | None, limit: int) -> dict[str, Any]:
    return {
        "routing_key": entry.routing_key,
        "payload": {
            "summary": cut(headline(message), SUMMARY_CHARACTERS),
            "source": cut(message.service, limit),
            "timestamp": iso(message.at),
            "custom_details": _details(message, limit),
        },
        "links": _links(message, link),
    }


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
