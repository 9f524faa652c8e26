"""Names of signals taken apart, and numbers from the wire made into samples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from notaus.config.sources import Entry
from notaus.core import sample as samples
from notaus.core.sample import Sample, exact
from notaus.errors import ReadFailed

LATENCY = re.compile(r"latency_p(\d+)")


MOST = 10**15
"""No count of requests in a window, and no duration in microseconds, is larger."""
LONGEST_MILLISECONDS = 86_400_000
ROUNDING = Fraction(1, 10**6)
"""By how much a sum of estimates may exceed another that holds it."""


def number(value: object, most: int = MOST) -> Fraction:
    """A count or a duration as the wire has it. Raises ReadFailed where it cannot be one: better blind than misled."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
        return exact(value)
    raise ReadFailed(f"{str(value)[:40]!r} is neither a count nor a duration")


def part(of: Fraction, among: Fraction) -> Fraction:
    """`of`, which must be among so many. Raises ReadFailed."""
    if of > among * (1 + ROUNDING):
        raise ReadFailed(f"{float(of):g} of {float(among):g} cannot be")
    return min(of, among)


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


def count(at: int, events: int | Fraction, among: int | Fraction) -> Sample:
    """A count of events among so many requests."""
    return Sample(at, part(Fraction(events), Fraction(among)), among=Fraction(among))


def rate(at: int, of: int | Fraction, among: int | Fraction, effective: int | None = None) -> Sample:
    """So many `of` so many requests; unknown where there were none."""
    return samples.rate(at, part(Fraction(of), Fraction(among)), Fraction(among), effective)


def quantile(at: int, milliseconds: Fraction | None, requests: int | Fraction, effective: int | None = None) -> Sample:
    """A quantile over `requests`; unknown where there were none, or the source gave no number."""
    if milliseconds is not None and milliseconds > LONGEST_MILLISECONDS:
        raise ReadFailed(f"a latency of {float(milliseconds):g} ms cannot be")
    value = milliseconds if requests > 0 else None
    return Sample(at, value, among=Fraction(requests), effective=None if effective is None else Fraction(effective))


def rows_seen(requests: Fraction, sample_interval: object) -> int | None:
    """How many rows stand behind an estimate of `requests`; None where every request was seen."""
    if sample_interval is None:
        return None
    interval = number(sample_interval)
    return int(requests / interval) if interval > 1 else None


def rows_seen_of_all(requests: Sequence[Fraction], intervals: Sequence[object]) -> int | None:
    """The rows behind several estimates together; None where every request was seen."""
    seen = [rows_seen(each, interval) for each, interval in zip(requests, intervals, strict=True)]
    if all(rows is None for rows in seen):
        return None
    return sum(int(each) if rows is None else rows for rows, each in zip(seen, requests, strict=True))


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
