"""The alphabet: everything that can happen to a service between two moments, as named ways from node to node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from notaus.core.effect import ChecksResult, Invoke, Outcome, PullLever
from notaus.core.event import (
    Answer,
    ChecksEnded,
    Close,
    Event,
    Hold,
    Judge,
    LeverSlow,
    Reconfigured,
    Release,
    RestoreOrder,
    RollBack,
    SetRung,
    Started,
    Trigger,
)
from notaus.core.service import Mode
from notaus.core.state import State
from notaus.core.verification import CheckResult
from notaus.journal.codec import decode, encode
from tests.builders import Values
from tests.exploration.node import GRID, Node
from tests.exploration.services import API_WEATHER, CANARY_WEATHER

FOREIGN_KEYS: dict[str, dict[str, object] | None] = {
    "somebody sets normal": {"canary_percent": 10, "emergency_proxy": False},
    "somebody sets emergency": {"canary_percent": 0, "emergency_proxy": True},
    "somebody breaks the key": {"canary_percent": "many"},
}


def everything(node: Node) -> Iterator[Node]:
    """Every node that one event leads to."""
    yield from polls(node)
    for pull in node.pulls:
        yield from ends(node, pull)
    for run in node.checks:
        for passed in (True, False):
            result = ChecksResult((CheckResult("the check", passed, "seen"),))
            yield node.take(ChecksEnded(node.now, run.id, result), f"checks {'pass' if passed else 'fail'}")
    yield from foreign(node)
    for order, did in orders(node):
        yield node.take(order, did)
    yield restarted(node)
    yield node.take(Reconfigured(node.now, "config-2", ("mild", "asking")), "a reload changes two rules")
    if node.reloads:
        other = replace(node.service, mode=Mode.ACT if node.service.mode is Mode.OBSERVE else Mode.OBSERVE)
        there = replace(node, service=other)
        yield replace(there.take(Reconfigured(node.now, "config-3"), f"a reload to `{other.mode}`"), before=node)


def polls(node: Node) -> Iterator[Node]:
    weather = API_WEATHER if node.deployments else CANARY_WEATHER
    for did, values in weather.items():
        yield node.poll(shared(node, values), did)
    yield node.unread_poll()


def clear(node: Node) -> Node:
    return node.poll(shared(node, {}), "all clear")


def shared(node: Node, values: Values) -> Values:
    """With the share of the traffic that the key really gives."""
    percent = (node.key or {}).get("canary_percent")
    return {**values, "native.share": percent / 100 if isinstance(percent, int) else 0.1}


def ends(node: Node, pull: PullLever) -> Iterator[Node]:
    """Every end of a lever, and ten seconds without one."""
    name = "the lever" if pull is node.pulls[-1] else "an earlier lever"
    yield node.pulled(pull, None, works=True, did=f"{name} works")
    yield node.pulled(pull, Outcome.UNKNOWN, works=True, did=f"{name} works, but nobody knows")
    outcomes = [Outcome.REFUSED, Outcome.FAILED, Outcome.UNKNOWN]
    outcomes.append(Outcome.LOST if isinstance(pull.action, Invoke) else Outcome.FOREIGN)
    for outcome in outcomes:
        yield node.pulled(pull, outcome, works=False, did=f"{name}: {outcome}")
    yield node.take(LeverSlow(node.now, pull.id), f"{name} is slow")


def foreign(node: Node) -> Iterator[Node]:
    """Other people's hands: seen by the next poll, or first by a lever that looks before it leaps."""
    for theirs in _foreign(node):
        if node.pulls:
            yield theirs
        else:
            weather = API_WEATHER if node.deployments else CANARY_WEATHER
            for seen in ("all clear", "a worse breach"):
                yield theirs.poll(shared(theirs, weather[seen]), f"{theirs.did}, seen when {seen}")


def _foreign(node: Node) -> Iterator[Node]:
    if node.deployments:
        for tag in ("v1", "v2", "v3"):
            yield node.deployed(tag, f"somebody deploys {tag}")
    else:
        for did, key in FOREIGN_KEYS.items():
            if key != node.key:
                yield replace(node, key=key, before=node, did=did, last=None)


def orders(node: Node) -> Iterator[tuple[Event, str]]:
    """Every order of a person; answers and closing only where there is something to answer or to close."""
    now, state = node.now, node.state
    yield Hold(now, "ann", 2 * GRID, "a migration", all=not node.deployments), "hold"
    yield Release(now, "ann"), "release"
    if state.request is not None:
        yield Answer(now, "ann", True), "approve"
        yield Answer(now, "ann", False), "deny"
    yield Trigger(now, "ann", "a report", "data loss"), "trigger"
    yield Trigger(now, "monitor", "a report", "data loss", hook=True), "trigger by a hook"
    if node.deployments:
        yield RollBack(now, "ann"), "rollback"
        yield RollBack(now, "ann", "v2"), "rollback --to v2"
        yield Judge(now, "ann", "v1", True), "versions --flag v1"
        yield Judge(now, "ann", "v2", False), "versions --clear v2"
    else:
        yield Trigger(now, "ann", "a rumour", "a call"), "trigger that asks"
        for rung in node.service.ladder.rungs:
            yield SetRung(now, "ann", rung.name), f"set {rung.name}"
    yield RestoreOrder(now, "ann"), "restore"
    if state.incident is not None:
        yield Close(now, "ann", state.incident.id, "done"), "close"


def restarted(node: Node) -> Node:
    """The daemon is killed and comes back: its state has been through the journal."""
    state = decode(State, json.loads(json.dumps(encode(node.state))))
    assert state == node.state, "a restart would change what is remembered"
    return node.take(Started(node.now, node.state.config), "a restart")
