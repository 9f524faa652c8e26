"""Contradictions that load without an error: each is told with its line, and the two example services have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from notaus.config import load

from .texts import BOOKS, ENVIRON, PIX, changed, line_of, problems

Changes = tuple[tuple[str, str], ...]

EMERGENCY = "for: 3m,  severity: critical, then: emergency}"
HIGH = f"when: native.error_rate > 3%,                       {EMERGENCY}"
LONG = HIGH.replace("3m", "9m").replace("emergency}", "disabled}")
SPIKE = "for: 2m, within: 30m of deploy, severity: critical, then: rolled_back}"
LATENCY = "{name: latency,                when: edge.latency_p95 > 2s,             for: 5m,"
HEALTH = "- {get: https://api.oooefam.net/health, json: {data.status: ok, data.version: $target.tag}}"
AT_EMERGENCY = "- {at: emergency, get: https://api.pix.immo/api/qa, header:"
ORPHANED = "unit: /hour"

WITHOUT_SHARE = (
    ("  health: {source", "  worker: {source: workers, by_version: true}\n  health: {source"),
    ("rolled_back: last known stable}", "rolled_back: last known stable}\n  drains: {rolled_back: suspect}"),
    ("edge.error_rate > 10%, ", "suspect.error_rate > 10%, "),
)

CONTRADICTIONS: dict[str, tuple[str, Changes, str, str]] = {
    "a worse condition takes a less safe rung": (
        PIX, (("for: 5m,  severity: warning,  then: reduced}", "for: 2m,  severity: warning,  then: emergency}"),
              (HIGH, HIGH.replace("emergency}", "disabled}"))),
        "native errors high", "`then: disabled` is less safe than `emergency` of the milder `native errors`",
    ),
    "a worse condition only tells": (
        PIX, ((HIGH, HIGH.replace("emergency}", "investigate}")),),
        "native errors high", "`then: investigate` is less safe than `reduced` of the milder `native errors`",
    ),
    "the same condition for longer takes a less safe rung": (
        PIX, ((HIGH, f"{HIGH}\n  - {{name: errors for long, {LONG}"),),
        "errors for long", "less safe than `emergency` of `native errors high`, which has the same condition",
    ),
    "a worse condition with the same step comes no sooner": (
        PIX, ((HIGH, "when: native.error_rate > 3%, for: 6m, severity: warning, then: reduced}"),),
        "native errors high", "it never acts: the milder `native errors` takes the same step no later",
    ),
    "a worse condition is told more quietly": (
        BOOKS, (("approval: required,    severity: warning,  then: rolled_back}\n  - {name: latency",
                 "approval: required,    severity: critical,  then: rolled_back}\n  - {name: latency"),
                (SPIKE, SPIKE.replace("critical", "warning"))),
        "error spike", "`severity: warning` is quieter than that of the milder `errors`",
    ),
    "a worse condition asks where the milder acts": (
        PIX, ((HIGH, "when: native.error_rate > 3%, for: 3m, approval: required, severity: critical, then: reduced}"),),
        "native errors high", "it asks before it takes a step that the milder `native errors` takes by itself",
    ),
    "conditions that exclude each other": (
        PIX, ((HIGH, HIGH.replace("when: native.error_rate > 3%", "when: [native.error_rate > 3%, native.error_rate < 2%]")),),
        "native errors high", "its conditions exclude each other",
    ),
    "a bound that nothing crosses": (
        BOOKS, (("health.failed >= 1", "health.failed > 1"),), "name: outage", "`health.failed > 1` is never true",
    ),
    "a bound that everything crosses": (
        PIX, (("r2.failures > 5/min", "r2.failures >= 0/min"),), "uploads failing", "`r2.failures >= 0/min` is always true",
    ),
    "blindness leads to the least safe rung": (
        PIX, ((HIGH, HIGH.replace("emergency}", "emergency, on_blind: normal}")),),
        "native errors high", "`on_blind: normal` is the least safe rung",
    ),
    "a grid too wide for fresh samples": (
        PIX, (("mode: act ", "step: 5m\nwindow: 5m\nmode: act "),),
        "{name: native errors,", "its newest sample is always too old to act on (2m)",
    ),
    "a window that no verdict can see over": (
        PIX, ((ORPHANED, f"{ORPHANED}\n    window: 1h"),
              ("then: investigate}\n  - {name: database", "then: reduced}\n  - {name: database")),
        "name: orphaned intents", "no step of it could be found to have helped: that takes 1h2m",
    ),
    "a hold longer than within": (
        BOOKS, ((SPIKE, SPIKE.replace("for: 2m", "for: 45m")),),
        "name: error spike", "`for` 45m is longer than `within` 30m",
    ),
    "within a window": (
        BOOKS, ((SPIKE, SPIKE.replace("within: 30m", "within: 30s")),),
        "name: error spike", "no sample speaks for a new deployment before its window of 1m is over: it never acts",
    ),
    "within longer than it takes to be stable": (
        BOOKS, ((SPIKE, SPIKE.replace("within: 30m", "within: 3h")),),
        "name: error spike", "`within` 3h is longer than `stable_after` 1h",
    ),
    "a rollback rule slower than a version becomes stable": (
        BOOKS, ((LATENCY, LATENCY.replace("for: 5m", "for: 58m")),),
        "name: latency", "it finds a version bad after 1h2m (`window`, `for` and `settle`); after `stable_after` 1h",
    ),
    "nothing left to escalate to": (
        PIX, (("escalate_to: disabled", "escalate_to: reduced"),), "escalate_to: reduced", "no step could go on to `reduced`",
    ),
    "a drained cohort without a share": (
        BOOKS, WITHOUT_SHARE, "drains: {rolled_back", "no signal shows the share of `suspect`",
    ),
    "a rung that does not drain what it drains": (
        PIX, (("drains: {emergency: native}", "drains: {reduced: native}"),),
        "drains: {reduced", "`reduced` leaves `native` 5 %, and drained means less than 1 %",
    ),
    "a cohort drained by another one's share": (
        PIX, (("drains: {emergency: native}", "drains: {emergency: proxy}"),),
        "drains: {emergency: proxy", "judged by `native.share`, the share of others",
    ),
    "a rollback checklist without rollbacks": (
        PIX, (("verify:\n", "require: [no_hold]\n\nverify:\n"),), "require: [no_hold]", "nothing here rolls a version back",
    ),
    "approval by nobody": (
        BOOKS, (("approvers: [pagerduty: engineering-lead]\n", ""),),
        "{name: errors, ", "it asks for approval, and nobody is named who may give it",
    ),
    "a critical page that rings nowhere": (
        BOOKS, (('critical: [pagerduty: platform, slack: "#bookstrack-alerts", slack: "#engineering", statuspage: api',
                 "critical: [statuspage: api"),),
        "critical: [statuspage", "`error spike` is critical, and nobody is rung",
    ),
    "a critical page that is a warning's": (
        PIX, (("critical: [pagerduty: pix-oncall, ", "critical: ["),),
        "critical: [slack", "`native errors high` is critical, and reaches nobody whom a warning does not",
    ),
    "an answer that a rung does not set": (
        PIX, (("canary.percent: $canary_percent", "canary.percent: 5"),),
        "- get: https://api.pix.immo/api/qa",
        "it cannot pass at `normal`, which sets `canary_percent` to 10: `canary.percent` should be 5",
    ),
    "an answer that the lever does not set": (
        PIX, (("canary.tag: B2a", "canary.tag: B2b"),),
        "- get: https://api.pix.immo/api/qa", "which sets `canary_tag` to B2a: `canary.tag` should be B2b",
    ),
    "two checks of one address that exclude each other": (
        PIX, ((AT_EMERGENCY, AT_EMERGENCY.replace("header:", "json: {canary.tag: B2b, mode: x}, header:")),),
        AT_EMERGENCY[:16], "together with the check of the same address before it: `canary.tag` B2a and B2b",
    ),
    "a check for a rung no step goes to": (
        BOOKS, ((HEALTH, HEALTH.replace("- {", "- {at: normal, ")),), "- {at: normal", "no step goes to `normal`: it never runs",
    ),
    "a check too short for its window": (
        BOOKS, (("{signal: edge.latency_p95 < 1s, for: 5m}", "{signal: edge.latency_p95 < 1s, for: 30s}"),),
        "for: 30s}", "it cannot pass: within 30s no window of 1m lies wholly after the step",
    ),
    "a check longer than the verdict waits": (
        BOOKS, (("{signal: edge.latency_p95 < 1s, for: 5m}", "{signal: edge.latency_p95 < 1s, for: 20m}"),),
        "for: 20m}", "`for` 20m goes beyond the verdict",
    ),
    "a check of a cohort without traffic": (
        PIX, (("  - {read: kv}\n", "  - {read: kv}\n  - {signal: native.error_rate < 1%}\n"),),
        "{signal: native.error_rate < 1%}", "it cannot pass at `disabled`, which gives `native` no traffic",
    ),
    "a check for trouble": (
        BOOKS, (("signal: edge.latency_p95 < 1s", "signal: edge.latency_p95 > 3s"),),
        "latency_p95 > 3s", "it asks for what `latency` calls trouble",
    ),
    "a check that passes in trouble": (
        BOOKS, (("signal: edge.latency_p95 < 1s", "signal: edge.latency_p95 < 3s"),),
        "latency_p95 < 3s", "it passes while `latency` stands (edge.latency_p95 > 2s)",
    ),
    "a latency that is trouble": (
        BOOKS, (("q=hamlet\", latency: < 1s", "q=hamlet\", latency: < 4s"),),
        "latency: < 4s", "it passes at latencies that `latency` calls trouble",
    ),
    "checks over before the write is everywhere": (
        PIX, (("mode: act ", "deadline: 20s\nmode: act "),), "deadline: 20s", "`deadline` 20s is over before a write counts",
    ),
    "a way back in the midst of trouble": (
        PIX, (("require: [native.error_rate < 1%", "require: [native.error_rate < 2%"),),
        "require: [native.error_rate", "`native.error_rate < 2%`: it is met while `native errors` stands",
    ),
    "a way back to the safest rung": (
        PIX, (("ramp: [", "ramp: [{rung: emergency, for: 1m}, "),), "ramp: [", "`emergency` is the safest rung: no way back",
    ),
    "a ramp for a deployment": (
        BOOKS, (("page:\n", "restore:\n  ramp: [{rung: normal, for: 1h}]\n\npage:\n"),), "ramp: [", "no ramp is gone up",
    ),
}  # fmt: skip


def warnings(directory: Path, text: str) -> list[tuple[int, str]]:
    """Line and words of every warning about a service file."""
    name = "bookstrack" if "name: bookstrack" in text else "pix-immo"
    for file in (directory / "services").iterdir():
        file.unlink()
    (directory / f"services/{name}.yaml").write_text(text, encoding="utf-8")
    return [(w.line, f"{w.wrong}; {w.right}") for w in load(directory, ENVIRON).warnings]


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_told_at_its_line(name: str, directory: Path) -> None:
    """It would be found out in an incident, when something else happens than the file's author meant."""
    base, changes, part, words = CONTRADICTIONS[name]
    text = changed(base, *changes)
    found = warnings(directory, text)
    told = [line for line, said in found if words in said]
    assert told, found
    assert told[0] == line_of(text, part)
    assert all(said.split("; ", 1)[1] for _, said in found), "what would be right is missing"


