"""What goes into the journal and what comes out: one record per step, and rows as they are read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from notaus.core.sample import Sample
from notaus.journal.codec import Json


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An incident as it stands; written again whenever it changes. Times in epoch seconds."""

    id: str
    service: str
    opened_at: int
    severity: str
    summary: str
    body: Json = None
    closed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One step: the event, what it asks for, and what it leads to. Written whole or not at all."""

    service: str
    at: int
    """The event's `now`, epoch seconds."""
    kind: str
    """The event's class name."""
    event: Json | None
    """None: a poll at which nothing was going on; its samples tell all there is to tell, and nothing is asked for."""
    state: Json | None = None
    """None: unchanged."""
    effects: Sequence[tuple[str, str, Json]] = ()
    """Id, kind and body of each effect asked for. One that is asked for again is unsettled again."""
    settled: Sequence[tuple[str, str]] = ()
    """Id and outcome of each effect that ended."""
    readings: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    """New or revised samples by signal; a later reading of the same time wins."""
    incidents: Sequence[IncidentRow] = ()
    config: str | None = None
    """Hash of the configuration in force."""
    key: str = field(default_factory=lambda: uuid4().hex, compare=False)
    """By it a step with a state is recognised when it is written again after silence."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it was recorded."""

    id: int
    service: str
    at: int
    kind: str
    body: Json
    config: str | None


@dataclass(frozen=True, slots=True)
class EffectRow:
    """An effect that nothing has settled yet."""

    id: str
    service: str
    kind: str
    body: Json
    created_at: int
