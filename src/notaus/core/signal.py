"""Signals: named time series on one grid, and the units their values are in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a signal's value is measured in; bounds are normalised to it at load."""

    RATIO = "ratio"
    """A share of a whole, 0 to 1: error rates, hit rates, a cohort's share."""
    MILLISECONDS = "ms"
    COUNT = "count"
    """Events within the signal's window; `5/min` becomes `5 × window / 60` at load."""
    PER_MINUTE = "/min"
    PER_HOUR = "/hour"
    PLAIN = ""
    """A bare number."""


class Shape(StrEnum):
    """How a signal's value comes about; the evidence gate asks for it (spec 4)."""

    RATE = "rate"
    """`of / among`, both counts known."""
    QUANTILE = "quantile"
    """A quantile over a number of requests."""
    COUNT = "count"
    SCALAR = "scalar"


@dataclass(frozen=True, slots=True)
class Signal:
    """One named time series: a sample each `step`, computed over the trailing `window` that ends there."""

    name: str
    """As rules name it, such as `native.error_rate`."""
    source: str
    """The entry of the service file's `signals:` that gives it, such as `canary`."""
    measure: str
    """What the source is asked for, such as `error_rate` or `latency_p90`."""
    shape: Shape
    unit: Unit
    window: int
    """Seconds; a sample at `t` covers `(t - window, t]`."""
    settle: int
    """Seconds after which Cloudflare has filled in the data of a grid time."""
    cohort: str | None = None
    of_version: bool = False
    """The cohort is a script version by its standing (`suspect`, `stable`): which one, changes with the deployments."""

    @property
    def prefix(self) -> str:
        """The part before the dot: the cohort, or the source; the whole name where there is no dot."""
        return self.name.partition(".")[0]
