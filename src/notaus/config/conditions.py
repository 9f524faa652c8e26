"""Conditions: `SIGNAL OP BOUND`, checked against the signals there are and normalised to their units, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from notaus.config.document import Scalar
from notaus.config.kinds import hidden
from notaus.config.problems import Misread, Report, near_miss
from notaus.config.quantities import NUMBER, Quantity, decimal, quantity, span
from notaus.config.signals import Given
from notaus.core.rule import Bound, Comparison, Operator
from notaus.core.signal import Signal, Unit

_COMPARISON = re.compile(r"\s*(.+?)\s*(>=|<=|=>|=<|==|!=|≥|≤|>|<|=)\s*(.+?)\s*", re.DOTALL)
_SIGNAL = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*")
_RELATIVE = re.compile(rf"(\S+?)\s*(?:\s([+-])|(\+))\s*({NUMBER}.*)", re.DOTALL)
_SIMILAR = {"=>": ">=", "=<": "<=", "≥": ">=", "≤": "<="}
_UNIT_SECONDS = {"/min": 60, "/hour": 3600}
EXAMPLES: Mapping[Unit, str] = {
    Unit.RATIO: "a percentage such as 3%",
    Unit.MILLISECONDS: "milliseconds or seconds, such as 600ms or 2s",
    Unit.COUNT: "a count such as 5, 5/min or 10/hour",
    Unit.PER_MINUTE: "a rate such as 5/min or 10/hour",
    Unit.PER_HOUR: "a rate such as 5/min or 10/hour",
    Unit.PLAIN: "a bare number such as 1",
}
"""What a bound of a signal of each unit looks like."""


class UnknownSignal(Misread):
    """A condition names a signal that no entry gives."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The signals that a service's conditions may name."""

    entries: tuple[Given, ...]
    broken: frozenset[str] = frozenset()
    """Entries that could not be read: an unknown signal may be one of theirs, and theirs may be of another unit."""

    @property
    def complete(self) -> bool:
        return not self.broken

    @property
    def signals(self) -> Mapping[str, Signal]:
        return {name: signal for given in self.entries for name, signal in given.signals.items()}

    def signal(self, name: str) -> Signal:
        """Raises `Misread`, with near misses and what the entry gives, if there is no such signal."""
        found = self.signals.get(name)
        if found is None:
            raise UnknownSignal(f"there is no signal `{name}`", self._instead(name))
        return found

    def _instead(self, name: str) -> str:
        """What to write instead: a reason, near misses of the same prefix and all it gives, or near misses at all."""
        prefix = name.partition(".")[0]
        for given in self.entries:
            if why := given.why_not(name):
                return why
            siblings = [signal for signal in given.signals if prefix in (signal.partition(".")[0], given.entry.name)]
            if siblings:
                close = near_miss(name, siblings)
                gives = f"`{prefix}` gives {', '.join(siblings)}"
                return f"{close} {gives}" if close.startswith("did you mean") else gives
        return near_miss(name, self.signals)

    def read(self, node: Scalar, report: Report) -> Comparison | None:
        """The condition in `node`; None if it cannot be read, which is reported."""
        try:
            return self.comparison(str(node.value))
        except Misread as error:
            if not self._follows(error, str(node.value)):
                report.misread(node.where, hidden(node, error) if node.filled else error)
            return None

    def _follows(self, error: Misread, text: str) -> bool:
        """Whether the mistake may be no more than the consequence of a broken entry."""
        broken = [name for given in self.entries if given.entry.name in self.broken for name in given.signals]
        return bool(self.broken) and (isinstance(error, UnknownSignal) or any(name in text for name in broken))

    def comparison(self, text: str) -> Comparison:
        """`native.error_rate > 3%` as a value. Raises `Misread`."""
        left, op, right = _parts(text)
        signal = self.signal(left)
        return Comparison(signal.name, op, self._bound(right, signal), " ".join(text.split()))

    def _bound(self, text: str, signal: Signal) -> Bound:
        if not _SIGNAL.match(text):
            return Bound(normalised(quantity(text), signal))
        relative = _RELATIVE.fullmatch(text)
        name = relative[1] if relative else text
        if not _SIGNAL.fullmatch(name):
            raise Misread(f"`{text}` is no bound", "a number with a unit, or a signal, as in `proxy.latency_p90 + 20%`")
        other = self.signal(name)
        _comparable(signal, other)
        if relative is None:
            return Bound(other=name)
        offset = quantity(relative[4])
        sign = -1 if relative[2] == "-" else 1
        if offset.unit == "%":
            return Bound(other=name, factor=1 + sign * offset.number / 100)
        return Bound(sign * normalised(offset, signal), name)


