"""The two service files of the repository become exactly the values that the decision needs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from notaus.config import load
from notaus.config.sources import R2, AnalyticsEngine, Database, Http, Probe, Ratio
from notaus.core.ladder import DeploymentLever, KvLever, Ladder, Rung, Share
from notaus.core.rule import Bound, Comparison, NoData, Operator, Rule, Severity
from notaus.core.service import Contact, Contacts, Mode, OverridePolicy, Requirement
from notaus.core.signal import Shape, Signal, Unit
from notaus.core.verification import (
    Check,
    HttpCheck,
    RampStep,
    ReadBack,
    Restore,
    RestoreNeed,
    SignalCheck,
    WebSocketCheck,
)

from .texts import BOOKS, CONFIG, ENVIRON, PIX, loaded, problems

CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING


def a_comparison(signal: str, op: str, bound: str, constant: Fraction | int = 0, **other: object) -> Comparison:
    return Comparison(signal, Operator(op), Bound(Fraction(constant), **other), f"{signal} {op} {bound}")  # type: ignore[arg-type]


def test_the_rules_of_pix_immo_are_its_runbooks_table() -> None:
    """A rule that differs from the runbook acts at the wrong time."""
    p90, relative = "native.latency_p90", "proxy.latency_p90"
    assert loaded(PIX).service.rules == (
        Rule(
            "native errors",
            WARNING,
            "reduced",
            (a_comparison("native.error_rate", ">", "1.5%", Fraction(15, 1000)),),
            300,
        ),
        Rule(
            "native errors high",
            CRITICAL,
            "emergency",
            (a_comparison("native.error_rate", ">", "3%", Fraction(3, 100)),),
            180,
        ),
        Rule("native slow", WARNING, "investigate", (a_comparison(p90, ">", "600ms", 600),), 600),
        Rule(
            "native slower",
            WARNING,
            "reduced",
            (a_comparison(p90, ">", f"{relative} + 20%", other=relative, factor=Fraction(6, 5)),),
            300,
        ),
        Rule(
            "native far slower",
            CRITICAL,
            "emergency",
            (a_comparison(p90, ">", f"{relative} + 50%", other=relative, factor=Fraction(3, 2)),),
            180,
        ),
        Rule("uploads failing", CRITICAL, "emergency", (a_comparison("r2.failures", ">", "5/min", 5),), 180),
        Rule("orphaned intents", WARNING, "investigate", (a_comparison("orphaned_intents", ">", "10/hour", 10),)),
        Rule("database errors", CRITICAL, "emergency", trigger=True),
    )


def test_the_rules_of_bookstrack_are_its_runbooks_triggers() -> None:
    """A trigger with the wrong bound, age limit or approval rolls back what it must not, or not what it must."""
    soon = {"within_of_deploy": 1800}

    def row(name: str, signal: str, op: str, bound: str, value: Fraction | int, hold: int, **more: object) -> Rule:
        severity = WARNING if "approval" in more else CRITICAL
        return Rule(name, severity, "rolled_back", (a_comparison(signal, op, bound, value),), hold, **more)  # type: ignore[arg-type]

    assert loaded(BOOKS).service.rules == (
        row("error spike", "edge.error_rate", ">", "10%", Fraction(1, 10), 120, **soon),
        row("server errors", "edge.error_5xx_rate", ">", "5%", Fraction(1, 20), 120, **soon),
        row("outage", "health.failed", ">=", "1", 1, 60, **soon),
        row("websockets failing", "api.websocket_failure_rate", ">", "10%", Fraction(1, 10), 120, **soon),
        Rule("data loss", CRITICAL, "rolled_back", trigger=True),
        row("errors", "edge.error_rate", ">", "5%", Fraction(1, 20), 300, approval=True),
        row("latency", "edge.latency_p95", ">", "2s", 2000, 300, approval=True),
        row("cache", "api.cache_hit_rate", "<", "30%", Fraction(3, 10), 300, approval=True),
        row("providers", "api.provider_timeout_rate", ">", "10%", Fraction(1, 10), 300, approval=True),
    )


def test_the_ladders_are_those_of_the_files() -> None:
    """A rung with a wrong field would write a wrong key; a wrong limit would let automation go too far."""
    assert loaded(PIX).service.ladder == Ladder(
        KvLever("namespace-1", "config", {"canary_tag": "B2a", "last_updated": "$now"}),
        (
            Rung("normal", {"canary_percent": 10, "emergency_proxy": False}),
            Rung("reduced", {"canary_percent": 5, "emergency_proxy": False}),
            Rung("disabled", {"canary_percent": 0, "emergency_proxy": False}),
            Rung("emergency", {"canary_percent": 0, "emergency_proxy": True}),
        ),
        escalate_to="disabled",
        drains={"emergency": "native"},
        share=Share("native.share", "canary_percent"),
    )
    assert loaded(BOOKS).service.ladder == Ladder(
        DeploymentLever("api-worker", 3600), (Rung("normal"), Rung("rolled_back", stable=True))
    )


def test_signals_have_the_shape_unit_and_window_of_their_source() -> None:
    """A wrong shape skips the evidence gate or asks it in vain; a wrong unit compares apples with pears."""
    signals = loaded(PIX).service.signals
    assert signals["native.error_rate"] == Signal(
        "native.error_rate", "canary", "error_rate", Shape.RATE, Unit.RATIO, 60, 60, "native"
    )
    assert signals["proxy.latency_p90"] == Signal(
        "proxy.latency_p90", "canary", "latency_p90", Shape.QUANTILE, Unit.MILLISECONDS, 60, 60, "proxy"
    )
    assert signals["r2.failures"] == Signal("r2.failures", "r2", "failures", Shape.COUNT, Unit.COUNT, 60, 180)
    assert signals["orphaned_intents"] == Signal(
        "orphaned_intents", "orphaned_intents", "value", Shape.SCALAR, Unit.PER_HOUR, 60, 0
    )
    health = loaded(BOOKS).service.signals["health.failed"]
    assert health == Signal("health.failed", "health", "failed", Shape.SCALAR, Unit.PLAIN, 60, 0)


def test_entries_ask_for_what_is_judged_and_the_other_cohort_beside_it() -> None:
    """Signals nobody reads leave rules blind; without the other cohort a draining rung cannot be judged."""
    canary, r2, orphaned = loaded(PIX).entries
    assert canary.source == AnalyticsEngine("pix_canary", "blob1", ("native", "proxy"), "double2 >= 500", "double1")
    assert canary.signals == tuple(
        f"{c}.{m}" for c in ("native", "proxy") for m in ("share", "error_rate", "latency_p90")
    )
    assert (canary.service, canary.account, canary.name, canary.window, canary.settle) == (
        "pix-immo",
        "account-1",
        "canary",
        60,
        60,
    )
    assert r2.source == R2("piximmo-media", ("PutObject", "UploadPart", "CompleteMultipartUpload"))
    assert r2.signals == ("r2.failures",)
    assert isinstance(orphaned.source, Database)
    edge, api, health = loaded(BOOKS).entries
    assert edge.source == Http("zone-1", "api.oooefam.net")
    assert edge.signals == ("edge.error_rate", "edge.error_5xx_rate", "edge.latency_p95")
    assert isinstance(api.source, AnalyticsEngine)
    assert api.source.ratios["cache_hit_rate"] == Ratio("blob3 = 'HIT'", "blob3 != ''")
    assert api.signals == ("api.cache_hit_rate", "api.websocket_failure_rate", "api.provider_timeout_rate")
    assert health.source == Probe("https://api.oooefam.net/health", json={"data.status": "ok"})


def test_the_checks_are_those_of_the_files() -> None:
    """A check that differs passes what has not taken effect."""
    qa = "https://api.pix.immo/api/qa"
    fields = {"canary.percent": "$canary_percent", "canary.tag": "B2a", "canary.emergency_proxy": "$emergency_proxy"}
    header = {"X-Pix-Canary": "1;tag=B2a;cohort=proxy;reason=emergency"}
    assert loaded(PIX).service.verify == (
        Check(ReadBack("kv"), "read back the KV key"),
        Check(HttpCheck(qa, json=fields), f"GET {qa}"),
        Check(HttpCheck(qa, headers=header), f"GET {qa}", at="emergency"),
    )
    checks = loaded(BOOKS).service.verify
    assert [check.kind for check in checks[:2]] == [
        ReadBack("deployment"),
        HttpCheck("https://api.oooefam.net/health", json={"data.status": "ok", "data.version": "$target.tag"}),
    ]
    assert [check.kind.latency_below for check in checks[2:4] if isinstance(check.kind, HttpCheck)] == [1000, 1000]
    assert checks[4].kind == WebSocketCheck("wss://api.oooefam.net/ws/progress?jobId=test&token=test")
    errors = a_comparison("edge.error_rate", "<", "5%", Fraction(1, 20))
    slow = a_comparison("edge.latency_p95", "<", "1s", 1000)
    assert [check.kind for check in checks[5:7]] == [SignalCheck(errors, 300), SignalCheck(slow, 300)]
    hit_rate = a_comparison("api.cache_hit_rate", ">", "50%", Fraction(1, 2))
    assert checks[7] == Check(SignalCheck(hit_rate, 300), "api.cache_hit_rate > 50% for 5m", advisory=True)


def test_restore_and_contacts_are_those_of_the_files() -> None:
    """A lost prerequisite returns a broken service to normal; a lost contact hears of nothing."""
    pix, books = loaded(PIX).service, loaded(BOOKS).service
    assert pix.restore == Restore(
        (
            RestoreNeed("native.error_rate < 1%", a_comparison("native.error_rate", "<", "1%", Fraction(1, 100))),
            RestoreNeed("native.latency_p90 < 500ms", a_comparison("native.latency_p90", "<", "500ms", 500)),
            RestoreNeed("root cause identified and fixed"),
            RestoreNeed("post-mortem documented"),
        ),
        (RampStep("reduced", 7200), RampStep("normal", 86_400)),
    )
    incidents = Contact("slack", "#incidents")
    assert pix.contacts == Contacts((Contact("pagerduty", "pix-oncall"), incidents), (incidents,))
    lead = (Contact("pagerduty", "engineering-lead"),)
    alerts = Contact("slack", "#bookstrack-alerts")
    first = (Contact("pagerduty", "platform"), alerts, Contact("slack", "#engineering"))
    records = (Contact("statuspage", "api"), Contact("github", "bookstrack/api"))
    assert books.contacts == Contacts((*first, *records), (alerts,), lead, lead)


def test_what_the_files_leave_out_has_the_defaults_of_the_specification() -> None:
    """A wrong default changes every service that does not name the key."""
    service = loaded(PIX).service
    assert (service.mode, service.step, service.require) == (Mode.ACT, 15, frozenset())
    assert (service.propagation, service.validate, service.deadline) == (60, 300, 120)
    assert (service.max_actions, service.max_actions_per) == (4, 3600)
    assert (service.override, service.override_for, service.ttl) == (OverridePolicy.HOLD, 1800, 1800)
    rule = service.rule("native errors")
    assert (rule.no_data, rule.on_blind, rule.blind_after, rule.resolve_for) == (NoData.RESET, None, 300, 120)
    assert (rule.min_requests, rule.false_actions) == (100, 1)
    assert loaded(BOOKS).service.require == set(Requirement)


def test_the_repositorys_configuration_loads_as_it_is() -> None:
    """The first command of a new user would fail."""
    configuration = load(CONFIG, ENVIRON)
    assert [service.name for service in configuration.services] == ["bookstrack", "pix-immo"]
    assert configuration.warnings == ()


def test_scenarios_load_the_files_without_an_environment() -> None:
    """Unit tests of a service file would need its secrets."""
    configuration = load(CONFIG, {}, lenient=True)
    assert configuration.service("pix-immo").account == configuration.service("bookstrack").account
    assert configuration.service("pix-immo").rules == loaded(PIX).service.rules


@pytest.mark.parametrize("name", ["pix-immo", "bookstrack"])
def test_a_configuration_finds_its_services_by_name(name: str) -> None:
    """Commands name services; an unknown one must not answer with another."""
    configuration = load(CONFIG, ENVIRON)
    assert configuration.service(name).name == name
    with pytest.raises(KeyError):
        configuration.service(f"{name}-other")


def test_every_file_is_kept_as_it_stands(directory: Path) -> None:
    """The journal keeps these texts; a filled-in one would write secrets into it."""
    texts = load(directory, ENVIRON).texts
    assert texts[str(directory / "services/pix-immo.yaml")] == PIX
    assert "s3cr3t" not in "".join(texts.values())


@pytest.mark.parametrize("group", ["warning", "escalate", "approvers"])
def test_nobody_is_woken_through_a_status_page(group: str) -> None:
    """Customers would read of what they cannot notice, and nobody be reached."""
    line = "approvers: [pagerduty: engineering-lead]" if group == "approvers" else f"  {group}: "
    text = BOOKS.replace(
        line, "approvers: [statuspage: api]" if group == "approvers" else f"{line}[statuspage: api] # "
    )
    (found,) = problems(text)
    assert found.wrong == "nobody is reached through `statuspage`"
    assert "page: critical:" in found.right


def test_pages_know_where_the_runbook_sends_people() -> None:
    """The dashboard and the status page would have to be searched for."""
    books = load(CONFIG, ENVIRON).service("bookstrack")
    assert books.title == "BooksTrack API"
    assert books.links == {
        "status page": "https://status.oooefam.net",
        "dashboard": "https://dash.cloudflare.com/account-1/workers/services/view/api-worker/production",
    }


def test_a_drill_has_its_time_on_a_staging_service_alone() -> None:
    """The production service would be stopped at three in the morning, by itself, each quarter."""
    text = PIX + '\nstaging: true\ndrill: "0 3 1 */3 *"\n'
    service = loaded(text).service
    assert (service.staging, service.drill.cron) == (True, "0 3 1 */3 *")
    (problem,) = problems(PIX + '\ndrill: "0 3 1 */3 *"\n')
    assert problem.wrong == "a drill is held by itself on a staging service alone"
    whole = loaded(
        PIX + '\ndrill: {bad: v2.0.0, fault: [curl, -X, POST, "http://x"], heal: [true-ly], page: true}\n'
    ).service.drill
    assert (service.drill.page, whole.page) == (False, True)
    assert (whole.cron, whole.bad, whole.fault, whole.heal) == (
        None,
        "v2.0.0",
        ("curl", "-X", "POST", "http://x"),
        ("true-ly",),
    )


@pytest.mark.parametrize(
    ("cron", "wrong"), [("0 3 * * 1", "counts weekdays"), ("every monday", "is no cron"), ("0 25 * * *", "is no cron")]
)
def test_a_cron_expression_that_means_something_else_is_told(cron: str, wrong: str) -> None:
    """0 is Sunday to cron and Monday to the scheduler."""
    (problem,) = problems(PIX + f'\nstaging: true\ndrill: "{cron}"\n')
    assert wrong in problem.wrong
