"""What each source gives: the signals a rule may name, with shape, unit, window and cohort."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from notaus.config import keys as key
from notaus.config import sources
from notaus.config.keys import DeclaredUnit
from notaus.config.problems import Report, Where
from notaus.config.quantities import span
from notaus.config.sources import Entry, Source
from notaus.config.table import Values, given, inner_wins
from notaus.core.deployment import VERSION_COHORTS
from notaus.core.signal import Shape, Signal, Unit

SETTLE: Mapping[str, int] = {
    "analytics_engine": 60,
    "sql": 60,
    "observability": 45,
    "workers": 180,
    "http": 180,
    "r2": 180,
}
"""Seconds until the source has filled in a grid time; 0 for the others."""

_MEASURES: dict[str, tuple[Shape, Unit]] = {
    "requests": (Shape.COUNT, Unit.COUNT),
    "errors": (Shape.COUNT, Unit.COUNT),
    "operations": (Shape.COUNT, Unit.COUNT),
    "failures": (Shape.COUNT, Unit.COUNT),
    "error_rate": (Shape.RATE, Unit.RATIO),
    "error_5xx_rate": (Shape.RATE, Unit.RATIO),
    "failure_rate": (Shape.RATE, Unit.RATIO),
    "share": (Shape.RATE, Unit.RATIO),
    "latency_p50": (Shape.QUANTILE, Unit.MILLISECONDS),
    "latency_p90": (Shape.QUANTILE, Unit.MILLISECONDS),
    "latency_p95": (Shape.QUANTILE, Unit.MILLISECONDS),
    "latency_p99": (Shape.QUANTILE, Unit.MILLISECONDS),
}
_LATENCIES = ("latency_p50", "latency_p90", "latency_p95", "latency_p99")
_INVOCATIONS = ("requests", "errors", "error_rate", *_LATENCIES)
# A probe sends a handful of requests, so its hold is the evidence: nothing counts its requests (spec 4).
_PROBED = {
    "failed": (Shape.SCALAR, Unit.PLAIN),
    "failure_rate": (Shape.SCALAR, Unit.RATIO),
    **dict.fromkeys(_LATENCIES, (Shape.SCALAR, Unit.MILLISECONDS)),
}
_DECLARED = {
    None: Unit.PLAIN,
    DeclaredUnit.RATIO: Unit.RATIO,
    DeclaredUnit.MILLISECONDS: Unit.MILLISECONDS,
    DeclaredUnit.PER_MINUTE: Unit.PER_MINUTE,
    DeclaredUnit.PER_HOUR: Unit.PER_HOUR,
}
Measures = dict[str, tuple[Shape, Unit]]


@dataclass(frozen=True, slots=True)
class Given:
    """One entry of `signals:` and all the signals it could give."""

    entry: Entry
    where: Where
    signals: Mapping[str, Signal]

    def why_not(self, name: str) -> str | None:
        """Why this entry does not give the signal `name`, where the reason is known."""
        prefix, _, measure = name.partition(".")
        if prefix in VERSION_COHORTS and isinstance(self.entry.source, sources.Workers | sources.Observability):
            return _no_versions(self.entry.source) if prefix not in {s.prefix for s in self.signals.values()} else None
        cohorts = {signal.prefix for signal in self.signals.values()} | {self.entry.name}
        return _missing(self.entry.source, measure) if prefix in cohorts else None


def _no_versions(source: sources.Workers | sources.Observability) -> str:
    if not source.by_version:
        return "add `by_version: true` to the entry"
    return "only a service with a deployment lever knows its versions"


def _missing(source: Source, measure: str) -> str | None:
    if isinstance(source, sources.Http) and measure == "latency_p90":
        return "this dataset has no p90: use latency_p95, or latency_p50"
    if isinstance(source, sources.AnalyticsEngine):
        if measure in ("errors", "error_rate") and source.error is None:
            return "add `error:` to the entry, the condition of an error"
        if measure.startswith("latency") and source.latency is None:
            return "add `latency:` to the entry, an expression in milliseconds"
        if measure == "share" and not source.cohorts:
            return "only cohorts have a share: add `cohorts:`"
    return None


def read_entries(
    entries: Mapping[str, tuple[str, Values]], service: Values, defaults: Values, report: Report
) -> tuple[Given, ...]:
    """Every entry of `signals:`, with what it gives; names that two entries give are reported."""
    step = inner_wins(key.STEP, service, defaults)
    found: list[Given] = []
    taken: dict[str, str] = {}
    for name, (kind, values) in entries.items():
        one = _entry(name, kind, values, service, defaults)
        found.append(one)
        if not re.search(key.NAME, name):
            report.problem(values.where, f"`{name}` is no name for an entry", key.NAME_FORM)
        if one.entry.window % step:
            level = next((level for level in (values, service, defaults) if level.has(key.WINDOW)), None)
            place = level.at(key.WINDOW) if level else values.where
            right = f"{span(one.entry.window // step * step + step)}, or another `step`"
            report.problem(place, f"window {span(one.entry.window)} is no multiple of step {span(step)}", right)
        for signal in one.signals:
            if signal in taken:
                wrong = f"`{signal}` is given by `{taken[signal]}` already"
                report.problem(values.where, wrong, "rename the entry or the cohort")
            taken.setdefault(signal, name)
    return tuple(found)


def _entry(name: str, kind: str, values: Values, service: Values, defaults: Values) -> Given:
    source = _SOURCES[kind](values, service)
    settle = given(key.SETTLE, values, service, defaults)
    entry = Entry(
        service=service.get(key.SERVICE_NAME) or "",
        account=service.get(key.ACCOUNT) or "",
        name=name,
        source=source,
        window=inner_wins(key.WINDOW, values, service, defaults),
        settle=SETTLE.get(kind, 0) if settle is None else settle,
    )
    measures = _measures(source, values)
    signals = [
        Signal(
            _name(cohort or name, measure),
            name,
            measure,
            shape,
            unit,
            entry.window,
            entry.settle,
            cohort,
            of_version=cohort is not None and _by_version(source),
        )
        for cohort in _cohorts(source, service)
        for measure, (shape, unit) in measures.items()
    ]
    return Given(entry, values.where, {signal.name: signal for signal in signals})


def _cohorts(source: Source, service: Values) -> tuple[str | None, ...]:
    """The slices of an entry; None is the whole of it."""
    if isinstance(source, sources.AnalyticsEngine):
        return source.cohorts or (None,)
    return (None, *VERSION_COHORTS) if _by_version(source) and _deploys(service) else (None,)


def _by_version(source: Source) -> bool:
    return isinstance(source, sources.Workers | sources.Observability) and source.by_version


def _deploys(service: Values) -> bool:
    ladder = service.get(key.LADDER_KEY)
    lever = ladder.get(key.LEVER) if ladder is not None else None
    return lever is not None and lever[0] == key.DEPLOYMENT.name


def _name(prefix: str, measure: str) -> str:
    return f"{prefix}.{measure}" if measure != SELF else prefix


SELF = "value"
"""The measure of an entry whose own name is the signal."""


def _measures(source: Source, values: Values) -> Measures:
    match source:
        case sources.AnalyticsEngine():
            names = ["requests"]
            names += ["share"] if source.cohorts else []
            names += ["errors", "error_rate"] if source.error else []
            names += _LATENCIES if source.latency else []
            return _of(names) | dict.fromkeys(source.ratios, (Shape.RATE, Unit.RATIO))
        case sources.Workers() | sources.Observability():
            return _of(_INVOCATIONS)
        case sources.Http():
            return _of(("requests", "error_rate", "error_5xx_rate", "latency_p50", "latency_p95", "latency_p99"))
        case sources.R2():
            return _of(("operations", "failures", "failure_rate"))
        case sources.Probe():
            return dict(_PROBED)
        case _:
            return {SELF: (Shape.SCALAR, _DECLARED[values.get(key.UNIT)])}


def _of(names: Iterable[str]) -> Measures:
    return {name: _MEASURES[name] for name in names}


RESERVED = frozenset(_MEASURES) | {"failed", SELF}
"""Measures that no ratio may be called."""


def check_ratios(entries: Mapping[str, tuple[str, Values]], report: Report) -> None:
    """Ratios must not be called as a measure is, and need a name that a rule can spell."""
    for _, values in entries.values():
        ratios = values.get(key.RATIOS)
        for name, place in ratios.places.items() if ratios else ():
            if name in RESERVED or not re.search(key.NAME, name):
                report.problem(
                    place, f"`{name}` is no name for a ratio", f"{key.NAME_FORM}; not {', '.join(_MEASURES)}"
                )


def _analytics_engine(values: Values, service: Values) -> Source:
    cohorts = values.get(key.COHORTS)
    return sources.AnalyticsEngine(
        dataset=values.get(key.DATASET) or "",
        cohort_column=cohorts.get(key.COHORT_COLUMN) if cohorts else None,
        cohorts=(cohorts.get(key.COHORT_NAMES) or ()) if cohorts else (),
        error=values.get(key.ERROR),
        latency=values.get(key.LATENCY),
        where=values.get(key.WHERE),
        ratios={name: _ratio(value) for name, value in (values.get(key.RATIOS) or {}).items()},
    )


def _ratio(value: str | Values) -> sources.Ratio:
    if isinstance(value, str):
        return sources.Ratio(value)
    return sources.Ratio(value.get(key.OF) or "", value.get(key.AMONG))


def _script(values: Values, service: Values) -> str:
    return values.get(key.SCRIPT) or service.get(key.WORKER) or ""


def _workers(values: Values, service: Values) -> Source:
    return sources.Workers(_script(values, service), values.of(key.BY_VERSION), str(values.of(key.WORKERS_LATENCY)))


def _observability(values: Values, service: Values) -> Source:
    return sources.Observability(_script(values, service), values.of(key.ALWAYS_BY_VERSION))


def _http(values: Values, service: Values) -> Source:
    source = sources.Http(values.get(key.ZONE) or "", values.get(key.HOST) or "")
    errors = values.get(key.ERRORS)
    return source if errors is None else replace(source, errors=errors)


def _r2(values: Values, service: Values) -> Source:
    source = sources.R2(values.get(key.BUCKET) or "")
    actions = values.get(key.ACTIONS)
    return source if actions is None else replace(source, actions=actions)


def _probe(values: Values, service: Values) -> Source:
    websocket = values.get(key.WEBSOCKET)
    return sources.Probe(
        url=websocket or values.get(key.GET) or "",
        websocket=websocket is not None,
        status=values.get(key.STATUS),
        json=dict(values.get(key.JSON) or {}),
        headers=dict(values.get(key.HEADER) or {}),
        timeout=values.of(key.TIMEOUT),
        control=values.get(key.CONTROL),
    )


def _percent(values: Values) -> bool:
    return values.get(key.UNIT) is DeclaredUnit.RATIO


def _sql(values: Values, service: Values) -> Source:
    return sources.Sql(values.get(key.WINDOWED) or "", _percent(values))


def _database(values: Values, service: Values) -> Source:
    url, query = values.get(key.URL) or "", values.get(key.QUERY) or ""
    return sources.Database(url, query, values.of(key.DATABASE_TIMEOUT), _percent(values))


def _prometheus(values: Values, service: Values) -> Source:
    url, query = values.get(key.URL) or "", values.get(key.QUERY) or ""
    return sources.Prometheus(url, query, dict(values.get(key.HEADERS) or {}), _percent(values))


def _push(values: Values, service: Values) -> Source:
    return sources.Push(_percent(values))


_SOURCES = {
    "analytics_engine": _analytics_engine,
    "workers": _workers,
    "observability": _observability,
    "http": _http,
    "r2": _r2,
    "probe": _probe,
    "sql": _sql,
    "database": _database,
    "prometheus": _prometheus,
    "push": _push,
}


def wanted(given: Given, asked: Iterable[str]) -> tuple[str, ...]:
    """The signals of an entry to read: those `asked` for, and beside them what decisions about cohorts compare.

    The same measure of every cohort (is the other one as bad?), their error rates (is one clearly worse?) and their
    shares (did the rung drain it?).
    """
    names = set(asked) & set(given.signals)
    sliced = {given.signals[name].measure for name in names if given.signals[name].cohort is not None}
    measures = sliced | {"error_rate", "share"} if sliced else sliced
    return tuple(
        name
        for name, signal in given.signals.items()
        if name in names or (signal.cohort is not None and signal.measure in measures)
    )
