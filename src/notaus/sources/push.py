"""`push`: values posted to the daemon, in event time.

A value says what is so from its time on, for one window: it is the sample of every grid time in [time, time + window),
until a newer value takes over. The same time again replaces. Values may come late by as much as the window, and by
at least ten minutes; an older one, and one from the future, is refused. They are journaled as samples at once, so that
a restart loses none; a value from before it then only fills what is missing. What no value covers is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from notaus.config.sources import Entry, Push
from notaus.core.sample import Readings, Sample
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.scalar import Number, scalar

LATE = 600
"""Seconds by which a value may always be late."""
EARLY = 60
"""Seconds by which the sender's clock may be ahead."""
KEPT = 1000
"""Values remembered per entry, the newest."""


@dataclass(slots=True)
class _Series:
    """The values of one entry."""

    values: dict[int, Fraction] = field(default_factory=dict)
    """By event time, ascending."""
    unknown: set[int] = field(default_factory=set)
    """Grid times that were read as unknown: a value that comes late corrects them."""

    def at(self, time: int, window: int) -> Sample:
        newest = max((t for t in self.values if time - window < t <= time), default=None)
        return Sample(time) if newest is None else Sample(time, self.values[newest])


class PushReader:
    """Reads entries of this kind, and takes their values in."""

    def __init__(self, context: Context) -> None:
        self._clock = context.client.clock
        self._born = self._clock.now()
        self._series: dict[tuple[str, str], _Series] = {}

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """What was pushed for `times`, and for those that were unknown when they were read."""
        series = self._of(entry)
        found = {at: series.at(at, entry.window) for at in (*times, *series.unknown)}
        recent = int(self._clock.now()) - entry.window - LATE
        series.unknown = {at for at, sample in found.items() if not sample.known and at >= recent}
        wanted = [found[at] for at in sorted(found) if found[at].known or at in times]
        return dict.fromkeys(entry.signals, tuple(wanted))

    def take(
        self, entry: Entry, step: int, values: Sequence[tuple[int, Number]], known: Callable[[int], bool]
    ) -> Readings:
        """The samples that `values` (event time in epoch seconds, value) make. Raises ReadFailed, and then takes none.

        `known` tells whether there is a sample of a grid time already.
        """
        now = int(self._clock.now())
        source = entry.source
        assert isinstance(source, Push)
        oldest = now - max(LATE, entry.window)
        taken: dict[int, Fraction] = {}
        for at, value in values:
            if not oldest <= at <= now + EARLY:
                which = f"{oldest - at} s too old" if at < oldest else f"{at - now} s ahead of the daemon's clock"
                raise ReadFailed(f"{entry.name}: a value of {at} is {which}; from {oldest} to {now + EARLY} is taken")
            sample = scalar(at, value, percent=source.percent, said=entry.name)
            if sample.value is None:
                raise ReadFailed(f"{entry.name}: {value!r} is no number")
            taken[at] = sample.value
        series = self._of(entry)
        merged = {**series.values, **taken}
        series.values = {at: merged[at] for at in sorted(merged)[-KEPT:]}
        grid = sorted(
            {at for time in taken for at in _covered(time, entry.window, step) if time >= self._born or not known(at)}
        )
        samples = tuple(series.at(at, entry.window) for at in grid)
        return dict.fromkeys(entry.signals, samples)

    def _of(self, entry: Entry) -> _Series:
        return self._series.setdefault((entry.service, entry.name), _Series())


def _covered(time: int, window: int, step: int) -> range:
    """The grid times at which a value of `time` is the present."""
    return range(-(-time // step) * step, time + window, step)
