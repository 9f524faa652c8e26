"""Metrics: what Prometheus reads, and that the documentation says the same."""

from __future__ import annotations

import math
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from notaus import metrics as module
from notaus.metrics import Metrics, documentation

SPEC_13 = {
    "signal_value": ("service", "signal"),
    "rule_hold_ratio": ("service", "rule"),
    "rule_breached": ("service", "rule"),
    "rung": ("service", "rung"),
    "incident_open": ("service",),
    "actions_total": ("service", "lever", "rung", "outcome"),
    "detection_delay_seconds": ("service",),
    "action_duration_seconds": ("service", "lever"),
    "verification_duration_seconds": ("service",),
    "poll_duration_seconds": ("account",),
    "api_requests_total": ("family", "method", "status"),
    "api_budget_remaining_ratio": ("family",),
    "data_age_seconds": ("service", "signal"),
    "last_poll_timestamp_seconds": ("account",),
    "pages_total": ("channel", "outcome"),
    "leader": ("account",),
    "clock_skew_seconds": (),
    "journal_failures_total": (),
    "outbox_size": ("service",),
    "rule_blind": ("service", "rule"),
    "mode": ("service", "mode"),
    "held": ("service",),
    "build_info": ("version",),
}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    """Every sample as Prometheus' own parser reads it."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"notaus_{name}", tuple(sorted(labels.items()))]


def test_every_metric_is_there_with_its_labels() -> None:
    """Alert rules and dashboards would silently match nothing."""
    assert {m.name.removeprefix("notaus_"): m.labels for m in Metrics().described} == SPEC_13
    assert all(hasattr(Metrics(), name) for name in SPEC_13)


def test_prometheus_reads_what_is_rendered() -> None:
    """The scrape would fail as a whole, and with it every alert about the daemon."""
    metrics = Metrics("1.2.3")
    rule = 'native.latency_p90 > proxy.latency_p90 + 50% "quoted\\"\n'
    metrics.rule_breached.labels(service="pix-immo", rule=rule).set(1)
    metrics.actions_total.labels(service="pix-immo", lever="kv", rung="emergency", outcome="done").inc()
    metrics.detection_delay_seconds.labels(service="pix-immo").observe(61)
    assert value(metrics, "rule_breached", service="pix-immo", rule=rule) == 1
    assert value(metrics, "actions_total", service="pix-immo", lever="kv", rung="emergency", outcome="done") == 1
    assert value(metrics, "detection_delay_seconds_bucket", service="pix-immo", le="60.0") == 0
    assert value(metrics, "detection_delay_seconds_bucket", service="pix-immo", le="90.0") == 1
    assert value(metrics, "build_info", version="1.2.3") == 1
    assert not [name for name, _ in samples(metrics) if name.endswith("_created")]


def test_two_daemons_in_one_process_do_not_mix() -> None:
    """Two replicas under test would count each other's actions, or the second would not start."""
    one, two = Metrics(), Metrics()
    one.journal_failures_total.inc()
    assert value(one, "journal_failures_total") == 1
    assert value(two, "journal_failures_total") == 0


def test_an_unknown_signal_is_no_number() -> None:
    """Missing data would be drawn as healthy (a zero) or as the last value."""
    metrics = Metrics()
    metrics.set_signal("pix-immo", "native.error_rate", 0.02, age_seconds=75)
    assert value(metrics, "data_age_seconds", service="pix-immo", signal="native.error_rate") == 75
    metrics.set_signal("pix-immo", "native.error_rate", None)
    assert math.isnan(value(metrics, "signal_value", service="pix-immo", signal="native.error_rate"))


def test_exactly_the_present_rung_and_mode_are_one() -> None:
    """A dashboard would show two rungs at a time after a step."""
    metrics = Metrics()
    for rung in ("normal", "emergency"):
        metrics.set_rung("pix-immo", ("normal", "emergency"), rung)
        assert value(metrics, "rung", service="pix-immo", rung=rung) == 1
    assert value(metrics, "rung", service="pix-immo", rung="normal") == 0
    metrics.set_mode("pix-immo", "observe")
    assert value(metrics, "mode", service="pix-immo", mode="observe") == 1
    assert value(metrics, "mode", service="pix-immo", mode="act") == 0


def test_requests_are_counted_by_status_and_silence_has_its_own() -> None:
    """An outage of the API would not show, or show as status 0."""
    metrics = Metrics()
    metrics.observe_request("graphql", "POST", 200, 0.1)
    metrics.observe_request("graphql", "POST", 0, 10.0)
    assert value(metrics, "api_requests_total", family="graphql", method="POST", status="200") == 1
    assert value(metrics, "api_requests_total", family="graphql", method="POST", status="none") == 1


def test_a_removed_service_leaves_no_series_behind() -> None:
    """An incident_open of a service that is gone would alert for ever."""
    metrics = Metrics()
    for service in ("gone", "kept"):
        metrics.incident_open.labels(service=service).set(1)
        metrics.set_signal(service, "native.error_rate", 0.1)
        metrics.detection_delay_seconds.labels(service=service).observe(1)
    metrics.forget("gone")
    of_service = {dict(labels).get("service") for _, labels in samples(metrics)}
    assert "gone" not in of_service
    assert "kept" in of_service


def test_a_service_that_comes_back_is_shown_again() -> None:
    """A child remembered from before would be set where nobody reads it, and its alerts would never fire again."""
    metrics = Metrics()
    metrics.of(metrics.incident_open, "back").set(1)
    metrics.forget("back")
    metrics.of(metrics.incident_open, "back").set(1)
    assert value(metrics, "incident_open", service="back") == 1


def test_the_documentation_is_in_step() -> None:
    """docs/metrics.md would describe metrics that are not there; run `python -m notaus.metrics > docs/metrics.md`."""
    page = Path(module.__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text() == documentation(Metrics())
