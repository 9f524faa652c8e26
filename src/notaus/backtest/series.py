"""The signals of a scenario: its series, healthy defaults for the rest, and traffic that follows the steering key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from notaus.backtest.scenario import Scenario
from notaus.config.problems import InvalidConfiguration, Misread, Report
from notaus.config.sources import Entry
from notaus.core.baseline import Baseline, healthy
from notaus.core.deployment import SUSPECT
from notaus.core.sample import Readings, Sample, rate
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal, Unit
from notaus.errors import ReadFailed

REQUESTS = 10_000
"""Requests a window of a service, or of both cohorts together."""
HEALTHY_ERRORS = Fraction(3, 1000)
HEALTHY_LATENCY = Fraction(400)
HEALTHY_HITS = Fraction(8, 10)
PER = {"/min": 60, "/hour": 3600}


def relieved_cohort(service: Service) -> str | None:
    """The cohort that the ladder takes traffic from."""
    ladder = service.ladder
    if ladder.share is not None and ladder.share.signal in service.signals:
        return service.signals[ladder.share.signal].cohort
    return next(iter(ladder.drains.values()), None)


class SeriesReader:
    """A source whose every value the scenario gives."""

    def __init__(
        self,
        scenario: Scenario,
        service: Service,
        begin: int,
        fields_at: Callable[[int], Mapping[str, object]],
        tags: Mapping[str, str],
        shares_at: Callable[[int], Mapping[str, Fraction]],
    ):
        """`begin` is the epoch time of 0:00; `fields_at(t)` the steering key's fields in force before the sample at t.

        `tags` names versions by id, oldest first; `shares_at(t)` is each one's part of the traffic before t.
        """
        self.scenario, self.service, self.begin = scenario, service, begin
        self.fields_at, self.tags, self.shares_at = fields_at, tags, shares_at
        self.now: Callable[[], float] = lambda: float(begin)
        self.values = _values(scenario, service)
        self._drained = [service.ladder.place_of(rung) for rung in service.ladder.drains]
        self.failures: list[str] = []
        self.failing_until = -1.0
        self.revised: dict[tuple[str, int], Fraction] = {}
        self.news: dict[str, list[int]] = {}
        self.lags: list[tuple[int, int]] = []

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """The samples due; what was revised since the last read comes along. Raises ReadFailed on demand."""
        if self.now() < self.failing_until:
            raise ReadFailed("the analytics API fails (scenario)")
        if self.failures:
            raise ReadFailed(f"the analytics API fails: {self.failures.pop(0)} (scenario)")
        here = [at for at in times if at + self._lag(at) <= self.now()]
        found = {name: [self.sample(name, at) for at in here] for name in entry.signals}
        for name in entry.signals:
            found[name] += [self.sample(name, at) for at in self.news.pop(name, [])]
        return {name: tuple(samples) for name, samples in found.items()}

    def revise(self, name: str, at: int, value: Fraction) -> None:
        """A sample changes after the fact; the next read brings it."""
        self.revised[name, at] = value
        self.news.setdefault(name, []).append(at)

    def lag(self, since: int, seconds: int) -> None:
        """From `since` on, samples come this much later."""
        self.lags.append((since, seconds))

    def _lag(self, at: int) -> int:
        return next((seconds for since, seconds in reversed(self.lags) if at > since), 0)

    def sample(self, name: str, at: int) -> Sample:
        """The sample of signal `name` at `at`; `ID.measure` is one version's."""
        version = self._version(name, at)
        if version is not None:
            return self._of_version(version, name.rpartition(".")[2], at)
        signal = self.service.signals[name]
        if (name, at) in self.revised:
            return self._of(signal, at, self.revised[name, at])
        given = self._given(name, at)
        if given is None and name in self.values and self._covers(name, at):
            return Sample(at)  # a gap in the series
        if signal.measure == "share" and given is None:
            return self._share(signal, at)
        if signal.measure == "requests" and given is None:
            return Sample(at, self._requests(signal, at), among=self._requests(signal, at))
        return self._of(signal, at, given if given is not None else self.healthy(signal))

    def _of(self, signal: Signal, at: int, value: Fraction) -> Sample:
        if signal.shape in (Shape.COUNT, Shape.SCALAR):
            return Sample(at, value)
        return _among(signal, at, value, self._requests(signal, at))

    def _version(self, name: str, at: int) -> str | None:
        """The id in `ID.measure`. Of a cohort by standing, asked for outside the daemon: the newest, or the oldest, live."""
        prefix = name.partition(".")[0]
        signal = self.service.signals.get(name)
        if signal is None or not signal.of_version:
            return prefix if prefix in self.tags else None
        live = [version for version in self.tags if version in self.shares_at(at)]
        return live[-1 if prefix == SUSPECT else 0]

    def _of_version(self, version: str, measure: str, at: int) -> Sample:
        """A version's series go by its tag; its requests are its part of the traffic."""
        signal = _version_signal(self.service, measure)
        name, requests = f"{self.tags[version]}.{measure}", self._given(f"{self.tags[version]}.requests", at)
        if requests is None:
            requests = self.shares_at(at).get(version, Fraction(0)) * REQUESTS
        given = self._given(name, at)
        if given is None and name in self.values and self._covers(name, at):
            return Sample(at)  # a gap in the series
        if measure == "requests":
            return Sample(at, requests, among=requests)
        value = given if given is not None else self.healthy(signal)
        return Sample(at, value) if signal.shape is Shape.COUNT else _among(signal, at, value, requests)

    def _covers(self, name: str, at: int) -> bool:
        index = (at - self.begin) // self.scenario.tick
        return at >= self.begin and index < len(self.values[name])

    def _given(self, name: str, at: int) -> Fraction | None:
        return (
            self.values[name][(at - self.begin) // self.scenario.tick]
            if name in self.values and self._covers(name, at)
            else None
        )

    def healthy(self, signal: Signal) -> Fraction:
        """What the signal is while nothing is said of it."""
        if signal.measure.startswith("latency"):
            return HEALTHY_LATENCY
        if signal.measure in ("error_rate", "error_5xx_rate"):
            return HEALTHY_ERRORS
        if signal.shape is Shape.RATE and self._wants_much(signal):
            return HEALTHY_HITS
        return Fraction(0)

    def _wants_much(self, signal: Signal) -> bool:
        """A ratio of hits rather than failures: a rule minds when it is low."""
        judged = [c for rule in self.service.rules for c in rule.when if c.signal == signal.name]
        return "hit" in signal.measure or any(not c.op.upward for c in judged)

    def _requests(self, signal: Signal, at: int) -> Fraction:
        given = self._given(f"{signal.prefix}.requests", at)
        if given is not None:
            return given
        cohort = relieved_cohort(self.service)
        if signal.cohort is None:
            return Fraction(REQUESTS)
        if cohort is None:
            return Fraction(REQUESTS, 10) if signal.cohort == "native" else Fraction(REQUESTS)
        part = self._part(at) * REQUESTS
        return part if signal.cohort == cohort else REQUESTS - part

    def _part(self, at: int) -> Fraction:
        """The part of the traffic that the steering key gives to the relieved cohort."""
        ladder, fields = self.service.ladder, self.fields_at(at)
        place = ladder.place(fields)
        if place is not None and any(place >= each for each in self._drained):
            return Fraction(0)
        if ladder.share is not None:
            value = fields.get(ladder.share.field)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return Fraction(str(value)) / 100
        return Fraction(1, 10)

    def _share(self, signal: Signal, at: int) -> Sample:
        cohorts = {s.cohort: s for s in self.service.signals.values() if s.cohort is not None}
        own = self._requests(signal, at)
        total = sum((self._requests(each, at) for each in cohorts.values()), Fraction(0))
        if len(cohorts) == 1:
            total = max(total, Fraction(REQUESTS))
        return rate(at, own, total)


def _among(signal: Signal, at: int, value: Fraction, requests: Fraction) -> Sample:
    """A rate or a quantile of so many requests; of none it is unknown."""
    if signal.shape is Shape.RATE:
        return rate(at, value * requests, requests)
    return Sample(at, value, among=requests) if requests > 0 else Sample(at, among=Fraction(0))


def _version_signal(service: Service, measure: str) -> Signal:
    return next(s for s in service.signals.values() if s.of_version and s.measure == measure)


def _of_tags(scenario: Scenario, service: Service) -> dict[str, Signal | None]:
    """The series of versions that a scenario may give."""
    measures = {s.measure for s in service.signals.values() if s.of_version}
    named = {f"{tag}.{m}": _version_signal(service, m) for tag in scenario.tags for m in sorted(measures)}
    return {f"{tag}.requests": None for tag in scenario.tags if measures} | named


def _values(scenario: Scenario, service: Service) -> dict[str, list[Fraction | None]]:
    """The series in the signals' own units. Raises InvalidConfiguration."""
    report = Report()
    found: dict[str, list[Fraction | None]] = {}
    signals = {name: s for name, s in service.signals.items() if not s.of_version} | _of_tags(scenario, service)
    known = set(signals) | {f"{s.prefix}.requests" for s in service.signals.values() if not s.of_version}
    for name, series in scenario.series.items():
        if name not in known:
            report.problem(series.where, f"unknown signal `{name}`", f"the service has {', '.join(sorted(known))}")
            continue
        signal = signals.get(name)
        try:
            found[name] = [None if v is None else in_unit(v[0], v[1], signal) for v in series.values]
        except Misread as error:
            report.problem(series.where, error.wrong, error.right)
    if report.problems:
        raise InvalidConfiguration(report.problems)
    return found


def in_unit(number: Fraction, unit: str, signal: Signal | None) -> Fraction:
    """A value with its unit, in the unit of the signal (None: a number of requests). Raises Misread."""
    kind = signal.unit if signal is not None else Unit.COUNT
    match unit:
        case "%" if kind is Unit.RATIO:
            return number / 100
        case "s" if kind is Unit.MILLISECONDS:
            return number * 1000
        case "ms" if kind is Unit.MILLISECONDS:
            return number
        case "/min" | "/hour" if kind is Unit.COUNT and signal is not None:
            return number * signal.window / PER[unit]
        case "/min" | "/hour" if kind.value == unit:
            return number
        case "":
            return number
        case _:
            raise Misread(
                f"{signal.name if signal else 'requests'} is not measured in `{unit}`",
                f"its unit is {kind.value or 'none'}",
            )


def usual(reader: SeriesReader) -> dict[str, Baseline]:
    """The baselines of a scenario: the healthy defaults over 24 hours, φ = 1."""
    service = reader.service
    at = reader.begin - 60
    found = {}
    for signal in service.signals.values():
        if signal.shape is Shape.RATE:
            sample = reader.sample(signal.name, at - at % service.step)
            requests = float(sample.among or REQUESTS)
            windows = max(1, 86_400 // signal.window)
            found[signal.name] = healthy(float(reader.healthy(signal)), requests, windows, reader.begin)
    return found
