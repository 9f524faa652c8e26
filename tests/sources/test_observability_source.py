"""The observability source against rows whose measures are worked out by hand; the sandbox shows each 20 s later."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction
from typing import Any

import httpx
import pytest

from notaus.cloudflare.client import Client
from notaus.cloudflare.telemetry import LIMIT, Question, body
from notaus.config.sources import Entry, Observability
from notaus.core.sample import Sample
from notaus.errors import NotausError, ReadFailed
from notaus.sources import build

from .conftest import API, NOW, Lab

SCRIPT = Observability("api-worker")
AT = NOW - 45
OLD, NEW = "11111111-aaaa", "22222222-bbbb"


def write(lab: Lab, at: int = AT, errors: int = 0, ms: float = 100, version: str = OLD, **more: Any) -> None:
    weight, script = more.get("weight", 1), more.get("script", "api-worker")
    lab.box.rows.write(
        "workersInvocationsAdaptive",
        at,
        weight,
        0,
        scriptName=script,
        scriptVersion=version,
        errors=errors,
        wallTime=ms * 1000,
    )


def entry(lab: Lab, *signals: str, source: Observability = SCRIPT) -> Entry:
    return lab.entry(source, *signals, name="logs", settle=45)


async def samples(lab: Lab, *signals: str, at: int = AT) -> list[Sample]:
    found = await lab.read(entry(lab, *signals), at)
    return [found[signal][0] for signal in signals]


async def values(lab: Lab, *signals: str, at: int = AT) -> list[Fraction | None]:
    return [sample.value for sample in await samples(lab, *signals, at=at)]


async def test_counts_and_quantiles_of_the_whole_worker(lab: Lab) -> None:
    """The rule would be judged by wrong numbers."""
    for n in range(100):
        write(lab, errors=int(n < 4), ms=n + 1)
    found = await samples(
        lab, "logs.requests", "logs.errors", "logs.error_rate", "logs.latency_p90", "logs.latency_p50"
    )
    assert [s.value for s in found[:3]] == [100, 4, Fraction(1, 25)]
    assert (found[2].of, found[2].among, found[2].effective) == (4, 100, None)
    assert 89 <= (found[3].value or 0) <= 91
    assert 49 <= (found[4].value or 0) <= 51
    assert found[3].among == 100


async def test_the_lines_that_a_worker_logs_are_no_requests(lab: Lab) -> None:
    """Each error would count twice, and a chatty Worker would look busy: the sandbox logs a line for each error."""
    for _ in range(10):
        write(lab, errors=1)
    assert await values(lab, "logs.requests", "logs.errors") == [10, 10]


async def test_the_window_is_exact(lab: Lab) -> None:
    """An invocation would count in two windows, or in none."""
    for at in (AT - 60, AT - 59, AT, AT + 1):
        write(lab, at)
    assert await values(lab, "logs.requests") == [2]


async def test_each_version_has_a_cohort_of_its_own(lab: Lab) -> None:
    """A bad version at 10 % would hide behind the good one's traffic, and its latency in the mixture."""
    for n in range(90):
        write(lab, version=OLD, errors=int(n < 9), ms=100)
    for n in range(10):
        write(lab, version=NEW, errors=int(n < 5), ms=900)
    cohorts = [
        f"{name}.{measure}" for name in (OLD, NEW, "logs") for measure in ("requests", "error_rate", "latency_p90")
    ]
    old, new, both = (
        (await values(lab, *cohorts))[:3],
        (await values(lab, *cohorts))[3:6],
        (await values(lab, *cohorts))[6:],
    )
    assert old == [90, Fraction(1, 10), 100]
    assert new == [10, Fraction(1, 2), 900]
    assert both[:2] == [100, Fraction(14, 100)]
    assert await values(lab, "33333333.error_rate", "33333333.latency_p90") == [None, None]


async def test_no_rows_are_none_only_where_others_have_some(lab: Lab) -> None:
    """A dataset that stands still would pass for a Worker without errors."""
    assert await values(lab, "logs.requests", "logs.error_rate") == [None, None]
    write(lab, AT - 1, script="another")
    assert await values(lab, "logs.requests", "logs.errors", "logs.error_rate") == [0, 0, None]
    assert await values(lab, f"{NEW}.requests") == [0]


async def test_head_sampling_makes_counts_estimates_and_evidence_thinner(lab: Lab) -> None:
    """A tenth of the invocations would pass for all of them, and 10 of 100 for 100 of 1,000."""
    lab.box.worker("api-worker").settings["observability"] = {"enabled": True, "head_sampling_rate": 0.1}
    for n in range(1000):
        write(lab, errors=n % 2)
    requests, errors, share = await samples(lab, "logs.requests", "logs.errors", "logs.error_rate")
    assert requests.value == 1000
    assert (errors.value, share.value) == (500, Fraction(1, 2))
    assert (share.among, share.effective) == (1000, 100)


async def test_sampling_at_reading_shows_in_the_effective_number(lab: Lab) -> None:
    """An estimate would count as evidence in full."""
    for n in range(20):
        write(lab, errors=int(n == 0), weight=10)
    (share,) = await samples(lab, "logs.error_rate")
    assert (share.value, share.among, share.effective) == (Fraction(1, 20), 200, 20)


