"""The GraphQL sources against rows whose measures are worked out by hand, and against Cloudflare's schema."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import graphql
import pytest

from notaus.config.sources import R2, Http, Workers
from notaus.core.sample import Sample
from notaus.errors import ReadFailed

from .conftest import NOW, Lab

SCHEMA = Path(__file__).parents[1] / "fixtures" / "contract" / "cloudflare.graphql"
SCRIPT = Workers("api-worker")


def http(lab: Lab) -> Http:
    return Http(lab.box.zone, "api.oooefam.net")


def write_http(lab: Lab, at: int, status: int = 200, ms: float = 100, weight: int = 1, **more: Any) -> None:
    row = {"zoneTag": lab.box.zone, "clientRequestHTTPHost": "api.oooefam.net", **more}
    lab.box.rows.write(
        "httpRequestsAdaptiveGroups", at, weight, 0, edgeResponseStatus=status, edgeTimeToFirstByteMs=ms, **row
    )


def write_worker(lab: Lab, at: int, errors: int = 0, us: float = 1000, version: str = "v1", **more: Any) -> None:
    weight = more.pop("weight", 1)
    row = {"scriptName": "api-worker", "scriptVersion": version, **more}
    lab.box.rows.write("workersInvocationsAdaptive", at, weight, 0, errors=errors, wallTime=us, **row)


def write_r2(
    lab: Lab, at: int, status: str = "success", code: int = 200, bucket: str = "media", weight: int = 1
) -> None:
    values = {"bucketName": bucket, "actionStatus": status, "responseStatusCode": code}
    lab.box.rows.write("r2OperationsAdaptiveGroups", at, weight, 0, **values)


def value(readings: Any, signal: str, at: int = NOW) -> Fraction | None:
    found: Sample = next(s for s in readings[signal] if s.at == at)
    return found.value


async def test_http_errors_are_the_statuses_that_are_not_traffic(lab: Lab) -> None:
    """A scanner's 404s would roll back a good version."""
    for status in (200, 200, 404, 404, 400, 422, 500, 503):
        write_http(lab, NOW, status)
    signals = ("edge.requests", "edge.errors", "edge.error_rate", "edge.error_5xx_rate")
    found = await lab.read(lab.entry(http(lab), *signals, name="edge"))
    assert value(found, "edge.requests") == 8
    assert value(found, "edge.errors") == 4
    assert value(found, "edge.error_rate") == Fraction(1, 2)
    assert value(found, "edge.error_5xx_rate") == Fraction(1, 4)
    assert found["edge.error_rate"][0].among == 8


async def test_http_counts_users_of_the_host_alone(lab: Lab) -> None:
    """Another host's errors, or a Worker's subrequests, would be blamed on this service."""
    write_http(lab, NOW)
    write_http(lab, NOW, 500, clientRequestHTTPHost="other.example.com")
    write_http(lab, NOW, 500, requestSource="edgeWorkerFetch")
    found = await lab.read(lab.entry(http(lab), "edge.requests", "edge.error_rate", name="edge"))
    assert (value(found, "edge.requests"), value(found, "edge.error_rate")) == (1, 0)


