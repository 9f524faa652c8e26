"""The thresholds over the last 90 days, from a journal that is written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from notaus import drill
from notaus.core.sample import Sample, rate
from notaus.drill import Held, Line
from notaus.journal import IncidentRow, Journal, Record
from tests.config.texts import PIX, loaded

SERVICE = loaded(PIX).service
NOW = 1_790_000_100
BEGIN = NOW - 7_200
STEP = 15


@pytest.fixture
def journal() -> Iterator[Journal]:
    with Journal.open("sqlite://") as opened:
        yield opened


def rates(*stretches: tuple[int, float], begin: int = BEGIN) -> tuple[Sample, ...]:
    """Samples of (seconds, error rate), one after the other."""
    at, found = -(-begin // STEP) * STEP, []
    for seconds, share in stretches:
        for _ in range(0, seconds, STEP):
            found.append(rate(at, round(1000 * share), 1000))
            at += STEP
    return tuple(found)


def written(journal: Journal, samples: tuple[Sample, ...] = (), **more: Any) -> None:
    journal.write(Record("pix-immo", NOW, "Polled", {}, {}, readings={"native.error_rate": samples}, **more))


def about(journal: Journal, rule: str) -> drill.Reviewed:
    return next(each for each in drill.review(journal, SERVICE, NOW).rules if each.rule == rule)


def test_holds_breaches_and_the_nearest_miss_are_counted(journal: Journal) -> None:
    """Whether a threshold is too near would be remembered, not known."""
    written(journal, rates((60, 0.003), (120, 0.05), (60, 0.003), (165, 0.04), (60, 0.003), (240, 0.08), (60, 0.003)))
    high = about(journal, "native errors high")
    assert (high.holds, high.breaches) == (3, 1)
    assert high.nearest is not None
    assert high.nearest.held == 150
    assert high.missed_by == pytest.approx(150 / 180)
    quiet = about(journal, "native far slower")
    assert (quiet.holds, quiet.nearest) == (0, None)
    assert quiet.says.startswith("its condition was never true")


def test_a_hold_over_midnight_is_one_hold(journal: Journal) -> None:
    """The journal is read a day at a time: each day would begin its holds anew."""
    written(journal, rates((86_400 - 90, 0.003), (240, 0.05), (60, 0.003), begin=NOW - 90_000))
    high = about(journal, "native errors high")
    assert (high.holds, high.breaches) == (1, 1)


def test_what_was_not_read_ends_a_hold(journal: Journal) -> None:
    """Two short spikes with a night in between would be one long one."""
    gap = rates((120, 0.05), begin=BEGIN + 3600)
    written(journal, (*rates((120, 0.05)), *gap))
    assert about(journal, "native errors high").holds == 2


def test_actions_pages_and_what_had_no_evidence_come_from_incidents_and_messages(journal: Journal) -> None:
    """A rule that wakes people for nothing would look as good as one that saved the service."""
    told = [
        {"at": 1, "text": "stepping to emergency: native errors high: seen: 5 %", "rules": ["native errors high"]},
        {"at": 2, "text": "native errors is true as well", "rules": []},
    ]
    body = {"rules": ["native errors high", "native errors"], "steps": 1, "paged": True, "timeline": told}
    shadow = {"rules": ["native errors high"], "shadow": True, "timeline": told}
    thread = "notaus/pix-immo/evidence:native errors high/5"
    message = {"message": {"thread": thread}}
    written(
        journal,
        incidents=[
            IncidentRow("pix-immo-1", "pix-immo", NOW - 86_400, "critical", "x", body),
            IncidentRow("pix-immo-2", "pix-immo", NOW - 86_400, "critical", "x", shadow),
            IncidentRow("pix-immo-0", "pix-immo", NOW - 91 * 86_400, "critical", "x", body),
        ],
        effects=[("pix-immo/1-send", "Send", message), ("pix-immo/2-send", "Send", message)],
    )
    high, mild = about(journal, "native errors high"), about(journal, "native errors")
    assert (high.actions, high.pages, high.refused) == (1, 1, 1)
    assert (mild.actions, mild.pages, mild.refused) == (0, 1, 0)
    assert high.says.startswith("1 breaches had no evidence: chance crosses it")
    assert mild.says == "no samples are kept: nothing can be said"


def test_each_rule_that_a_step_carries_has_acted(journal: Journal) -> None:
    """People would look for a limit that kept a rule from acting, which had acted together with another."""
    rules = ["native errors high", "native errors"]
    told = [{"at": 1, "text": "stepping to emergency: native errors high: seen: 5 %", "rules": rules}]
    body = {"rules": rules, "steps": 1, "paged": True, "timeline": told}
    incident = IncidentRow("pix-immo-1", "pix-immo", NOW - 3600, "critical", "x", body)
    written(journal, rates((60, 0.003), (400, 0.05), (60, 0.003)), incidents=[incident])
    for rule in rules:
        assert (about(journal, rule).breaches, about(journal, rule).actions) == (1, 1)
        assert about(journal, rule).says.startswith("look at each action: was it right?")


def test_the_report_ticks_off_what_was_done_and_met(journal: Journal) -> None:
    """A list on which everything is ticked off proves nothing."""
    written(journal, rates((60, 0.003), (165, 0.04), (60, 0.003)))
    held = Held("pix-immo", NOW, "kim")
    held.lines = [
        Line("emergency stop: read back the KV key", 1.5, 30.0),
        Line("back to normal: GET /api/qa", 29.0, 30.0),
        Line("gradually: reduced: GET /api/qa", 31.0, 30.0),
    ]
    text = drill.markdown(held, SERVICE, drill.review(journal, SERVICE, NOW))
    assert "**Result:** NOT passed" in text
    assert "- [x] Execute NOT-AUS in the staging environment" in text
    assert "- [ ] KV propagation < 30 seconds, each answer of the service too" in text
    assert "- [ ] Test gradual rollback, rung by rung" in text
    assert "- [ ] Simulate failure, detected in less than 5 minutes" in text
    assert "| gradually: reduced: GET /api/qa | 31.0 s | < 30 s | **NO** |" in text
    assert "| native errors high | 1 | 0 | 0 | 0 | 0 | 2m30s of 3m | it came near once" in text
    found = drill.as_json(held, drill.review(journal, SERVICE, NOW))
    assert found["passed"] is False
    assert found["rules"][1]["nearest_miss_ratio"] == 0.833