def _parts(text: str) -> tuple[str, Operator, str]:
    found = _COMPARISON.fullmatch(text)
    if not found:
        raise Misread(f"`{text.strip()}` is no condition", "write `SIGNAL OP BOUND`, as in `native.error_rate > 3%`")
    left, op, right = found.groups()
    if op in _SIMILAR or op not in list(Operator):
        instead = f"write `{left} {_SIMILAR[op]} {right}`" if op in _SIMILAR else "operators are >, >=, < and <="
        raise Misread(f"`{op}` is no operator here", instead)
    if re.search(r"\s(and|or|AND|OR)\s|&&|\|\|", right):
        raise Misread("one comparison for each condition", "write a list: `when: [A, B]` means all true")
    if not _SIGNAL.fullmatch(left):
        hint = "the signal stands on the left" if _SIGNAL.fullmatch(right) else "letters, digits, `_`, `-` and dots"
        raise Misread(f"`{left}` is no signal", hint)
    return left, Operator(op), right


def _comparable(signal: Signal, other: Signal) -> None:
    if signal.unit is not other.unit:
        raise Misread(
            f"`{signal.name}` and `{other.name}` are not of one unit",
            f"`{signal.name}` takes {EXAMPLES[signal.unit]}, or a signal of the same unit",
        )
    if signal.unit is Unit.COUNT and signal.window != other.window:
        windows = f"{span(signal.window)} and {span(other.window)}"
        raise Misread(f"`{signal.name}` and `{other.name}` count over {windows}", "give both entries one `window`")


def normalised(bound: Quantity, signal: Signal) -> Fraction:
    """`bound` in the signal's unit, exactly: `5/min` over a window of 60s is 5. Raises `Misread` if units differ."""
    match signal.unit, bound.unit:
        case Unit.RATIO, "%":
            return bound.number / 100
        case Unit.MILLISECONDS, "ms":
            return bound.number
        case Unit.MILLISECONDS, "s":
            return bound.number * 1000
        case Unit.COUNT, "/min" | "/hour":
            return _per_window(bound, signal)
        case (Unit.COUNT, "") | (Unit.PLAIN, ""):
            return bound.number
        case ((Unit.PER_MINUTE | Unit.PER_HOUR), "/min" | "/hour"):
            return bound.number * (60 if signal.unit is Unit.PER_MINUTE else 3600) / _UNIT_SECONDS[bound.unit]
    raise Misread(_misfit(bound, signal), f"`{signal.name}` takes {EXAMPLES[signal.unit]}")


def _misfit(bound: Quantity, signal: Signal) -> str:
    if not bound.unit:
        number = decimal(bound.number)
        asked = {Unit.RATIO: f"{number}%?", Unit.MILLISECONDS: f"{number}ms or {number}s?"}.get(signal.unit, "")
        return f"{bound} has no unit" + (f": {asked}" if asked else "")
    return f"{bound} does not fit `{signal.name}`"


def _per_window(bound: Quantity, signal: Signal) -> Fraction:
    seconds = _UNIT_SECONDS[bound.unit]
    if seconds > signal.window:
        raise Misread(
            f"{bound} looks at more than the window of `{signal.name}`, {span(signal.window)}",
            f"give the entry `window: {span(seconds)}`, or a bound per shorter time",
        )
    return bound.number * signal.window / seconds
