"""Verification: the checks that a step took effect, as the service file lists them; carried out by `notaus.checks`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from notaus.core.rule import Comparison

Expected = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The KV key or the deployment, read back through the API, is what the step set."""

    what: str
    """`kv` or `deployment`."""


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A GET and what its answer must be; `$name` in an expectation is filled from the step (rung fields, `$target.tag`)."""

    url: str
    status: int | None = None
    """None: any 2xx."""
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Expected] = field(default_factory=dict)
    """Dotted path to expected value, such as `canary.percent: $canary_percent`."""
    latency_below: int | None = None
    """Milliseconds, exclusive."""


@dataclass(frozen=True, slots=True)
class WebSocketCheck:
    """A handshake that must be accepted with status 101."""

    url: str


@dataclass(frozen=True, slots=True)
class SignalCheck:
    """A condition to be true of every known sample for `hold` seconds after the step; reports with the verdict."""

    condition: Comparison
    hold: int


CheckKind = ReadBack | HttpCheck | WebSocketCheck | SignalCheck


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `verify:`; `at` limits it to a rung, `advisory` keeps its failure from failing the step."""

    kind: CheckKind
    name: str
    """As people read it, such as `GET https://api.pix.immo/api/qa`."""
    at: str | None = None
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    name: str
    passed: bool
    detail: str
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class RestoreNeed:
    """A prerequisite of `restore`: a condition on a signal, or something a named person attests."""

    text: str
    condition: Comparison | None = None


@dataclass(frozen=True, slots=True)
class RampStep:
    """A rung on the way back to normal and how long (seconds) it is watched before the next."""

    rung: str
    watch: int


@dataclass(frozen=True, slots=True)
class Restore:
    """How a person returns the service to normal."""

    require: tuple[RestoreNeed, ...] = ()
    ramp: tuple[RampStep, ...] = ()


def as_expected(value: object) -> Expected:
    """A JSON scalar as it is compared; numbers compare by value, so 5 equals 5.0 but never "5"."""
    if isinstance(value, Fraction):
        return float(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"not a JSON scalar: {value!r}")
