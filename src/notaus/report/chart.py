"""A signal as a chart in SVG: its samples, the bounds it was held to, and what was done when. Made without a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import groupby

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 72, 14, 34, 30
"""Margins in pixels, for the labels."""
TICKS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)

Point = tuple[int, float | None]
"""Epoch seconds and value; None where it was unknown: the line has a gap there."""


@dataclass(frozen=True, slots=True)
class Line:
    """A bound: its label and its course."""

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was done."""

    at: int
    label: str


def draw(
    title: str, points: Sequence[Point], bounds: Sequence[Line], marks: Sequence[Mark], spell: Callable[[float], str]
) -> str:
    """The chart as an SVG document; `spell` writes a value with its unit."""
    times = [at for at, _ in points] or [0]
    first, last = min(times), max(max(times), min(times) + 1)
    values = [v for _, v in (*points, *(p for b in bounds for p in b.points)) if v is not None]
    top = 4 * _round(max(values, default=0.0) * 1.1 / 4)

    def x(at: float) -> float:
        return LEFT + (min(max(at, first), last) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (1 - max(value, 0.0) / top) * (HEIGHT - TOP - BOTTOM)

    def path(course: Sequence[Point], style: str) -> str:
        return f'<path d="{_d(course, x, y)}" fill="none" {style}/>'

    body = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 18, title, "font-weight:bold;font-size:14px"),
        *(_level(y(top * part / 4), spell(top * part / 4)) for part in range(5)),
        *(_hour(x(at), at) for at in _ticks(first, last)),
        *(path(b.points, 'stroke="#c0392b" stroke-width="1.5" stroke-dasharray="6 4"') for b in bounds),
        *(_text(LEFT + 4, y(v) - 4, b.label, "fill:#c0392b") for b, v in _ends(bounds)),
        path(points, 'stroke="#1f5fa8" stroke-width="2"'),
        *(_mark(x(m.at), TOP + 12 + 14 * n, m.label) for n, m in enumerate(marks)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="font:12px sans-serif" role="img"><title>{escape(title)}</title>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _d(course: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """The path's commands: a line through each stretch of known values."""
    parts = []
    for known, stretch in groupby(course, key=lambda point: point[1] is not None):
        spots = [f"{x(at):.1f},{y(value):.1f}" for at, value in stretch if value is not None]
        if known:  # a lone sample is drawn as a dot's width of line
            parts.append("M" + " L".join(spots if len(spots) > 1 else [*spots, *spots]))
    return " ".join(parts)


def _ends(bounds: Iterable[Line]) -> Iterable[tuple[Line, float]]:
    """Each bound with its first known value, where its label stands."""
    for bound in bounds:
        known = [value for _, value in bound.points if value is not None]
        if known:
            yield bound, known[0]


def _round(value: float) -> float:
    """The next number that reads well on an axis."""
    if value <= 0:
        return 0.25
    size = 10.0 ** math.floor(math.log10(value))
    return size * next(nice for nice in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if nice * size >= value * 0.999)


def _ticks(first: int, last: int) -> range:
    step = next((t for t in TICKS if (last - first) / t <= 8), TICKS[-1])
    return range(-(-first // step) * step, last + 1, step)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{style}">{escape(text)}</text>'


def _level(y: float, text: str) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e3e3"/>'
    return line + _text(LEFT - 6, y + 4, text, "text-anchor:end;fill:#555")


def _hour(x: float, at: int) -> str:
    clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S" if at % 60 else "%H:%M")
    return _text(x, HEIGHT - 10, clock, "text-anchor:middle;fill:#555")


def _mark(x: float, y: float, label: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#2e7d32" stroke-width="1.5"/>'
    side = "end" if x > WIDTH * 0.7 else "start"
    return line + _text(x + (-5 if side == "end" else 5), y, label, f"text-anchor:{side};fill:#2e7d32")
