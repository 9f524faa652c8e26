"""What must be so of every step from node to node, and of every node: nothing unsafe, no dead end, nobody left untold."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from notaus.core import fleet
from notaus.core.effect import ChecksResult, Invoke, PullLever, WriteKv
from notaus.core.event import ChecksEnded, Close, Release, RestoreOrder
from notaus.core.incident import Phase
from notaus.core.turn import Turn
from notaus.core.verification import CheckResult
from tests.exploration.events import clear
from tests.exploration.node import Node

WAITING = (Phase.WATCHING, Phase.MITIGATED, Phase.UNRESOLVED)
"""Where an incident that has acted waits for a person, and for nothing else."""
PATIENCE = 40
"""Ticks of all-clear weather after which a service must have come to rest."""


def check_step(a: Node, b: Node) -> None:
    """One step of the exploration."""
    if b.last is None:
        return
    state, incident = b.state, b.state.incident
    assert state.stopped is None
    assert (state.request is None) or incident is not None, "a request has outlived its incident"
    if incident is not None:
        assert incident.phase is not Phase.CLOSED
        assert (incident.override is not None) == (incident.phase is Phase.HELD), "an override is what `held` means"
        assert incident.phase is not Phase.AWAITING_APPROVAL or state.request is not None
        assert incident.phase is not Phase.RAMPING or incident.ramp is not None
        known = a.state.incident
        if known is None or known.id != incident.id:
            assert incident.id not in _earlier(a), "two incidents have one id"
        told = incident.sequence > 0 or incident.phase in (Phase.ACTING, Phase.RAMPING)  # act first, then page
        assert told, "an incident nobody was told of"
    for effect in b.last.effects:
        assert effect.id not in a.state.outbox, "an effect's id was used before"
        if isinstance(effect, PullLever):
            _check_pull(a, b, effect)
    if b.did == "close":
        assert b.last.reply is not None
        assert b.last.reply.accepted or a.pulls, "an incident that cannot be closed"


def _earlier(node: Node) -> set[str]:
    """The ids of the incidents that were open on the way here."""
    found, here = set(), node
    while here is not None:
        if here.state.incident is not None:
            found.add(here.state.incident.id)
        here = here.before
    return found


def _check_pull(a: Node, b: Node, pull: PullLever) -> None:
    service, incident = b.service, b.state.incident
    assert not a.turn.observing, "observe mode pulls no lever"
    assert incident is not None
    step = incident.step
    assert step is not None
    if step.effect != pull.id:
        return  # overtaken in the same turn: enforced, and then a breach that wants more
    earlier = next((p for p in a.pulls if _current(a, p)), None)
    twice = earlier is not None and earlier.action == pull.action and a.state.incident.phase is not Phase.RAMPING
    assert not twice, "the same step twice, and neither has an outcome"
    if step.by is not None:
        return
    held = a.state.incident.override if a.state.incident is not None else None
    moved = a.state.fields != b.state.fields or a.state.accepted != b.state.accepted
    assert held is None or b.at >= held.until or moved, "nothing automatic while a person has decided otherwise"
    assert b.state.lock is None or step.tries > 1, "nothing automatic while a person holds it"
    if isinstance(pull.action, Invoke):
        before = a.state.incident.lost if a.state.incident is not None else ()
        assert pull.action.rung not in before, "begun again, and nobody knows how it ended the first time"
    if isinstance(pull.action, WriteKv):
        assert pull.action.only_safer, "automation never moves to a less safe rung"
    place = Turn(service, b.state, b.history, b.now, b.now).place
    aim = service.ladder.place_of(step.rung)
    assert place is None or aim > place or step.tries > 1, "no automatic step but to a safer rung"


def _current(node: Node, pull: PullLever) -> bool:
    """Whether it is the newest step's; an earlier one has let go of the lever (`daemon.executor`)."""
    step = node.state.incident.step if node.state.incident is not None else None
    return step is not None and step.effect == pull.id


@dataclass
class Rest:
    """Whether a node comes to rest by itself: all-clear weather, levers that work, checks that pass, and no person."""

    picture: Callable[[Node], Hashable]
    resting: set[Hashable] = field(default_factory=set)
    """Pictures known to come to rest."""
    ends: dict[Hashable, Node] = field(default_factory=dict)
    """Where they come to rest."""
    runs: int = 0

    def check(self, node: Node) -> None:
        """From here all comes to rest; and where a person is waited for, people know, and can end it."""
        way: list[Hashable] = []
        here, ticks = node, 0
        while True:
            picture = self.picture(here)
            if picture in self.resting:
                break
            way.append(picture)
            if at_rest(here):
                self._check_end(here, picture)
                break
            assert ticks < PATIENCE, f"no rest: {here.state.words}"
            ticks += not here.state.outbox
            here = onward(here)
            self.runs += 1
        self.resting.update(way)

    def _check_end(self, node: Node, picture: Hashable) -> None:
        incident = node.state.incident
        self.ends[picture] = node
        if incident is None:
            return
        assert incident.sequence > 0, "people wait for nobody: nobody was told"
        assert incident.contacts, "people wait for nobody: nobody was told"
        closed = node.take(Close(node.now, "ann", incident.id, "done"), "close")
        assert closed.state.incident is None, "no exit by `notaus close`"
        if node.deployments:
            return
        here = node.take(RestoreOrder(node.now, "ann"), "restore")
        for _ in range(PATIENCE):
            if at_rest(here):
                return  # restored, or people were told why not
            here = onward(here)
        raise AssertionError("`notaus restore` leads to no rest")


def at_rest(node: Node) -> bool:
    """Nothing under way, nothing that time will change."""
    state, incident = node.state, node.state.incident
    if state.outbox or state.request is not None or state.lock is not None or state.stopped is not None:
        return False
    if not _knows_the_world(node):
        return False
    if incident is None:
        return True
    return incident.acted and not incident.shadow and incident.phase in WAITING and incident.step.retry_at is None


def _knows_the_world(node: Node) -> bool:
    if node.deployments:
        return node.state.accepted == node.deployments[0].id
    names = node.service.ladder.ranked_fields
    real = None if node.key is None else {n: node.key[n] for n in names if n in node.key}
    return node.state.fields == real


def onward(node: Node) -> Node:
    """The next thing that happens where all goes well and nobody does anything."""
    if node.pulls:
        return node.pulled(node.pulls[0], None, works=True, did="the lever works")
    if node.checks:
        result = ChecksResult((CheckResult("the check", True, "seen"),))
        return node.take(ChecksEnded(node.now, node.checks[0].id, result), "checks pass")
    return clear(node)


def check_halt(node: Node) -> None:
    """An assertion of ours fails here: notaus says so, acts no more, and a person's `release` lets it act again."""
    halted = fleet.halt(node.service, node.state, node.history, node.now, "an assertion failed")
    assert halted.state.incident is not None
    assert halted.effects, "nobody is told"
    released = fleet.step(node.service, halted.state, node.history, Release(node.now, "ann"))
    assert released.state.stopped is None
    assert released.reply is not None
    assert released.reply.accepted
