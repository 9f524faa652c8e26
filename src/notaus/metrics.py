"""Every metric of notaus, on a registry of its own so that several daemons can live in one process.

`python -m notaus.metrics` prints docs/metrics.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from notaus import __version__

M = TypeVar("M", bound=MetricWrapperBase)

PREFIX = "notaus"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
NO_ANSWER = "none"
"""The `status` of a request that was not answered."""

# The library's `_created` series would double every counter and histogram and are read by nobody here.
disable_created_metrics()  # type: ignore[no-untyped-call]

DETECTION_SECONDS = (15, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
"""Around the settle times (45 to 180 s), up to the runbooks' target of five minutes and beyond."""
ACTION_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
VERIFICATION_SECONDS = (1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 300)
POLL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30)


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as the documentation lists it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


class Metrics:
    """What one daemon shows of itself. Attributes are the metrics of `docs/metrics.md`, without their prefix."""

    def __init__(self, version: str = __version__) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self._children: dict[tuple[object, ...], Any] = {}
        self._of_service: list[MetricWrapperBase] = []
        ProcessCollector(registry=self.registry)
        self._watched()
        self._done()
        self._itself()
        self.build_info = self._gauge("build_info", "Always 1; the version is in the label.", "version")
        self.build_info.labels(version=version).set(1)

    def _watched(self) -> None:
        """What is seen of the services."""
        self.signal_value = self._gauge(
            "signal_value",
            "Newest settled value of a signal in its own unit (rates 0 to 1, latencies in ms); NaN while unknown.",
            "service",
            "signal",
        )
        self.data_age_seconds = self._gauge(
            "data_age_seconds", "Age of the newest settled sample of a signal, in event time.", "service", "signal"
        )
        self.rule_hold_ratio = self._gauge(
            "rule_hold_ratio", "How much of its `for` a rule's condition has held: 0 to 1.", "service", "rule"
        )
        self.rule_breached = self._gauge("rule_breached", "1 while the rule is breached, else 0.", "service", "rule")
        self.rule_blind = self._gauge("rule_blind", "1 while the rule cannot be evaluated, else 0.", "service", "rule")
        self.rung = self._gauge("rung", "1 for the rung the service is at, 0 for the others.", "service", "rung")
        self.mode = self._gauge("mode", "1 for the mode in force (act or observe), 0 for the other.", "service", "mode")
        self.held = self._gauge("held", "1 while `notaus hold` is in force, else 0.", "service")
        self.incident_open = self._gauge(
            "incident_open", "1 while the service has an open incident, else 0.", "service"
        )

    def _done(self) -> None:
        """What is done about them, and how fast."""
        self.actions_total = self._counter(
            "actions_total", "Levers pulled, by how it ended.", "service", "lever", "rung", "outcome"
        )
        self.detection_delay_seconds = self._histogram(
            "detection_delay_seconds",
            "From the grid time that completed a rule's hold to the decision.",
            DETECTION_SECONDS,
            "service",
        )
        self.action_duration_seconds = self._histogram(
            "action_duration_seconds", "From a lever's intent to its outcome.", ACTION_SECONDS, "service", "lever"
        )
        self.verification_duration_seconds = self._histogram(
            "verification_duration_seconds",
            "From a lever's outcome to all checks passed, or to their deadline.",
            VERIFICATION_SECONDS,
            "service",
        )
        self.pages_total = self._counter(
            "pages_total", "Attempts to deliver a message, by how it ended.", "channel", "outcome"
        )
        self.outbox_size = self._gauge("outbox_size", "Effects written down and not settled yet.", "service")

    def _itself(self) -> None:
        """How the daemon itself is doing."""
        self.poll_duration_seconds = self._histogram(
            "poll_duration_seconds", "Duration of a poll, all reads of the account together.", POLL_SECONDS, "account"
        )
        self.last_poll_timestamp_seconds = self._gauge(
            "last_poll_timestamp_seconds", "When the last poll ended that read anything, in epoch seconds.", "account"
        )
        self.api_requests_total = self._counter(
            "api_requests_total",
            f"Requests to Cloudflare's APIs; `status` is the HTTP status, or `{NO_ANSWER}`.",
            "family",
            "method",
            "status",
        )
        self.api_budget_remaining_ratio = self._gauge(
            "api_budget_remaining_ratio",
            "Part of an API's rate budget that is left, by our own count: 0 to 1.",
            "family",
        )
        self.leader = self._gauge("leader", "1 while this replica holds the account's lease, else 0.", "account")
        self.clock_skew_seconds = self._gauge(
            "clock_skew_seconds", "By how much the machine's clock is behind Cloudflare's; negative if ahead."
        )
        self.journal_failures_total = self._counter(
            "journal_failures_total", "Reads and writes of the journal that failed."
        )

    def render(self) -> bytes:
        """The metrics in Prometheus' text format, to be sent as `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def observe_request(self, family: str, method: str, status: int, seconds: float) -> None:
        """Count a request to Cloudflare; status 0 is no answer. The shape that the client calls back with."""
        del seconds
        self.api_requests_total.labels(family=family, method=method, status=str(status) if status else NO_ANSWER).inc()

    def set_signal(self, service: str, signal: str, value: float | None, age_seconds: float | None = None) -> None:
        """The newest settled value of a signal, None while unknown, and how old that sample is."""
        self.of(self.signal_value, service, signal).set(math.nan if value is None else value)
        if age_seconds is not None:
            self.of(self.data_age_seconds, service, signal).set(age_seconds)

    def set_rung(self, service: str, rungs: Iterable[str], present: str | None) -> None:
        """1 for the rung `present`, 0 for the service's others; all 0 where the place is between rungs."""
        for name in rungs:
            self.of(self.rung, service, name).set(name == present)

    def set_mode(self, service: str, present: str) -> None:
        """1 for the mode in force, 0 for the other."""
        for name in ("act", "observe"):
            self.of(self.mode, service, name).set(name == present)

    def forget(self, service: str) -> None:
        """Drop every series of a service that is no longer configured: a value that stands still would lie."""
        for metric in self._of_service:
            metric.remove_by_labels({"service": service})
        self._children.clear()

    def of(self, metric: M, *labels: str) -> M:
        """`metric.labels(*labels)`, remembered: a step sets some fifty gauges, and looking each up costs more than that."""
        key = (metric, *labels)
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        child: M = self._children[key]
        return child

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._added(Gauge(name, text, labels, namespace=PREFIX, registry=self.registry), name, labels, text)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._added(Counter(name, text, labels, namespace=PREFIX, registry=self.registry), name, labels, text)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        made = Histogram(name, text, labels, namespace=PREFIX, registry=self.registry, buckets=buckets)
        return self._added(made, name, labels, text)

    def _added(self, metric: M, name: str, labels: tuple[str, ...], text: str) -> M:
        self.described.append(Described(f"{PREFIX}_{name}", type(metric).__name__.lower(), labels, text))
        if "service" in labels:
            self._of_service.append(metric)
        return metric


INTRODUCTION = """\
# Metrics

Served at `/metrics` in Prometheus' text format. This page is generated: `python -m notaus.metrics > docs/metrics.md`.

Beside these, the `process_…` metrics of the Prometheus client (CPU, memory, file descriptors, start time) are there
where the system has them. A series of a service disappears when the service does.
"""

OUTCOMES: Mapping[str, str] = {
    "`outcome` of `notaus_actions_total`": "`done`, `already`, `refused`, `failed`, `unknown`, `foreign`",
    "`outcome` of `notaus_pages_total`": "`sent`, `failed` (tried again), `refused` (for good)",
    "`family` of `notaus_api_…`": "the rate budget that a request counts against",
}


def documentation(metrics: Metrics) -> str:
    """docs/metrics.md: a table of every metric."""
    lines = [INTRODUCTION, "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for each in metrics.described:
        labels = ", ".join(f"`{name}`" for name in each.labels) or "none"
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.help} |")
    lines += ["", "| label | values |", "|---|---|"]
    lines += [f"| {label} | {values} |" for label, values in OUTCOMES.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(documentation(Metrics()))
