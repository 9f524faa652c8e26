"""What a service file says of its sources: cohorts per version, units, queries, and mistakes in them."""

from __future__ import annotations

import pytest

from notaus.config.sources import Database, Prometheus
from notaus.core.deployment import STABLE, SUSPECT

from .texts import BOOKS, PIX, changed, loaded, problems

RATE = "native.error_rate > 1.5%"
API = "signals:\n"


def with_source(text: str, entry: str, condition: str) -> str:
    """The service file with one more entry, `x`, and a rule that asks for it."""
    old = RATE if text is PIX else "edge.error_rate > 10%"
    return changed(text, (API, f"{API}  x: {{{entry}}}\n"), (old, condition))


@pytest.mark.parametrize("entry", ["source: workers, by_version: true", "source: observability"])
def test_a_deployment_service_may_name_its_versions_by_their_standing(entry: str) -> None:
    """A bad version at 10 % would hide in the whole."""
    service = loaded(with_source(BOOKS, entry, "suspect.latency_p90 > stable.latency_p90 + 20%")).service
    named = {n: s for n, s in service.signals.items() if s.source == "x"}
    # The error rates are for the question whether the one that would get the traffic is worse.
    assert set(named) == {f"{c}.{m}" for c in (SUSPECT, STABLE) for m in ("latency_p90", "error_rate")}
    assert all(signal.of_version and signal.cohort == signal.prefix for signal in named.values())


def test_the_whole_of_a_worker_is_read_alone_where_no_version_is_asked_for() -> None:
    """Cohorts that nobody asks for cost calls of the budget."""
    service = loaded(with_source(BOOKS, "source: observability", "x.error_rate > 3%")).service
    (signal,) = (s for s in service.signals.values() if s.source == "x")
    assert (signal.name, signal.of_version, signal.cohort) == ("x.error_rate", False, None)


def test_a_dataset_may_call_its_cohorts_alike() -> None:
    """A canary's `stable` column is no script version: its samples would be cut at deployments."""
    cohorts = "source: analytics_engine, dataset: d, error: double1 > 1, cohorts: {column: blob1, names: [stable, new]}"
    service = loaded(with_source(BOOKS, cohorts, "stable.error_rate > 3%")).service
    assert not service.signals["stable.error_rate"].of_version


@pytest.mark.parametrize(
    ("text", "entry", "condition", "wrong", "right"),
    [
        (
            BOOKS,
            "source: workers",
            "suspect.error_rate > 3%",
            "no signal `suspect.error_rate`",
            "add `by_version: true`",
        ),
        (
            PIX,
            "source: observability",
            "suspect.error_rate > 3%",
            "no signal `suspect",
            "only a service with a deployment",
        ),
        (
            BOOKS,
            "source: observability",
            "suspekt.error_rate > 3%",
            "no signal `suspekt",
            "did you mean `suspect.error_rate`",
        ),
        (BOOKS, "source: observability", "suspect.cpu > 3%", "no signal `suspect.cpu`", "suspect.requests"),
        (
            PIX,
            "source: sql, query: SELECT 1 AS time",
            "x > 3",
            "is not a query with {from} and {to}",
            "timestamp > {from}",
        ),
        (
            PIX,
            "source: sql, query: 'SELECT 1 FROM d WHERE t > {from} AND t <= {to} FORMAT JSON'",
            "x > 3",
            "is not a query with {from} and {to}",
            "without FORMAT",
        ),
        (PIX, "source: database, query: SELECT 1", "x > 3", "`url` is missing", "url: a URL"),
        (PIX, "source: database, url: nonsense, query: SELECT 1", "x > 3", "is not a URL", "write scheme://"),
        (
            PIX,
            "source: database, url: 'a://b', query: SELECT 1, timout: 5s",
            "x > 3",
            "unknown key `timout`",
            "`timeout`",
        ),
        (
            PIX,
            "source: prometheus, url: 'http://p', query: up, header: {}",
            "x > 3",
            "unknown key `header`",
            "`headers`",
        ),
        (PIX, "source: prometheus, url: 'http://p', query: up, unit: ms", "x > 3", "3 has no unit", "3ms or 3s"),
        (PIX, "source: push, window: 50s", "x > 3", "window 50s is no multiple of step 15s", "1m"),
        (
            PIX,
            "source: prometeus, url: 'http://p', query: up",
            "x > 3",
            "`prometeus` is no source",
            "did you mean `prometheus`",
        ),
    ],
)
def test_a_mistake_in_a_source_says_what_would_be_right(
    text: str, entry: str, condition: str, wrong: str, right: str
) -> None:
    """The rule would be blind from the first day on."""
    told = "\n".join(map(str, problems(with_source(text, entry, condition))))
    assert wrong in told
    assert right in told


def test_two_entries_by_version_give_one_name_twice() -> None:
    """Which of the two a rule means would be chance."""
    text = with_source(BOOKS, "source: observability", "suspect.error_rate > 3%")
    told = problems(changed(text, (API, f"{API}  y: {{source: workers, by_version: true}}\n")))
    assert any("`suspect.error_rate` is given by" in str(problem) for problem in told)


def test_addresses_are_never_shown() -> None:
    """A password may stand in each of them."""
    assert "s3cr3t" not in repr(Database("postgresql://a:s3cr3t@b/c", "SELECT 1"))
    assert "s3cr3t" not in repr(Prometheus("https://a:s3cr3t@b", "up", {"Authorization": "Bearer s3cr3t"}))