def test_the_two_runbooks_contradict_nothing(directory: Path) -> None:
    """Warnings that are always there are read by nobody."""
    assert warnings(directory, PIX) == warnings(directory, BOOKS) == []


def test_a_file_with_mistakes_is_not_also_warned_about() -> None:
    """What cannot be read could contradict everything: the mistake would drown in its consequences."""
    assert len(problems(changed(PIX, ("> 3%,", "> 3 apples,")))) == 1


def test_what_no_rule_calls_milder_may_lead_where_it_likes(directory: Path) -> None:
    """Rules on other signals, in the other direction, or relative to another cohort say nothing of one another."""
    text = changed(PIX, (f"50%, {EMERGENCY}", "50%, for: 3m,  severity: critical, then: investigate}"))
    (told,) = warnings(directory, text)
    assert "`then: investigate` is less safe than `reduced` of the milder `native slower`" in told[1]
    other = changed(
        PIX, ("native.latency_p90 > proxy.latency_p90 + 50%", "native.latency_p95 > proxy.latency_p95 + 50%")
    )
    assert warnings(directory, other) == []


def test_conditions_that_can_be_true_at_once_are_no_contradiction(directory: Path) -> None:
    """A rule for a band, or one that says the same twice, would be called impossible."""
    for when in (
        "[native.error_rate > 3%, native.error_rate > 2%]",
        "[native.error_rate > 3%, native.error_rate <= 20%]",
    ):
        assert warnings(directory, changed(PIX, ("when: native.error_rate > 3%,", f"when: {when},"))) == []
