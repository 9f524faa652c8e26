"""What `notaus check` finds, one line each, in words a person can judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from notaus.cloudflare.graphql import Scope
from notaus.cloudflare.limits import Limits
from notaus.config import sources as kinds
from notaus.config.quantities import span
from notaus.config.sources import Entry
from notaus.core import deployment
from notaus.core.deployment import Registry
from notaus.core.paging import spell
from notaus.core.sample import Readings, Sample
from notaus.core.service import Service
from notaus.core.state import State
from notaus.core.world import DeploymentsView, KvView

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    about: str
    """The service, or what all of them share: `daemon`, `channels`, an account."""
    what: str
    answer: str
    """`yes`, `no`, or `?` where it cannot be told beforehand."""
    why: str

    @property
    def named(self) -> str:
        return self.what if self.about in SHARED else f"{self.about}: {self.what}"

    def as_json(self) -> dict[str, str]:
        return {"about": self.about, "what": self.named, "ready": self.answer, "why": self.why}


SHARED = ("daemon", "channels")


def read(service: Service, entry: Entry, readings: Readings, age: int) -> tuple[str, tuple[str, ...]]:
    """What an entry's query returned, how old its newest data is (seconds), and the signals without data."""
    parts, missing = [], []
    for name in entry.signals:
        signal = service.signals[name]
        sample = newest(readings, name)
        if sample is None or not sample.known:
            missing.append(name)
        parts.append(f"{name} {spell(sample, signal.unit, signal.shape)}")
    return f"{', '.join(parts)}; {span(age)} old", tuple(missing)


def newest(readings: Readings, name: str) -> Sample | None:
    return readings[name][-1] if readings.get(name) else None


def without_requests(entry: Entry, readings: Readings) -> bool:
    """Whether all that was counted was counted among none: it may be of something that does not exist."""
    samples = [newest(readings, name) for name in entry.signals]
    return bool(samples) and all(sample is not None and sample.among == 0 for sample in samples)


def idle(entry: Entry) -> str:
    """What counts without a single request in a day may mean."""
    return f"Nothing at all was counted in a day; {_hint(entry)}"


def lacking(entry: Entry, missing: Iterable[str], within: int | None) -> tuple[str, str]:
    """The answer and the words for signals without data now; `within` so many seconds there was some, None: not in a day."""
    named = ", ".join(missing)
    if isinstance(entry.source, kinds.Push):
        return "?", f"{named}: nothing was pushed yet"
    if within is not None:
        return "?", f"{named}: no data now, but within the last {span(within)}; no traffic?"
    if isinstance(entry.source, AT_A_TIME):
        return "?", f"{named}: no data; {_hint(entry)}"
    return "no", f"{named}: no data in a day; {_hint(entry)}"


AT_A_TIME = (kinds.Database, kinds.Prometheus, kinds.Probe)
"""Sources that are asked for the present only."""


def _hint(entry: Entry) -> str:
    """What no data may mean."""
    match entry.source:
        case kinds.Database():
            return "the query gives no row, or NULL"
        case kinds.Prometheus():
            return "the query gives no element, or NaN"
        case kinds.Probe():
            return "neither it nor the control answered"
        case kinds.Sql():
            return "no row whose `time` lies within the window"
        case kinds.AnalyticsEngine() as source:
            return f"is the dataset {source.dataset} written to, and are its columns and conditions right?"
        case kinds.Http() as source:
            return f"does the zone serve the host {source.host}?"
        case kinds.R2() as source:
            return f"is the bucket called {source.bucket}?"
        case kinds.Workers() | kinds.Observability() as source:
            return f"is the Worker called {source.script}, and does it log?"
    return "nothing is pushed"


def key(service: Service, view: KvView) -> tuple[str, str]:
    """The steering key: answer and words."""
    if view.value is None:
        return "no", view.problem or "it holds no JSON object"
    shown = ", ".join(f"{name}={value}" for name, value in view.value.items())
    place = service.ladder.place(view.value)
    rung = service.ladder.rung_at(place) if place is not None else None
    if place is None:
        return "no", f"{shown}: cannot be ranked among the rungs; notaus would not act on it"
    return "yes", f"{rung.name if rung is not None else 'between rungs'}: {shown}"


def target(view: DeploymentsView, stable_after: int, state: State | None) -> tuple[str, str]:
    """The pre-flight, by the standings in the journal, else as at the daemon's first start: answer and words."""
    if view.live is None:
        return "no", "the script has no deployment"
    live = " and ".join(view.version(id).label for id, _ in view.live.versions)
    known, since = (Registry(), None) if state is None else (state.registry, state.clean_since)
    found = deployment.target(deployment.observed(known, view, stable_after, since), view)
    if found.version is None or found.blocked:
        return "no", f"live: {live}; {found.reason}"
    how = "presumed from the history" if since is None else "by its standing in the journal"
    return "yes", f"live: {live}; it would go to {found.version.label}, {how}"


def dataset(entry: Entry) -> tuple[Scope, str] | None:
    """The GraphQL dataset that an entry is read from; None: another source."""
    match entry.source:
        case kinds.Workers():
            return Scope.account(entry.account), "workersInvocationsAdaptive"
        case kinds.R2():
            return Scope.account(entry.account), "r2OperationsAdaptiveGroups"
        case kinds.Http() as source:
            return Scope.zone(source.zone), "httpRequestsAdaptiveGroups"
    return None


def allowed(limits: Limits, service: Service, users: Sequence[Entry]) -> tuple[str, str]:
    """What the plan allows of a dataset, against what those who read it need: answer and words."""
    if not limits.enabled:
        return "no", "the plan does not have this dataset"
    said = f"data of the last {span(limits.oldest)}, at most {span(limits.longest)} a query"
    for entry in users:
        if entry.window > limits.longest:
            return "no", f"{said}; signals.{entry.name} has a window of {span(entry.window)}: shorten it"
    if service.lookback > limits.oldest:
        return "no", f"{said}; the longest rule looks back {span(service.lookback)}: shorten its `for` or `window`"
    return "yes", said
