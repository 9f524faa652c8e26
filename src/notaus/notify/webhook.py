"""Any webhook: every field of the message as JSON, signed where the entry has a secret.

`thread` and `sequence` together tell a message from its repetition: delivery is at least once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from notaus.core.page import Message
from notaus.notify.delivery import post
from notaus.notify.text import headline, iso, plain

SIGNATURE_HEADER = "X-Notaus-Signature"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An entry of `channels.webhook`: its address and, optionally, the secret both sides share."""

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.url,) if self.secret is None else (self.url, self.secret)


async def send(http: httpx.AsyncClient, entry: Webhook, to: str, message: Message, link: str | None) -> None:
    """Deliver one message. Raises Undelivered."""
    body = json.dumps(payload(message, link), ensure_ascii=False).encode(errors="replace")
    headers = {} if entry.secret is None else {SIGNATURE_HEADER: signature(entry.secret, body)}
    await post(http, entry.url, body, to, headers)


def payload(message: Message, link: str | None = None) -> dict[str, Any]:
    """Every field of the message by its own name, and three made from them: `time`, `headline`, `text`."""
    return {
        "kind": str(message.kind),
        "thread": message.thread,
        "sequence": message.sequence,
        "at": message.at,
        "time": iso(message.at),
        "service": message.service,
        "severity": str(message.severity),
        "status": str(message.status),
        "loud": message.loud,
        "title": message.title,
        "lines": list(message.lines),
        "facts": dict(message.facts),
        "incident": message.incident,
        "request": message.request,
        "banner": message.banner,
        "public": dataclasses.asdict(message.public),
        "timeline": list(message.timeline),
        "link": link,
        "headline": headline(message),
        "text": plain(message),
    }


def signature(secret: str, body: bytes) -> str:
    """`sha256=` and the hex HMAC-SHA256 of the raw body: the receiver computes the same and compares."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
