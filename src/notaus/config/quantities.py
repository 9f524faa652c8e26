"""Quantities as people write them: durations, numbers with a unit, rates of events, statuses; all exact."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from notaus.config.problems import Misread

SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}
SECONDS |= {"d": Fraction(86_400), "w": Fraction(604_800)}

NUMBER = r"(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})"
DURATION_PATTERN = r"^(\d+(\.\d+)?(ms|s|m|h|d|w))+$"

_PART = re.compile(rf"({NUMBER})\s*(ms|[smhdw])")
_DURATION = re.compile(rf"(?:{NUMBER}\s*(?:ms|[smhdw])\s*)+")
_CLOCK = re.compile(r"(\d{1,6}):(\d{1,2})(?::(\d{1,2}))?")
_LONG_UNITS = {"sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m"}
_LONG_UNITS |= {"minutes": "m", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d"}
_LONG_UNITS |= {"week": "w", "weeks": "w"}

LONGEST = 10 * 365 * 86_400
"""Seconds; a longer duration is a mistake."""


def duration(text: str) -> Fraction:
    """Seconds in `90s`, `5m`, `1h30m`. Raises `Misread` for anything else, with the form that would be right."""
    words = text.strip()
    if not _DURATION.fullmatch(words):
        raise Misread(*_not_a_duration(words))
    seconds = sum((Fraction(number) * SECONDS[unit] for number, unit in _PART.findall(words)), Fraction(0))
    if seconds > LONGEST:
        raise Misread(f"{words} is longer than ten years", "a duration such as 5m or 24h")
    return seconds


def whole_seconds(text: str) -> int:
    """`duration`, for what is counted in whole seconds."""
    seconds = duration(text)
    if seconds.denominator != 1:
        raise Misread(f"{text.strip()} is no whole number of seconds", "a duration such as 15s or 5m")
    return int(seconds)


def _not_a_duration(words: str) -> tuple[str, str]:
    if re.fullmatch(NUMBER, words):
        minutes = Fraction(words) / 60
        return f"{words} has no unit", f"{words}s or {minutes if minutes.denominator == 1 else words}m?"
    if clock := _CLOCK.fullmatch(words):
        return f"{words} is no duration", f"write {_as_units(clock)}"
    if long := re.fullmatch(rf"({NUMBER})\s*([a-zA-Z]+)", words):
        unit = _LONG_UNITS.get(long[2].lower())
        if unit:
            return f"{words} is no duration", f"write {long[1]}{unit}"
        return f"{words} has an unknown unit", "units are ms, s, m, h, d and w"
    if words.startswith("-"):
        return f"{words} is negative", "a duration such as 90s, 5m or 1h30m"
    return f"`{words}` is no duration", "write 90s, 5m or 1h30m"


def _as_units(clock: re.Match[str]) -> str:
    numbers = [int(part) for part in clock.groups() if part is not None]
    units = "hms" if len(numbers) == 3 else "ms"
    written = "".join(f"{n}{unit}" for n, unit in zip(numbers, units, strict=True) if n)
    return written or "0s"


def span(seconds: int) -> str:
    """`seconds` as people write it: 90 is `1m30s`."""
    parts = []
    for unit in "dhms":
        count, seconds = divmod(seconds, int(SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and the unit behind it: `%`, `ms`, `s`, `/min`, `/hour` or none."""

    number: Fraction
    unit: str

    def __str__(self) -> str:
        return f"{decimal(self.number)}{self.unit}"


UNITS = ("%", "ms", "s", "/min", "/hour", "")
_QUANTITY = re.compile(rf"(-?{NUMBER})\s*(\S.*)?")
_SPELLED = {"/m": "/min", "/minute": "/min", "per min": "/min", "per minute": "/min", "/h": "/hour", "/hr": "/hour"}
_SPELLED |= {"per hour": "/hour", "percent": "%", "sec": "s", "seconds": "s", "second": "s", "msec": "ms"}


def quantity(text: str) -> Quantity:
    """`3%`, `600ms`, `2s`, `5/min`, `10/hour` or `5`. Raises `Misread` for anything else."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        raise Misread(f"`{text.strip()}` is no number", "a number with a unit, such as 3%, 600ms, 2s, 5/min or 10/hour")
    unit = (found[2] or "").strip()
    if unit not in UNITS:
        right = f"write {found[1]}{_SPELLED[unit.lower()]}" if unit.lower() in _SPELLED else ""
        raise Misread(f"`{text.strip()}` has an unknown unit", right or "units are %, ms, s, /min, /hour and none")
    return Quantity(Fraction(found[1]), unit)


def decimal(number: Fraction) -> str:
    """`number` in decimal where that is exact, else as a fraction."""
    if number.denominator == 1:
        return str(number.numerator)
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return f"{number.numerator}/{number.denominator}" if rest != 1 else _expanded(number)


def _expanded(number: Fraction) -> str:
    digits = 1
    while (number * 10**digits).denominator != 1:
        digits += 1
    scaled = str(abs(int(number * 10**digits))).rjust(digits + 1, "0")
    return f"{'-' if number < 0 else ''}{scaled[:-digits]}.{scaled[-digits:]}"


_EVERY = re.compile(r"(\d{1,9})\s*(?:per|/)\s*(\S.*)")
_NAMED_SPANS = {"second": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86_400}


def count_per(text: str) -> tuple[int, int]:
    """`4 per hour`, `300 per 5m`: how many in how many seconds."""
    found = _EVERY.fullmatch(text.strip())
    if not found:
        raise Misread(f"`{text.strip()}` is no limit", "write `4 per hour` or `300 per 5m`")
    seconds = _NAMED_SPANS.get(found[2].strip())
    seconds = whole_seconds(found[2]) if seconds is None else seconds
    if int(found[1]) < 1 or seconds < 1:
        raise Misread(f"`{text.strip()}` allows nothing", "a number above 0 per a duration above 0s")
    return int(found[1]), seconds


_STATUSES = re.compile(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?")


def statuses(text: str) -> tuple[int, int]:
    """`500-599`, `5xx` or `408` as an inclusive range."""
    words = text.strip()
    if re.fullmatch(r"[1-5][xX]{2}", words):
        return int(words[0]) * 100, int(words[0]) * 100 + 99
    found = _STATUSES.fullmatch(words)
    if not found:
        raise Misread(f"`{words}` is no HTTP status", "write 500-599, 5xx or 408")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise Misread(f"{words} runs backwards", f"write {last}-{first}")
    return first, last
