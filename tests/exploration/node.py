"""A node of the exploration: one service at one moment, with what Cloudflare holds and what was read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from notaus.core import fleet
from notaus.core.effect import Deploy, Invoke, LeverResult, Outcome, PullLever, RunChecks, Send, WriteKv
from notaus.core.event import Event, LeverEnded, Polled, Sent, Started
from notaus.core.fleet import Stepped
from notaus.core.sample import History, Sample
from notaus.core.service import Service
from notaus.core.signal import Shape
from notaus.core.state import State
from notaus.core.turn import Turn
from notaus.core.world import Deployment, KvView, World
from tests.builders import HEALTHY, REQUESTS, T0, Values, a_deployment, a_rate, a_sample, a_view

GRID = 300
"""Seconds of the grid: so coarse that each deadline of the service is one to six ticks away."""


@dataclass(frozen=True)
class Node:
    """Nothing in it changes: an event makes another node."""

    service: Service
    state: State
    history: History
    at: int
    """The newest tick."""
    key: Mapping[str, object] | None = None
    """What the steering key really holds."""
    deployments: tuple[Deployment, ...] = ()
    """What was really deployed, newest first."""
    unread: int = 0
    """How many ticks of samples could not be read since the last that could."""
    reloads: bool = False
    """Whether reloads may turn `observe` into `act` and back."""
    last: Stepped | None = None
    """What the last event led to."""
    before: Node | None = None
    did: str = "the start"
    """The event that led here, in words."""

    @property
    def path(self) -> list[str]:
        """How to get here from the start, in words."""
        earlier = self.before.path if self.before is not None else []
        return [*earlier, self.did]

    @property
    def now(self) -> int:
        """Between two ticks, before any deadline in seconds has passed."""
        return self.at + 1

    @property
    def turn(self) -> Turn:
        return Turn(self.service, self.state, self.history, self.now, self.now)

    @property
    def pulls(self) -> list[PullLever]:
        """Levers being pulled, oldest first."""
        return [e for e in self.state.outbox.values() if isinstance(e, PullLever)]

    @property
    def checks(self) -> list[RunChecks]:
        return [e for e in self.state.outbox.values() if isinstance(e, RunChecks)]

    @property
    def world(self) -> World:
        if self.deployments:
            return replace(a_view(*self.deployments), at=self.at)
        return KvView(self.at, self.key, None if self.key is not None else "missing")

    # Events

    def take(self, event: Event, did: str, **more: object) -> Node:
        """The node that `event` leads to, every message delivered at once."""
        history = History(self.history.series)  # its answers are kept apart from those of other branches
        stepped = fleet.step(self.service, self.state, history, event)
        state = stepped.state
        for effect in state.outbox.values():
            if isinstance(effect, Send):
                state = fleet.step(self.service, state, stepped.history, Sent(event.now, effect.id)).state
        return replace(self, state=state, history=stepped.history, last=stepped, before=self, did=did, **more)  # type: ignore[arg-type]

    def poll(self, values: Values, did: str) -> Node:
        """The next tick; what could not be read before is read now, and was the same."""
        at = self.at + GRID
        times = range(at - self.unread * GRID, at + 1, GRID)
        readings = {name: tuple(self._sample(name, values, t) for t in times) for name in self.service.signals}
        here = replace(self, at=at, unread=0)
        return replace(here.take(Polled(at, at, readings, here.world), did), before=self)

    def _sample(self, name: str, values: Values, at: int) -> Sample:
        signal = self.service.signals[name]
        value = {**HEALTHY, **values}[name]
        if value is None:
            return Sample(at, among=a_sample(value=0).value)
        requests = REQUESTS.get(signal.cohort or "", 10000)
        return a_rate(at, value, requests) if signal.shape is Shape.RATE else a_sample(at, value, requests)

    def unread_poll(self) -> Node:
        """A tick at which nothing could be read."""
        at = self.at + GRID
        problems = {**dict.fromkeys(self.service.signals, "a 500"), "world": "a 500"}
        here = replace(self, at=at, unread=min(self.unread + 1, 4))
        return replace(here.take(Polled(at, at, {}, None, problems), "nothing can be read"), before=self)

    def pulled(self, pull: PullLever, outcome: Outcome | None, *, works: bool, did: str) -> Node:
        """The lever's end. With `works` Cloudflare did as it was asked, whatever it answered."""
        result, key, deployments = _worked(self, pull) if works else (None, self.key, self.deployments)
        if result is None or outcome is not None:
            result = LeverResult(outcome or Outcome.FAILED, "so it went", self.key)
        return self.take(LeverEnded(self.now, pull.id, result), did, key=key, deployments=deployments)

    def deployed(self, tag: str, did: str) -> Node:
        """Somebody else deploys, a moment after the newest tick."""
        newest = max(self.now, self.deployments[0].created + 1)
        made = a_deployment(newest, tag, id=f"theirs-{len(self.deployments)}")
        return replace(self, deployments=(made, *self.deployments), before=self, did=did, last=None)


def _worked(node: Node, pull: PullLever) -> tuple[LeverResult, Mapping[str, object] | None, tuple[Deployment, ...]]:
    """What a working lever answers, by the rules of `notaus.levers`: it looks before it leaps."""
    match pull.action:
        case WriteKv():
            return *_written(node, pull.action), node.deployments
        case Invoke():
            return LeverResult(Outcome.DONE, "it ended with 0"), node.key, node.deployments
        case Deploy():
            live = node.deployments[0]
            if live.alone == pull.action.version:
                return LeverResult(Outcome.ALREADY, "live already", deployment=live.id), node.key, node.deployments
            if pull.action.expected not in (None, live.id):
                return LeverResult(Outcome.FOREIGN, "another is live"), node.key, node.deployments
            created = max(node.now, live.created + 1)
            made = a_deployment(created, pull.action.version.removeprefix("id-of-"), id=f"by {pull.id}")
            return LeverResult(Outcome.DONE, "deployed", deployment=made.id), node.key, (made, *node.deployments)


def _written(node: Node, action: WriteKv) -> tuple[LeverResult, Mapping[str, object] | None]:
    ladder, key = node.service.ladder, node.key
    place, goal = ladder.place(key or {}), ladder.place_of(action.rung)
    if place is None and not action.blind:
        return LeverResult(Outcome.REFUSED, "it cannot be ranked", key), key
    if place is not None and (place == goal or (action.only_safer and place > goal)):
        return LeverResult(Outcome.ALREADY, "already there", key), key
    if any((key or {}).get(name) != wanted for name, wanted in (action.expected or {}).items()):
        return LeverResult(Outcome.FOREIGN, "somebody else changed it first", key), key
    value = {**(key or {}), **ladder.rung(action.rung).fields}
    return LeverResult(Outcome.DONE, "written", key, value), value


def start(service: Service, *tags: str) -> Node:
    """A service just after its first hour of health; with `tags` the versions deployed so far, the last one just now."""
    first = T0 - 13 * GRID
    made = [a_deployment(T0 - 90000 + i * 3600, tag, id=f"first-{tag}") for i, tag in enumerate(tags[:-1])]
    key = None if tags else dict(service.ladder.rungs[0].fields)
    node = Node(service, State(service.name), History(), first, key, tuple(reversed(made)))
    node = node.take(Started(first + 1, "config-1"), "started")
    while node.at < T0:
        node = node.poll({}, "healthy")
    if tags:
        node = node.deployed(tags[-1], "deployed").poll({}, "healthy")
    return replace(node, before=None, did="the start", last=None)
