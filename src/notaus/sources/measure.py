"""Names of signals taken apart, and numbers from the wire made into samples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from notaus.config.sources import Entry
from notaus.core.sample import Sample, exact

LATENCY = re.compile(r"latency_p(\d+)")


def prefix_of(signal: str) -> str:
    """The cohort or entry of `native.error_rate`."""
    return signal.partition(".")[0]


def measure_of(signal: str) -> str:
    """The measure of `native.error_rate`; of a name without a dot, the name."""
    return signal.rpartition(".")[2]


def percentile(measure: str) -> int | None:
    """The 90 of `latency_p90`; None for any other measure."""
    match = LATENCY.fullmatch(measure)
    return int(match[1]) if match else None


def share_below(rank: int) -> Fraction:
    """The share of requests below a percentile: 9/10 for 90, 999/1000 for 999."""
    return Fraction(rank, max(100, 10 ** len(str(rank))))


def percentiles(entry: Entry) -> tuple[int, ...]:
    """The percentiles that the entry's signals ask for, ascending."""
    found = (percentile(measure_of(signal)) for signal in entry.signals)
    return tuple(sorted({p for p in found if p is not None}))


def count(at: int, number: float | Fraction, among: float | Fraction | None = None) -> Sample:
    """A count of events; `among` is the number of requests they were among."""
    return Sample(at, exact(number), among=None if among is None else exact(among))


def quantile(
    at: int, milliseconds: float | Fraction | None, requests: float | Fraction, effective: int | None = None
) -> Sample:
    """A quantile over `requests`; unknown where there were none, or the source gave no number."""
    value = exact(milliseconds) if milliseconds is not None and requests > 0 else None
    return Sample(at, value, among=exact(requests), effective=None if effective is None else Fraction(effective))


def rows_seen(requests: float, sample_interval: object) -> int | None:
    """How many rows stand behind an estimate of `requests`; None where every request was seen."""
    if not isinstance(sample_interval, (int, float)) or sample_interval <= 1:
        return None
    return int(requests / sample_interval)


def phases(times: Iterable[int], window: int) -> list[list[int]]:
    """`times` grouped so that the windows of a group neither overlap nor leave gaps: those a multiple of it apart."""
    groups: dict[int, list[int]] = {}
    for at in sorted(set(times)):
        groups.setdefault(at % window, []).append(at)
    return list(groups.values())


def stretches(times: Sequence[int], window: int, longest: int) -> list[list[int]]:
    """Ascending `times` of one phase, cut where they would span more than `longest` windows."""
    found: list[list[int]] = []
    for at in times:
        if found and (at - found[-1][0]) // window < longest:
            found[-1].append(at)
        else:
            found.append([at])
    return found
