"""`observability`: the invocations that a Worker logs, the source with the least lag; a cohort per version where asked for.

An error is an invocation that ended otherwise than well or by its client's will; a 500 that the Worker answers itself
counts as success, as with `workers`. Latency is the wall time. Where the Worker logs only a part of its invocations
(head sampling), counts are estimates of all of them, and the effective number of samples is what was logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from notaus.cloudflare.telemetry import OUTCOME, VERSION, Answers, Group, Question
from notaus.config.sources import Entry, Observability
from notaus.core.sample import Readings, Sample
from notaus.errors import NotausError, ReadFailed
from notaus.sources.context import Context
from notaus.sources.measure import count, measure_of, number, percentile, percentiles, prefix_of, quantile, rate

COUNTS = ("requests", "errors")
OPERATORS: Mapping[int, str] = {25: "p25", 50: "median", 75: "p75", 90: "p90", 95: "p95", 99: "p99", 999: "p999"}
"""Percentile to what the API calls it."""
NO_ERROR = frozenset({"ok", "canceled", "responseStreamDisconnected"})
WINDOWS = 20
"""Grid times asked for in one read, the newest; the others stay pending until the next: each is a call of the budget."""


class ObservabilityReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples of every signal at the newest of `times`. Raises ReadFailed where none could be read."""
        for signal in entry.signals:
            rank = percentile(measure_of(signal))
            if measure_of(signal) not in (*COUNTS, "error_rate") and rank not in OPERATORS:
                raise ReadFailed(
                    f"{signal}: telemetry gives requests, errors, error_rate and p{', p'.join(map(str, OPERATORS))}"
                )
        newest = sorted(set(times))[-WINDOWS:]
        return await self._context.gathered(entry, (self._read(entry, at) for at in newest))

    async def _read(self, entry: Entry, at: int) -> Readings:
        source, telemetry = _source(entry), self._context.telemetry
        ranks = tuple(OPERATORS[rank] for rank in percentiles(entry))
        questions = [self._question(entry, at, ("count",), (VERSION, OUTCOME))]
        questions += [self._question(entry, at, ranks, (VERSION,))] if ranks and _of_versions(entry) else []
        questions += [self._question(entry, at, ranks)] if ranks and _of_all(entry) else []
        try:
            logged = await telemetry.logged(entry.account, source.script)
            counts, *latencies = await asyncio.gather(*(telemetry.groups(q, source.script) for q in questions))
            alive = bool(counts["count"]) or await self._alive(entry, at)
        except NotausError as failure:
            raise ReadFailed(str(failure)) from None
        return {
            signal: (_sample(entry, signal, at, counts["count"], latencies, logged, alive),) for signal in entry.signals
        }

    def _question(self, entry: Entry, at: int, operators: tuple[str, ...], by: tuple[str, ...] = ()) -> Question:
        return Question(entry.account, at - entry.window, at, operators, by)

    async def _alive(self, entry: Entry, at: int) -> bool:
        """Asked only where a count could be 0: a rate or a quantile of nothing is unknown anyway."""
        if not any(measure_of(signal) in COUNTS for signal in entry.signals):
            return False
        return await self._context.telemetry.alive(entry.account, at - entry.window, at + entry.settle)


def _of_all(entry: Entry) -> bool:
    return any(prefix_of(signal) == entry.name for signal in entry.signals)


def _of_versions(entry: Entry) -> bool:
    return any(prefix_of(signal) != entry.name for signal in entry.signals)


def _sample(
    entry: Entry,
    signal: str,
    at: int,
    counts: Sequence[Group],
    latencies: Sequence[Answers],
    logged: Fraction,
    alive: bool,
) -> Sample:
    version = None if prefix_of(signal) == entry.name else prefix_of(signal)
    measure = measure_of(signal)
    own = [group for group in counts if version is None or group.of.get(VERSION) == version]
    if not own:
        return count(at, 0, 0) if alive and measure in COUNTS else Sample(at, among=Fraction(0))
    requests = _total(own) / logged
    seen = int(sum((number(group.seen) for group in own), Fraction(0)))
    effective = seen if seen < requests else None
    errors = _total(group for group in own if group.of.get(OUTCOME) not in NO_ERROR) / logged
    if measure == "requests":
        return count(at, requests, requests)
    if measure == "errors":
        return count(at, errors, requests)
    if measure == "error_rate":
        return rate(at, errors, requests, effective)
    rank = percentile(measure)
    assert rank is not None
    values = [
        group.value for answers in latencies for group in answers[OPERATORS[rank]] if group.of.get(VERSION) == version
    ]
    milliseconds = number(values[0]) if len(values) == 1 and values[0] is not None else None
    return quantile(at, milliseconds, requests, effective)


def _total(groups: Iterable[Group]) -> Fraction:
    return sum((number(group.value) for group in groups), Fraction(0))


def _source(entry: Entry) -> Observability:
    assert isinstance(entry.source, Observability)
    return entry.source
