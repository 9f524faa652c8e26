"""`probe`: the daemon's own requests to an endpoint, one a step.

Failed means answered wrongly, or not at all while a control request got through in the same step; else nothing was
learned, so that the daemon's own broken network is no outage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from notaus.cloudflare.edge import EdgeAnswer, mismatches
from notaus.config.sources import Entry, Probe
from notaus.core.sample import Readings, Sample, exact
from notaus.errors import CallFailed, ReadFailed
from notaus.sources.context import Context
from notaus.sources.measure import count, measure_of, percentile, quantile, rate, share_below
from notaus.sources.present import Present

MEASURES = ("failed", "failure_rate")
CONTROL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """What one probe found; `failed` None where that could not be told."""

    failed: bool | None
    milliseconds: Fraction | None = None


class ProbeReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._edge = context.edge
        self._control = f"{context.client.api_url}/ips"
        self._present: Present[Found] = Present(context.client.clock)

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """One request, for the newest of `times`; older ones are as found then, or unknown."""
        for signal in entry.signals:
            measure = measure_of(signal)
            if measure not in MEASURES and percentile(measure) is None:
                raise ReadFailed(f"{signal}: a probe gives failed, failure_rate and latency_pN")
        found = await self._present.asked(entry, times, lambda: self._probe(_source(entry)))
        return {
            signal: tuple(_sample(measure_of(signal), at, entry.window, found) for at in sorted(set(times)))
            for signal in entry.signals
        }

    async def _probe(self, source: Probe) -> Found:
        try:
            answer, problem = await self._ask(source)
        except CallFailed:
            return Found(True if await self._control_answers(source) else None)
        return Found(problem is not None, exact(round(answer.seconds * 1000, 3)))

    async def _ask(self, source: Probe) -> tuple[EdgeAnswer, str | None]:
        """The answer, and what is wrong with it. Raises Silent where there is none."""
        if source.websocket:
            return await self._edge.handshake(source.url, within=source.timeout)
        answer = await self._edge.get(source.url, within=source.timeout)
        return answer, next(iter(_wrong(source, answer)), None)

    async def _control_answers(self, source: Probe) -> bool:
        try:
            await self._edge.get(source.control or self._control, within=CONTROL_SECONDS)
        except CallFailed:
            return False
        return True  # any answer at all: our network works


def _wrong(source: Probe, answer: EdgeAnswer) -> list[str]:
    wrong = mismatches(answer.body, source.json)
    if answer.status != source.status and not (source.status is None and 200 <= answer.status < 300):
        wrong.append(f"status is {answer.status}")
    wrong += [f"header {name} differs" for name, value in source.headers.items() if answer.headers.get(name) != value]
    return wrong


def _sample(measure: str, at: int, window: int, found: Mapping[int, Found]) -> Sample:
    """The sample at `at`: `failed` of the probe made then, the others over the probes of the window."""
    now = found.get(at)
    if now is None or (measure == "failed" and now.failed is None):
        return Sample(at)
    if measure == "failed":
        return count(at, 1 if now.failed else 0, 1)
    known = [f for when, f in found.items() if at - window < when <= at and f.failed is not None]
    rank = percentile(measure)
    if rank is None:
        return rate(at, sum(1 for f in known if f.failed), len(known))
    latencies = sorted(f.milliseconds for f in known if f.milliseconds is not None)
    return quantile(at, _at_rank(latencies, rank) if latencies else None, len(latencies))


def _at_rank(ordered: Sequence[Fraction], rank: int) -> Fraction:
    """The nearest-rank percentile of a sorted list."""
    share = share_below(rank)
    return ordered[max(0, -(-len(ordered) * share.numerator // share.denominator) - 1)]


def _source(entry: Entry) -> Probe:
    assert isinstance(entry.source, Probe)
    return entry.source
