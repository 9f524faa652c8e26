"""Where pages end up: PagerDuty, Slack's webhooks, any webhook, as far as a sender can tell."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .wire import Answer, Call, json_answer, text_answer

SEVERITIES: Final = ("critical", "error", "warning", "info")
EVENT_BYTES: Final = 512 * 1024
SLACK_BLOCKS: Final = 50
SLACK_SECTION_CHARACTERS: Final = 3_000
SLACK_HEADER_CHARACTERS: Final = 150
SLACK_TEXT_CHARACTERS: Final = 40_000


class Page(NamedTuple):
    """A message received at ``at`` (sandbox clock); ``accepted`` says whether the sink took it."""

    at: float
    channel: str
    payload: Any
    accepted: bool


@dataclass(slots=True)
class Sinks:
    """Everything received, in order, and what PagerDuty would remember of it."""

    pages: list[Page] = field(default_factory=list)
    alerts: dict[tuple[str, str], str] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def pagerduty(self, call: Call) -> Answer:
        """Events API v2: ``POST /v2/enqueue``."""
        event, wrong = body_of(call), []
        if len(call.body) > EVENT_BYTES:
            wrong.append(f"event is larger than {EVENT_BYTES} bytes")
        wrong += _wrong_with_event(event)
        self.received(call, "pagerduty", event, not wrong)
        if wrong:
            return json_answer({"status": "invalid event", "message": "Event object is invalid", "errors": wrong}, 400)
        key = event.get("dedup_key") or f"sandbox-{len(self.pages)}"
        self._alert(event["routing_key"], key, event["event_action"])
        return json_answer({"status": "success", "message": "Event processed", "dedup_key": key}, 202)

    def change(self, call: Call) -> Answer:
        """Events API v2: ``POST /v2/change/enqueue``, which opens no alert."""
        event = body_of(call)
        payload = event.get("payload") if isinstance(event, dict) else None
        wrong = _wrong_with_key(event) if isinstance(event, dict) else ["the body is not a JSON object"]
        if not isinstance(payload, dict) or not payload.get("summary"):
            wrong.append("'payload.summary' is missing or blank")
        self.received(call, "pagerduty", event, not wrong)
        if wrong:
            return json_answer({"status": "invalid event", "message": "Event object is invalid", "errors": wrong}, 400)
        self.changes.append(event)
        return json_answer({"status": "success", "message": "Change event processed"}, 202)

    def _alert(self, routing_key: str, dedup_key: str, action: str) -> None:
        """Acknowledging or resolving what is not open is taken and ignored; a trigger opens anew what was resolved."""
        state = self.alerts.get((routing_key, dedup_key))
        if action == "trigger":
            self.alerts[routing_key, dedup_key] = "acknowledged" if state == "acknowledged" else "triggered"
        elif state in ("triggered", "acknowledged"):
            self.alerts[routing_key, dedup_key] = "acknowledged" if action == "acknowledge" else "resolved"

    def slack(self, call: Call) -> Answer:
        """An incoming webhook: ``POST /pages/slack/<name>``."""
        message = body_of(call)
        wrong = wrong_with_slack(message)
        self.received(call, f"slack:{call.params.get('rest', '')}", message, wrong is None)
        return text_answer("ok") if wrong is None else text_answer(wrong, 400)

    def webhook(self, call: Call) -> Answer:
        """Any webhook takes anything."""
        self.received(call, f"webhook:{call.params.get('rest', '')}", body_of(call), True)
        return json_answer({"ok": True})

    def listed(self, call: Call) -> Answer:
        """``GET /pages``: everything received."""
        return json_answer([page._asdict() for page in self.pages])

    def received(self, call: Call, channel: str, payload: Any, accepted: bool) -> None:
        self.pages.append(Page(call.at, channel, payload, accepted))


def body_of(call: Call) -> Any:
    try:
        return json.loads(call.body)
    except ValueError:
        return call.body.decode("utf-8", "replace")


def _wrong_with_event(event: Any) -> list[str]:
    if not isinstance(event, dict):
        return ["the body is not a JSON object"]
    wrong = _wrong_with_key(event)
    action, key = event.get("event_action"), event.get("dedup_key")
    if action not in ("trigger", "acknowledge", "resolve"):
        wrong.append("'event_action' must be one of trigger, acknowledge, resolve")
    elif action != "trigger" and not key:
        wrong.append(f"'dedup_key' is required to {action}")
    if key is not None and (not isinstance(key, str) or len(key) > 255):
        wrong.append("'dedup_key' must be text of at most 255 characters")
    return wrong + (_wrong_with_payload(event.get("payload")) if action == "trigger" else [])


def _wrong_with_key(event: dict[str, Any]) -> list[str]:
    key = event.get("routing_key")
    return [] if isinstance(key, str) and len(key) == 32 else ["'routing_key' must be 32 characters"]


def _wrong_with_payload(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    wrong = [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name)]
    if len(str(payload.get("summary", ""))) > 1_024:
        wrong.append("'payload.summary' must be at most 1024 characters")
    if payload.get("severity") not in SEVERITIES:
        wrong.append(f"'payload.severity' must be one of {', '.join(SEVERITIES)}")
    return wrong


def wrong_with_slack(message: Any) -> str | None:
    """The text Slack answers a bad message with, or None."""
    if not isinstance(message, dict):
        return "invalid_payload"
    blocks, text = message.get("blocks"), message.get("text")
    if not text and not blocks and not message.get("attachments"):
        return "no_text"
    if isinstance(text, str) and len(text) > SLACK_TEXT_CHARACTERS:
        return "msg_too_long"
    if blocks is None:
        return None
    if not isinstance(blocks, list) or len(blocks) > SLACK_BLOCKS:
        return "invalid_blocks"
    return None if all(_is_slack_block(block) for block in blocks) else "invalid_blocks"


def _is_slack_block(block: Any) -> bool:
    """The limits of the blocks that carry text or buttons."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return False
    text = (block.get("text") or {}).get("text", "") if isinstance(block.get("text"), dict | None) else ""
    match block["type"]:
        case "section":
            return (
                len(text) <= SLACK_SECTION_CHARACTERS
                and len(block.get("fields", ())) <= 10
                and bool(text or block.get("fields"))
            )
        case "header":
            return 0 < len(text) <= SLACK_HEADER_CHARACTERS
        case "actions":
            return 0 < len(block.get("elements", ())) <= 25 and all(_is_button(e) for e in block["elements"])
    return True


def _is_button(element: Any) -> bool:
    if not isinstance(element, dict) or element.get("type") != "button":
        return isinstance(element, dict)
    label = (element.get("text") or {}).get("text", "")
    return (
        0 < len(label) <= 75
        and len(str(element.get("value", ""))) <= 2_000
        and len(str(element.get("action_id", ""))) <= 255
    )
