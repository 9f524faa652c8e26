"""Slack's Web API as a bot sees it: messages, threads and updates. Errors come with HTTP 200, as Slack's do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .sinks import Sinks, body_of, wrong_with_slack
from .wire import Answer, Call, json_answer

TOKENS: Final = ("xoxb-", "xoxp-")


@dataclass(slots=True)
class SlackApi:
    """One workspace. A token that does not begin with ``xoxb-`` is no token, a channel without ``#`` or ``C`` none."""

    sinks: Sinks
    channels: dict[str, str] = field(default_factory=dict)
    """Name to id."""
    messages: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(channel id, ts) to the message as it now reads."""

    def answer(self, call: Call) -> Answer:
        """``POST /api/{method}``: ``chat.postMessage`` and ``chat.update``."""
        body, method = body_of(call), call.params["method"]
        given = body if isinstance(body, dict) else {}
        wrong = _wrong_with_token(call) or wrong_with_slack(body)
        done = {"ok": False, "error": wrong} if wrong is not None else self._done(method, given, call.at)
        self.sinks.received(call, f"slack:{method}", body, bool(done["ok"]))
        return json_answer(done)

    def _done(self, method: str, body: dict[str, Any], at: float) -> dict[str, Any]:
        channel = self._channel(str(body.get("channel", "")), known=method == "chat.update")
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        match method:
            case "chat.postMessage":
                return self._post(channel, body, at)
            case "chat.update":
                return self._update(channel, body)
            case _:
                return {"ok": False, "error": "unknown_method"}

    def _channel(self, name: str, *, known: bool) -> str | None:
        """A channel's id; ``chat.update`` takes the id alone."""
        if name in self.channels.values():
            return name
        if known or name[:1] not in ("#", "C"):
            return None
        return self.channels.setdefault(name, f"C{len(self.channels) + 1:08d}")

    def _post(self, channel: str, body: dict[str, Any], at: float) -> dict[str, Any]:
        thread = body.get("thread_ts")
        if thread is not None and (channel, thread) not in self.messages:
            return {"ok": False, "error": "thread_not_found"}
        ts = f"{int(at)}.{len(self.messages) + 1:06d}"
        self.messages[channel, ts] = {k: v for k, v in body.items() if k != "channel"}
        return {"ok": True, "channel": channel, "ts": ts, "message": {"type": "message", "ts": ts, **body}}

    def _update(self, channel: str, body: dict[str, Any]) -> dict[str, Any]:
        ts = str(body.get("ts", ""))
        message = self.messages.get((channel, ts))
        if message is None:
            return {"ok": False, "error": "message_not_found"}
        message.pop("blocks", None)
        message.update({k: v for k, v in body.items() if k in ("text", "blocks")})
        return {"ok": True, "channel": channel, "ts": ts, "text": message.get("text", "")}


def _wrong_with_token(call: Call) -> str | None:
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    if kind != "Bearer" or not token:
        return "not_authed"
    return None if token.startswith(TOKENS) else "invalid_auth"
