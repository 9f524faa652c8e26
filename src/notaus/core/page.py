"""Messages to people, as values: pages about an incident and notices without one. `notaus.notify` gives them their form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from notaus.core.rule import Severity


class Kind(StrEnum):
    PAGE = "page"
    """About an incident."""
    NOTICE = "notice"
    """Without one: investigate, blind, flapping, thin evidence, missed."""


class Status(StrEnum):
    OPEN = "open"
    UPDATE = "update"
    RESOLVED = "resolved"


class Stage(StrEnum):
    """Where an incident stands, in the four words of a public status page."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


class Symptom(StrEnum):
    """What outsiders notice."""

    ERRORS = "elevated error rates"
    SLOW = "slow responses"
    DISRUPTED = "a service disruption"


class Remedy(StrEnum):
    """What was done about it, as far as outsiders have to know."""

    NONE = ""
    ROLLED_BACK = "rolling back to a previous stable version"
    DIVERTED = "moving traffic to the stable system"
    PROTECTED = "taking protective measures"


@dataclass(frozen=True, slots=True)
class Public:
    """What outsiders may read of an incident: no rule, value, version or internal name is in it."""

    stage: Stage = Stage.INVESTIGATING
    called: str = ""
    """The service's title; empty where it has none."""
    symptom: Symptom = Symptom.DISRUPTED
    remedy: Remedy = Remedy.NONE
    """Empty until a lever was pulled."""
    minutes: int | None = None
    """Until the verdict."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a thread; channels join the messages of a thread by its key."""

    kind: Kind
    thread: str
    """The dedup key: one per incident, one per notice."""
    sequence: int
    """Counts up within the thread, from 1."""
    at: int
    service: str
    severity: Severity
    status: Status
    loud: bool
    """Rings anew: the first message of a thread, and those that need a person."""
    title: str
    lines: tuple[str, ...] = ()
    """What happened, in words, one thought a line."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """In order: rule, values, action, verified, chance, the command that does the same by hand."""
    incident: str | None = None
    request: str | None = None
    """The approval request that is open, if any."""
    banner: str | None = None
    """What the runbook calls it, such as `ROLLBACK IN PROGRESS`."""
    public: Public = field(default_factory=Public)
    timeline: tuple[str, ...] = ()
    """At the end of an incident: what happened when, for channels that keep it."""
