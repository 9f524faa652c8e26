"""Finds the entry of a contact and hands the message to its channel. Adding a channel: one file, one `case` here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import assert_never
from urllib.parse import quote

import httpx

from notaus import log
from notaus.core.page import Message
from notaus.core.service import Contact
from notaus.errors import Undelivered
from notaus.notify import pagerduty, slack, webhook
from notaus.notify.pagerduty import PagerDuty
from notaus.notify.slack import Slack
from notaus.notify.webhook import Webhook

ChannelEntry = PagerDuty | Slack | Webhook


class Channels:
    """Delivers messages over every channel that the daemon's configuration names."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        entries: Mapping[str, Mapping[str, ChannelEntry]],
        public_url: str | None = None,
    ) -> None:
        """`entries`: channel kind to entry name to entry. `public_url`: where people reach the web page, for links."""
        self._http = http
        self._entries = entries
        self._public_url = None if public_url is None else public_url.rstrip("/")
        for entry in (entry for named in entries.values() for entry in named.values()):
            for secret in entry.secrets:
                log.redact(secret)

    async def send(self, contact: Contact, message: Message) -> None:
        """Deliver once, within five seconds. Raises Undelivered, permanent where a repetition changes nothing."""
        entry = self._entries.get(contact.channel, {}).get(contact.name)
        to, clean, link = str(contact), scrubbed(message), self._link(message)
        match entry:
            case PagerDuty():
                await pagerduty.send(self._http, entry, to, clean, link)
            case Slack():
                await slack.send(self._http, entry, to, clean, link)
            case Webhook():
                await webhook.send(self._http, entry, to, clean, link)
            case None:
                raise Undelivered(f"{to}: no such entry under `channels:` in notaus.yaml", permanent=True)
            case _:
                assert_never(entry)

    def _link(self, message: Message) -> str | None:
        if self._public_url is None:
            return None
        return self._public_url + ("/" if message.incident is None else f"/incidents/{quote(message.incident)}")


def scrubbed(message: Message) -> Message:
    """The message without the secrets a remote answer or an error text may have carried into it."""
    return dataclasses.replace(
        message,
        title=log.scrub(message.title),
        lines=tuple(log.scrub(line) for line in message.lines),
        facts={key: log.scrub(value) for key, value in message.facts.items()},
    )
