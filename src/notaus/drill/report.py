"""The drill's report: Markdown for people, and the same as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from notaus.core.ladder import KvLever
from notaus.core.service import Service
from notaus.drill.exercise import Held, Line
from notaus.drill.review import Review, spelled
from notaus.errors import NotausError
from notaus.log import scrub

PEOPLE = (
    "Update the contact lists (PagerDuty, Slack): is everyone named in `notaus.yaml` and in the rotation still here?",
    "Document the lessons learned, in this file.",
    "Adjust the thresholds where the review below says so; nothing is changed by itself.",
)
"""What stays with people."""


def summary(held: Held) -> str:
    """One thought a line, for the notice."""
    missed = [line for line in held.lines if not line.met]
    said = [f"{len(held.lines)} things measured, {len(missed)} not within their target."]
    said += [f"{line.what}: {_seconds(line)}, target {_target(line)}" for line in missed]
    said += [f"Problem: {text}" for text in held.problems]
    said += [f"NOT put back: {text}" for text in held.unrestored]
    return "\n".join(said)


def markdown(held: Held, service: Service, review: Review | None) -> str:
    """The whole report."""
    kv = isinstance(service.ladder.lever, KvLever)
    result = "passed: every target is met" if held.passed else "NOT passed"
    parts = [
        f"# Drill of {service.called}, {_day(held.began)}",
        "",
        f"**Result:** {result}",
        f"**Held:** {_clock(held.began)} to {_clock(held.ended)} UTC, by {held.by}",
        f"**Incident:** {held.incident or 'none'}",
        "",
        "## Checklist",
        "",
        *(f"- [{'x' if done else ' '}] {what}" for what, done in _checklist(held, kv, review)),
        "",
        "## Measured",
        "",
        "| what | measured | target | met |",
        "|---|---|---|---|",
        *(_row(line) for line in held.lines),
        "",
    ]
    parts += _section("Problems", [*held.problems, *(f"**NOT put back:** {text}" for text in held.unrestored)])
    parts += _section("Contacts", [f"{contact}: {said}" for contact, said in held.contacts.items()])
    parts += _reviewed(service, review)
    parts += _section("Timeline (UTC)", [f"**{_clock(e['at'])}** {_line(e['text'])}" for e in held.timeline])
    parts += ["## Lessons learned", "", "_To be written by people._", ""]
    return scrub("\n".join(parts))


def _checklist(held: Held, kv: bool, review: Review | None) -> Iterable[tuple[str, bool]]:
    """The runbook's own, ticked off where it was done and met."""

    def done(*words: str) -> bool:
        lines = [line for line in held.lines if any(line.what.startswith(word) for word in words)]
        return bool(lines) and all(line.met for line in lines)

    if kv:
        yield "Execute NOT-AUS in the staging environment", done("emergency stop", "total recovery")
        yield (
            "KV propagation < 30 seconds, each answer of the service too",
            done("emergency stop", "back to", "gradually"),
        )
        yield "Test gradual rollback, rung by rung", done("gradually")
        yield "Practise return to normal operation", done("return to normal")
    else:
        yield "Deploy a test change to staging", done("test change")
        yield "Roll back, in less than 5 minutes", done("rollback", "time to roll back")
        yield "Total recovery in less than 10 minutes", done("total recovery")
    yield "Simulate failure, detected in less than 5 minutes", done("time to detect")
    yield "Review the alert thresholds", review is not None
    yield (
        "A test page to each contact",
        bool(held.contacts) and not any("NOT" in said for said in held.contacts.values()),
    )
    for text in PEOPLE:
        yield text, False


def _row(line: Line) -> str:
    detail = f" ({line.detail})" if line.detail else ""
    cell = f"{line.what}{detail}".replace("|", "\\|").replace("\n", " ")
    return f"| {cell} | {_seconds(line)} | {_target(line)} | {'yes' if line.met else '**NO**'} |"


def _seconds(line: Line) -> str:
    return "never" if line.seconds is None else f"{line.seconds:.1f} s"


def _target(line: Line) -> str:
    return "–" if line.target is None else f"< {line.target:.0f} s"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {line}" for line in lines), ""] if lines else []


def _reviewed(service: Service, review: Review | None) -> list[str]:
    if review is None:
        return []
    sampled = "none is kept" if review.sampled_from is None else f"kept since {_day(review.sampled_from)}"
    rows = [
        f"| {r.rule} | {r.holds} | {r.breaches} | {r.refused} | {r.actions} | {r.pages} "
        f"| {spelled(r.nearest, service.rule(r.rule).hold)} | {r.says} |"
        for r in review.rules
    ]
    return [
        f"## Thresholds since {_day(review.since)}",
        "",
        f"Holds, breaches and the nearest miss are counted from samples ({sampled}); the rest from the incidents and messages.",
        "",
        "| rule | holds | breaches | no evidence | actions | pages | nearest miss | suggestion |",
        "|---|---|---|---|---|---|---|---|",
        *(row.replace("\n", " ") for row in rows),
        "",
    ]


def as_json(held: Held, review: Review | None) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "service": held.service,
        "passed": held.passed,
        "restored": not held.unrestored,
        "began": held.began,
        "ended": held.ended,
        "by": held.by,
        "incident": held.incident,
        "measured": [
            {"what": line.what, "seconds": line.seconds, "target": line.target, "met": line.met, "detail": line.detail}
            for line in held.lines
        ],
        "problems": held.problems,
        "unrestored": held.unrestored,
        "contacts": held.contacts,
        "rules": []
        if review is None
        else [
            {
                "rule": r.rule,
                "holds": r.holds,
                "breaches": r.breaches,
                "refused_for_evidence": r.refused,
                "actions": r.actions,
                "pages": r.pages,
                "nearest_miss_ratio": round(r.missed_by, 3),
                "suggestion": r.says,
            }
            for r in review.rules
        ],
    }


def kept(held: Held, text: str, directory: Path) -> Path:
    """Write the report into `directory`, beside those before it. Raises NotausError."""
    stamp = datetime.fromtimestamp(held.began, UTC).strftime("%Y-%m-%d_%H%M%S")
    name = re.sub(r"[^a-z0-9]+", "-", held.service.lower()).strip("-")
    path = directory / f"{stamp}_{name}_drill.md"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NotausError(f"the report {path} cannot be written: {error.strerror}") from None
    return path


def _line(text: str) -> str:
    return text.replace("\n", "; ")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
