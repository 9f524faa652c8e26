"""Statuspage: one public incident per incident, through investigating, identified, monitoring and resolved.

The public reads templates and nothing else: no rule, value, version or internal name reaches them. An incident is found
again by a mark in its metadata, so that a repetition never opens a second one.
Source: https://developer.statuspage.io/
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from notaus.core.page import Kind, Message, Public, Remedy, Stage, Symptom
from notaus.notify.delivery import Api
from notaus.notify.text import cut, minute

NAME_CHARACTERS = 255
SUBJECTS = {
    Symptom.ERRORS: "Error Rate Elevated",
    Symptom.SLOW: "Responses Slow",
    Symptom.DISRUPTED: "Service Disrupted",
}


@dataclass(frozen=True, slots=True)
class Statuspage:
    """An entry of `channels.statuspage`."""

    token: str = field(repr=False)
    page: str
    subject: str = ""
    """What is affected, as the title says it: `API`."""
    components: tuple[str, ...] = ()
    """Ids of the components affected."""
    component_status: str = "degraded_performance"
    """What they are said to be until it is resolved."""
    closing: str = ""
    """A sentence of the team's own at the end."""
    url: str = "https://api.statuspage.io"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.token,)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows of the incident."""

    id: str
    stage: Stage

    @classmethod
    def of(cls, receipt: str | None) -> Shown | None:
        if receipt is None:
            return None
        id, _, stage = receipt.rpartition(" ")
        return cls(id, Stage(stage))

    @property
    def receipt(self) -> str:
        return f"{self.id} {self.stage}"


async def send(
    http: httpx.AsyncClient, entry: Statuspage, to: str, message: Message, receipt: str | None
) -> str | None:
    """Bring the public incident to the stage of `message`. Raises Undelivered.

    A new one begins as investigating, as people expect it, and is moved on at once where things are further by then.
    """
    if message.kind is Kind.NOTICE:
        return None
    api = _api(http, entry, to)
    shown = Shown.of(receipt) or await _found(api, message.thread)
    stage = message.public.stage
    if shown is None or (shown.stage is Stage.RESOLVED and stage is not Stage.RESOLVED):
        if stage is Stage.RESOLVED:
            return None  # it was never shown: there is nothing to take back
        shown = await _begun(api, entry, message)
    if shown.stage is not stage:
        body = {"incident": update(entry, message, stage)}
        await api.ask("PATCH", f"/incidents/{shown.id}", body)
    return Shown(shown.id, stage).receipt


async def look(http: httpx.AsyncClient, entry: Statuspage, to: str) -> str:
    """What can be said without telling the public anything. Raises Undelivered."""
    api = _api(http, entry, to)
    page = await api.ask("GET", "")
    open_ = len(await _listed(api, "/incidents/unresolved"))
    name = page.get("name") if isinstance(page, dict) else None
    return f"the page {name or entry.page} can be read, {open_} incidents are open; nothing was published"


def _api(http: httpx.AsyncClient, entry: Statuspage, to: str) -> Api:
    return Api(http, f"{entry.url.rstrip('/')}/v1/pages/{entry.page}", to, {"authorization": f"OAuth {entry.token}"})


async def _found(api: Api, thread: str) -> Shown | None:
    """The open incident of the thread, if an earlier try has made it."""
    for incident in await _listed(api, "/incidents/unresolved"):
        metadata = incident.get("metadata")
        if isinstance(metadata, dict) and metadata.get("notaus") == {"thread": mark(thread)}:
            return _shown(api, incident)
    return None


async def _begun(api: Api, entry: Statuspage, message: Message) -> Shown:
    body = update(entry, message, Stage.INVESTIGATING) | {"metadata": {"notaus": {"thread": mark(message.thread)}}}
    return _shown(api, await api.ask("POST", "/incidents", {"incident": body}))


async def _listed(api: Api, path: str) -> list[Mapping[str, Any]]:
    found = await api.ask("GET", path)
    if not isinstance(found, list):
        raise api.unexpected()
    return [incident for incident in found if isinstance(incident, dict)]


def _shown(api: Api, incident: Any) -> Shown:
    """Raises Undelivered where it is no incident of the kind we make."""
    try:
        return Shown(str(incident["id"]), Stage(incident["status"]))
    except (KeyError, TypeError, ValueError):
        raise api.unexpected() from None


def mark(thread: str) -> str:
    """The thread, made unreadable: it holds internal names."""
    return hashlib.sha256(thread.encode(errors="replace")).hexdigest()[:32]


def update(entry: Statuspage, message: Message, stage: Stage) -> dict[str, Any]:
    """An incident's fields at a stage."""
    status = "operational" if stage is Stage.RESOLVED else entry.component_status
    return {
        "name": title(entry, message.public, stage),
        "status": str(stage),
        "body": text(entry, message, stage),
        **({"component_ids": list(entry.components)} if entry.components else {}),
        **({"components": dict.fromkeys(entry.components, status)} if entry.components else {}),
    }


def title(entry: Statuspage, public: Public, stage: Stage) -> str:
    """Such as `[INVESTIGATING] API Error Rate Elevated`."""
    subject = f"{entry.subject} {SUBJECTS[public.symptom]}".strip()
    return cut(f"[{stage.upper()}] {subject}", NAME_CHARACTERS)


def text(entry: Statuspage, message: Message, stage: Stage) -> str:
    """What has happened, in the words of the runbooks' templates."""
    public = message.public
    what = f"the {public.called}" if public.called else "our service"
    when = f"{'Resolved' if stage is Stage.RESOLVED else 'Last Update'}: {minute(message.at)}"
    match stage:
        case Stage.INVESTIGATING:
            lines = (f"We are investigating {public.symptom} on {what}.", _progress(public))
        case Stage.IDENTIFIED:
            lines = (f"We have narrowed down {public.symptom} on {what}, and are {public.remedy}.", _eta(public))
        case Stage.MONITORING:
            lines = (f"A mitigation for {public.symptom} on {what} is in effect. We are monitoring the results.", "")
        case Stage.RESOLVED:
            how = f" by {public.remedy}" if public.remedy is not Remedy.NONE else ""
            lines = (f"The issue has been resolved{how}.\nAll systems operating normally.", entry.closing)
    return "\n".join(line for line in (*lines, when) if line)


def _progress(public: Public) -> str:
    return " ".join(("Mitigation in progress.", _eta(public))).strip() if public.remedy is not Remedy.NONE else ""


def _eta(public: Public) -> str:
    if public.minutes is None:
        return ""
    return f"ETA: {public.minutes} minute{'' if public.minutes == 1 else 's'}."