async def test_http_latency_is_in_milliseconds(lab: Lab) -> None:
    """A bound of 2 s would be compared with the wrong unit."""
    for n in range(1, 101):
        write_http(lab, NOW - 59 + n // 2, ms=n)
    found = await lab.read(lab.entry(http(lab), "edge.latency_p95", "edge.latency_p50", name="edge"))
    assert 94 <= (value(found, "edge.latency_p95") or 0) <= 96
    assert found["edge.latency_p95"][0].among == 100


async def test_http_has_no_p90(lab: Lab) -> None:
    """The document would fail at every poll, with an error that names a field and not the signal."""
    with pytest.raises(ReadFailed, match=r"edge\.latency_p90.*p50, p95 and p99"):
        await lab.read(lab.entry(http(lab), "edge.latency_p90", name="edge"))


async def test_several_times_come_in_one_document_with_exact_windows(lab: Lab) -> None:
    """A backfill would take a query per time; a window would take in a neighbour's second."""
    for at in (NOW - 75, NOW - 74, NOW - 60, NOW - 15, NOW):
        write_http(lab, at)
    found = await lab.read(lab.entry(http(lab), "edge.requests", name="edge"), NOW - 15, NOW)
    assert value(found, "edge.requests", NOW - 15) == 3
    assert value(found, "edge.requests", NOW) == 2
    assert len(lab.asked("graphql")) == 1


async def test_sampled_requests_are_told_as_such(lab: Lab) -> None:
    """Ten rows standing for a thousand requests would be taken for a thousand."""
    for _ in range(10):
        write_http(lab, NOW, weight=100)
    found = await lab.read(lab.entry(http(lab), "edge.error_rate", name="edge"))
    assert found["edge.error_rate"] == (Sample(NOW, Fraction(0), Fraction(0), Fraction(1000), Fraction(10)),)


async def test_no_requests_to_a_live_zone_are_none_and_otherwise_unknown(lab: Lab) -> None:
    """Missing data would be taken for health."""
    signals = ("edge.requests", "edge.error_rate")
    found = await lab.read(lab.entry(http(lab), *signals, name="edge"))
    assert (value(found, "edge.requests"), value(found, "edge.error_rate")) == (None, None)
    write_http(lab, NOW, clientRequestHTTPHost="other.example.com")
    found = await lab.read(lab.entry(http(lab), *signals, name="edge"))
    assert (value(found, "edge.requests"), value(found, "edge.error_rate")) == (0, None)


async def test_workers_latency_comes_in_microseconds(lab: Lab) -> None:
    """600 ms would be 600,000."""
    for us in (1500, 2500):
        write_worker(lab, NOW, us=us)
    write_worker(lab, NOW, errors=1, us=2500)
    signals = ("w.requests", "w.errors", "w.error_rate", "w.latency_p99")
    found = await lab.read(lab.entry(SCRIPT, *signals, name="w"))
    assert value(found, "w.requests") == 3
    assert value(found, "w.errors") == 1
    assert value(found, "w.error_rate") == Fraction(1, 3)
    assert value(found, "w.latency_p99") == Fraction(5, 2)


async def test_workers_by_version_are_cohorts(lab: Lab) -> None:
    """The two versions of a gradual deployment could not be told apart."""
    write_worker(lab, NOW, errors=1, version="aaaa-1")
    write_worker(lab, NOW, version="bbbb-2")
    source = Workers("api-worker", by_version=True)
    signals = ("aaaa-1.error_rate", "bbbb-2.error_rate", "cccc-3.requests", "cccc-3.error_rate", "w.requests")
    found = await lab.read(lab.entry(source, *signals, name="w"))
    assert [value(found, s) for s in signals] == [1, 0, 0, None, 2]


async def test_r2_failures_are_all_but_success_and_failed_conditions(lab: Lab) -> None:
    """A client's conditional write would count as an outage of storage."""
    for status, code in (("success", 200), ("userError", 412), ("userError", 403), ("internalError", 500)):
        write_r2(lab, NOW, status, code)
    write_r2(lab, NOW, "internalError", 500, bucket="another")
    signals = ("r2.operations", "r2.failures", "r2.failure_rate")
    found = await lab.read(lab.entry(R2("media"), *signals, name="r2"))
    assert [value(found, s) for s in signals] == [4, 2, Fraction(1, 2)]


async def test_r2_without_uploads_has_no_failures_where_the_dataset_is_alive(lab: Lab) -> None:
    """A quiet bucket would make its rule blind; a dead dataset would look healthy."""
    entry = lab.entry(R2("media"), "r2.failures", "r2.failure_rate", name="r2")
    found = await lab.read(entry)
    assert (value(found, "r2.failures"), value(found, "r2.failure_rate")) == (None, None)
    write_r2(lab, NOW, bucket="another")
    found = await lab.read(entry)
    assert (value(found, "r2.failures"), value(found, "r2.failure_rate")) == (0, None)


async def test_evidence_older_than_the_window_is_none(lab: Lab) -> None:
    """A dataset that stopped two minutes ago would show zero failures now."""
    write_r2(lab, NOW - 120, bucket="another")
    found = await lab.read(lab.entry(R2("media"), "r2.failures", name="r2"), NOW - 180, NOW)
    assert (value(found, "r2.failures", NOW - 180), value(found, "r2.failures")) == (0, None)


async def test_entries_read_at_the_same_moment_share_a_document(lab: Lab) -> None:
    """The number of queries would grow with the number of services."""
    import asyncio

    write_r2(lab, NOW)
    write_worker(lab, NOW)
    await asyncio.gather(
        lab.read(lab.entry(R2("media"), "r2.failures", name="r2")),
        lab.read(lab.entry(SCRIPT, "w.requests", name="w")),
    )
    assert len(lab.asked("graphql")) == 1


async def test_one_bad_entry_does_not_blind_the_others(lab: Lab) -> None:
    """One wrong field would make every service of the account blind."""
    import asyncio

    write_r2(lab, NOW)
    bad = lab.entry(Workers("api-worker", latency="noSuchTime"), "w.latency_p90", name="w")
    good = lab.entry(R2("media"), "r2.operations", name="r2")
    for number, documents in ((1, 4), (2, 2)):  # at first all at once and then alone; later, the bad one is kept apart
        lab.box.journal.requests.clear()
        failed, found = await asyncio.gather(lab.read(bad), lab.read(good), return_exceptions=True)
        assert isinstance(failed, ReadFailed), number
        assert value(found, "r2.operations") == 1
        assert len(lab.asked("graphql")) == documents


@pytest.mark.parametrize("fault", [500, 403, "garbage", "html", "outage", 429])
async def test_a_failed_read_is_never_a_zero(lab: Lab, fault: object) -> None:
    """An outage would be taken for health."""
    lab.box.faults.add("graphql", [fault] * 3)
    with pytest.raises(ReadFailed, match="r2OperationsAdaptiveGroups"):
        await lab.read(lab.entry(R2("media"), "r2.failures", name="r2"))


async def test_every_document_validates_against_the_schema(lab: Lab) -> None:
    """A field that Cloudflare does not have would fail in the field alone."""
    schema = graphql.build_schema(SCHEMA.read_text())
    quantiles = [f"w.latency_p{p}" for p in (25, 50, 75, 90, 95, 99, 999)]
    entries = [
        lab.entry(http(lab), "e.requests", "e.error_rate", "e.latency_p50", "e.latency_p95", "e.latency_p99", name="e"),
        lab.entry(SCRIPT, "w.requests", *quantiles, name="w"),
        lab.entry(Workers("api-worker", True, "requestDuration"), "v1.errors", "v1.latency_p90", name="w"),
        lab.entry(Workers("api-worker", latency="cpuTime"), "w.latency_p90", name="w"),
        lab.entry(R2("media"), "r2.failures", "r2.failure_rate", name="r2"),
    ]
    for entry in entries:
        await lab.read(entry, NOW - 15, NOW)
    documents = [json.loads(r.body)["query"] for r in lab.asked("graphql")]
    assert len(documents) == len(entries)
    for document in documents:
        assert graphql.validate(schema, graphql.parse(document)) == []
