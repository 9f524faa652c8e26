"""One turn of `step`: the state as it changes, the effects asked for, the replies given. Lives for one event only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from notaus.core.effect import Effect
from notaus.core.event import Reply
from notaus.core.hold import Hold
from notaus.core.incident import Cause, Incident
from notaus.core.ladder import KvLever, Place, Rung
from notaus.core.rule import Rule, Severity
from notaus.core.sample import History
from notaus.core.service import Mode, Service
from notaus.core.state import RuleState, State


@dataclass(slots=True)
class Turn:
    """The working copy of one service while one event is taken in."""

    service: Service
    state: State
    history: History
    now: int
    """Epoch seconds at which the event came in."""
    at: int
    """The grid time of the tick, or `now` for any other event: the time that actions are counted from."""
    holds: Mapping[str, Hold] | None = None
    """What the samples say of each rule; set by the tick."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why reads failed at this tick, by signal."""
    effects: tuple[Effect, ...] = ()
    reply: Reply | None = None
    closed: tuple[Incident, ...] = ()
    """Incidents that ended in this turn."""

    def change(self, **fields: object) -> None:
        """Replace fields of the state."""
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]

    def rule_state(self, name: str) -> RuleState:
        return self.state.rules.get(name) or RuleState(self.now)

    def mark(self, name: str, **fields: object) -> None:
        """Replace fields of what is remembered of a rule."""
        self.mark_all({name: fields})

    def mark_all(self, marks: Mapping[str, Mapping[str, object]]) -> None:
        """Replace fields of what is remembered of several rules, by name."""
        changed = {name: replace(self.rule_state(name), **fields) for name, fields in marks.items()}  # type: ignore[arg-type]
        self.change(rules={**self.state.rules, **changed})

    @property
    def incident(self) -> Incident | None:
        return self.state.incident

    @property
    def open_incident(self) -> Incident:
        """The open incident; only asked for where there is one."""
        assert self.state.incident is not None, f"{self.service.name}: no incident is open"
        return self.state.incident

    def update(self, **fields: object) -> None:
        """Replace fields of the open incident."""
        self.change(incident=replace(self.open_incident, **fields))  # type: ignore[arg-type]

    def move(self, cause: Cause) -> None:
        """Move the open incident on by the table."""
        self.change(incident=self.open_incident.moved(cause))

    def note(self, text: str, rules: tuple[str, ...] = ()) -> None:
        """Add a line to the timeline of the open incident; `rules` of a step."""
        self.change(incident=self.open_incident.noted(self.now, text, rules))

    def issue(self, effect: Effect) -> None:
        """Ask for an effect: it stays in the outbox until an event settles it."""
        self.effects = (*self.effects, effect)
        self.change(outbox={**self.state.outbox, effect.id: effect})

    def settle(self, effect: str) -> Effect | None:
        """Take an effect out of the outbox; None if it was settled before."""
        outbox = dict(self.state.outbox)
        found = outbox.pop(effect, None)
        self.change(outbox=outbox)
        return found

    def new_effect_id(self, kind: str) -> str:
        """An id no other effect of this service has."""
        self.change(issued=self.state.issued + 1)
        return f"{self.service.name}/{self.state.issued}-{kind}"

    def answer(self, accepted: bool, text: str) -> None:
        """Reply to the person whose order this is."""
        self.reply = Reply(accepted, text, self.incident.id if self.incident else None)

    @property
    def observing(self) -> bool:
        return self.service.mode is Mode.OBSERVE

    @property
    def place(self) -> Place | None:
        """How safe the state in force is; None where that is unknown."""
        ladder = self.service.ladder
        if self.state.shadow is not None:
            return ladder.place_of(self.state.shadow)
        if self.state.beyond:
            return ladder.place_of(self.state.beyond[-1])
        return self.underneath

    @property
    def underneath(self) -> Place | None:
        """How safe the ladder's own lever stands, whatever other levers hold beyond it; None where that is unknown."""
        ladder = self.service.ladder
        if isinstance(ladder.lever, KvLever):
            return None if self.state.fields is None else ladder.place(self.state.fields)
        return ladder.place_of(self.state.rung)

    @property
    def rung(self) -> Rung | None:
        """The rung in force; None between rungs or where unknown."""
        place = self.place
        return None if place is None else self.service.ladder.rung_at(place)

    @property
    def pulling(self) -> bool:
        """Whether the lever of the incident's newest step is being pulled right now."""
        step = self.incident.step if self.incident is not None else None
        return step is not None and step.effect in self.state.outbox

    @property
    def overridden(self) -> bool:
        """Whether a person's override is in force."""
        return self.incident is not None and self.incident.override is not None

    def open(self, severity: Severity, *, quiet: bool = False) -> None:
        """Open an incident, unless one is open; raise its severity if need be."""
        incident = self.incident
        if incident is None:
            stamp = datetime.fromtimestamp(self.at, UTC).strftime("%Y%m%d-%H%M%S")
            name = f"{self.service.name}-{stamp}"
            if self.at <= self.state.calm_since:  # the one before may have begun, and ended, within this second
                name = f"{name}-{self.state.issued}"
            incident = Incident(name, self.service.name, self.at, severity, shadow=self.observing, quiet=quiet)
            self.change(incident=incident)
        elif incident.quiet and not quiet:
            self.update(quiet=False, severity=severity)

    def join(self, rules: tuple[str, ...]) -> None:
        """Add rules to the open incident."""
        self.update(rules=tuple(dict.fromkeys((*self.open_incident.rules, *rules))))


def stands(turn: Turn, rule: Rule) -> bool:
    """Whether the rule's condition is true at its newest sample, and that is recent."""
    hold = (turn.holds or {}).get(rule.name)
    return hold is not None and hold.breach is not None and fresh(turn, rule, hold)


def fresh(turn: Turn, rule: Rule, hold: Hold) -> bool:
    """A breach acts only on a sample no older than `settle` + 60 s (spec 3)."""
    return hold.newest is not None and turn.at - hold.newest <= turn.service.settle(rule) + 60
