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
    """The approval request it asks about, if any."""
