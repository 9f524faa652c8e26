"""What notaus can measure: one file per kind of source. Adding one is copying one, and a line in READERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from notaus.config import sources
from notaus.core.sample import Readings
from notaus.sources.analytics_engine import AnalyticsEngineReader
from notaus.sources.context import Context
from notaus.sources.database import DatabaseReader
from notaus.sources.http import HttpReader
from notaus.sources.observability import ObservabilityReader
from notaus.sources.probe import ProbeReader
from notaus.sources.prometheus import PrometheusReader
from notaus.sources.push import PushReader
from notaus.sources.r2 import R2Reader
from notaus.sources.sql import SqlReader
from notaus.sources.workers import WorkersReader

__all__ = ["READERS", "Context", "Reader", "build"]


class Reader(Protocol):
    """Reads the signals of one entry of `signals:`."""

    async def read(self, entry: sources.Entry, times: Sequence[int]) -> Readings: ...


READERS: Mapping[type[sources.Source], Callable[[Context], Reader]] = {
    sources.AnalyticsEngine: AnalyticsEngineReader,
    sources.Workers: WorkersReader,
    sources.Http: HttpReader,
    sources.R2: R2Reader,
    sources.Probe: ProbeReader,
    sources.Sql: SqlReader,
    sources.Database: DatabaseReader,
    sources.Prometheus: PrometheusReader,
    sources.Push: PushReader,
    sources.Observability: ObservabilityReader,
}


def build(kind: type[sources.Source], context: Context) -> Reader:
    """The reader of a kind of source, to be shared by all its entries."""
    return READERS[kind](context)
