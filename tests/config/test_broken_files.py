"""Every mistake in a service file is told at its line and key, with what would be right."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from .texts import BOOKS, ENVIRON, PIX, SECRET, changed, line_of, problems


class Broken(NamedTuple):
    """One change to a service file, and the one problem that must be reported: at the line of `new`, unless `line` says."""

    old: str
    new: str
    field: str
    wrong: str
    right: str
    line: str | None = None
    text: str = PIX
    count: int = 1
    """How many problems there are; more than one where one change is several mistakes."""


RATE, P90 = "native.error_rate > 1.5%", "native.latency_p90 > 600ms"

DURATIONS = [
    Broken("for: 3m", "for: 300", "rules[1].for", "300 has no unit", "300s or 5m?"),
    Broken("for: 3m", "for: 7", "rules[1].for", "7 has no unit", "7s or 7m?"),
    Broken("for: 3m", "for: 3:00", "rules[1].for", "3:00 is no duration", "write 3m"),
    Broken("for: 3m", "for: 1:30:00", "rules[1].for", "1:30:00 is no duration", "write 1h30m"),
    Broken("for: 3m", "for: 3 minutes", "rules[1].for", "3 minutes is no duration", "write 3m"),
    Broken("for: 3m", "for: -3m", "rules[1].for", "-3m is negative", "a duration"),
    Broken("for: 3m", "for: 1.5s", "rules[1].for", "1.5s is no whole number of seconds", "15s or 5m"),
    Broken("for: 3m", "for: 3x", "rules[1].for", "3x has an unknown unit", "ms, s, m, h, d and w"),
    Broken("for: 3m", "for: 5m of 3m", "rules[1].for", "5m does not fit into 3m", "shorter duration first"),
    Broken("for: 3m", "for: [3m]", "rules[1].for", "is a list", "a duration"),
    Broken("for: 3m", "for: true", "rules[1].for", "is true", "a duration"),
    Broken("mode: act", "mode: act\nttl: 5s", "ttl", "`5s` is too short", "at least 60s", "ttl"),
    Broken("within: 30m of deploy", "within: 30m", "rules[0].within", "of what", "`30m of deploy`", text=BOOKS),
    Broken("within: 30m of deploy", "within: 30m of noon", "rules[0].within", "`noon`", "`30m of deploy`", text=BOOKS),
]

CONDITIONS = [
    Broken(
        RATE,
        "nativ.error_rate > 3%",
        "rules[0].when",
        "no signal `nativ.error_rate`",
        "did you mean `native.error_rate`",
    ),
    Broken(
        RATE, "native.eror_rate > 3%", "rules[0].when", "no signal `native.eror_rate`", "`native` gives native.requests"
    ),
    Broken(RATE, "canary.errors > 3", "rules[0].when", "no signal `canary.errors`", "`canary` gives native.requests"),
    Broken(RATE, "native.error_rate > 1.5", "rules[0].when", "1.5 has no unit: 1.5%?", "takes a percentage"),
    Broken(RATE, "native.error_rate > 5ms", "rules[0].when", "5ms does not fit", "takes a percentage"),
    Broken(RATE, "native.error_rate => 3%", "rules[0].when", "`=>` is no operator", "write `native.error_rate >= 3%`"),
    Broken(RATE, "native.error_rate == 3%", "rules[0].when", "`==` is no operator", ">, >=, < and <="),
    Broken(RATE, "3% < native.error_rate", "rules[0].when", "`3%` is no signal", "signal stands on the left"),
    Broken(RATE, "native.error_rate", "rules[0].when", "`native.error_rate` is no condition", "SIGNAL OP BOUND"),
    Broken(RATE, "native.error_rate > lots of it", "rules[0].when", "is no bound", "a number with a unit"),
    Broken(RATE, "native.error_rate > 3 per mille", "rules[0].when", "unknown unit", "units are %, ms, s"),
    Broken(RATE, "native.error_rate > proxy.latency_p90", "rules[0].when", "not of one unit", "takes a percentage"),
    Broken(RATE, "native.error_rate > proxy.error_rate + 5ms", "rules[0].when", "5ms does not fit", "a percentage"),
    Broken(RATE, "native.error_rate > 3% and r2.failures > 5", "rules[0].when", "one comparison", "when: [A, B]"),
    Broken(RATE, "[]", "rules[0].when", "is empty", "a condition"),
    Broken(P90, "native.latency_p90 > 600", "rules[2].when", "600ms or 600s?", "milliseconds or seconds"),
    Broken(
        "r2.failures > 5/min",
        "r2.failures > 5/hour",
        "rules[5].when",
        "more than the window of `r2.failures`, 1m",
        "window: 1h",
    ),
    Broken("r2.failures > 5/min", "r2.failures > 5/m", "rules[5].when", "unknown unit", "write 5/min"),
    Broken("r2.failures > 5/min", "r2.failures > 5%", "rules[5].when", "5% does not fit", "a count such as 5, 5/min"),
    Broken("r2.failures > 5/min", "r2.latency_p90 > 1s", "rules[5].when", "no signal", "`r2` gives r2.operations"),
    Broken("orphaned_intents > 10/hour", "orphaned_intents > 10", "rules[6].when", "10 has no unit", "10/hour"),
    Broken("health.failed >= 1", "health.failed >= 1ms", "rules[2].when", "does not fit", "a bare number", text=BOOKS),
    Broken(
        "edge.latency_p95 > 2s", "edge.latency_p90 > 2s", "rules[6].when", "edge.latency_p90", "has no p90", text=BOOKS
    ),
    Broken(
        "api.cache_hit_rate < 30%", "api.error_rate > 3%", "rules[7].when", "api.error_rate", "add `error:`", text=BOOKS
    ),
    Broken(
        "api.cache_hit_rate < 30%",
        "api.latency_p90 > 3s",
        "rules[7].when",
        "api.latency_p90",
        "add `latency:`",
        text=BOOKS,
    ),
    Broken("api.cache_hit_rate < 30%", "api.share < 3%", "rules[7].when", "api.share", "add `cohorts:`", text=BOOKS),
]

RULES = [
    Broken("then: emergency", "then: emergncy", "rules[1].then", "no rung `emergncy`", "did you mean `emergency`?"),
    Broken("then: reduced", "then: normal", "rules[0].then", "the least safe rung", "a safer rung, or `investigate`"),
    Broken(
        "severity: warning", "sevrity: warning", "rules[0].sevrity", "unknown key `sevrity`", "did you mean `severity`?"
    ),
    Broken(
        "severity: warning,  then",
        "then",
        "rules[0].severity",
        "is missing",
        "severity: `warning` or `critical`",
        "native errors",
    ),
    Broken(
        "severity: warning", "severity: warn", "rules[0].severity", "`warn` is unknown here", "did you mean `warning`?"
    ),
    Broken("name: native errors,", "name: native errors high,", "rules[1].name", "two rules", "rename", "3%,"),
    Broken(
        "when: native.error_rate > 1.5%, ",
        "",
        "rules[0].when",
        "`when` is missing",
        "or `trigger: true`",
        "native errors",
    ),
    Broken("trigger: true,", "trigger: yes,", "rules[7].trigger", "is `yes`", "write true"),
    Broken("trigger: true,", "trigger: true, for: 3m,", "rules[7].for", "exclude each other", "by a person's word"),
    Broken(
        "name: database errors, ",
        "",
        "rules[7].name",
        "a trigger needs a `name`",
        "notaus trigger SERVICE NAME",
        "trigger",
    ),
    Broken("for: 5m,  sev", "within: 30m of deploy, sev", "rules[0].within", "a KV lever", "a deployment lever"),
    Broken("for: 10m,", "approval: required,", "rules[2].approval", "takes no step", "leave it out"),
    Broken("approval: required", "approval: yes", "rules[5].approval", "`yes` is unknown", "`required`", text=BOOKS),
    Broken("for: 10m,", "no_data: no,", "rules[2].no_data", "`no` is unknown here", "`reset`, `ignore` and `breach`"),
    Broken("for: 10m,", "on_blind: off,", "rules[2].on_blind", "no rung `off`", "known are `normal`"),
    Broken("for: 10m,", "false_actions: 0,", "rules[2].false_actions", "out of range", "`any` to act without evidence"),
    Broken("for: 10m,", "false_actions: some,", "rules[2].false_actions", "is `some`", "a number per year"),
    Broken("for: 10m,", "min_requests: -1,", "rules[2].min_requests", "the number -1 is out of range", "from 0"),
    Broken("for: 10m,", "resolve_for: 6m,", "rules[2].resolve_for", "longer than validate 5m", "at most 5m"),
]

LADDER = [
    Broken(
        "reduced:   {canary_percent: 5,",
        "reduced: {canary_percent: 15,",
        "ladder.rungs",
        "goes both ways: 10, 15, 0, 0",
        "one way",
        "normal:  ",
    ),
    Broken(
        "reduced:   {canary_percent: 5,",
        "reduced: {canary_percent: 10,",
        "ladder.rungs.reduced",
        "same as `normal`",
        "safer",
    ),
    Broken(
        "reduced:   {canary_percent: 5,",
        "reduced: {canary_percent: few,",
        "ladder.rungs.reduced.canary_percent",
        "one type",
        "the same",
    ),
    Broken(
        "reduced:   {canary_percent: 5,  ",
        "reduced: {",
        "ladder.rungs.reduced",
        "`canary_percent` is missing",
        "same fields",
    ),
    Broken(
        "reduced:   {canary_percent: 5,  emergency_proxy: false}",
        "reduced: current",
        "ladder.rungs.reduced",
        "is `current`",
        "KV fields",
    ),
    Broken("escalate_to: disabled", "escalate_to: off", "ladder.escalate_to", "no rung `off`", "known are `normal`"),
    Broken(
        "drains: {emergency: native}",
        "drains: {emergency: nativ}",
        "ladder.drains.emergency",
        "no cohort `nativ`",
        "`native`",
    ),
    Broken(
        "drains: {emergency: native}",
        "drains: {emergencey: native}",
        "ladder.drains.emergencey",
        "no rung",
        "`emergency`",
    ),
    Broken(
        "from: canary_percent",
        "from: canary_percnt",
        "ladder.share.from",
        "no rung sets `canary_percnt`",
        "`canary_percent`",
    ),
    Broken("from: canary_percent", "from: emergency_proxy", "ladder.share.from", "is no number", "the percentage"),
    Broken(
        "signal: native.share",
        "signal: native.shar",
        "ladder.share.signal",
        "no signal `native.shar`",
        "`native.share`",
    ),
    Broken("    kv: ${PIX", "    kw: ${PIX", "ladder.lever", "has none of kv, deployment", "did you mean `kv`"),
    Broken(
        "last known stable}",
        "last stable}",
        "ladder.rungs.rolled_back",
        "is `last stable`",
        "did you mean `last known stable`?",
        text=BOOKS,
    ),
    Broken(
        "{normal: current, rolled",
        "{normal: last known stable, rolled",
        "ladder.rungs",
        "two rungs",
        "{normal: current,",
        text=BOOKS,
    ),
]

SIGNALS = [
    Broken("source: r2", "source: r3", "signals.r2.source", "`r3` is no source", "did you mean `r2`?"),
    Broken("source: r2", "sorce: r2", "signals.r2.source", "`source` is missing", "known are `analytics_engine`"),
    Broken("bucket: pix", "buckt: pix", "signals.r2.buckt", "unknown key `buckt`", "did you mean `bucket`?"),
    Broken(
        "    bucket: piximmo-media\n", "", "signals.r2.bucket", "`bucket` is missing", "bucket: a bucket", "source: r2"
    ),
    Broken("names: [native, proxy]", "names: []", "signals.canary.cohorts.names", "is empty", "each a cohort"),
    Broken(
        "names: [native, proxy]",
        "names: [native, r2]",
        "rules[3].when",
        "no signal `proxy.latency_p90`",
        "",
        "proxy.latency_p90 + 20%",
        count=2,
    ),
    Broken("unit: /hour", "unit: /day", "signals.orphaned_intents.unit", "`/day` is unknown", "`/hour`"),
    Broken("mode: act", "window: 50s", "window", "50s is no multiple of step 15s", "1m, or another `step`", count=2),
    Broken("bucket:", "window: 40s\n    bucket:", "signals.r2.window", "no multiple of step", "45s"),
    Broken("actions: [PutObject,", "actions: [Put Object,", "signals.r2.actions[0]", "`Put Object` is not", "letters"),
    Broken(
        "cache_hit_rate: {of",
        "error_rate: {of",
        "signals.api.ratios.error_rate",
        "no name for a ratio",
        "letters",
        text=BOOKS,
    ),
    Broken(
        "cache_hit_rate: {of",
        "cache_hit_rate: {off",
        "signals.api.ratios.cache_hit_rate.off",
        "unknown key `off`",
        "`of`",
        text=BOOKS,
    ),
    Broken(
        "get: https://api.oooefam.net/health, json",
        "get: api.oooefam.net, json",
        "signals.health.get",
        "is not an http(s) URL",
        "https://",
        text=BOOKS,
    ),
    Broken(
        "host: api.oooefam.net",
        "host: a.b\n    errors: [5xx, 700]",
        "signals.edge.errors[1]",
        "`700` is no HTTP status",
        "500-599",
        "errors: [5",
        BOOKS,
    ),
]

CHECKS = [
    Broken("{read: kv}", "{read: deployment}", "verify[0].read", "no deployment", "write `read: kv`"),
    Broken("{read: kv}", "{red: kv}", "verify[0]", "has none of read, get", "did you mean `read`"),
    Broken("{read: kv}", "{read: kv, get: https://a.b}", "verify[0]", "has both `read` and `get`", "two entries"),
    Broken(
        "$canary_percent",
        "$canary_percant",
        "verify[1].json.canary.percent",
        "stands for nothing",
        "did you mean `$canary_percent`",
    ),
    Broken("at: emergency", "at: emergncy", "verify[2].at", "no rung `emergncy`", "`emergency`"),
    Broken("latency: < 1s", "latency: 1s", "verify[2].latency", "`1s` is no upper bound", "write `< 1s`", text=BOOKS),
    Broken("latency: < 1s", "latency: < 1", "verify[2].latency", "`< 1` is no duration", "write `< 1s`", text=BOOKS),
    Broken("wss://api", "http//api", "verify[4].websocket", "is not a WebSocket URL", "wss://", text=BOOKS),
    Broken(
        "{signal: edge.error_rate < 5%,",
        "{signal: edge.eror_rate < 5%,",
        "verify[5].signal",
        "no signal",
        "`edge.error_rate`",
        text=BOOKS,
    ),
    Broken(
        "{rung: normal, for: 24h}", "{rung: emergency, for: 24h}", "restore.ramp[1].rung", "no less safe", "first rung"
    ),
    Broken(
        "{attest: root", "{atest: root", "restore.require[2].atest", "unknown key `atest`", "did you mean `attest`?"
    ),
    Broken(
        "require: [native.error_rate < 1%",
        "require: [native.error_rate < 1",
        "restore.require[0]",
        "1 has no unit: 1%?",
        "percentage",
    ),
]

PEOPLE = [
    Broken(
        "pagerduty: pix-oncall",
        "pagerdty: x",
        "page.critical[0].pagerdty",
        "no channel `pagerdty`",
        "did you mean `pagerduty`?",
    ),
    Broken(
        "pagerduty: pix-oncall",
        "pix-oncall",
        "page.critical[0]",
        "is `pix-oncall`",
        'one pair such as `slack: "#incidents"`',
    ),
    Broken(
        "pagerduty: pix-oncall", "{pagerduty: a, slack: b}", "page.critical[0]", "has 2 keys", "one pair in each item"
    ),
    Broken("pagerduty: pix-oncall", "pagerduty: 5", "page.critical[0].pagerduty", "is the number 5", 'quote it: "5"'),
    Broken("no_hold,", "no_holt,", "require[1]", "`no_holt` is unknown here", "did you mean `no_hold`?", text=BOOKS),
]

SERVICE = [
    Broken("mode: act", "mode: no", "mode", "`no` is unknown here", "known are `observe` and `act`"),
    Broken("mode: act", "mode: on", "mode", "`on` is unknown here", "known are `observe` and `act`"),
    Broken("mode: act", "mdoe: act", "mdoe", "unknown key `mdoe`", "did you mean `mode`?"),
    Broken("mode: act", "mode: act\nmode: act", "mode", "given twice, first in line 5", "keep one", "mode: act   "),
    Broken("name: pix-immo", "name: pix immo", "name", "`pix immo` is not a name", "letters, digits"),
    Broken("name: pix-immo", "name: 5", "name", "is the number 5", 'quote it: "5"'),
    Broken("name: pix-immo", "name:", "name", "is empty", "must be a name"),
    Broken("mode: act", "validate: 1m", "validate", "shorter than resolve_for 2m", "lengthen one"),
    Broken("mode: act", "resolve_for: 9m", "resolve_for", "longer than validate 5m", "a longer `validate`"),
    Broken("mode: act", "max_actions: 4", "max_actions", "`4` is no limit", "`4 per hour`"),
    Broken("mode: act", "max_actions: 0 per hour", "max_actions", "allows nothing", "above 0"),
    Broken("mode: act", "account_id: x", "account_id", "unknown key", "did you mean `account`?"),
    Broken(
        "${PIX_DATABASE_URL}",
        "${PIX_DB}",
        "signals.orphaned_intents.url",
        "variable PIX_DB is not set",
        "set PIX_DB, or PIX_DB_FILE",
    ),
    Broken("${PIX_DATABASE_URL}", "${}", "signals.orphaned_intents.url", "names no variable", "${NAME}"),
    Broken("mode: act", "mode: !mode act", "mode", "tag `!mode`", "leave it out"),
]

SYNTAX = [
    Broken(
        "actions: [PutObject", "actions: [${X}, PutObject", "", "${X} inside braces or brackets", 'quote it: "${X}"'
    ),
    Broken(
        "names: [native, proxy]}", "names: [native, proxy], of: ${X}}", "", "${X} inside braces", 'quote it: "${X}"'
    ),
    Broken("{canary_tag: B2a,", "{\n      canary_tag: ${X},", "", "${X} inside braces", 'quote it: "${X}"', "${X}"),
    Broken(
        'slack: "#incidents"]', "slack: #incidents]", "", "from #incidents on is a comment", 'quote it: "#incidents"'
    ),
    Broken(
        "mode: act",
        "mode: act: now",
        "",
        "not YAML: mapping values are not allowed",
        "quote a value that contains `: `",
    ),
    Broken("mode: act", "\tmode: act", "", "not YAML", "spaces, not tabs"),
    Broken("mode: act", "mode: @act", "", "not YAML", "quote the value"),
    Broken("when: native.error_rate > 1.5%", "when: > 1.5%", "", "not YAML", "name the signal first"),
    Broken('warning:  [slack: "#incidents"]', 'warning:  [slack: "#incidents]', "", "not YAML", "close the quote"),
    Broken("mode: act", "mode: act\n---\nmode: act", "", "not YAML", "one document a file", "---"),
    Broken("mode: act", "mode: *act", "", "not YAML: found undefined alias", "begins with `*`"),
]

TABLE = [*DURATIONS, *CONDITIONS, *RULES, *LADDER, *SIGNALS, *CHECKS, *PEOPLE, *SERVICE, *SYNTAX]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.field or 'syntax'} {case.new.strip()}"[:70])
def test_a_mistake_is_told_at_its_line_with_what_would_be_right(case: Broken) -> None:
    """An engineer at night would search the file for it."""
    text = changed(case.text, (case.old, case.new))
    found = problems(text)
    line = (
        text.count("\n")
        if case.line == "approval" and not case.field
        else line_of(text, case.line or case.new.strip("\n"))
    )
    told = [(p.line, p.field) for p in found]
    assert told[:1] == [(line, case.field)], "\n".join(map(str, found))
    assert case.wrong in found[0].wrong
    assert case.right in found[0].right
    assert len(found) == case.count, "\n".join(map(str, found))


def test_a_lost_channel_name_is_told_where_yaml_itself_is_content() -> None:
    """`slack: #incidents` in a block is valid YAML that pages nobody."""
    text = changed(
        PIX, ('critical: [pagerduty: pix-oncall, slack: "#incidents"]', "critical:\n    - slack: #incidents")
    )
    (found,) = problems(text)
    assert (found.line, found.field) == (line_of(text, "slack: #incidents"), "page.critical[0].slack")
    assert "what follows `#` is a comment" in found.wrong
    assert "quote it" in found.right


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    """Each would cost another attempt, at night."""
    text = changed(
        PIX,
        ("mode: act", "mdoe: act"),
        ("source: r2", "source: r3"),
        ("for: 3m", "for: 300"),
        ("then: reduced", "then: redcued"),
        ("pagerduty: pix", "pagerdty: pix"),
    )
    assert [p.field for p in problems(text)] == [
        "mdoe",
        "signals.r2.source",
        "rules[0].then",
        "rules[1].for",
        "page.critical[0].pagerdty",
    ]


def test_a_broken_entry_does_not_make_its_rules_wrong() -> None:
    """Mistakes that follow from another bury the one that must be mended."""
    (found,) = problems(changed(PIX, ("source: analytics_engine", "source: analytics_engin")))
    assert found.field == "signals.canary.source"


def test_two_entries_that_give_one_signal_are_told() -> None:
    """One of them would shadow the other."""
    text = changed(
        BOOKS,
        (
            "  edge:   ",
            "  api2:\n    source: analytics_engine\n    dataset: d\n    cohorts: {column: c, names: [edge]}\n  edge:   ",
        ),
    )
    (found,) = problems(text)
    assert "`edge.requests` is given by `api2` already" in found.wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("", "is empty"), ("# nothing\n", "is empty"), ("- a\n- b\n", "is a list"), ("word", "is `word`")],
)
def test_a_file_that_is_no_mapping_is_told(text: str, wrong: str) -> None:
    """An empty file would guard nothing, silently."""
    (found,) = problems(text)
    assert found.line == 1
    assert wrong in found.wrong


def test_a_problem_reads_as_one_line() -> None:
    """Editors and terminals jump to `file:line:`."""
    (found,) = problems(changed(PIX, ("for: 3m", "for: 300")))
    assert (
        str(found) == f"service.yaml:{line_of(PIX, 'native errors high')}: rules[1].for: 300 has no unit; 300s or 5m?"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mode: act", "mode: ${PIX_DATABASE_URL}"),
        ("for: 3m", 'for: "${PIX_DATABASE_URL}"'),
        ("native.error_rate > 3%", '"${PIX_DATABASE_URL}"'),
        ("native.error_rate > 3%", '"${PIX_DATABASE_URL} > 3%"'),
        ("native.error_rate > 3%", '"native.error_rate > ${PIX_DATABASE_URL}"'),
        ("unit: /hour", "unit: ${PIX_DATABASE_URL}"),
        ("source: r2", "source: ${PIX_DATABASE_URL}"),
        ("name: pix-immo", "name: ${PIX_DATABASE_URL}"),
        ("trigger: true", 'trigger: "${PIX_DATABASE_URL}"'),
        ("canary_percent: 5", 'canary_percent: "${PIX_DATABASE_URL}"'),
        ("then: reduced", 'then: "${PIX_DATABASE_URL}"'),
        ("escalate_to: disabled", "escalate_to: ${PIX_DATABASE_URL}"),
        ("drains: {emergency: native}", 'drains: {emergency: "${PIX_DATABASE_URL}"}'),
        ("names: [native, proxy]", 'names: [native, "${PIX_DATABASE_URL}"]'),
        ("signal: native.share", 'signal: "${PIX_DATABASE_URL}"'),
        ("from: canary_percent", 'from: "${PIX_DATABASE_URL}"'),
        ("$canary_percent", '"$${PIX_DATABASE_URL}"'),
        ("at: emergency", 'at: "${PIX_DATABASE_URL}"'),
        ("rung: reduced", 'rung: "${PIX_DATABASE_URL}"'),
    ],
)
def test_what_the_environment_filled_in_is_never_told(old: str, new: str) -> None:
    """A secret put in the wrong place would stand in a terminal, a log, a ticket."""
    found = problems(changed(PIX, (old, new)), ENVIRON)
    assert found
    assert SECRET not in "\n".join(map(str, found))
