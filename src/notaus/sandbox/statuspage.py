"""Statuspage's manage API: incidents of a page, with its authentication, its limit and its errors."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from .sinks import Sinks, body_of
from .wire import Answer, Call, iso_micros, json_answer

STATUSES: Final = ("investigating", "identified", "monitoring", "resolved")
COMPONENTS: Final = ("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance")
NAME_CHARACTERS: Final = 255
LIMIT: Final = 60
"""Requests a minute and token."""


@dataclass(slots=True)
class Statuspage:
    """Pages by their id, all of which exist; a key that begins with ``wrong`` is no key."""

    sinks: Sinks
    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)
    components: dict[str, str] = field(default_factory=dict)
    """Id to status, as last said."""
    calls: dict[str, deque[float]] = field(default_factory=dict)

    def create(self, call: Call) -> Answer:
        """``POST /v1/pages/{page}/incidents``."""
        incident = self._given(call)
        wrong = self._wrong(call) or _wrong_with(incident, new=True)
        self.sinks.received(call, "statuspage", body_of(call), wrong is None)
        if wrong is not None:
            return wrong
        id = f"incident{len(self.incidents) + 1}"
        made = {"id": id, "page_id": call.params["page"], "status": "investigating", "created_at": iso_micros(call.at)}
        self.incidents[id] = made | {"incident_updates": [], "metadata": {}, "impact": "minor"}
        self._apply(id, incident, call.at)
        return json_answer(self.incidents[id], 201)

    def update(self, call: Call) -> Answer:
        """``PATCH /v1/pages/{page}/incidents/{incident}``."""
        id, incident = call.params["incident"], self._given(call)
        wrong = self._wrong(call) or _wrong_with(incident, new=False)
        if wrong is None and id not in self.incidents:
            wrong = json_answer({"error": "Not found"}, 404)
        self.sinks.received(call, "statuspage", body_of(call), wrong is None)
        if wrong is not None:
            return wrong
        self._apply(id, incident, call.at)
        return json_answer(self.incidents[id])

    def unresolved(self, call: Call) -> Answer:
        """``GET /v1/pages/{page}/incidents/unresolved``."""
        mine = [i for i in self.incidents.values() if i["page_id"] == call.params["page"]]
        return self._wrong(call) or json_answer([i for i in mine if i["status"] != "resolved"])

    def page(self, call: Call) -> Answer:
        """``GET /v1/pages/{page}``."""
        return self._wrong(call) or json_answer({"id": call.params["page"], "name": "Sandbox"})

    def _given(self, call: Call) -> Any:
        body = body_of(call)
        return body.get("incident") if isinstance(body, dict) else None

    def _apply(self, id: str, given: dict[str, Any], at: float) -> None:
        known = self.incidents[id]
        known.update({k: v for k, v in given.items() if k not in ("body", "components", "component_ids")})
        self.components.update(given.get("components") or {})
        if given.get("body"):
            update = {"status": known["status"], "body": given["body"], "created_at": iso_micros(at)}
            known["incident_updates"].insert(0, update)

    def _wrong(self, call: Call) -> Answer | None:
        """No key, or too many requests with it."""
        kind, _, key = call.headers.get("authorization", "").partition(" ")
        if kind != "OAuth" or not key or key.startswith("wrong"):
            return json_answer({"error": "Could not authenticate"}, 401)
        recent = self.calls.setdefault(key, deque())
        while recent and recent[0] <= call.at - 60:
            recent.popleft()
        if len(recent) >= LIMIT:
            return json_answer({"error": "Too many requests"}, 429, (("Retry-After", "60"),))
        recent.append(call.at)
        return None


def _wrong_with(incident: Any, *, new: bool) -> Answer | None:
    if not isinstance(incident, dict):
        return json_answer({"error": "incident is missing"}, 400)
    name, wrong = incident.get("name"), []
    if (new and not name) or len(str(name or "")) > NAME_CHARACTERS:
        wrong.append(f"name: must have 1 to {NAME_CHARACTERS} characters")
    if incident.get("status", "investigating") not in STATUSES:
        wrong.append(f"status: must be one of {', '.join(STATUSES)}")
    if not all(isinstance(value, dict) for value in (incident.get("metadata") or {}).values()):
        wrong.append("metadata: every value at the top must be an object")
    if not all(status in COMPONENTS for status in (incident.get("components") or {}).values()):
        wrong.append(f"components: must be one of {', '.join(COMPONENTS)}")
    return json_answer({"error": wrong}, 422) if wrong else None
