"""Impact: how many requests failed in an incident so far, and what share of the traffic that is. Counts, never guesses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from notaus.core.sample import History
from notaus.core.service import Service
from notaus.core.signal import Shape

PASSED_OVER = 600
"""Seconds after which a window that was never read is passed over."""


@dataclass(frozen=True, slots=True)
class Count:
    """One signal's counts over windows that follow one another, up to grid time `to`."""

    to: int
    of: Fraction = Fraction(0)
    among: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Impact:
    """What an incident has cost since grid time `since`."""

    since: int
    counts: Mapping[str, Count] = field(default_factory=dict)
    """By signal: error rates, and the share whose whole is all the traffic."""

    def counted(self, service: Service, history: History) -> Impact:
        """This impact with the windows that are known by now; each request is counted once."""
        counts = {
            name: _counted(self.counts.get(name, Count(self.since)), history, name, service.signals[name].window)
            for name in (*error_rates(service), *_whole(service))
        }
        return replace(self, counts=counts)

    def totals(self, service: Service) -> tuple[Fraction, Fraction]:
        """Failed requests, and all requests of the service in that time; (0, 0) where nothing is counted."""
        rates = [self.counts[name] for name in error_rates(service) if name in self.counts]
        whole = [self.counts[name].among for name in _whole(service) if name in self.counts]
        among = sum((count.among for count in rates), Fraction(0))
        return sum((count.of for count in rates), Fraction(0)), max([among, *whole])


def error_rates(service: Service) -> list[str]:
    return [s.name for s in service.signals.values() if s.measure == "error_rate" and s.shape is Shape.RATE]


def _whole(service: Service) -> Iterable[str]:
    """The signal whose denominator is all the traffic, where a cohort's share is read."""
    share = service.ladder.share
    return (share.signal,) if share is not None and share.signal in service.signals else ()


def _counted(count: Count, history: History, name: str, window: int) -> Count:
    newest = history.newest(name)
    while newest is not None and count.to + window <= newest.at:
        at = count.to + window
        sample = history.at(name, at)
        if sample is None and newest.at - at < PASSED_OVER:
            break
        of = sample.of if sample is not None else None
        among = sample.among if sample is not None else None
        count = Count(at, count.of + (of or 0), count.among + (among or 0))
    return count
