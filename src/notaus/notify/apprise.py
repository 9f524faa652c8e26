"""Apprise: every channel that has no file of its own here, by Apprise's URL for it (`tgram://…`, `mailto://…`).

The library blocks, so it is called in a thread of its own, with a deadline. It comes with the extra `notaus[apprise]`.
Source: https://github.com/caronc/apprise
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from typing import Any

from notaus import log
from notaus.core.page import Message, Status
from notaus.core.rule import Severity
from notaus.errors import Undelivered
from notaus.notify.text import body_lines, cut, footer, headline, label

DEADLINE_SECONDS = 20.0
"""Longer than Apprise's own limits (4 s to connect, 4 s to answer) for a service or two behind one URL."""
BODY_CHARACTERS = 30_000
MISSING = "Apprise is not installed: pip install 'notaus[apprise]'"


@dataclass(frozen=True, slots=True)
class Apprise:
    """An entry of `channels.apprise`: the URL holds the credentials, and is a secret as a whole."""

    url: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.url,)


async def send(entry: Apprise, to: str, message: Message, link: str | None) -> None:
    """Deliver one message. Raises Undelivered: permanent where the library or the URL is no good."""
    library = _library(to)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            delivered, said = await asyncio.to_thread(_notify, library, entry, message, link)
    except TimeoutError:
        raise Undelivered(f"{to}: no answer within {DEADLINE_SECONDS:g} s") from None
    if delivered is None:
        raise Undelivered(f"{to}: Apprise knows no service for this URL; correct it in notaus.yaml", permanent=True)
    if not delivered:
        raise Undelivered(f"{to}: Apprise could not deliver it" + (f" ({said})" if said else ""))


def _library(to: str) -> Any:
    try:
        return importlib.import_module("apprise")
    except ImportError:
        raise Undelivered(f"{to}: {MISSING}", permanent=True) from None


def _notify(library: Any, entry: Apprise, message: Message, link: str | None) -> tuple[bool | None, str]:
    """Whether it was delivered (None: there is nobody to deliver it), and what Apprise said about it."""
    service = library.Apprise()
    with library.LogCapture(level=library.logging.WARNING, fmt="%(message)s") as said:
        if not service.add(entry.url):
            return None, ""
        delivered = service.notify(title=headline(message), body=body(message, link), notify_type=_kind(message))
        heard = cut(" ".join(log.scrub(said.getvalue()).split()), 200)
    return bool(delivered), heard


def body(message: Message, link: str | None) -> str:
    """Everything but the headline, as plain text."""
    facts = [f"{label(key)}: {value}" for key, value in message.facts.items()]
    parts = ("\n".join(body_lines(message)), "\n".join(facts), link or "", footer(message))
    return cut("\n\n".join(part for part in parts if part), BODY_CHARACTERS)


def _kind(message: Message) -> str:
    """Apprise's word for how bad it is."""
    if message.status is Status.RESOLVED:
        return "success"
    if not message.loud:
        return "info"
    return "failure" if message.severity is Severity.CRITICAL else "warning"