@pytest.mark.parametrize(
    "settings",
    [
        {"enabled": False},
        None,
        {"enabled": True, "logs": {"invocation_logs": False}},
        {"enabled": True, "logs": {"enabled": False}},
    ],
)
async def test_a_worker_that_logs_nothing_is_told_and_never_a_zero(lab: Lab, settings: Any) -> None:
    """Somebody else's rows would make it a Worker without errors."""
    write(lab, script="another")
    lab.box.worker("api-worker").settings["observability"] = settings
    with pytest.raises(ReadFailed, match="api-worker logs no invocations; turn on `observability`"):
        await values(lab, "logs.errors")


async def test_its_logs_may_be_sampled_apart(lab: Lab) -> None:
    """Counts would be a tenth of what they are."""
    lab.box.worker("api-worker").settings["observability"] = {"enabled": True, "logs": {"head_sampling_rate": 0.5}}
    for _ in range(10):
        write(lab)
    assert await values(lab, "logs.requests") == [20]


@pytest.mark.parametrize("fault", [500, "garbage", "html", "timeout", 403])
async def test_a_failed_read_is_never_a_zero(lab: Lab, fault: object) -> None:
    """An outage of the API would pass for health."""
    write(lab)
    lab.box.faults.add("telemetry", [fault], 600)
    with pytest.raises(ReadFailed):
        await values(lab, "logs.requests")


async def test_too_big_is_a_failed_read_with_its_reason(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has no envelope: it would look like nonsense of a gateway."""
    monkeypatch.setattr("notaus.cloudflare.telemetry.LIMIT", 2001)
    write(lab)
    with pytest.raises(ReadFailed, match="limit is too big"):
        await values(lab, "logs.requests")


async def test_groups_that_are_cut_are_a_failed_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cut would be missing from the counts."""
    monkeypatch.setattr("notaus.cloudflare.telemetry.LIMIT", 3)
    for n in range(4):
        write(lab, version=f"{n}0000000")
    with pytest.raises(ReadFailed, match="truncated at 3 groups"):
        await values(lab, "logs.requests")


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"run": {"status": "STARTED"}, "calculations": []},
        {"run": {"status": "COMPLETED"}, "calculations": []},
        {"run": {"status": "COMPLETED"}, "calculations": [{"calculation": "count", "aggregates": [{"value": "x"}]}]},
    ],
)
async def test_an_answer_that_is_not_whole_is_a_failed_read(lab: Lab, result: Any) -> None:
    """A query that still runs would be a Worker without traffic."""

    def answer(request: httpx.Request) -> httpx.Response:
        settings = {"observability": {"enabled": True}}
        found = settings if request.url.path.endswith("script-settings") else result
        return httpx.Response(200, json={"success": True, "errors": [], "result": found})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = Client(http, API, lab.box.account.id, "token", lab.clock)
        reader = build(Observability, replace(lab.context, client=client))
        with pytest.raises(ReadFailed):
            await reader.read(entry(lab, "logs.requests"), (AT,))


async def test_services_of_an_account_share_their_queries(lab: Lab) -> None:
    """The calls would grow with the number of services, and the budget would not."""
    write(lab)
    write(lab, script="pix-immo-api", errors=1)
    reader = build(Observability, lab.context)
    entries = [
        entry(lab, "logs.requests", "logs.errors", source=Observability(s)) for s in ("api-worker", "pix-immo-api")
    ]
    first, second = await asyncio.gather(*(reader.read(each, (AT,)) for each in entries))
    assert [s[0].value for s in first.values()] == [1, 0]
    assert [s[0].value for s in second.values()] == [1, 1]
    assert len(lab.asked("telemetry")) == 1
    await asyncio.gather(*(reader.read(each, (AT + 15,)) for each in entries))
    assert len(lab.asked("telemetry")) == 2
    assert len(lab.asked("script-settings")) == 2


async def test_of_a_long_backfill_the_newest_come_first_and_the_rest_stays_pending(lab: Lab) -> None:
    """A start would spend the budget that levers and other sources live on."""
    write(lab)
    found = await lab.read(entry(lab, "logs.error_rate"), *range(AT - 15 * 299, AT + 1, 15))
    assert [s.at for s in found["logs.error_rate"]] == list(range(AT - 15 * 19, AT + 1, 15))
    assert len(lab.asked("telemetry")) == 20


async def test_what_telemetry_does_not_have_is_told(lab: Lab) -> None:
    """The API refuses p50 and others of no name there."""
    with pytest.raises(ReadFailed, match=r"logs\.latency_p80: telemetry gives"):
        await values(lab, "logs.latency_p80")


async def test_a_failure_of_one_question_fails_all_that_share_it(lab: Lab) -> None:
    """An asker would wait for ever."""
    lab.box.faults.add("telemetry", [500], 600)
    reader = build(Observability, lab.context)
    asked = [
        reader.read(entry(lab, "logs.requests", source=Observability(s)), (AT,)) for s in ("api-worker", "pix-immo-api")
    ]
    failures = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(failure, NotausError) for failure in failures)


def test_a_query_asks_for_no_more_than_is_allowed() -> None:
    """Above 2,000 every query is refused."""
    query = body(Question("a", 0, 60, ("count",)), ["x", "y"])
    assert (query["limit"], LIMIT) == (2000, 2000)
    assert query["timeframe"] == {"from": 1, "to": 60_000}
