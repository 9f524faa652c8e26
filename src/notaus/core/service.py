"""A service: one guarded Worker with its signals, rules and ladder, as one YAML file states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from notaus.core.baseline import Baseline
from notaus.core.ladder import DeploymentLever, KvLever, Ladder
from notaus.core.rule import INVESTIGATE, Rule, Severity
from notaus.core.signal import Signal
from notaus.core.verification import Check, Restore


class Mode(StrEnum):
    OBSERVE = "observe"
    ACT = "act"


class Requirement(StrEnum):
    """The pre-rollback checklist of a service (spec 7)."""

    NEW_SINCE_DEPLOY = "new_since_deploy"
    NO_HOLD = "no_hold"
    TARGET = "target"


class Exhibit(StrEnum):
    """What is kept of an incident beside the journal."""

    SAMPLES = "samples"
    DEPLOYMENTS = "deployments"
    VERSIONS = "versions"
    TELEMETRY = "telemetry"


class OverridePolicy(StrEnum):
    HOLD = "hold"
    ENFORCE = "enforce"


RECORDS = ("statuspage", "github")
"""Channels that keep an incident for others to read."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a page goes: a channel kind and the name of its entry in `notaus.yaml`."""

    channel: str
    """`pagerduty`, `slack`, `webhook`, …"""
    name: str

    @property
    def person(self) -> bool:
        """Whether people are reached there: a status page and an issue tracker wake nobody, and hear of incidents alone."""
        return self.channel not in RECORDS

    def __str__(self) -> str:
        return f"{self.channel}: {self.name}"


@dataclass(frozen=True, slots=True)
class Contacts:
    """Who hears of what."""

    critical: tuple[Contact, ...] = ()
    warning: tuple[Contact, ...] = ()
    escalate: tuple[Contact, ...] = ()
    approvers: tuple[Contact, ...] = ()

    def of(self, severity: Severity) -> tuple[Contact, ...]:
        return self.critical if severity is Severity.CRITICAL else self.warning

    @property
    def everyone(self) -> tuple[Contact, ...]:
        """Each once."""
        return tuple(dict.fromkeys((*self.critical, *self.warning, *self.escalate, *self.approvers)))


@dataclass(frozen=True, slots=True)
class Drill:
    """How a staging service practises."""

    cron: str | None = None
    """When by itself, in UTC."""
    bad: str | None = None
    """An uploaded version that is deployed as the test change: its id or tag."""
    fault: tuple[str, ...] = ()
    """The command that injects the fault, word by word."""
    heal: tuple[str, ...] = ()
    """The command that takes it away again."""
    page: bool = False
    """Held by itself, it sends a test page to each contact."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything the decision needs to know of one service. All durations in seconds."""

    name: str
    account: str
    worker: str
    signals: Mapping[str, Signal]
    rules: tuple[Rule, ...]
    ladder: Ladder
    mode: Mode = Mode.OBSERVE
    step: int = 15
    """The grid: a sample at each multiple of this."""
    require: frozenset[Requirement] = frozenset()
    verify: tuple[Check, ...] = ()
    evidence: tuple[str, ...] = ()
    """What is kept when an incident's first lever is pulled: an `Exhibit`, or the name of a question of the user's own."""
    recovery: Mapping[str, str] = field(default_factory=dict)
    """Commands for people, by name, for when stepping is not enough; shown, never run."""
    restore: Restore = field(default_factory=Restore)
    contacts: Contacts = field(default_factory=Contacts)
    propagation: int = 60
    """After a step, until its effect counts."""
    validate: int = 300
    """After propagation, until the verdict."""
    deadline: int = 120
    """For the checks of a step to pass."""
    max_actions: int = 4
    max_actions_per: int = 3600
    override: OverridePolicy = OverridePolicy.HOLD
    override_for: int = 1800
    ttl: int = 1800
    """An approval request expires after this."""
    title: str = ""
    """What people call it, such as `BooksTrack API`; empty: its name."""
    staging: bool = False
    """Nobody is harmed by a drill."""
    drill: Drill = field(default_factory=Drill)
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses for its pages, by what they are: `status page`, `dashboard`."""
    baselines: Mapping[str, Baseline] | None = None
    """The usual behaviour by signal, where it is given rather than learned (scenarios, backtests)."""
    _rules: Mapping[str, Rule] = field(init=False, compare=False, repr=False)
    _spans: dict[tuple[str, ...], tuple[int, int]] = field(init=False, compare=False, repr=False)
    """Settle time and window by the signals of a rule. Worked out once: a tick asks a hundred times."""
    _lookback: int | None = field(default=None, init=False, compare=False, repr=False)
    """Worked out once, too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rules", {rule.name: rule for rule in self.rules})
        object.__setattr__(self, "_spans", {})

    @property
    def lookback(self) -> int:
        """Seconds of samples kept at hand: the longest rule, an episode of evidence, the hour-ago look of `blind`."""
        found = self._lookback
        if found is None:
            longest = (max(r.hold, r.hold_within or 0) + self.window(r) + self.settle(r) for r in self.rules)
            found = max(longest, default=0) + 4500
            object.__setattr__(self, "_lookback", found)
        return found

    @property
    def called(self) -> str:
        return self.title or self.name

    @property
    def tag(self) -> str:
        """What people call it in documents: the canary's tag, or its name."""
        lever = self.ladder.lever
        tag = lever.fields.get("canary_tag") if isinstance(lever, KvLever) else None
        return tag if isinstance(tag, str) and tag else self.name

    def rule(self, name: str) -> Rule:
        return self._rules[name]

    def has_rule(self, name: str) -> bool:
        return name in self._rules

    def settle(self, rule: Rule) -> int:
        """The slowest of the rule's signals."""
        return self._span(rule)[0]

    def window(self, rule: Rule) -> int:
        """The widest window of the rule's signals."""
        return self._span(rule)[1]

    def _span(self, rule: Rule) -> tuple[int, int]:
        found = self._spans.get(rule.signals)
        if found is None:
            signals = [self.signals[name] for name in rule.signals]
            settle, window = (s.settle for s in signals), (s.window for s in signals)
            found = self._spans[rule.signals] = (max(settle, default=0), max(window, default=0))
        return found

    def checks_at(self, rung: str) -> tuple[Check, ...]:
        """The checks that apply to `rung`; where it has a lever of its own, those that name it."""
        general = self.ladder.rung(rung).lever is None
        return tuple(check for check in self.verify if check.at == rung or (check.at is None and general))

    def rolls_back(self, rule: Rule) -> bool:
        """Whether the rule leads to a version rollback; such rules judge one deployment (spec 7)."""
        return isinstance(self.ladder.lever, DeploymentLever) and rule.then != INVESTIGATE
