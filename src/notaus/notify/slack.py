"""Slack: Block Kit within its limits, a fallback text that says the same in one line, and the incoming webhook.

An incoming webhook cannot thread, so each message stands for itself and names its incident; `slack_app` can.
Source: https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from notaus.core.page import Message
from notaus.notify.delivery import post
from notaus.notify.text import body_lines, cut, footer, headline, is_address, is_command, label

HEADER_CHARACTERS = 150
SECTION_CHARACTERS = 3000
MOST_BLOCKS = 50
MOST_SECTIONS = MOST_BLOCKS - 4
"""Room for the header, the note on what was left out, the buttons and the footer."""
LEFT_OUT = "_More than Slack can show; the rest is in_ `notaus incidents`."


@dataclass(frozen=True, slots=True)
class Slack:
    """An entry of `channels.slack`: the address of an incoming webhook, which is a secret as a whole."""

    url: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The address and, where it is long enough to be one, its path: what an error may name alone."""
        path = urlsplit(self.url).path
        return (self.url, path) if len(path) >= 16 else (self.url,)


async def send(http: httpx.AsyncClient, entry: Slack, to: str, message: Message, link: str | None) -> None:
    """Deliver one message. Raises Undelivered."""
    body = json.dumps(payload(message, link), ensure_ascii=False).encode(errors="replace")
    await post(http, entry.url, body, to)


def payload(message: Message, link: str | None = None, *more: dict[str, Any]) -> dict[str, Any]:
    """The message as Slack takes it, with `more` blocks before its foot; `link` is where people read more."""
    sections = list(_packed((*_lines(message), *_facts(message))))
    blocks = [_header(message), *(section(text) for text in sections[:MOST_SECTIONS])]
    if len(sections) > MOST_SECTIONS:
        blocks.append(section(LEFT_OUT))
    text = escaped(headline(message), SECTION_CHARACTERS)
    return {"text": text, "blocks": [*blocks, *more, _footer(message, link)]}


def escaped(text: str, limit: int) -> str:
    """`text` with Slack's control characters made harmless, cut so that the result has at most `limit` characters."""
    kept = cut(text, limit)
    while len(safe := _escape(kept)) > limit:
        kept = cut(text, len(kept) - max(1, (len(safe) - limit) // 5))
    return safe


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _header(message: Message) -> dict[str, Any]:
    text = cut(headline(message), HEADER_CHARACTERS)
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": False}}


def section(text: str) -> dict[str, Any]:
    """Text in Slack's markup; what comes from elsewhere is `escaped` first."""
    # verbatim: a `#` or `@` in a message must not become a channel or a person.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _footer(message: Message, link: str | None) -> dict[str, Any]:
    text = escaped(footer(message), 1000)
    shown = text if link is None else f"{text} · <{_escape(link)}|open in notaus>"
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": shown, "verbatim": True}]}


def _lines(message: Message) -> Iterator[str]:
    for line in body_lines(message):
        yield escaped(line, SECTION_CHARACTERS)


def _facts(message: Message) -> Iterator[str]:
    for key, value in message.facts.items():
        yield _fact(escaped(label(key), 100), key, value)


def _fact(name: str, key: str, value: str) -> str:
    """`*Rule:* …`; a command stands in a block of its own, ready to be copied; an address is a link."""
    room = SECTION_CHARACTERS - len(name) - 20
    if is_command(key, value):
        # Three backticks in the value would end the block early.
        typed = escaped(value.replace("```", "'''"), room)
        return f"*{name}:*\n```{typed}```"
    if is_address(value) and len(_escape(value)) <= room:
        return f"*{name}:* <{_escape(value)}>"
    return f"*{name}:* {escaped(value, room)}"


def _packed(texts: Iterable[str]) -> Iterator[str]:
    """The texts joined by line breaks into as few sections as hold them; none is torn apart."""
    section = ""
    for text in filter(None, texts):
        joined = f"{section}\n{text}" if section else text
        if len(joined) > SECTION_CHARACTERS:
            yield section
            joined = text
        section = joined
    if section:
        yield section
