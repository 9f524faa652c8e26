"""What is going on, as plain data for the command line and the web."""

from __future__ import annotations

import json
from typing import Any

from notaus.core import deployment
from notaus.core.hold import Hold
from notaus.core.paging import condition, spell
from notaus.core.state import State
from notaus.daemon.engine import Guarded
from notaus.daemon.gauges import present_rung
from notaus.journal import IncidentRow


def describe(guarded: Guarded, now: int) -> dict[str, Any]:
    """One service: the rung, each rule with its values and how much of its hold is used up, what is open."""
    service, state = guarded.service, guarded.state
    return {
        "mode": str(service.mode),
        "rung": present_rung(service, state),
        "fields": None if state.fields is None else dict(state.fields),
        "states": sorted(state.words),
        "tick": state.tick,
        "age_seconds": now - state.tick if state.tick else None,
        "rules": [_rule(guarded, rule.name) for rule in service.rules],
        "incident": None if state.incident is None else state.incident.id,
        "request": None if state.request is None else state.request.id,
        "hold": None if state.lock is None else f"until {state.lock.until} by {state.lock.by}: {state.lock.reason}",
        "override_until": _override(state),
        "under_way": sorted(state.outbox),
        "notices": [notice.title for notice in state.notices.values()],
        "rollback": _rollback(state),
        "stopped": state.stopped,
        "problem": state.world_failing,
    }


def _rule(guarded: Guarded, name: str) -> dict[str, Any]:
    service = guarded.service
    rule = service.rule(name)
    hold = guarded.holds.get(name, Hold())
    signals = {
        s: spell(guarded.history.newest(s), service.signals[s].unit, service.signals[s].shape) for s in rule.signals
    }
    return {
        "name": rule.name,
        "when": condition(rule),
        "severity": str(rule.severity),
        "then": rule.then,
        "values": signals,
        "now": str(hold.truth),
        "hold_ratio": round(hold.ratio(rule), 3) if not rule.trigger else 0.0,
        "breached": hold.breach is not None,
    }


def _override(state: State) -> int | None:
    incident = state.incident
    return incident.override.until if incident is not None and incident.override is not None else None


def _rollback(state: State) -> dict[str, Any] | None:
    """The continuous pre-flight: if it had to roll back now, to which version, and if not, why."""
    if state.view is None or state.view.live is None:
        return None
    found = deployment.target(state.registry, state.view)
    live = [state.view.version(id) for id, _ in state.view.live.versions]
    standing = state.registry.of(found.version.id) if found.version is not None else None
    return {
        "live": [version.label for version in live],
        "target": found.version.label if found.version is not None else None,
        "presumed": standing is not None and standing.presumed,
        "possible": found.version is not None and not found.blocked,
        "reason": found.reason,
    }


def incident_body(row: IncidentRow) -> dict[str, Any]:
    """An incident as the journal has it, with its timeline."""
    body = row.body if isinstance(row.body, dict) else json.loads(str(row.body or "{}"))
    return {
        "id": row.id,
        "service": row.service,
        "opened_at": row.opened_at,
        "closed_at": row.closed_at,
        "severity": row.severity,
        "summary": row.summary,
        **{key: body.get(key) for key in ("phase", "rules", "timeline", "facts", "step")},
    }
