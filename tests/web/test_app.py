"""What is open to everybody: metrics, health, and the page that says what is where."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from .conftest import FakeDaemon


async def test_metrics_are_open_and_prometheus_reads_them(stranger: httpx.AsyncClient) -> None:
    """Prometheus would see the daemon as down."""
    answer = await stranger.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "notaus_build_info" in {family.name for family in text_string_to_metric_families(answer.text)}


async def test_health_and_readiness_are_told_apart(stranger: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A replica that waits for its lease would be restarted over and over."""
    daemon.readiness = (False, "the lease is held by another replica")
    assert (await stranger.get("/healthz")).status_code == 200
    answer = await stranger.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "the lease is held by another replica\n")
    daemon.health = (False, "the loop has stood still for 40 s")
    assert (await stranger.get("/healthz")).status_code == 503


async def test_the_first_page_says_where_things_are_and_nothing_of_the_services(stranger: httpx.AsyncClient) -> None:
    """A person at the port would not know what to do; or a stranger would see what is guarded."""
    answer = await stranger.get("/")
    assert answer.status_code == 200
    assert all(path in answer.text for path in ("/metrics", "/healthz", "/readyz", "/api/status"))
    assert "pix-immo" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_wrong_path_is_answered_with_where_to_look(stranger: httpx.AsyncClient) -> None:
    """A typing mistake would be answered by a bare `Not Found`."""
    answer = await stranger.get("/metric")
    assert answer.status_code == 404
    assert answer.json() == {"error": "there is nothing at /metric", "hint": "GET / says what is where"}
