"""Finds the entry of a contact and hands the message to its channel. Adding a channel: one file, one `case` here."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never
from urllib.parse import quote

import httpx

from notaus import log
from notaus.core.page import Kind, Message, Status
from notaus.core.rule import Severity
from notaus.core.service import Contact
from notaus.errors import Undelivered
from notaus.notify import apprise, github, pagerduty, slack, slack_app, statuspage, webhook
from notaus.notify.apprise import Apprise
from notaus.notify.github import GitHub
from notaus.notify.pagerduty import PagerDuty
from notaus.notify.slack import Slack
from notaus.notify.slack_app import SlackApp
from notaus.notify.statuspage import Statuspage
from notaus.notify.webhook import Webhook

ChannelEntry = PagerDuty | Slack | SlackApp | Statuspage | GitHub | Apprise | Webhook


class Channels:
    """Delivers messages over every channel that the daemon's configuration names."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        entries: Mapping[str, Mapping[str, ChannelEntry]],
        public_url: str | None = None,
        cloudflare: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """`entries`: channel kind to entry name to entry. `public_url`: where people reach the web page, for links.

        `cloudflare` tells Cloudflare's own status, within a few seconds; every page carries it.
        """
        self._http = http
        self._cloudflare = cloudflare
        self._entries = entries
        self._public_url = None if public_url is None else public_url.rstrip("/")
        for entry in (entry for named in entries.values() for entry in named.values()):
            for secret in entry.secrets:
                log.redact(secret)

    async def send(self, contact: Contact, message: Message, receipt: str | None = None) -> str | None:
        """Deliver once, within seconds. Raises Undelivered, permanent where a repetition changes nothing.

        What it returns is to be given back with the next message of the thread to that contact.
        """
        entry = self.entry(contact)
        if contact.person:
            message = await self._with_cloudflare(message)
        to, clean, link = str(contact), scrubbed(message), self._link(message)
        http = self._http
        match entry:
            case PagerDuty():
                return await pagerduty.send(http, entry, to, clean, link, receipt)
            case SlackApp():
                return await slack_app.send(http, entry, to, clean, link, receipt)
            case Slack():
                await slack.send(http, entry, to, clean, link)
            case Statuspage():
                return await statuspage.send(http, entry, to, clean, receipt)
            case GitHub():
                return await github.send(http, entry, to, clean, link, receipt)
            case Apprise():
                await apprise.send(entry, to, clean, link)
            case Webhook():
                await webhook.send(http, entry, to, clean, link)
            case None:
                raise Undelivered(f"{to}: no such entry under `channels:` in notaus.yaml", permanent=True)
            case _:
                assert_never(entry)
        return None

    async def try_out(self, contact: Contact, now: int) -> str:
        """Send a test message and its end, and say so; what others read (RECORDS) is only looked at. Raises Undelivered."""
        match self.entry(contact):
            case Statuspage() as entry:
                return await statuspage.look(self._http, entry, str(contact))
            case GitHub() as entry:
                return await github.look(self._http, entry, str(contact))
            case _:
                receipt = await self.send(contact, _test_message(now, 1, Status.OPEN))
                await self.send(contact, _test_message(now, 2, Status.RESOLVED), receipt)
                return "took a test message, and its end"

    def entry(self, contact: Contact) -> ChannelEntry | None:
        return self._entries.get(contact.channel, {}).get(contact.name)

    async def _with_cloudflare(self, message: Message) -> Message:
        """A page with Cloudflare's own status among its facts; asked for now, for it is about now."""
        if self._cloudflare is None or message.kind is not Kind.PAGE:
            return message
        return dataclasses.replace(message, facts={**message.facts, "Cloudflare": await self._cloudflare()})

    def _link(self, message: Message) -> str | None:
        if self._public_url is None:
            return None
        return self._public_url + ("/" if message.incident is None else f"/incidents/{quote(message.incident)}")


NEEDS: Mapping[str, str] = {
    "pagerduty": "the integration key of a service's Events API v2 integration, 32 characters",
    "slack": "the address of an incoming webhook; or a bot token with the scope chat:write, the bot a member of the channel",
    "webhook": "an address that answers a POST of JSON with 2xx",
    "statuspage": "an API key of the organisation, and the id of one of its pages",
    "github": "a fine-grained token with `Issues: read and write` on the repository",
    "apprise": "`notaus[apprise]` installed, and a URL as Apprise's documentation gives it for the service",
}
"""What each kind of channel needs, for whoever sets it up."""


def _test_message(now: int, sequence: int, status: Status) -> Message:
    return Message(
        Kind.NOTICE,
        f"notaus/check/{now}",
        sequence,
        now,
        "notaus",
        Severity.WARNING,
        status,
        sequence == 1,
        "notaus: a test message",
        ("Sent by `notaus check --page`. Nothing is wrong, and nothing has to be done.",),
    )


def scrubbed(message: Message) -> Message:
    """The message without the secrets a remote answer or an error text may have carried into it."""
    return dataclasses.replace(
        message,
        title=log.scrub(message.title),
        lines=tuple(log.scrub(line) for line in message.lines),
        facts={key: log.scrub(value) for key, value in message.facts.items()},
        timeline=tuple(log.scrub(line) for line in message.timeline),
    )
