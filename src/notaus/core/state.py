"""The state of one service: what the next step needs to know beyond the samples. Kept whole in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from notaus.core.baseline import Baseline
from notaus.core.deployment import Average, Registry
from notaus.core.effect import Effect
from notaus.core.hold import Run
from notaus.core.incident import Incident, Phase
from notaus.core.release import Release
from notaus.core.rule import Severity
from notaus.core.world import DeploymentsView


@dataclass(frozen=True, slots=True)
class RuleState:
    """What is remembered of a rule between ticks. Holds are named by the grid time they began at."""

    since: int
    """When the rule came into force: only samples from then on count."""
    newest: int | None = None
    """The newest grid time judged so far."""
    run: Run | None = None
    """The run that stood there."""
    handled: int | None = None
    """The hold that caused a step, joined one, or was answered by people: it acts no more."""
    told: int | None = None
    """The hold that people were told about without a step."""
    refused: str | None = None
    """Its request was denied or expired (for this deployment): it asks again only once its condition has cleared."""
    thin: int | None = None
    """The hold whose lack of evidence was told."""
    held_back: int | None = None
    """The hold that stood during `notaus hold`: it asks for approval at its end."""
    evaluated: int | None = None
    """When the rule could last be evaluated, or had a reason not to be."""
    blind: str | None = None
    """Why it is blind: `reads fail`, `traffic is gone`, `no values come any more`."""
    blinded: bool = False
    """Whether this stretch of blindness has had the step that it may cause: it acts no more."""
    blind_told: bool = False
    """Whether people know why this stretch of blindness has had no step."""
    past: tuple[Run, ...] = ()
    """Its recent runs that have ended, oldest first."""


@dataclass(frozen=True, slots=True)
class Lock:
    """`notaus hold`: no version rollbacks (with `all`, no KV steps either) until `until`."""

    since: int
    until: int
    by: str
    reason: str
    all: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """An open question to the approvers."""

    id: str
    rules: tuple[str, ...]
    rung: str
    opened_at: int
    left: int
    """Seconds until it expires, as of `counted_at`."""
    counted_at: int
    reason: str
    severity: Severity
    version: str | None = None
    """The target, for a rollback."""
    deployment: str | None = None
    """The live deployment it was asked about."""
    reminders: int = 0
    blind: tuple[str, ...] = ()
    """Those of its rules that ask since they are blind (`on_blind`)."""
    unheld: tuple[str, ...] = ()
    """Those of them that do not ask for their condition as well."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A standing notice: told once, repeated at most hourly, resolved once."""

    thread: str
    severity: Severity
    opened_at: int
    sent_at: int
    sequence: int
    title: str


@dataclass(frozen=True, slots=True)
class Write:
    """Our last KV write, known field by field."""

    at: int
    fields: Mapping[str, object]
    """The rung fields written."""
    replaced: Mapping[str, object] | None
    """The rung fields found before; for a minute after the write they are merely stale."""


@dataclass(frozen=True, slots=True)
class Split:
    """What part of the traffic the key gave a cohort, 0 to 1, from then on."""

    since: int
    share: Fraction


@dataclass(frozen=True, slots=True)
class Reported:
    """A trigger that was taken, so that the same report within an hour is one."""

    at: int
    fingerprint: str
    refused: str = ""
    """Why nothing was done of it; empty where something was."""


@dataclass(frozen=True, slots=True)
class State:
    """One service between two events."""

    service: str
    config: str = ""
    tick: int = 0
    """The newest tick taken."""
    rules: Mapping[str, RuleState] = field(default_factory=dict)
    fields: Mapping[str, object] | None = None
    """KV: the rung fields now in force, as far as known; None: never read, or no JSON object."""
    world_at: int | None = None
    """When the world was last read."""
    world_failing: str | None = None
    write: Write | None = None
    splits: tuple[Split, ...] = ()
    """KV: what the key gave in the time that visitors keep a cohort, oldest first; the last is in force."""
    shadow: str | None = None
    """Observe mode: the rung that would be in force."""
    view: DeploymentsView | None = None
    """Deployment lever: the newest look."""
    accepted: str | None = None
    """Deployment lever: the live deployment as far as it is known and accounted for; another one is foreign."""
    rung: str = "normal"
    """Deployment lever: the rung in force (KV: worked out from `fields`)."""
    beyond: tuple[str, ...] = ()
    """The rungs with levers of their own that are in force, in the ladder's order: the last one is where it stands."""
    registry: Registry = field(default_factory=Registry)
    clean_since: int | None = None
    """Deployment lever: since when no rollback rule was breached; None before the first look."""
    before_end: int | None = None
    """Deployment lever: when the rollback target stopped serving."""
    before: Mapping[str, Average | None] = field(default_factory=dict)
    """What each signal was in the ten minutes before that; None: not known, and never will be."""
    incident: Incident | None = None
    request: Request | None = None
    answered: Mapping[str, str] = field(default_factory=dict)
    """How earlier requests ended, by id."""
    lock: Lock | None = None
    notices: Mapping[str, Notice] = field(default_factory=dict)
    actions: tuple[int, ...] = ()
    """Times of the automatic steps of the last hour."""
    reports: tuple[Reported, ...] = ()
    releases: tuple[Release, ...] = ()
    """What those who deploy announced, oldest first."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    learned_to: Mapping[str, int] = field(default_factory=dict)
    """Signal to the newest window that its baseline has taken in."""
    calm_since: int = 0
    """When the last incident closed: the baseline learns only from later samples."""
    outbox: Mapping[str, Effect] = field(default_factory=dict)
    """Effects under way, by id, until an event settles them."""
    receipts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Thread to contact to what the channel last answered there, while the thread lives."""
    issued: int = 0
    """Effects issued so far: the source of their ids."""
    stopped: str | None = None
    """Why this service no longer acts: an assertion of ours failed."""

    @property
    def going_on(self) -> bool:
        """Whether something is going on: a rule's condition holds, an incident or a request is open."""
        return (
            self.incident is not None
            or self.request is not None
            or any(rule.run is not None for rule in self.rules.values())
        )

    @property
    def words(self) -> frozenset[str]:
        """Every word that describes the state now: the incident's phase, and what else is the case."""
        words = set()
        if self.incident is not None:
            words.add(str(self.incident.phase))
            step = self.incident.step
            if step is not None and step.verified is False and self.incident.phase in _VERIFIABLE:
                words.add("unverified")
        if self.request is not None:
            words.add("awaiting_approval")
        if self.lock is not None:
            words.add("held")
        if any(rule.held_back is not None for rule in self.rules.values()):
            words.add("held_back")
        return frozenset(words or {"idle"})


_VERIFIABLE = (Phase.VALIDATING, Phase.UNRESOLVED)
