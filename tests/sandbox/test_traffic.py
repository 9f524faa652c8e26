"""The generated traffic: realistic rates, the split that the edge's KV value asks for, and the same for the same seed."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx
import pytest

from notaus.sandbox import Sandbox
from notaus.sandbox.analytics_engine import AnalyticsEngine
from notaus.sandbox.traffic import binomial, bundles, poisson

from .conftest import START, Clock

COHORTS = (
    "SELECT blob1 AS cohort, sum(_sample_interval) AS n, sumIf(_sample_interval, double2 >= 500) AS errors,"
    " quantileExactWeighted(0.9)(double1, _sample_interval) AS p90 FROM pix_canary"
    " WHERE timestamp > NOW() - INTERVAL '{since}' SECOND GROUP BY cohort ORDER BY cohort"
)


def cohorts(box: Sandbox, since: int = 80) -> dict[str, dict[str, Any]]:
    """The last minute that can be seen."""
    rows = AnalyticsEngine(box.rows).select(COHORTS.format(since=since))
    return {row["cohort"]: {"n": int(row["n"]), "errors": int(row["errors"]), "p90": row["p90"]} for row in rows}


def run(box: Sandbox, clock: Clock, seconds: int) -> None:
    for _ in range(seconds // 15):
        clock.now += 15
        box.advance()


@pytest.fixture
def busy(clock: Clock) -> Sandbox:
    return Sandbox(clock, seed=7, traffic=True, history_seconds=900)


def test_a_healthy_past_is_there_from_the_start(busy: Sandbox) -> None:
    """The daemon learns its baseline from it."""
    found = cohorts(busy, 920)
    assert sum(cohort["n"] for cohort in found.values()) == pytest.approx(146_667, rel=0.02)  # 880 s
    assert found["native"]["n"] == pytest.approx(14_667, rel=0.05)
    for cohort in found.values():
        assert cohort["errors"] / cohort["n"] == pytest.approx(0.003, rel=0.5)
        assert 330 < cohort["p90"] < 450


def test_a_fault_of_one_cohort_shows_in_that_cohort(busy: Sandbox, clock: Clock) -> None:
    """Rates must be realistic: drawn request by request, not rounded by the weights."""
    busy.pix_immo.cohorts["native"] = type(busy.pix_immo.cohorts["native"])(error_rate=0.04, latency_ms=900.0)
    run(busy, clock, 300)
    found = cohorts(busy, 260)
    assert found["native"]["errors"] / found["native"]["n"] == pytest.approx(0.04, rel=0.25)
    assert found["native"]["p90"] == pytest.approx(900, rel=0.05)
    assert found["proxy"]["errors"] / found["proxy"]["n"] == pytest.approx(0.003, rel=0.5)


def test_reducing_empties_the_canary_slowly_and_an_emergency_at_once(busy: Sandbox, clock: Clock) -> None:
    """Sticky users are what makes `disabled` weaker than `emergency`."""
    busy.kv.write(busy.kv_namespace, "config", {"canary_percent": 0, "emergency_proxy": False}, lag=0)
    run(busy, clock, 120)
    assert 200 < cohorts(busy)["native"]["n"] < 900
    run(busy, clock, 600)
    assert cohorts(busy)["native"]["n"] < 60
    busy.kv.write(busy.kv_namespace, "config", {"canary_percent": 10, "emergency_proxy": True}, lag=0)
    run(busy, clock, 120)
    assert "native" not in cohorts(busy)


async def test_a_bad_deployment_shows_in_the_zone_and_goes_with_it(busy: Sandbox, clock: Clock) -> None:
    """The whole of bookstrack's story: deployed, failing, rolled back."""
    worker = busy.worker("bookstrack")
    good = worker.tagged("v1.9.0").id
    worker.deploy(worker.upload("v2.0.0", faulty={"error_rate": 0.12, "cache_hit_rate": 0.1}).id, lag=0)
    run(busy, clock, 180)
    assert await server_errors(busy) == pytest.approx(0.12, rel=0.2)
    worker.deploy(good, lag=0)
    run(busy, clock, 180)
    assert await server_errors(busy) == pytest.approx(0.005, rel=0.6)


