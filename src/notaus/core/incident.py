"""The incident: its phases, and the one table of how it moves between them.

Theory of operation. An incident opens with the first action, approval request or page about a breach, and carries every
rule that joins it. A *step* moves the service one way up the ladder: `acting` until the lever's outcome is known,
`validating` until the verdict. A resolved verdict makes it `mitigated`; one that is not resolved takes the next step, or
where no rung is left (or nothing can be told) leaves it `unresolved`, with people told. What people do outside notaus and
less safe than what notaus did is an override: `held`, and nothing automatic until it ends. `watching` is an incident
without a step: only told, refused, waiting for room or for the end of a hold. `awaiting approval` has a request open and
no step. Only a person starts the way back: `ramping`. Any breach that calls for a safer rung takes its step from every
phase but `held` and `closed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from notaus.core.effect import Outcome
from notaus.core.impact import Impact
from notaus.core.rule import Severity
from notaus.core.service import Contact

HELPED = "helped: resolved"
"""How the timeline ends the line of a verdict that a step helped."""


class Phase(StrEnum):
    WATCHING = "watching"
    AWAITING_APPROVAL = "awaiting_approval"
    ACTING = "acting"
    VALIDATING = "validating"
    MITIGATED = "mitigated"
    UNRESOLVED = "unresolved"
    HELD = "held"
    RAMPING = "ramping"
    CLOSED = "closed"


class Cause(StrEnum):
    """What moves an incident."""

    ASKED = "asked"
    """An approval request was opened."""
    ANSWERED = "answered"
    """It was denied, withdrawn, superseded without a step, or expired."""
    STEPPED = "stepped"
    """A lever is pulled."""
    PULLED = "pulled"
    """It took effect."""
    NOT_PULLED = "not pulled"
    """It was refused, dropped or overtaken: nothing was done."""
    RESOLVED = "resolved"
    NOT_HELPED = "not helped"
    """Not resolved with no rung left, or nobody can tell."""
    MOVED = "moved"
    """Somebody else moved the service to a safer rung, or deployed a fix: the verdict is void."""
    OVERRIDDEN = "overridden"
    HANDED_BACK = "handed back"
    """The override ended or was released."""
    RESTORING = "restoring"
    CLOSED = "closed"


_ANYWHERE: dict[Cause, Phase] = {
    Cause.STEPPED: Phase.ACTING,
    Cause.OVERRIDDEN: Phase.HELD,
    Cause.CLOSED: Phase.CLOSED,
    Cause.RESTORING: Phase.RAMPING,
}

TRANSITIONS: Mapping[Phase, Mapping[Cause, Phase]] = {
    Phase.WATCHING: {
        **_ANYWHERE,
        Cause.ASKED: Phase.AWAITING_APPROVAL,
        Cause.ANSWERED: Phase.WATCHING,
        Cause.MOVED: Phase.WATCHING,
    },
    Phase.AWAITING_APPROVAL: {
        **_ANYWHERE,
        Cause.ANSWERED: Phase.WATCHING,
        Cause.MOVED: Phase.AWAITING_APPROVAL,
    },
    Phase.ACTING: {
        **_ANYWHERE,
        Cause.ASKED: Phase.ACTING,
        Cause.ANSWERED: Phase.ACTING,
        Cause.PULLED: Phase.VALIDATING,
        Cause.NOT_PULLED: Phase.WATCHING,
    },
    Phase.VALIDATING: {
        **_ANYWHERE,
        Cause.ASKED: Phase.VALIDATING,
        Cause.ANSWERED: Phase.VALIDATING,
        Cause.RESOLVED: Phase.MITIGATED,
        Cause.NOT_HELPED: Phase.UNRESOLVED,
        Cause.MOVED: Phase.WATCHING,
    },
    Phase.MITIGATED: {
        **_ANYWHERE,
        Cause.ASKED: Phase.MITIGATED,
        Cause.ANSWERED: Phase.MITIGATED,
        Cause.MOVED: Phase.WATCHING,
    },
    Phase.UNRESOLVED: {
        **_ANYWHERE,
        Cause.ASKED: Phase.UNRESOLVED,
        Cause.ANSWERED: Phase.UNRESOLVED,
        Cause.MOVED: Phase.WATCHING,
    },
    Phase.HELD: {
        **_ANYWHERE,
        Cause.ASKED: Phase.HELD,
        Cause.ANSWERED: Phase.HELD,
        Cause.HANDED_BACK: Phase.WATCHING,
        Cause.MOVED: Phase.WATCHING,
    },
    Phase.RAMPING: {
        **_ANYWHERE,
        Cause.ASKED: Phase.RAMPING,
        Cause.ANSWERED: Phase.RAMPING,
        Cause.PULLED: Phase.RAMPING,
        Cause.NOT_PULLED: Phase.WATCHING,
        Cause.MOVED: Phase.WATCHING,
    },
    Phase.CLOSED: {},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an incident's timeline."""

    at: int
    text: str
    rules: tuple[str, ...] = ()
    """Of a step: the rules that it was taken for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One move up the ladder (or, on the way back, one a person asked for)."""

    number: int
    rung: str
    action: int
    """Grid time of the tick that decided it (or the time of a person's word): deadlines count from it."""
    rules: tuple[str, ...]
    """The rules that caused it, which its verdict judges."""
    effect: str
    """Id of the lever effect of the current try."""
    by: str | None = None
    """The person or hook whose word it was; None: automatic."""
    label: str = ""
    """Where it leads, as people say it: a rung, or a version."""
    outcome: Outcome | None = None
    tries: int = 1
    retry_at: int | None = None
    told: bool = False
    """Whether people were told of it."""
    waiting: bool = False
    """It did not help, and the next one waits for room."""
    verified: bool | None = None
    """None while the checks run."""
    version: str | None = None
    """The version deployed, for a rollback."""
    accept_changed_secrets: bool = False
    """A person's word, for a rollback."""
    away_from: str | None = None
    """The version rolled back from."""
    deployment: str | None = None
    """The deployment it made."""
    undoes: str | None = None
    """The rung that it takes back."""
    lesser: tuple[str, ...] = ()
    """Those of its rules that call for a less safe rung, and act for themselves should it be refused."""
    blind: tuple[str, ...] = ()
    """Those of its rules that called for it since they were blind, not by their condition."""
    in_force: int | None = None
    """When it took effect, of a lever that takes minutes or got through only after its verdict was due; None: at once."""
    slow: int | None = None
    """When people last heard that it is not confirmed yet."""

    @property
    def counted_from(self) -> int:
        """When its effect began, as far as verdicts go."""
        return self.action if self.in_force is None else self.in_force


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody's decision that undid or replaced ours."""

    since: int
    """When the foreign write was made (deployment) or noticed (KV): only samples after it count afterwards."""
    until: int
    """Nothing automatic before."""
    text: str


