"""What happened in a scenario, in seconds from its start: writes, rollbacks, messages, approvals, and states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notaus.core.event import Event
from notaus.core.fleet import Stepped
from notaus.core.state import State
from notaus.daemon.engine import Guarded
from notaus.daemon.gauges import present_rung
from notaus.sandbox import Sandbox

ANSWERS = {"approved": "done"}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened."""

    at: float
    kind: str
    """`kv`, `rollback`, `workflow`, `page`, `notice`, `approval`, `person`."""
    value: Any
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What was the case from `at` on."""

    at: float
    rung: str | None
    words: frozenset[str]
    incident: str | None
    """`open`, `closed` (one was open before), or None."""


@dataclass(slots=True)
class Record:
    """Collects happenings and moments."""

    begin: int
    moments: list[Moment] = field(default_factory=list)
    approvals: list[Happening] = field(default_factory=list)
    answered: dict[str, str] = field(default_factory=dict)
    """How requests ended, by id."""
    had_incident: bool = False

    def watch(self, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        """A watcher of the engine: sees every step once it is written down."""
        at = float(event.now - self.begin)
        after = stepped.state
        self._approvals(at, after)
        self.had_incident = self.had_incident or after.incident is not None
        incident = "open" if after.incident is not None else "closed" if self.had_incident else None
        words = after.words | ({"closed"} if incident == "closed" else frozenset())
        moment = Moment(at, present_rung(guarded.service, after), words, incident)
        if not self.moments or self.moments[-1] != moment:
            self.moments.append(moment)

    def _approvals(self, at: float, after: State) -> None:
        for request, how in after.answered.items():
            if self.answered.get(request) != how:
                self.answered[request] = how
                said = ANSWERS.get(how, how)
                self.approvals.append(Happening(at, "approval", said, f"{request} {said}"))
        known = {h.text.split()[0] for h in self.approvals if h.value == "requested"}
        if after.request is not None and after.request.id not in known:
            self.approvals.append(Happening(at, "approval", "requested", f"{after.request.id} requested"))

    def happenings(self, box: Sandbox, tags: Mapping[str, str]) -> list[Happening]:
        """Everything that happened, in order. `tags` names versions by id."""
        found = [*self.approvals, *self._writes(box, tags), *self._runs(box), *self._messages(box)]
        return sorted(found, key=lambda h: h.at)

    def _writes(self, box: Sandbox, tags: Mapping[str, str]) -> list[Happening]:
        found = []
        for write in box.writes:
            at = write.at - self.begin
            if write.by != "api":
                what = write.what.get("value") if write.kind == "kv" else _shares(write.what["versions"], tags)
                found.append(Happening(at, "person", write.what, f"somebody else: {write.kind} {what}"))
            elif write.kind == "kv":
                found.append(Happening(at, "kv", write.what["value"], f"kv {write.what['value']}"))
            else:
                tag = tags.get(write.what["versions"][0][0], "?")
                found.append(Happening(at, "rollback", tag, f"rollback to {tag}"))
        return found

    def _runs(self, box: Sandbox) -> list[Happening]:
        said = [(run, " ".join(f"{k}={v}" for k, v in run.inputs.items())) for run in box.actions.runs]
        return [
            Happening(run.at - self.begin, "workflow", run.file, f"workflow {run.file} {text}") for run, text in said
        ]

    def _messages(self, box: Sandbox) -> list[Happening]:
        found, seen = [], set()
        for page in box.pages:
            payload = page.payload
            if not page.accepted or not page.channel.startswith("webhook"):
                continue
            key = (payload["thread"], payload["sequence"])
            if key not in seen:
                seen.add(key)
                text = f"{payload['kind']} ({payload['severity']}, {payload['status']}): {payload['title']}"
                found.append(Happening(page.at - self.begin, payload["kind"], payload, text))
        return found


def _shares(versions: Iterable[tuple[str, float]], tags: Mapping[str, str]) -> str:
    return ", ".join(f"{tags.get(id, id)} at {share:g} %" for id, share in versions)