async def server_errors(box: Sandbox) -> float:
    """The share of 5xx in the two newest complete minutes that can be seen."""
    query = f"""{{ viewer {{ zones {{ httpRequestsAdaptiveGroups(limit: 1,
        filter: {{datetime_geq: "{iso(box.now() - 180)}", datetime_lt: "{iso(box.now() - 60)}"}})
        {{ ratio {{ status5xx }} }} }} }} }}"""
    async with httpx.AsyncClient(transport=box.transport()) as client:
        headers = {"Authorization": f"Bearer {box.token}"}
        answer = await client.post(f"{box.urls()['api']}/graphql", json={"query": query}, headers=headers)
    groups = answer.json()["data"]["viewer"]["zones"][0]["httpRequestsAdaptiveGroups"]
    return float(groups[0]["ratio"]["status5xx"])


def iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


async def test_telemetry_counts_by_version_sooner(busy: Sandbox, clock: Clock) -> None:
    """The source with the least lag: what GraphQL shows after a minute is here after twenty seconds."""
    run(busy, clock, 60)
    body = {
        "queryId": "q", "view": "calculations", "timeframe": {"from": (clock.now - 50) * 1000, "to": clock.now * 1000},
        "parameters": {
            "filters": [{"key": "$metadata.service", "operation": "eq", "type": "string", "value": "api-worker"}],
            "calculations": [{"operator": "count", "alias": "n"}, {"operator": "p90", "key": "$workers.wallTimeMs"}],
            "groupBys": [{"type": "string", "value": "$workers.scriptVersion.id"}],
        },
    }  # fmt: skip
    url = f"{busy.urls()['api']}/accounts/{busy.account.id}/workers/observability/telemetry/query"
    async with httpx.AsyncClient(
        transport=busy.transport(), headers={"Authorization": f"Bearer {busy.token}"}
    ) as client:
        count, p90 = (await client.post(url, json=body)).json()["result"]["calculations"]
        events = (await client.post(url, json={**body, "view": "events", "limit": 5})).json()["result"]["events"]
        too_many = await client.post(url, json={**body, "limit": 2001})
    live = busy.worker("bookstrack").tagged("v1.9.0").id
    assert count["aggregates"][0]["groups"] == [{"key": "$workers.scriptVersion.id", "value": live}]
    assert count["aggregates"][0]["value"] == pytest.approx(3_000, rel=0.1)
    assert 120 < p90["aggregates"][0]["value"] < 260
    assert len(events["events"]) == 5
    assert events["events"][0]["$workers"]["scriptVersion"]["id"] == live
    assert too_many.status_code == 400


def test_the_same_seed_gives_the_same_rows() -> None:
    """A failing seed must be replayable."""

    def dump(seed: int) -> list[tuple[Any, ...]]:
        clock = Clock()
        box = Sandbox(clock, seed=seed, traffic=True, history_seconds=120)
        box.kv.write(box.kv_namespace, "config", {"canary_percent": 5})
        run(box, clock, 60)
        points = box.rows.db.execute("SELECT * FROM points").fetchall()
        return [
            *points,
            *box.rows.db.execute("SELECT * FROM httpRequestsAdaptiveGroups").fetchall(),
            (box.worker("bookstrack").versions[0].id,),
        ]

    assert dump(3) == dump(3)
    assert dump(3) != dump(4)


def test_a_long_gap_is_filled_coarsely_and_old_rows_go(busy: Sandbox, clock: Clock) -> None:
    """A clock that jumps a day must not stop the sandbox for minutes."""
    begun = time.perf_counter()
    clock.now = START + 86_400
    busy.advance()
    assert time.perf_counter() - begun < 30
    oldest = busy.rows.db.execute("SELECT min(timestamp), max(timestamp) FROM points").fetchone()
    assert oldest[0] >= clock.now - 7_200
    assert oldest[1] > clock.now - 60
    assert cohorts(busy, 3_600)["proxy"]["n"] == pytest.approx(540_000, rel=0.03)


def test_draws_have_the_right_mean_and_bundles_lose_nothing() -> None:
    """Every rate rests on these three."""
    rng = random.Random(1)
    for n, p in ((1000, 0.003), (200, 0.5), (50, 0.9)):
        drawn = [binomial(rng, n, p) for _ in range(2_000)]
        assert sum(drawn) / 2_000 == pytest.approx(n * p, rel=0.05)
        assert all(0 <= k <= n for k in drawn)
    assert (binomial(rng, 5, 0), binomial(rng, 5, 1), binomial(rng, 0, 0.5)) == (0, 5, 0)
    for mean in (0.2, 5.0, 200.0):
        assert sum(poisson(rng, mean) for _ in range(3_000)) / 3_000 == pytest.approx(mean, rel=0.1)
    assert [sum(bundles(count, 20)) for count in (0, 1, 19, 20, 167)] == [0, 1, 19, 20, 167]
    assert len([*bundles(167, 20)]) == 20
