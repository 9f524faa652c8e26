"""`notaus check`: the thresholds against healthy noise, by the journal's baseline or a day read once from Cloudflare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from notaus.config import sources as kinds
from notaus.config.sources import Entry
from notaus.core.baseline import Baseline
from notaus.core.evidence import MIN_HISTORY
from notaus.core.noise import Noise, noise
from notaus.core.sample import Readings
from notaus.core.service import Service
from notaus.core.signal import Shape
from notaus.core.state import State

DAY = 86_400
WINDOWS = 48
"""How many windows of a day are read from sources that take a question each; Analytics Engine gives all of them at once."""
SLICED = (kinds.AnalyticsEngine,)
LOOKED_BACK = (*SLICED, kinds.Http, kinds.Workers)


@dataclass(frozen=True, slots=True)
class Usual:
    """How a service usually behaves."""

    baselines: Mapping[str, Baseline]
    requests: Mapping[str, float]
    """In a window, by signal."""

    @classmethod
    def remembered(cls, state: State) -> Usual:
        """From the journal."""
        known = {name: base for name, base in state.baselines.items() if base.among >= MIN_HISTORY}
        return cls(known, {})

    def with_day(self, service: Service, readings: Readings) -> Usual:
        """With a day of disjoint windows, where nothing is remembered."""
        baselines, requests = dict(self.baselines), dict(self.requests)
        for name, samples in readings.items():
            seen = [float(s.among if s.effective is None else s.effective) for s in samples if s.among]
            if seen:
                requests[name] = sum(seen) / len(seen)
            if service.signals[name].shape is Shape.RATE and name not in baselines:
                baselines[name] = _learned(Baseline(), readings, name)
        return Usual(baselines, requests)

    def noise(self, service: Service) -> list[Noise]:
        """What chance does to each rule that has to do with it."""
        found = (noise(rule, service, self.baselines, self.requests) for rule in service.rules if not rule.trigger)
        return [each for each in found if each is not None]


def _learned(base: Baseline, readings: Readings, name: str) -> Baseline:
    for sample in readings[name]:
        base = base.learned(sample)
    return base


def day(entry: Entry, service: Service, at: int) -> tuple[Entry, list[int]] | None:
    """What to read of an entry for its usual day, and at which grid times; None where it has nothing to do with chance."""
    wanted = tuple(
        name
        for name in entry.signals
        if service.signals[name].shape in (Shape.RATE, Shape.QUANTILE) and not service.signals[name].of_version
    )
    judged = {name for rule in service.rules for name in rule.signals}
    if not isinstance(entry.source, LOOKED_BACK) or not judged & set(wanted):
        return None
    windows = DAY // entry.window if isinstance(entry.source, SLICED) else min(WINDOWS, DAY // entry.window)
    apart = DAY // windows // entry.window * entry.window
    return replace(entry, signals=wanted), [at - i * apart for i in reversed(range(windows))]
