"""What the journal says of an incident: when it began, was acted on and was over, what failed, what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from notaus.core.effect import Outcome
from notaus.core.event import ChecksEnded, LeverEnded
from notaus.core.hold import Truth, answer_at
from notaus.core.incident import HELPED, Incident
from notaus.core.rule import Rule
from notaus.core.sample import History, Sample
from notaus.core.service import Service
from notaus.core.signal import Shape
from notaus.custody import Folder, Listed
from notaus.errors import NotausError
from notaus.journal import Journal, decode

E = TypeVar("E", LeverEnded, ChecksEnded)

AROUND = 1800
"""Seconds of samples shown before an incident, and after it was over."""
LONGEST = 6 * 3600
"""Seconds of samples that a chart shows at the most: the way back to normal may take days."""
STEPS = 1000
"""Outcomes of levers and checks looked at."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What failed between the first breach and the recovery, by one signal."""

    signal: str
    failed: Fraction
    among: Fraction | None
    """None where the source counts failures alone."""
    known: int
    windows: int
    """So many windows, side by side, make the time; of `known` of them there is a sample."""


@dataclass(frozen=True, slots=True)
class Findings:
    """An incident with all that the journal holds of it. Times in epoch seconds."""

    incident: Incident
    service: Service
    began_at: int | None
    """The first sample of the breach that was acted on or told; None where no metric saw it."""
    acted_at: int | None
    """When the first lever had taken effect."""
    recovered_at: int | None
    """When the verdict was that it helped, or where nothing was done, when it closed."""
    levers: tuple[LeverEnded, ...]
    checks: tuple[ChecksEnded, ...]
    losses: tuple[Loss, ...]
    series: Mapping[str, tuple[Sample, ...]]
    """Every signal of the incident's rules, and those they are compared with."""
    first: int
    last: int
    """The time that `series` covers."""
    exhibits: tuple[Listed, ...] = ()
    """The evidence kept beside the journal, as its manifest lists it."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The incident's rules, as far as the configuration still has them."""
        return tuple(self.service.rule(name) for name in self.incident.rules if self.service.has_rule(name))

    @property
    def over_at(self) -> int | None:
        """When the trouble was over: recovered, or else closed."""
        return self.recovered_at or self.incident.closed_at


def find(journal: Journal, service: Service, id: str, evidence: Path | None = None) -> Findings:
    """Everything about incident `id` of `service`, whose evidence is kept in the directory `evidence`, if any.

    Raises NotausError where there is none, JournalFailed.
    """
    row = journal.incident(id)
    if row is None:
        raise NotausError(f"there is no incident {id!r}; `notaus incidents` lists them")
    incident = decode(Incident, row.body)
    rules = [service.rule(name) for name in incident.rules if service.has_rule(name)]
    levers = _events(journal, incident, LeverEnded)
    recovered = _recovered(incident)
    first = incident.opened_at - service.lookback
    over = recovered or incident.closed_at or incident.opened_at + LONGEST
    last = min(over + AROUND, incident.opened_at + LONGEST)
    names = dict.fromkeys([*(n for r in rules for n in r.signals), *(n for r in service.rules for n in r.signals)])
    series = {name: tuple(_until(last, journal.samples(service.name, name, first))) for name in names}
    history = History({name: {s.at: s for s in samples} for name, samples in series.items()})
    began = min((at for rule in rules if (at := _began(service, rule, history, incident)) is not None), default=None)
    start = began if began is not None else incident.opened_at
    shown = dict.fromkeys(n for r in rules for n in r.signals)
    return Findings(
        incident,
        service,
        began,
        next((e.now for e in levers if e.result.outcome is Outcome.DONE), None),
        recovered,
        levers,
        _events(journal, incident, ChecksEnded),
        tuple(_losses(service, history, start, min(over, last))),
        {name: tuple(s for s in series[name] if s.at >= start - AROUND) for name in shown},
        start - AROUND,
        last,
        () if evidence is None else tuple(Folder.of(evidence).exhibits.values()),
    )


def _events(journal: Journal, incident: Incident, kind: type[E]) -> tuple[E, ...]:
    rows = journal.events(
        incident.service, since=incident.opened_at, until=incident.closed_at, limit=STEPS, kind=kind.__name__
    )
    return tuple(decode(kind, row.body) for row in rows)


def _recovered(incident: Incident) -> int | None:
    helped = [entry.at for entry in incident.timeline if entry.text.endswith(HELPED)]
    if helped:
        return helped[-1]
    return None if incident.acted or incident.closed_at is None else incident.closed_at


def _until(last: int, samples: tuple[Sample, ...]) -> Iterator[Sample]:
    return (sample for sample in samples if sample.at <= last)


def _began(service: Service, rule: Rule, history: History, incident: Incident) -> int | None:
    """The first of the samples in a row at which the condition was true when the incident opened."""
    if not rule.when:
        return None
    step = service.step
    newest = incident.opened_at // step * step
    settled = range(newest, newest - service.settle(rule) - 4 * step, -step)
    at = next((at for at in settled if answer_at(rule, history, at) is Truth.TRUE), None)
    if at is None:
        return None
    while answer_at(rule, history, at - step) is Truth.TRUE:
        at -= step
    return at


def _losses(service: Service, history: History, began: int, over: int) -> Iterator[Loss]:
    """By every rate and count that a rule bounds from above: what is too much of is a failure."""
    names = dict.fromkeys(
        c.signal
        for rule in service.rules
        for c in rule.when
        if c.op.upward and service.signals[c.signal].shape in (Shape.RATE, Shape.COUNT)
    )
    for name in names:
        loss = _loss(service, name, history, began, over)
        if loss.known:
            yield loss


def _loss(service: Service, name: str, history: History, began: int, over: int) -> Loss:
    """Windows that lie side by side, so that no request is counted twice; the first ends with the first breach."""
    signal = service.signals[name]
    times = range(began, max(over, began) + 1, signal.window)
    samples = (history.at(name, at) for at in times)
    known = [s for s in samples if s is not None and (s.known or s.among == 0)]
    if signal.shape is Shape.COUNT:
        return Loss(name, sum((s.value or Fraction(0) for s in known), Fraction(0)), None, len(known), len(times))
    failed = sum((s.of or Fraction(0) for s in known), Fraction(0))
    among = sum((s.among or Fraction(0) for s in known), Fraction(0))
    return Loss(name, failed, among, len(known), len(times))
