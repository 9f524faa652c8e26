"""The findings as the runbook's document: every section of its template, with what only people can know marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction

from notaus.core.effect import LeverResult
from notaus.core.evidence import percent
from notaus.core.paging import condition, duration, spell
from notaus.core.rule import Comparison
from notaus.core.sample import Sample
from notaus.core.signal import Shape, Unit
from notaus.report.chart import Line, Mark, Point, draw
from notaus.report.files import Document, stem
from notaus.report.findings import Findings, Loss

FOR_PEOPLE = "⚠ **For people to fill in:**"
TARGETS = (("detect", 300), ("act", 300), ("recover", 600))
"""Seconds that the runbooks allow for each."""


def render(found: Findings) -> Document:
    """The document of an incident, and its charts."""
    name = stem(found.service, found.incident)
    charts = {f"{signal}.svg": _chart(found, signal) for signal in found.series}
    parts = [_head(found), _timeline(found), _root_cause(), _impact(found), _done(found), _values(found, name)]
    parts += [_times(found), _kept(found), _people()]
    return Document(found.incident.id, name, "\n\n".join("\n".join(part) for part in parts) + "\n", charts)


def _head(found: Findings) -> Iterator[str]:
    incident, service = found.incident, found.service
    yield f"# {_plain(service.tag)} Incident - {_plain(', '.join(incident.rules) or 'ordered by a person')}"
    yield ""
    yield f"**Date:** {_time(incident.opened_at, '%Y-%m-%d')}  "
    yield f"**Severity:** {str(incident.severity).capitalize()}  "
    yield f"**Duration:** {_duration(found)}  "
    yield f"**Impact:** {'; '.join(_lost(loss) for loss in found.losses if loss.failed) or 'no requests were seen to fail'}  "
    yield f"**Incident:** `{incident.id}` of {_plain(service.name)}, {incident.phase}"
    if incident.open:
        yield ""
        yield "*The incident is still open: this document shows it as it stands.*"


def _duration(found: Findings) -> str:
    began, over = found.began_at or found.incident.opened_at, found.over_at
    if over is None:
        return f"since {_time(began)} UTC, not over yet"
    return f"{_time(began)} - {_time(over)} UTC ({_span(over - began)})"


def _lost(loss: Loss) -> str:
    if loss.among is None:
        return f"{_number(loss.failed)} by {loss.signal}"
    return f"{_number(loss.failed)} of {_number(loss.among)} requests failed ({_share(loss)}) by {loss.signal}"


def _share(loss: Loss) -> str:
    return percent(float(loss.failed / loss.among)) if loss.among else "-"


def _timeline(found: Findings) -> Iterator[str]:
    yield "## Timeline (UTC)"
    yield ""
    began = [] if found.began_at is None else [(found.began_at, "the first sample of the breach")]
    lines = [*began, *((entry.at, entry.text) for entry in found.incident.timeline)]
    for at, text in sorted(lines, key=lambda line: line[0]):
        yield f"- **{_time(at, '%Y-%m-%d %H:%M:%S')}** - {_plain(text)}"


def _root_cause() -> Iterator[str]:
    yield "## Root Cause"
    yield ""
    yield f"{FOR_PEOPLE} why it happened, and why nothing noticed before it reached users. The journal cannot know."


def _impact(found: Findings) -> Iterator[str]:
    yield "## Impact Analysis"
    yield ""
    yield "- **Users Affected:** unknown: requests are counted, users are not"
    yield "- **Requests Failed:** between the first breach and the recovery, in windows that lie side by side"
    if not found.losses:
        yield "    - none that a signal counted"
    for loss in found.losses:
        gaps = "" if loss.known == loss.windows else f" ({loss.windows - loss.known} of {loss.windows} windows unknown)"
        yield f"    - {_lost(loss)}{gaps}"
    triggers = [rule.name for rule in found.rules if rule.trigger]
    reported = f"reported by `{'`, `'.join(triggers)}`" if triggers else "nothing was reported to notaus"
    yield f"- **Data Loss:** {reported}; {FOR_PEOPLE} confirm"
    yield f"- **Revenue Impact:** {FOR_PEOPLE} if any"


def _done(found: Findings) -> Iterator[str]:
    facts = found.incident.facts
    yield "## What Was Done, and How It Was Verified"
    yield ""
    if not found.levers:
        yield "- No lever was pulled" + (": the service is only observed." if found.incident.shadow else ".")
    for lever in found.levers:
        yield f"- **{_time(lever.now, '%H:%M:%S')}** - {lever.result.outcome}: {_plain(_detail(lever.result))}"
    for checks in found.checks:
        for result in checks.result.results:
            said = "passed" if result.passed else "**failed**"
            yield f"    - **{_time(checks.now, '%H:%M:%S')}** - {said}: {_plain(f'{result.name}: {result.detail}')}"
    for name in ("reason", "evidence", "verified", "replaced"):
        if name in facts:
            yield f"- **{name.capitalize()}:** {_plain(facts[name])}"
    for name, words in (("by hand", "The same by hand"), ("undo", "Back to what was there before")):
        if name in facts:
            yield f"\n{words}:\n\n```bash\n{_code(facts[name])}\n```"


def _detail(result: LeverResult) -> str:
    return "; ".join((result.detail, *result.notes))


def _values(found: Findings, name: str) -> Iterator[str]:
    yield "## Values"
    yield ""
    yield "| signal | when it opened | worst | at the end shown |"
    yield "|---|---|---|---|"
    for signal, samples in found.series.items():
        at = [s for s in samples if s.at <= found.incident.opened_at]
        shown = (at[-1] if at else None, _worst(found, signal), samples[-1] if samples else None)
        yield f"| {signal} | {' | '.join(_spelt(found, signal, sample) for sample in shown)} |"
    for rule in found.rules:
        yield f"\nRule `{_code(rule.name)}`: {_plain(condition(rule))}, then {_plain(rule.then)}."
    for signal in found.series:
        yield f"\n![{signal}]({name}/{signal}.svg)"


def _worst(found: Findings, signal: str) -> Sample | None:
    """The value farthest on the bad side, from the first breach to the recovery."""
    first, last = found.began_at or found.incident.opened_at, found.over_at or found.last
    known = [s for s in found.series[signal] if s.value is not None and first <= s.at <= last]
    upward = all(c.op.upward for c in _comparisons(found, signal))
    return (max if upward else min)(known, key=lambda s: s.value or Fraction(0), default=None)


def _comparisons(found: Findings, signal: str) -> list[Comparison]:
    return [c for rule in found.rules for c in rule.when if c.signal == signal]


def _spelt(found: Findings, signal: str, sample: Sample | None) -> str:
    described = found.service.signals[signal]
    return spell(sample, described.unit, described.shape)


def _chart(found: Findings, signal: str) -> str:
    described = found.service.signals[signal]
    points = tuple(_point(sample) for sample in found.series[signal])
    bounds = [_bound(found, comparison) for comparison in _comparisons(found, signal)]
    opened = Mark(found.incident.opened_at, "opened")
    marks = [opened, *(Mark(e.now, f"{e.result.outcome}: {e.result.detail}"[:40]) for e in found.levers)]
    if found.recovered_at is not None:
        marks.append(Mark(found.recovered_at, "recovered"))

    def words(value: float) -> str:
        shape = Shape.SCALAR
        return spell(Sample(0, Fraction(str(round(value, 6)))), described.unit, shape)

    inside = [mark for mark in marks if found.first <= mark.at <= found.last]
    unit = "" if described.unit in (Unit.RATIO, Unit.PLAIN) else f" ({described.unit})"
    return draw(f"{signal}{unit}, UTC", points, bounds, inside, words)


def _point(sample: Sample) -> Point:
    return sample.at, None if sample.value is None else float(sample.value)


def _bound(found: Findings, comparison: Comparison) -> Line:
    """A constant is drawn through, a bound by another signal follows that signal."""
    other = comparison.bound.other
    base = found.series[other if other is not None else comparison.signal]
    points = tuple(
        (
            s.at,
            None
            if other is not None and s.value is None
            else float(comparison.bound.value(s.value if other else None)),
        )
        for s in base
    )
    return Line(comparison.text, points)


def _times(found: Findings) -> Iterator[str]:
    incident = found.incident
    began, opened = found.began_at, incident.opened_at
    spans = {
        "detect": ("from the first sample of the breach to the decision", None if began is None else opened - began),
        "act": ("from the decision until the lever had taken effect", _since(opened, found.acted_at)),
        "recover": (
            "from the first sample of the breach to the verdict that it was over",
            _since(began if began is not None else opened, found.recovered_at),
        ),
    }
    yield "## Times"
    yield ""
    yield "| time to | took | allowed | measured |"
    yield "|---|---|---|---|"
    for name, allowed in TARGETS:
        words, seconds = spans[name]
        took = "-" if seconds is None else _span(seconds) + ("" if seconds <= allowed else " ⚠")
        yield f"| {name} | {took} | {duration(allowed)} | {words} |"


def _kept(found: Findings) -> Iterator[str]:
    yield "## Evidence Kept"
    yield ""
    yield _plain(found.incident.facts.get("evidence kept", "nothing was kept beside the journal"))
    if found.exhibits:
        yield ""
        yield "| file | what | at | bytes | SHA-256 |"
        yield "|---|---|---|---|---|"
    for exhibit in found.exhibits:
        whole = "" if exhibit.complete else ", not all of it"
        size = f"{exhibit.bytes:,}{whole}" if exhibit.bytes else f"none: {exhibit.problem or 'empty'}"
        cells = (exhibit.source, _time(exhibit.at, "%H:%M:%S"), size)
        yield f"| `{exhibit.file}` | {' | '.join(map(_plain, cells))} | {f'`{exhibit.sha256}`' if exhibit.bytes else ''} |"


def _since(start: int, end: int | None) -> int | None:
    return None if end is None else max(end - start, 0)


def _people() -> Iterator[str]:
    """What only people can write."""
    yield from ("## Fix", "", f"{FOR_PEOPLE} what was changed so that the cause is gone.", "")
    yield from ("## Prevention", "", f"{FOR_PEOPLE} keep what applies, add what is missing.", "")
    yield "- [ ] The root cause is fixed, and a test would fail if it came back"
    yield "- [ ] Tried before production, under production's load"
    yield "- [ ] Rolled out gradually, and watched"
    yield "- [ ] A metric or rule that would have told earlier is in the service file"
    yield "- [ ] The runbook says what was learned"
    yield from ("", "## Lessons Learned", "", f"{FOR_PEOPLE} what went well, what did not, where luck helped.", "")
    yield from ("## Sign-Off", "", f"- **Incident Commander:** {FOR_PEOPLE} name")
    yield f"- **Date Closed:** {FOR_PEOPLE} date"


def _time(at: int, form: str = "%H:%M") -> str:
    return datetime.fromtimestamp(at, UTC).strftime(form)


def _span(seconds: int) -> str:
    if seconds < 3600:
        minutes, rest = divmod(seconds, 60)
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _number(number: Fraction) -> str:
    return f"{float(number):,.0f}"


def _plain(text: str) -> str:
    """Text from outside as one line of Markdown that means nothing but itself."""
    return re.sub(r"([\\`*\[\]<|])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Text inside code: it must not end it."""
    return " ".join(text.split()).replace("`", "'") if "```" in text or "\n" in text else text
