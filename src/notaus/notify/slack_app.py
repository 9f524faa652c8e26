"""Slack, as an app with a bot token: one incident is one thread, and an approval request has buttons.

The first message always shows the present state; what follows are replies, loud ones shown in the channel as well. The
receipt holds where the thread is, and which messages still have buttons.
Sources: https://docs.slack.dev/reference/methods/chat.postMessage, https://docs.slack.dev/reference/methods/chat.update,
https://docs.slack.dev/reference/block-kit/blocks/actions-block
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import structlog

from notaus.core.page import Message
from notaus.errors import Undelivered
from notaus.notify.delivery import Api
from notaus.notify.slack import SECTION_CHARACTERS, escaped, payload, section

APPROVE, DENY = "notaus_approve", "notaus_deny"
"""The buttons' action ids; their value is `SERVICE/REQUEST`."""
LATER = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
"""Slack's errors that a repetition may overcome; any other is final, as `invalid_auth` and `channel_not_found` are."""
GONE = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
"""Somebody deleted the thread: a new one is begun."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SlackApp:
    """An entry of `channels.slack` with a bot token (scope `chat:write`) and the channel it was invited to."""

    token: str = field(repr=False)
    channel: str
    url: str = "https://slack.com/api"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.token,)


@dataclass(frozen=True, slots=True)
class Thread:
    """Where a thread is. `channel` is Slack's id of it, which `chat.update` wants; `ts` names a message there."""

    channel: str
    ts: str
    asks: Mapping[str, str] = field(default_factory=dict)
    """Replies that have buttons: `ts` to the request they ask about."""

    @classmethod
    def of(cls, receipt: str | None) -> Thread | None:
        """The thread of a receipt; None without one."""
        return None if receipt is None else cls(**json.loads(receipt))

    @property
    def receipt(self) -> str:
        return json.dumps(asdict(self))


class Refused(Undelivered):
    """Slack answered with HTTP 200 and an error of this name."""

    def __init__(self, to: str, name: str, retry_after: float | None = None) -> None:
        super().__init__(f"{to}: Slack answered {name}", permanent=name not in LATER, retry_after=retry_after)
        self.name = name


async def send(
    http: httpx.AsyncClient, entry: SlackApp, to: str, message: Message, link: str | None, receipt: str | None
) -> str:
    """Deliver one message and bring the earlier ones up to date. Raises Undelivered."""
    api = Api(http, entry.url, to, {"authorization": f"Bearer {entry.token}"})
    body = payload(message, link, *_buttons(message)) if message.loud else payload(message, link)
    first = payload(message, link, *_buttons(message))  # the thread's own keeps its buttons while the request is open
    thread = Thread.of(receipt)
    if thread is not None:
        try:
            return (await _reply(api, to, thread, message, body, first)).receipt
        except Refused as refused:
            if refused.name not in GONE:
                raise
    said = await _ask(api, to, "chat.postMessage", {"channel": entry.channel, **first, **_PLAIN})
    return Thread(said["channel"], said["ts"]).receipt


_PLAIN = {"unfurl_links": False, "unfurl_media": False}


async def _reply(
    api: Api, to: str, thread: Thread, message: Message, body: Mapping[str, Any], first: Mapping[str, Any]
) -> Thread:
    """The message is delivered once the reply stands; what is updated besides may fail."""
    where = {"channel": thread.channel, "thread_ts": thread.ts, "reply_broadcast": message.loud}
    said = await _ask(api, to, "chat.postMessage", {**where, **body, **_PLAIN})
    asks = {ts: request for ts, request in thread.asks.items() if request == message.request}
    for ts in thread.asks.keys() - asks.keys():
        await _update(api, to, thread.channel, ts, _answered(thread.asks[ts], message))
    await _update(api, to, thread.channel, thread.ts, first)
    if message.request is not None and message.loud:
        asks[said["ts"]] = message.request
    return Thread(thread.channel, thread.ts, asks)


async def _update(api: Api, to: str, channel: str, ts: str, body: Mapping[str, Any]) -> None:
    try:
        await _ask(api, to, "chat.update", {"channel": channel, "ts": ts, **body})
    except Undelivered as failed:
        log.warning("an earlier message could not be brought up to date", contact=to, reason=str(failed))


async def _ask(api: Api, to: str, method: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer of a method. Raises Refused for Slack's own errors, which come with HTTP 200."""
    said = await api.ask("POST", f"/{method}", body)
    if not isinstance(said, dict):
        raise api.unexpected()
    if not said.get("ok"):
        raise Refused(to, str(said.get("error", "an error without a name")))
    if not isinstance(said.get("ts"), str) or not isinstance(said.get("channel"), str):
        raise api.unexpected()
    return said


def _buttons(message: Message) -> tuple[dict[str, Any], ...]:
    """Approve and deny, each behind a confirmation, where a request is open."""
    if message.request is None:
        return ()
    value = f"{message.service}/{message.request}"
    approve = _button(APPROVE, "Approve", value, "primary", "It is carried out at once.")
    deny = _button(DENY, "Deny", value, "danger", "Nothing is done for this breach.")
    return ({"type": "actions", "block_id": "notaus_answer", "elements": [approve, deny]},)


def _button(action: str, label: str, value: str, style: str, warning: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action,
        "text": _plain(label),
        "value": value,
        "style": style,
        "confirm": {
            "title": _plain(f"{label}?"),
            "text": _plain(warning),
            "confirm": _plain(label),
            "deny": _plain("Not now"),
        },
    }


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def _answered(request: str, message: Message) -> dict[str, Any]:
    """What stands in the place of a question that is over."""
    answer = message.facts.get("approval", "no answer is wanted any more")
    text = escaped(f"Request {request}: {answer}", SECTION_CHARACTERS)
    return {"text": text, "blocks": [section(text)]}
