"""The words of a message, shared by all channels: short, plain, most important first; read at 3 a.m. on a phone.

The order follows the runbooks' own messages: what happened, then `Label: value` lines, then where and when.
"""

from __future__ import annotations

from datetime import UTC, datetime

from notaus.core.page import Kind, Message, Status
from notaus.core.rule import Severity

ELLIPSIS = "…"


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning and an ellipsis, in at most `limit` (at least 1) characters."""
    return text if len(text) <= limit else text[: limit - len(ELLIPSIS)] + ELLIPSIS


def iso(at: int) -> str:
    """Epoch seconds as machines read them: `2026-11-23T01:20:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock_time(at: int) -> str:
    """Epoch seconds as people read them: `2026-11-23 01:20:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def minute(at: int) -> str:
    """Epoch seconds as the runbooks' templates have them: `2026-11-23 01:20 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def word(message: Message) -> str:
    """The one word (or two) that says whether to get up: CRITICAL, WARNING, NOTICE, UPDATE, RESOLVED."""
    if message.status is Status.RESOLVED:
        return "RESOLVED"
    if message.status is Status.UPDATE and not message.loud:
        return "UPDATE"
    critical = message.severity is Severity.CRITICAL
    if message.kind is Kind.NOTICE:
        return "CRITICAL NOTICE" if critical else "NOTICE"
    return "CRITICAL" if critical else "WARNING"


def headline(message: Message) -> str:
    """The one line that must suffice, such as `CRITICAL · ROLLBACK IN PROGRESS · bookstrack: rolled back to v1.9.0`."""
    title = " ".join(message.title.split())
    named = title if message.service in title else f"{message.service}: {title}"
    return " · ".join((word(message), *((message.banner,) if message.banner else ()), named))


def label(key: str) -> str:
    """A fact's key as it is printed: `by_hand` becomes `By hand`."""
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def answer_line(message: Message) -> str | None:
    """How to answer an approval request; None where nothing is asked, or the message says it itself."""
    if message.request is None:
        return None
    said = any("notaus approve" in text for text in (*message.lines, *message.facts.values()))
    return None if said else f"To answer: notaus approve {message.request} · notaus deny {message.request}"


def body_lines(message: Message) -> tuple[str, ...]:
    """What happened, one thought a line, and how to answer where an answer is asked for."""
    answer = answer_line(message)
    return message.lines if answer is None else (*message.lines, answer)


def footer(message: Message) -> str:
    """Where and when: `incident 7 · message 2 · 2026-11-23 01:20:00 UTC · notaus`."""
    incident = () if message.incident is None else (f"incident {message.incident}",)
    return " · ".join((*incident, f"message {message.sequence}", clock_time(message.at), "notaus"))


def plain(message: Message) -> str:
    """The whole message as plain text."""
    facts = [f"{label(key)}: {value}" for key, value in message.facts.items()]
    parts = ("\n".join(body_lines(message)), "\n".join(facts), footer(message))
    return "\n\n".join((headline(message), *(part for part in parts if part)))


def is_command(key: str, value: str) -> bool:
    """Whether a fact is something to be typed: shown apart, unbroken, ready to be copied."""
    name = key.casefold().replace("_", " ")
    return "command" in name or "by hand" in name or name.startswith("recovery:") or "\n" in value


def is_address(value: str) -> bool:
    """Whether a fact is a link."""
    return value.startswith(("https://", "http://")) and not any(c.isspace() for c in value)
