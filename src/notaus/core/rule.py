"""Rules: the rows of the threshold table, and the exact comparison of samples with bounds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

INVESTIGATE = "investigate"
"""The `then` of a rule that only tells people."""


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return 1 if self is Severity.CRITICAL else 0


class Operator(StrEnum):
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    @property
    def upward(self) -> bool:
        """True where large values are the bad ones."""
        return self in (Operator.ABOVE, Operator.AT_LEAST)

    def holds(self, value: Fraction, bound: Fraction) -> bool:
        """Exact: 480 against 400 + 20 % is equal, so not above."""
        return _COMPARE[self](value, bound)


_COMPARE: dict[Operator, Callable[[Fraction, Fraction], bool]] = {
    Operator.ABOVE: operator.gt,
    Operator.AT_LEAST: operator.ge,
    Operator.BELOW: operator.lt,
    Operator.AT_MOST: operator.le,
}


class NoData(StrEnum):
    """What an unknown sample does to a hold (spec 3)."""

    RESET = "reset"
    IGNORE = "ignore"
    BREACH = "breach"


@dataclass(frozen=True, slots=True)
class Bound:
    """`constant`, or `other × factor + constant` where another signal is named; in the judged signal's unit."""

    constant: Fraction = Fraction(0)
    other: str | None = None
    factor: Fraction = Fraction(1)

    def value(self, other: Fraction | None) -> Fraction:
        """The bound as a number, given the other signal's value where one is named."""
        return self.constant if other is None else other * self.factor + self.constant


@dataclass(frozen=True, slots=True)
class Comparison:
    """`SIGNAL OP BOUND`, with the text it was written as."""

    signal: str
    op: Operator
    bound: Bound
    text: str
    """As the service file has it, such as `native.latency_p90 > proxy.latency_p90 + 20%`."""

    @property
    def signals(self) -> tuple[str, ...]:
        return (self.signal,) if self.bound.other is None else (self.signal, self.bound.other)


@dataclass(frozen=True, slots=True)
class Alert:
    """What fires a trigger from outside: an alert that came by `hook` and says all this."""

    hook: str
    fields: tuple[tuple[str, str], ...]
    """Name and value; at least one."""

    def is_met(self, hook: str, said: Mapping[str, str]) -> bool:
        return hook == self.hook and all(said.get(name) == value for name, value in self.fields)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the threshold table: `when` · `for` · `severity` · `then`. All durations in seconds."""

    name: str
    severity: Severity
    then: str
    """A rung of the ladder, or `investigate`."""
    when: tuple[Comparison, ...] = ()
    """All true at the same sample; empty for a trigger."""
    hold: int = 0
    """The `for` of the rule; M of `for: M of N`."""
    hold_within: int | None = None
    """N of `for: M of N`."""
    no_data: NoData = NoData.RESET
    within_of_deploy: int | None = None
    approval: bool = False
    trigger: bool = False
    alerts: tuple[Alert, ...] = ()
    """Which alerts from outside fire this trigger; a named person always may."""
    on_blind: str | None = None
    blind_after: int = 300
    resolve_for: int = 120
    min_requests: int = 100
    false_actions: Fraction | None = Fraction(1)
    """How often a year chance may fire this rule; None turns the evidence gate off (`any`)."""
    signals: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """Every signal the condition needs, without repeats, in order. Worked out once: a tick asks a hundred times."""

    def __post_init__(self) -> None:
        signals = tuple(dict.fromkeys(name for c in self.when for name in c.signals))
        object.__setattr__(self, "signals", signals)

    @property
    def condition(self) -> str:
        """The condition in words, for pages and logs."""
        return " and ".join(c.text for c in self.when) if self.when else "a person's report"
