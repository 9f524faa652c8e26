"""Keys of several levels: the inner wins; and what rules, ladders and sources may say beyond the two example files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from notaus.config import load
from notaus.config.sources import Database, Http, Observability, Probe, Prometheus, Push, Sql, Workers
from notaus.core.rule import NoData
from notaus.core.service import Mode, OverridePolicy

from .texts import BOOKS, DAEMON, ENVIRON, PIX, changed, loaded, problems

RATE = "native.error_rate > 1.5%"


def test_a_service_says_otherwise_than_the_daemon_and_a_rule_otherwise_than_both(directory: Path) -> None:
    """A value of the wrong level holds for too much, or for nothing."""
    defaults = "defaults: {resolve_for: 1m, no_data: ignore, validate: 4m, ttl: 20m, override: enforce, window: 2m}\n"
    (directory / "notaus.yaml").write_text(DAEMON + defaults)
    text = changed(PIX, ("mode: act", "mode: act\nresolve_for: 90s"), ("for: 10m,", "for: 10m, resolve_for: 3m,"))
    text = changed(text, ("  escalate_to", "  validate: 6m\n  escalate_to"), ("bucket:", "window: 1h\n    bucket:"))
    (directory / "services/pix-immo.yaml").write_text(text)
    configuration = load(directory, ENVIRON)
    pix, books = configuration.service("pix-immo"), configuration.service("bookstrack")
    assert [pix.rule(n).resolve_for for n in ("native errors", "native slow")] == [90, 180]
    assert books.rules[0].resolve_for == 60
    assert {rule.no_data for rule in (*pix.rules, *books.rules)} == {NoData.IGNORE}
    assert (pix.validate, books.validate) == (360, 240)
    assert (pix.ttl, pix.override, pix.override_for) == (1200, OverridePolicy.ENFORCE, 1800)
    assert (pix.signals["native.error_rate"].window, pix.signals["r2.failures"].window) == (120, 3600)


def test_the_daemon_can_keep_every_service_from_acting(directory: Path) -> None:
    """`mode: observe` of the daemon is the switch that must not be overruled."""
    (directory / "notaus.yaml").write_text(DAEMON + "mode: observe\n")
    assert {service.mode for service in load(directory, ENVIRON).services} == {Mode.OBSERVE}


def test_a_service_that_names_no_mode_observes() -> None:
    """A new service must not act before somebody decided so."""
    assert loaded(changed(PIX, ("mode: act", ""))).service.mode is Mode.OBSERVE


@pytest.mark.parametrize(("text", "often"), [("any", None), ("0.5", Fraction(1, 2)), ("12", Fraction(12))])
def test_false_actions_are_a_number_a_year_or_any(text: str, often: Fraction | None) -> None:
    """`any` turns the evidence gate off; a number must be exact."""
    assert loaded(changed(PIX, ("mode: act", f"false_actions: {text}"))).service.rules[0].false_actions == often


def test_a_hold_may_be_m_of_n() -> None:
    """`3m of 5m` is for signals that flap."""
    rule = loaded(changed(PIX, ("for: 3m", "for: 3m of 5m"))).service.rules[1]
    assert (rule.hold, rule.hold_within) == (180, 300)


def test_a_rule_without_a_name_is_called_by_its_condition() -> None:
    """Pages, metrics and commands name rules."""
    text = changed(PIX, ("name: native errors, ", ""), ("name: native errors high, ", ""))
    text = changed(text, ("native.error_rate > 3%", "native.error_rate > 1.5%"))
    names = [rule.name for rule in loaded(text).service.rules[:2]]
    assert names == ["native.error_rate > 1.5% for 5m", "native.error_rate > 1.5% for 3m"]


def test_several_conditions_must_all_be_true() -> None:
    """`when: [A, B]` read as one of them would act on half the evidence."""
    rule = loaded(changed(PIX, (RATE, '[native.error_rate > 1.5%, "r2.failures >= 2"]'))).service.rules[0]
    assert [c.signal for c in rule.when] == ["native.error_rate", "r2.failures"]


@pytest.mark.parametrize(
    ("bound", "constant", "factor", "other"),
    [
        ("proxy.latency_p90 + 20%", 0, Fraction(6, 5), "proxy.latency_p90"),
        ("proxy.latency_p90 - 12.5%", 0, Fraction(7, 8), "proxy.latency_p90"),
        ("proxy.latency_p90+20%", 0, Fraction(6, 5), "proxy.latency_p90"),
        ("proxy.latency_p90 + 50ms", 50, 1, "proxy.latency_p90"),
        ("proxy.latency_p90 - 1.5s", -1500, 1, "proxy.latency_p90"),
        ("proxy.latency_p90", 0, 1, "proxy.latency_p90"),
        ("0.25s", 250, 1, None),
    ],
)
def test_bounds_are_exact_numbers_of_the_signals_unit(
    bound: str, constant: int, factor: Fraction, other: str | None
) -> None:
    """480 ms against 400 ms + 20 % must not fire."""
    found = (
        loaded(changed(PIX, ("native.latency_p90 > 600ms", f"native.latency_p90 > {bound}")))
        .service.rules[2]
        .when[0]
        .bound
    )
    assert (found.constant, found.factor, found.other) == (constant, factor, other)


@pytest.mark.parametrize(
    ("window", "bound", "events"),
    [("1m", "5/min", 5), ("5m", "5/min", 25), ("90s", "5/min", Fraction(15, 2)), ("1h", "10/hour", 10), ("1m", "7", 7)],
)
def test_a_rate_of_events_becomes_a_count_in_the_window(window: str, bound: str, events: Fraction) -> None:
    """Five a minute over five minutes are twenty-five."""
    text = changed(
        PIX, ("bucket:", f"window: {window}\n    bucket:"), ("r2.failures > 5/min", f"r2.failures > {bound}")
    )
    assert loaded(text).service.rule("uploads failing").when[0].bound.constant == events


@pytest.mark.parametrize(("bound", "value"), [("10/hour", 10), ("1/min", 60)])
def test_a_declared_unit_is_the_unit_of_the_value(bound: str, value: int) -> None:
    """`unit: /hour` says what the query returns."""
    text = changed(PIX, ("orphaned_intents > 10/hour", f"orphaned_intents > {bound}"))
    assert loaded(text).service.rule("orphaned intents").when[0].bound.constant == value


WINDOWED = "SELECT max(timestamp) AS time, count() AS value FROM d WHERE timestamp > {from} AND timestamp <= {to}"
SOURCES = [
    ("source: workers", Workers("pix-immo-api"), "x.error_rate > 3%", 180),
    (
        "source: workers, script: other, by_version: true, latency: cpuTime",
        Workers("other", True, "cpuTime"),
        "x.errors > 3",
        180,
    ),
    ("source: observability", Observability("pix-immo-api"), "x.latency_p90 > 1s", 45),
    (
        "source: http, zone: z, host: h, errors: [5xx, 404]",
        Http("z", "h", ((500, 599), (404, 404))),
        "x.latency_p95 > 1s",
        180,
    ),
    (
        "source: probe, get: https://a.b/c, status: 204, timeout: 500ms, control: https://c.d",
        Probe("https://a.b/c", False, 204, timeout=0.5, control="https://c.d"),
        "x.failure_rate > 3%",
        0,
    ),
    ("source: probe, websocket: wss://a.b", Probe("wss://a.b", True), "x.latency_p50 > 1s", 0),
    (f"source: sql, query: '{WINDOWED}', unit: ms", Sql(WINDOWED), "x > 1s", 60),
    (
        "source: database, url: 'sqlite:///a.db', query: SELECT 1, timeout: 2s",
        Database("sqlite:///a.db", "SELECT 1", 2.0),
        "x > 3",
        0,
    ),
    (
        "source: prometheus, url: 'https://p.example', query: up, headers: {X-Scope-OrgID: a}, unit: '%'",
        Prometheus("https://p.example", "up", {"X-Scope-OrgID": "a"}, True),
        "x > 3%",
        0,
    ),
    ("source: push, settle: 5s", Push(), "x >= 1.5", 5),
    ("source: push, unit: '%'", Push(True), "x > 3%", 0),
]


@pytest.mark.parametrize(("entry", "source", "condition", "settle"), SOURCES, ids=[s[0][:40] for s in SOURCES])
def test_every_source_loads_and_settles_in_its_own_time(
    entry: str, source: object, condition: str, settle: int
) -> None:
    """A sample taken for settled too early is judged before its data is there."""
    text = changed(PIX, ("  r2:  ", f"  x: {{{entry}}}\n  r2:  "), (RATE, condition))
    service = loaded(text)
    (found,) = (one for one in service.entries if one.name == "x")
    assert found.source == source
    assert found.settle == settle
    assert found.signals == (service.service.rules[0].when[0].signal,)


def test_analytics_without_cohorts_gives_signals_of_its_entry() -> None:
    """`api.error_rate` is the natural name where there are no cohorts."""
    more = "    error: blob5 = 'x'\n    latency: double1\n    where: blob1 = 'y'\n    ratios:"
    text = changed(BOOKS, ("    ratios:", more), ("api.cache_hit_rate < 30%", "api.latency_p99 > 1s"))
    entry = next(e for e in loaded(text).entries if e.name == "api")
    assert "api.latency_p99" in entry.signals


def test_ratios_belong_to_every_cohort() -> None:
    """A ratio over both cohorts would hide the worse one."""
    text = changed(
        PIX, ("    error:", "    ratios: {hits: \"blob3 = 'HIT'\"}\n    error:"), (RATE, "native.hits < 30%")
    )
    assert {"native.hits", "proxy.hits"} <= set(loaded(text).service.signals)


def test_recovery_commands_are_kept() -> None:
    """Pages show them."""
    assert loaded(PIX + "recovery: {purge cache: wrangler kv key delete x}\n").recovery == {
        "purge cache": "wrangler kv key delete x"
    }


def test_a_value_that_is_not_set_in_the_environment_has_its_default() -> None:
    """`${X:-default}` is for what only some deployments change."""
    text = changed(PIX, ("mode: act", 'mode: ${MODE:-act}\nstep: "${STEP:-30s}"\nmin_requests: ${MIN}'))
    service = loaded(text, {**ENVIRON, "MIN": "7"}).service
    assert (service.mode, service.step, service.rules[0].min_requests) == (Mode.ACT, 30, 7)


def test_a_kv_value_from_the_environment_has_its_type() -> None:
    """The Worker would find the text "5" where it expects a number."""
    text = changed(
        PIX,
        (
            "    reduced:   {canary_percent: 5,  emergency_proxy: false}",
            "    reduced:\n      canary_percent: ${PERCENT}\n      emergency_proxy: false",
        ),
    )
    fields = loaded(text, {**ENVIRON, "PERCENT": "6"}).service.ladder.rung("reduced").fields
    assert fields == {"canary_percent": 6, "emergency_proxy": False}


def test_a_trigger_cannot_ask_for_approval() -> None:
    """A trigger acts at once: asking would contradict it."""
    assert problems(changed(PIX, ("trigger: true,", "trigger: true, approval: required,")))


def test_an_entry_that_nothing_asks_for_is_told(directory: Path) -> None:
    """It costs requests if it is read, and looks guarded if it is not."""
    text = changed(PIX, ("  r2:  ", "  idle: {source: workers}\n  r2:  "))
    (directory / "services/pix-immo.yaml").write_text(text)
    configuration = load(directory, ENVIRON)
    assert "nothing asks for a signal of `idle`" in "".join(map(str, configuration.warnings))
    assert "idle" not in [entry.name for entry in configuration.entries]


def test_the_other_cohorts_error_rate_and_share_are_read_though_no_rule_names_them() -> None:
    """Without them nobody can tell whether the traffic goes to something worse, or whether a rung drained a cohort."""
    text = "\n".join(line for line in PIX.splitlines() if "native.error_rate" not in line and "  share:" not in line)
    canary = loaded(text).entries[0]
    measures = ("share", "error_rate", "latency_p90")
    assert canary.signals == tuple(f"{cohort}.{measure}" for cohort in ("native", "proxy") for measure in measures)


def test_a_ramp_names_no_rung_twice() -> None:
    """It would stand still."""
    assert problems(changed(PIX, ("{rung: normal, for: 24h}", "{rung: reduced, for: 24h}")))
