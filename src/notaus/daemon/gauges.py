"""What each step shows in the metrics and the log, once it is written down."""

from __future__ import annotations

import structlog

from notaus.core.event import Event, Polled, Started
from notaus.core.fleet import Stepped
from notaus.core.hold import Hold
from notaus.core.incident import Incident
from notaus.core.ladder import KvLever
from notaus.core.service import Service
from notaus.core.state import State
from notaus.daemon.engine import Guarded
from notaus.metrics import Metrics

log = structlog.get_logger(__name__)


def present_rung(service: Service, state: State) -> str | None:
    """The rung in force; None between rungs or while unknown."""
    if state.shadow is not None:
        return state.shadow
    if state.beyond:
        return state.beyond[-1]
    if not isinstance(service.ladder.lever, KvLever):
        return state.rung
    place = service.ladder.place(state.fields) if state.fields is not None else None
    rung = service.ladder.rung_at(place) if place is not None else None
    return rung.name if rung is not None else None


class Gauges:
    """Keeps the metrics of every service in step with its state, and logs what its incidents go through."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._logged: dict[str, int] = {}

    def __call__(self, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        service, state = guarded.service, stepped.state
        name = service.name
        self.metrics.set_rung(name, (r.name for r in service.ladder.rungs), present_rung(service, state))
        self.metrics.set_mode(name, str(service.mode))
        of = self.metrics.of
        of(self.metrics.incident_open, name).set(state.incident is not None)
        of(self.metrics.held, name).set(state.lock is not None)
        of(self.metrics.outbox_size, name).set(len(state.outbox))
        if isinstance(event, Polled):
            self._signals(guarded, event)
            self._rules(guarded, stepped)
        for incident in (*stepped.closed, *((state.incident,) if state.incident is not None else ())):
            self._log(incident, told=isinstance(event, Started))
        for incident in stepped.closed:
            self._logged.pop(incident.id, None)
        if stepped.reply is not None:
            log.info("order", service=name, accepted=stepped.reply.accepted, text=stepped.reply.text)

    def _signals(self, guarded: Guarded, event: Polled) -> None:
        for name in guarded.service.signals:
            sample = guarded.history.newest(name)
            if sample is not None:
                value = None if sample.value is None else float(sample.value)
                self.metrics.set_signal(guarded.service.name, name, value, event.now - sample.at)

    def _rules(self, guarded: Guarded, stepped: Stepped) -> None:
        metrics, service = self.metrics, guarded.service.name
        for rule in guarded.service.rules:
            if rule.trigger:
                continue
            hold = (stepped.holds or {}).get(rule.name, Hold())
            metrics.of(metrics.rule_hold_ratio, service, rule.name).set(hold.ratio(rule))
            metrics.of(metrics.rule_breached, service, rule.name).set(hold.breach is not None)
            state = stepped.state.rules.get(rule.name)
            metrics.of(metrics.rule_blind, service, rule.name).set(state is not None and state.blind is not None)

    def _log(self, incident: Incident, *, told: bool) -> None:
        """The new lines of its timeline; `told`: it was there before this start, and is in an older log."""
        seen = len(incident.timeline) if told else self._logged.get(incident.id, 0)
        for entry in incident.timeline[seen:]:
            log.info("incident", id=incident.id, phase=str(incident.phase), text=entry.text)
        self._logged[incident.id] = len(incident.timeline)
