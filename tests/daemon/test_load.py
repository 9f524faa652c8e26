"""Many services in one daemon, against the sandbox: what they ask, keep and hold. The large figures: `make load`."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import Any

import pytest
import structlog
from benchmarks.load.crowd import Crowd
from benchmarks.load.virtual import Outcome, played

from notaus.daemon.engine import recovered
from notaus.sandbox.box import ACCOUNT


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """A line of log per service and read would cost more than the reads."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@cache
def outcome(services: int) -> Outcome:
    """Two stretches of six simulated minutes; the first holds the start, with its backfill."""
    return played(Crowd(services, ACCOUNT, step=60), hours=0.2, hour=360, tell=lambda hour: None)


def test_every_tick_is_kept_and_every_budget() -> None:
    """More services than a naive poller could have: some would be judged late, or the API block all for five minutes."""
    found = outcome(40)
    assert [hour.late for hour in found.hours] == [0, 0]
    assert [hour.ticks for hour in found.hours] == [240, 240]
    assert (found.refused, found.problems, found.pages) == (0, {}, 0)


def test_requests_for_signals_and_keys_do_not_grow_with_the_number_of_services() -> None:
    """A thousand services would need thousands of requests a minute, of which Cloudflare allows 240."""
    few, many = outcome(10).hours[-1].requests, outcome(40).hours[-1].requests
    for kind in ("sql", "graphql", "kv bulk"):
        assert 0 < many[kind] <= few[kind]
    assert "kv" not in many


def test_samples_do_not_grow_from_hour_to_hour() -> None:
    """A daemon that runs for weeks would be ended by the system for want of memory; a probe's past never comes."""
    hours = played(Crowd(2, ACCOUNT, step=60), hours=3, tell=lambda hour: None).hours
    assert hours[2].samples <= hours[0].samples * 1.1  # they are dropped in batches of ten minutes


def test_a_start_that_takes_longer_than_a_lease_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease would have run out by then, all would be dropped and read anew, and nothing guarded for ever."""

    def slowly(*given: Any) -> Any:
        asyncio.get_running_loop()._pass(2.0)  # type: ignore[attr-defined]
        return recovered(*given)

    monkeypatch.setattr("notaus.app.daemon.recovered", slowly)
    found = played(Crowd(10, ACCOUNT, step=60), hours=0.05, hour=180, tell=lambda hour: None)
    assert found.hours[0].ticks >= 2 * 10
