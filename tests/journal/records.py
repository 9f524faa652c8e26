"""Builders: steps to write down, short where a test does not care."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from notaus.core.sample import Sample
from notaus.journal import IncidentRow, Record


def a_record(at: int = 15, service: str = "pix-immo", **changes: Any) -> Record:
    fields: dict[str, Any] = {"service": service, "at": at, "kind": "Polled", "event": {"now": at}, "state": {"at": at}}
    return Record(**{**fields, **changes})


def a_full_record(at: int = 15, service: str = "pix-immo") -> Record:
    """A step that writes to every table."""
    return a_record(
        at,
        service,
        effects=[(f"{service}-{at}", "Send", {"at": at})],
        settled=[(f"{service}-{at - 15}", "done")],
        readings={"native.error_rate": (Sample(at, Fraction(1, 3), Fraction(1), Fraction(3)),)},
        incidents=[an_incident(at)],
        config="c0ffee",
    )


def an_incident(at: int = 15, id: str = "inc-1", **changes: Any) -> IncidentRow:
    fields: dict[str, Any] = {
        "id": id,
        "service": "pix-immo",
        "opened_at": at,
        "severity": "critical",
        "summary": "5 %",
    }
    return IncidentRow(**{**fields, "body": {"steps": [at]}, **changes})
