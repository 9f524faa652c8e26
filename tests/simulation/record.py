"""What happened in a run: every committed step of the daemon, every sample it took in, and the story for people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from notaus.core.effect import PullLever, Send
from notaus.core.event import Event, Polled
from notaus.core.fleet import Stepped
from notaus.core.sample import Sample
from notaus.core.service import Service
from notaus.core.state import State
from notaus.daemon.engine import Guarded
from tests.simulation.faults import EPOCH


@dataclass(frozen=True, slots=True)
class Moment:
    """One committed step."""

    at: float
    """True time."""
    service: Service
    event: Event
    before: State
    after: State
    stepped: Stepped


@dataclass(frozen=True, slots=True)
class Pull:
    """A lever that the daemon asked for."""

    moment: Moment
    effect: PullLever
    automatic: bool
    again: bool
    """A further try of the same step."""


@dataclass(slots=True)
class Ledger:
    """The samples that committed steps of one service took in."""

    samples: dict[str, dict[int, Sample]] = field(default_factory=dict)

    def at(self, signal: str, time: int) -> Sample | None:
        return self.samples.get(signal, {}).get(time)


@dataclass(slots=True)
class Record:
    """Collects; the promises are checked against it."""

    moments: dict[str, list[Moment]] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    sends: dict[str, tuple[float, Send]] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    orders: list[tuple[float, str, Any, Any]] = field(default_factory=list)
    """When, service, order, reply (or why there was none)."""
    lines: list[tuple[float, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Promises broken, as noticed on the way."""
    logged: list[dict[str, Any]] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    on_pull: Callable[[Pull], None] = lambda pull: None
    on_moment: Callable[[Moment], None] = lambda moment: None
    samples_taken: int = 0

    def watch(self, at: float, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        """A watcher of the engine."""
        name = guarded.service.name
        before = self.states.get(name, State(name))
        moment = Moment(at, guarded.service, event, before, stepped.state, stepped)
        self.states[name] = stepped.state
        self.moments.setdefault(name, []).append(moment)
        if isinstance(event, Polled):
            self._take(name, event)
        for effect in stepped.effects:
            if isinstance(effect, Send):
                self.sends[effect.id] = (at, effect)
                message = effect.message
                self.say(at, f"{name}: tells {effect.contact.name}: {message.title}")
            elif isinstance(effect, PullLever):
                self._pulled(moment, effect)
        self._phase(at, name, before, stepped)
        self.on_moment(moment)

    def _take(self, name: str, event: Polled) -> None:
        ledger = self.ledgers.setdefault(name, Ledger())
        for signal, samples in event.readings.items():
            kept = ledger.samples.setdefault(signal, {})
            for sample in samples:
                kept[sample.at] = sample
                self.samples_taken += 1

    def _pulled(self, moment: Moment, effect: PullLever) -> None:
        incident, old = moment.after.incident, moment.before.incident
        step = incident.step if incident is not None else None
        was = old.step if old is not None and incident is not None and old.id == incident.id else None
        again = step is not None and was is not None and was.number == step.number
        pull = Pull(moment, effect, step is None or step.by is None, again)
        self.pulls.append(pull)
        kind = "again" if again else "automatic" if pull.automatic else f"by {step.by if step else '?'}"
        self.say(moment.at, f"{moment.service.name}: PULLS {effect.action} ({kind})")
        self.on_pull(pull)

    def _phase(self, at: float, name: str, before: State, stepped: Stepped) -> None:
        old = str(before.incident.phase) if before.incident is not None else "-"
        new = str(stepped.state.incident.phase) if stepped.state.incident is not None else "-"
        if old != new:
            self.say(at, f"{name}: {old} -> {new}")

    def say(self, at: float, text: str) -> None:
        """A line of the story."""
        self.lines.append((at, text))

    def wrong(self, at: float, promise: str, text: str) -> None:
        """A promise was broken."""
        self.broken.append(f"{promise}: at {clock(at)}: {text}")
        self.say(at, f"!!! {promise}: {text}")

    def note(self, text: str) -> None:
        """Into the digest."""
        self.digest.update(text.encode())


def clock(at: float) -> str:
    """Time from the start, as people read it."""
    whole = int(at - EPOCH)
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    return f"{sign}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
