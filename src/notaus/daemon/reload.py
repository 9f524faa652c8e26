"""What a reload may not do: take away what an open incident stands on (spec 12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from notaus.config import Configuration
from notaus.core.service import Service
from notaus.daemon.engine import Guarded
from notaus.daemon.gauges import present_rung


def objections(guarded: Mapping[str, Guarded], new: Configuration) -> list[str]:
    """Why `new` may not replace what is in force; empty where it may."""
    services = {service.name: service for service in new.services}
    return [reason for each in guarded.values() for reason in _objections(each, services.get(each.service.name))]


def _objections(guarded: Guarded, new: Service | None) -> Iterable[str]:
    old, incident = guarded.service, guarded.state.incident
    if new is None:
        if incident is not None:
            yield f"{old.name} has the open incident {incident.id}"
        return
    present = present_rung(old, guarded.state)
    for rung in dict.fromkeys((*guarded.state.beyond, *([] if present is None else [present]))):
        if not new.ladder.has(rung):
            yield f"{old.name} is at the rung {rung}, which the new file does not have"
        elif rung in guarded.state.beyond and new.ladder.rung(rung).lever is None:
            yield f"the rung {rung}, at which {old.name} is, has no lever of its own in the new file"
    request = guarded.state.request
    if request is not None and not new.ladder.has(request.rung):
        yield f"the request {request.id} of {old.name} asks for the rung {request.rung}, which the new file does not have"
    if incident is None:
        return
    if new.ladder.lever != old.ladder.lever or _moved(guarded, new):
        yield f"the lever of {old.name} may not change while the incident {incident.id} is open"
    for rule in incident.rules:
        if old.has_rule(rule) and not new.has_rule(rule):
            yield f"the rule {rule!r} of {old.name} belongs to the open incident {incident.id}"


def _moved(guarded: Guarded, new: Service) -> bool:
    """Whether a rung that the incident's step goes to, or takes back, would be held by another lever."""
    incident, old = guarded.state.incident, guarded.service.ladder
    step = incident.step if incident is not None else None
    named = [name for name in (step.rung, step.undoes) if name is not None] if step is not None else []
    return any(not new.ladder.has(name) or new.ladder.rung(name).lever != old.rung(name).lever for name in named)
