"""Pictures: what of a node decides which way things go from there. Of two nodes with one picture the first is explored.

Kept: the mode; where the service stands and whether notaus knows it; the worst breach and whether it was acted on; what
is blind and would step, and whether it had its step; the incident's phase, kind and step, how far a verdict, an override
and the half hour of quiet are; the request; the lock; what is under way; whether ticks were missed. Left out: ids, texts,
timelines, facts, contacts and notices, which no decision about steps reads; counters and absolute times, of which only
the deadlines that have passed are kept.

It is sound in one direction: each state was really reached, by the way that a failure prints, so what fails is a fault.
It hides the other: a second way to the same picture with another age, another rule of the same rank, or other
samples behind it is not followed. The random walks (`tests/exploration/test_walk.py`) and the simulation go those ways.
"""

from __future__ import annotations

from collections.abc import Hashable

from notaus.core.effect import PullLever, RunChecks
from notaus.core.incident import Incident
from notaus.core.rule import INVESTIGATE
from notaus.core.state import State
from tests.exploration.node import GRID, Node

NEARLY_CLOSED = 4 * GRID
"""Seconds clear: the half hour after which an incident that only paged closes is then a tick or two away."""


def picture(node: Node) -> Hashable:
    """What is kept of a node."""
    state = node.state
    request, incident = state.request, state.incident
    return (
        node.service.mode,
        _deployments(node) if node.deployments else _key(node),
        _worst_breach(node),
        _blind(node),
        _incident(node, incident) if incident is not None else None,
        request and (request.rung, request.left > 0),
        state.lock is not None,
        _under_way(state),
        node.unread > 0,
        state.shadow,
    )


def _key(node: Node) -> Hashable:
    ladder = node.service.ladder
    known, real = ladder.place(node.state.fields or {}), ladder.place(node.key or {})
    return (known, known == real)


def _deployments(node: Node) -> Hashable:
    state, live = node.state, node.deployments[0]
    seen = state.view.live if state.view is not None else None
    standing = state.registry.of(live.versions[0][0])
    stable = standing.stable_since is not None
    return (live.alone, seen == live, state.rung, stable, standing.doubt, state.registry.stable("id-of-v1"))


def _worst_breach(node: Node) -> int | None:
    """None, or one that stands: 0 for not long enough or handled, 1 for both or neither, 2 for one that may act."""
    found = set()
    for rule in node.service.rules:
        kept = node.state.rules[rule.name]
        if kept.run is not None and rule.then != INVESTIGATE:
            found.add((kept.run.breached is not None) + (kept.handled != kept.run.start))
    return max(found, default=None)


def _blind(node: Node) -> Hashable:
    kept = [node.state.rules[rule.name] for rule in node.service.rules if rule.on_blind is not None]
    return tuple((each.blind is not None, each.blinded) for each in kept)


def _incident(node: Node, incident: Incident) -> Hashable:
    step, ramp, override, clear = incident.step, incident.ramp, incident.override, incident.clear_since
    return (
        (incident.phase, incident.quiet, incident.shadow, incident.acted),
        clear is not None and not incident.acted and node.at - clear > NEARLY_CLOSED,
        step and (step.rung, step.by is not None, step.retry_at is not None, step.waiting),
        step and (step.verified is False, node.at - step.action >= GRID),
        ramp and ramp.ready,
        override and node.at >= override.until,
    )


def _under_way(state: State) -> Hashable:
    pulls = [e for e in state.outbox.values() if isinstance(e, PullLever)]
    checks = any(isinstance(e, RunChecks) for e in state.outbox.values())
    step = state.incident.step if state.incident is not None else None
    current = bool(pulls) and step is not None and step.effect == pulls[-1].id
    return (min(len(pulls), 2), current, checks)
