"""POST /hooks/slack: a button was pressed. Slack is answered at once; the person, once the order is written down.

Sources: https://docs.slack.dev/interactivity/handling-user-interaction,
https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qs

import httpx
import structlog
from pydantic import Field, StringConstraints

from notaus.core.event import Answer
from notaus.core.service import Contact, Service
from notaus.web.answers import Problem, unknown
from notaus.web.deliveries import Delivery, plain, read
from notaus.web.door import Door
from notaus.web.ports import DaemonView
from notaus.web.senders import SIGNED_SECONDS, Headers

ANSWERS = {"notaus_approve": True, "notaus_deny": False}
"""The buttons' action ids."""
REPLIES = "https://hooks.slack.com/"
"""Where replies go, and nowhere else: the address comes from outside."""
REPLY_SECONDS = 10.0

log = structlog.get_logger(__name__)
Short = Annotated[str, StringConstraints(max_length=300)]


def client() -> httpx.AsyncClient:
    """Buttons are pressed seldom: a connection each."""
    return httpx.AsyncClient(timeout=REPLY_SECONDS)


class Named(Delivery):
    """A person or a channel of Slack's."""

    id: Short
    name: Short = ""
    username: Short = ""


class Action(Delivery):
    """A button. Its value is `SERVICE/REQUEST`."""

    action_id: Short
    value: Short = ""


class Interaction(Delivery):
    """What Slack posts when somebody presses a button."""

    type: Short
    user: Named
    channel: Named | None = None
    actions: Annotated[tuple[Action, ...], Field(max_length=25)] = ()
    response_url: Annotated[str, StringConstraints(max_length=2000)] = ""


class Buttons:
    """Takes what was pressed."""

    def __init__(self, daemon: DaemonView, door: Door) -> None:
        self._daemon, self._door = daemon, door
        self._seen: dict[str, int] = {}
        """Signatures of the last minutes: each is good once."""
        self._answering: set[asyncio.Task[None]] = set()

    def once(self, headers: Headers) -> None:
        """Raises Problem (401) for a request that was sent before: somebody has overheard it."""
        now = self._daemon.now()
        self._seen = {kept: until for kept, until in self._seen.items() if until >= now}
        signature = headers.get("x-slack-signature", "")
        if signature in self._seen:
            raise Problem(401, "this request was sent before", "press the button again")
        self._seen[signature] = now + 2 * SIGNED_SECONDS

    async def take(self, raw: bytes) -> Mapping[str, bool]:
        """Begin to carry out what was pressed; anything else that Slack sends is taken notice of."""
        form = parse_qs(raw.decode(errors="replace"), max_num_fields=10)
        payload = form.get("payload", [""])[0]
        if not payload and "ssl_check" in form:
            return {"ok": True}
        pressed = read(Interaction, payload.encode())
        for action in pressed.actions:
            if pressed.type == "block_actions" and action.action_id in ANSWERS:
                self._begin(pressed, action)
        return {"ok": True}

    def _begin(self, pressed: Interaction, action: Action) -> None:
        task = asyncio.create_task(self._answer(pressed, action), name="slack")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, pressed: Interaction, action: Action) -> None:
        try:
            said = await self._order(pressed, action)
        except Problem as problem:
            said = f"This could not be taken: {problem.error}; {problem.hint}"
        await self._tell(pressed.response_url, said)

    async def _order(self, pressed: Interaction, action: Action) -> str:
        name, _, request = action.value.partition("/")
        services = {service.name: service for service in self._daemon.configured()}
        if name not in services:
            raise unknown("service", name, services)
        by = plain(f"{pressed.user.username or pressed.user.name or 'somebody'} ({pressed.user.id}, in Slack)")
        contact = self._contact(services[name], pressed.channel)
        order = Answer(self._daemon.now(), by, ANSWERS[action.action_id], request or None, contact)
        return (await self._door.order(name, order)).text

    def _contact(self, service: Service, channel: Named | None) -> Contact:
        """The approver whose channel it is; else what it is called, with its id, so that no approver is called the same."""
        if channel is None:
            return Contact("slack", "no channel")
        named = {channel.id, f"#{channel.name}"}
        entries = self._daemon.settings().channels.slack
        approvers = (each for each in service.contacts.approvers if each.channel == "slack")
        found = next((each for each in approvers if each.name in entries and entries[each.name].channel in named), None)
        return found or Contact("slack", plain(f"#{channel.name} ({channel.id})"))

    async def _tell(self, address: str, text: str) -> None:
        """Only to whoever pressed the button; the message itself is brought up to date by its channel."""
        if not address.startswith(REPLIES):
            return
        body = {"response_type": "ephemeral", "replace_original": False, "text": text[:3000]}
        try:
            async with client() as http:
                answer = await http.post(address, json=body)
            answer.raise_for_status()
        except httpx.HTTPError as failed:
            log.warning("a person could not be told in Slack", reason=type(failed).__name__, said=text)
