"""Holds a run against its scenario's expectations, and explains the first difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notaus.backtest.record import Happening
from notaus.backtest.runner import EPOCH, Run
from notaus.backtest.scenario import Expectation, Scenario

AROUND = 90
"""Seconds before and after a difference that are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a run and an expectation part."""

    expectation: Expectation
    expected: str
    happened: str


def differences(scenario: Scenario, run: Run) -> list[Difference]:
    """Every expectation that does not hold, in the file's order."""
    found = (_difference(each, run, scenario) for each in scenario.expect)
    return [d for d in found if d is not None]


def _difference(expectation: Expectation, run: Run, scenario: Scenario) -> Difference | None:
    if expectation.totals:
        counts = totals(run)
        wrong = {k: counts[k] for k, n in expectation.totals.items() if counts[k] != n}
        if not wrong:
            return None
        return Difference(expectation, f"total {_said(expectation.totals)}", f"total {_said(wrong)}")
    for key, wanted in expectation.what.items():
        text = _check(expectation, key, wanted, run)
        if text is not None:
            return Difference(expectation, _when(expectation) + f"{key}: {_said(wanted)}", text)
    return None


def totals(run: Run) -> dict[str, int]:
    """KV writes, rollbacks, workflows started, commands run, incidents paged, notices opened."""
    kinds = [h.kind for h in run.happenings]
    paged = {h.value["incident"] for h in run.happenings if h.kind == "page"}
    notices = {h.value["thread"] for h in run.happenings if h.kind == "notice"}
    acts = {kind: kinds.count(kind) for kind in ("kv", "rollback", "workflow", "command")}
    return {**acts, "page": len(paged), "notice": len(notices)}


def _check(expectation: Expectation, key: str, wanted: Any, run: Run) -> str | None:
    """None if `key: wanted` holds, else what happened instead."""
    if key in ("rung", "incident", "state"):
        return _check_state(expectation, key, wanted, run)
    inside = [h for h in run.happenings if h.kind == key and _within(expectation, h.at)]
    fitting = [h for h in inside if _fits(key, wanted, h)]
    if expectation.never:
        return f"at {_clock(fitting[0].at)}: {fitting[0].text}" if fitting else None
    if key == "kv" and len(inside) != 1:
        return "no write" if not inside else f"{len(inside)} writes: {'; '.join(h.text for h in inside)}"
    if fitting:
        return None
    if inside:
        return "; ".join(f"at {_clock(h.at)}: {h.text}" for h in inside)
    nearest = _nearest(expectation, key, run)
    return f"nothing of the kind{f'; the nearest is at {_clock(nearest.at)}: {nearest.text}' if nearest else ''}"


def _within(expectation: Expectation, at: float) -> bool:
    if expectation.never:
        return expectation.first <= at < expectation.last
    return expectation.first <= at <= expectation.last


def _fits(key: str, wanted: Any, happening: Happening) -> bool:
    match key:
        case "kv":
            value = happening.value if isinstance(happening.value, Mapping) else {}
            return all(name in value and value[name] == each for name, each in wanted.items())
        case "page" | "notice":
            return _fits_message(wanted, happening.value)
        case _:
            return bool(happening.value == wanted)


def _fits_message(wanted: Any, message: Mapping[str, Any]) -> bool:
    if isinstance(wanted, str):
        return bool(message["severity"] == wanted and message["loud"])
    severity, contains = wanted.get("severity"), wanted.get("contains")
    text = "\n".join([message["title"], *message["lines"], *(f"{k}: {v}" for k, v in message["facts"].items())])
    return (severity is None or message["severity"] == severity) and (
        contains is None or str(contains).lower() in text.lower()
    )


def _check_state(expectation: Expectation, key: str, wanted: str, run: Run) -> str | None:
    seen: list[tuple[float, str]] = []
    for index, moment in enumerate(run.moments):
        until = run.moments[index + 1].at if index + 1 < len(run.moments) else float("inf")
        overlaps = moment.at <= expectation.last and until > expectation.first
        if expectation.never:
            overlaps = moment.at < expectation.last and until > expectation.first
        if not overlaps:
            continue
        has = wanted in moment.words if key == "state" else getattr(moment, key) == wanted
        if has:
            return f"at {_clock(max(moment.at, expectation.first))}: {wanted}" if expectation.never else None
        found = ", ".join(sorted(moment.words)) if key == "state" else str(getattr(moment, key))
        seen.append((max(moment.at, expectation.first), found))
    if expectation.never:
        return None
    return "; ".join(f"from {_clock(at)}: {found}" for at, found in seen) or "nothing"


def _nearest(expectation: Expectation, key: str, run: Run) -> Happening | None:
    same = [h for h in run.happenings if h.kind == key]
    return min(same, key=lambda h: abs(h.at - expectation.first), default=None)


def _when(expectation: Expectation) -> str:
    if expectation.never:
        return f"from {_clock(expectation.first)} on never "
    return f"between {_clock(expectation.first)} and {_clock(expectation.last)} "


def _said(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return "{" + ", ".join(f"{k}: {_said(v)}" for k, v in wanted.items()) + "}"
    return str(wanted).lower() if isinstance(wanted, bool) else str(wanted)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{sign}{hours}:{minutes:02}:{left:02}" if hours else f"{sign}{minutes}:{left:02}"


def explain(difference: Difference, scenario: Scenario, run: Run) -> list[str]:
    """What was expected, what happened, and each rule's samples around it."""
    expectation = difference.expectation
    lines = [
        f"{expectation.where.file}:{expectation.where.line}",
        f"expected: {difference.expected}",
        f"happened: {difference.happened}",
    ]
    centre = expectation.first
    near = [h for h in run.happenings if abs(h.at - centre) <= 10 * AROUND]
    lines += ["what happened around it:", *(f"  {_clock(h.at):>8}  {h.text}" for h in near[:20])]
    lines += [f"  {_clock(at):>8}  {kind} answered: {reply.text}" for at, kind, reply in run.replies]
    lines.append("samples around it:")
    lines += _samples(scenario, run, int(centre))
    return lines


def _samples(scenario: Scenario, run: Run, centre: int) -> list[str]:
    step, reader = scenario.tick, run.reader
    first = max(0, centre - AROUND) // step * step
    times = range(first, centre + AROUND + 1, max(step, AROUND * 2 // 12 // step * step or step))
    lines = ["  " + " " * 28 + "".join(f"{_clock(at):>9}" for at in times)]
    for rule in run.service.rules:
        for name in rule.signals:
            values = [reader.sample(name, EPOCH + at).value for at in times]
            cells = "".join(f"{float(v):>9.4g}" if v is not None else f"{'?':>9}" for v in values)
            lines.append(f"  {rule.name[:16]:<17}{name[-10:]:<11}{cells}")
    return lines