@dataclass(frozen=True, slots=True)
class Ramp:
    """A way back to normal that a person started."""

    by: str
    index: int
    """Which step of `restore: ramp` is under watch."""
    watched: int = 0
    """Seconds of it watched with every rule known and clear."""
    ready: bool = False
    """The rung is in place; the watch runs."""
    since: int = 0
    """Ticks after this count as watched."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything about one trouble of one service."""

    id: str
    service: str
    opened_at: int
    severity: Severity
    phase: Phase = Phase.WATCHING
    rules: tuple[str, ...] = ()
    """Every rule that joined, in order."""
    step: Step | None = None
    """The newest step."""
    steps: int = 0
    settled_at: int | None = None
    """Holds that began after this may take a further step; None while the verdict of a step is out."""
    override: Override | None = None
    ramp: Ramp | None = None
    went_safest: bool = False
    """Whether a step to the safest rung was taken."""
    deployed: tuple[str, ...] = ()
    """Versions deployed by automation in this incident."""
    lost: tuple[str, ...] = ()
    """Rungs whose own lever was pulled, and nobody knows whether it did its work."""
    shadow: bool = False
    """Of a service in observe mode: no lever is pulled, and what is told is a notice."""
    collected: bool = False
    """Whether its evidence was asked for."""
    quiet: bool = False
    """Begun by a person's order outside trouble: closed once done, and told as a notice."""
    paged: bool = False
    sequence: int = 0
    """Messages sent in its thread."""
    contacts: tuple[Contact, ...] = ()
    """Everyone told so far; updates go to all of them."""
    clear_since: int | None = None
    """Since when none of its rules has been true."""
    timeline: tuple[Entry, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """The newest facts for the page, in order."""
    impact: Impact | None = None
    """What it has cost so far; counted until it is mitigated."""
    closed_at: int | None = None
    closed_in: Phase | None = None
    """The phase in which a person closed it though nothing showed that it was over; None otherwise."""

    def moved(self, cause: Cause) -> Incident:
        """This incident after `cause`; an assertion fails where the table has no such move.

        What belongs to a phase ends with it: an override, a ramp, and the next try of a step that did not get through.
        """
        moves = TRANSITIONS[self.phase]
        assert cause in moves, f"incident {self.id}: {cause} cannot happen while {self.phase}"
        phase, step = moves[cause], self.step
        if step is not None and cause not in (Cause.ASKED, Cause.ANSWERED):  # a question does not end a step
            step = replace(step, retry_at=None)
        override = self.override if phase is Phase.HELD else None
        ramp = self.ramp if phase is Phase.RAMPING else None
        return replace(self, phase=phase, step=step, override=override, ramp=ramp)

    def noted(self, at: int, text: str, rules: tuple[str, ...] = ()) -> Incident:
        """This incident with one more line in its timeline."""
        return replace(self, timeline=(*self.timeline, Entry(at, text, rules)))

    @property
    def acted(self) -> bool:
        """Whether a lever was pulled, or is being pulled."""
        return self.steps > 0

    @property
    def open(self) -> bool:
        return self.phase is not Phase.CLOSED
