"""The Analytics Engine source against rows whose measures are worked out by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from notaus.config.sources import AnalyticsEngine, Entry, Ratio
from notaus.core.sample import Sample
from notaus.errors import ReadFailed
from notaus.sources.analytics_engine import sql

from .conftest import NOW, Lab

CANARY = AnalyticsEngine(
    "pix_canary", "blob1", ("native", "proxy"), error="double2 >= 500", latency="double1",
    ratios={"hit_rate": Ratio("blob2 = 'HIT'", "blob2 != ''"), "slow": Ratio("double1 > 100")},
)  # fmt: skip


def write(lab: Lab, at: int, cohort: str, ms: float = 100, status: int = 200, cache: str = "", weight: int = 1) -> None:
    lab.box.rows.write_point("pix_canary", at, (cohort, cache), (ms, status), weight=weight, visible=0)


def sample(readings: object, signal: str, at: int = NOW) -> Sample:
    return next(s for s in readings[signal] if s.at == at)  # type: ignore[index]


async def test_every_measure_of_every_cohort_comes_from_one_query(lab: Lab) -> None:
    """A poll would take a query per signal, and the budget would end."""
    for n in range(1, 11):
        write(
            lab,
            NOW - n,
            "native",
            ms=n * 10,
            status=500 if n <= 3 else 200,
            cache="HIT" if n <= 4 else "MISS" if n <= 8 else "",
        )
    for n in range(30):
        write(lab, NOW - n, "proxy", ms=50)
    names = ("requests", "errors", "error_rate", "latency_p90", "latency_p50", "share", "hit_rate", "slow")
    entry = lab.entry(CANARY, *(f"native.{n}" for n in names), "proxy.share", "proxy.error_rate")
    found = await lab.read(entry)
    assert sample(found, "native.requests").value == 10
    assert sample(found, "native.errors") == Sample(NOW, Fraction(3), among=Fraction(10))
    assert sample(found, "native.error_rate") == Sample(NOW, Fraction(3, 10), Fraction(3), Fraction(10))
    assert sample(found, "native.latency_p90").value in (90, 100)
    assert sample(found, "native.share") == Sample(NOW, Fraction(1, 4), Fraction(10), Fraction(40))
    assert sample(found, "native.hit_rate") == Sample(NOW, Fraction(1, 2), Fraction(4), Fraction(8))
    assert sample(found, "native.slow").value == 0
    assert sample(found, "proxy.share").value == Fraction(3, 4)
    assert sample(found, "proxy.error_rate").value == 0
    assert len(lab.asked("analytics_engine")) == 1


async def test_the_window_is_open_at_its_start_and_closed_at_its_end(lab: Lab) -> None:
    """A spike just outside the window would count, or one at its edge be missed."""
    for at in (NOW - 60, NOW - 59, NOW, NOW + 1):
        write(lab, at, "native")
    found = await lab.read(lab.entry(CANARY, "native.requests"), NOW)
    assert sample(found, "native.requests").value == 2


async def test_a_stretch_of_times_takes_one_query_per_phase(lab: Lab) -> None:
    """Backfill after a restart would take a query per grid time."""
    for at in range(NOW - 600, NOW + 1):
        write(lab, at, "native", status=500 if at % 4 == 0 else 200)
    times = range(NOW - 480, NOW + 1, 15)
    found = await lab.read(lab.entry(CANARY, "native.error_rate", "native.requests", "native.latency_p90"), *times)
    assert len(lab.asked("analytics_engine")) == 4
    assert [s.at for s in found["native.requests"]] == list(times)
    assert {s.value for s in found["native.requests"]} == {60}
    assert {s.value for s in found["native.error_rate"]} == {Fraction(1, 4)}
    assert {s.value for s in found["native.latency_p90"]} == {100}


async def test_sampled_rows_are_weighted_and_their_number_told(lab: Lab) -> None:
    """An estimate would be taken for evidence, or a sampled cohort for a small one."""
    write(lab, NOW, "native", status=500, weight=10)
    write(lab, NOW, "native", weight=30)
    found = await lab.read(lab.entry(CANARY, "native.error_rate", "native.latency_p90", "native.slow"))
    expected = Sample(NOW, Fraction(1, 4), Fraction(10), Fraction(40), Fraction(2))
    assert sample(found, "native.error_rate") == expected
    assert sample(found, "native.latency_p90").effective == 2
    assert sample(found, "native.slow").effective == 2


async def test_no_rows_of_a_cohort_in_a_live_dataset_are_a_known_zero_for_counts_only(lab: Lab) -> None:
    """Missing data would be taken for health, or a drained cohort for an outage."""
    write(lab, NOW, "proxy")
    signals = (
        "native.requests",
        "native.errors",
        "native.error_rate",
        "native.latency_p90",
        "native.share",
        "native.hit_rate",
    )
    found = await lab.read(lab.entry(CANARY, *signals))
    assert sample(found, "native.requests").value == 0
    assert sample(found, "native.errors").value == 0
    assert sample(found, "native.share").value == 0
    for rate in ("native.error_rate", "native.latency_p90", "native.hit_rate"):
        assert not sample(found, rate).known
        assert sample(found, rate).at == NOW


async def test_rows_of_no_cohort_are_evidence_and_no_traffic(lab: Lab) -> None:
    """Rows of another kind would count as the canary's, or not show that the dataset is alive."""
    write(lab, NOW, "something else")
    found = await lab.read(lab.entry(CANARY, "native.requests", "native.share"))
    assert sample(found, "native.requests").value == 0
    assert not sample(found, "native.share").known


async def test_without_any_rows_nothing_is_known(lab: Lab) -> None:
    """A dataset that has stopped would look like zero errors."""
    write(lab, NOW - 3600, "native")
    found = await lab.read(lab.entry(CANARY, "native.requests", "native.errors", "native.error_rate", "native.share"))
    assert not any(s.known for samples in found.values() for s in samples)


async def test_later_rows_show_that_an_empty_window_is_empty(lab: Lab) -> None:
    """A quiet minute would look like an outage of the dataset."""
    write(lab, NOW - 60, "native")
    write(lab, NOW + 30, "native")
    found = await lab.read(lab.entry(CANARY, "native.requests"), NOW)
    assert sample(found, "native.requests").value == 0


async def test_a_dataset_without_cohorts_gives_signals_of_the_entry(lab: Lab) -> None:
    """The second example service could not be read."""
    source = AnalyticsEngine("pix_canary", error="double2 >= 500", where="blob1 != 'proxy'")
    for cohort, status in (("native", 500), ("native", 200), ("proxy", 500)):
        write(lab, NOW, cohort, status=status)
    found = await lab.read(lab.entry(source, "canary.error_rate", "canary.requests"))
    assert sample(found, "canary.error_rate").value == Fraction(1, 2)
    plain = await lab.read(lab.entry(AnalyticsEngine("pix_canary"), "canary.requests"))
    assert sample(plain, "canary.requests").value == 3


async def test_a_condition_with_or_keeps_to_itself(lab: Lab) -> None:
    """`a OR b` inserted bare would count rows of other windows and cohorts."""
    source = AnalyticsEngine(
        "pix_canary", "blob1", ("native",), error="double2 >= 500 OR double2 = 0", where="blob2 = '' OR blob2 = 'HIT'",
        ratios={"r": Ratio("double1 > 1 OR double1 < 0", "double2 = 1 OR double2 = 2")},
    )  # fmt: skip
    write(lab, NOW, "native", status=0)
    write(lab, NOW, "native", status=2)
    write(lab, NOW, "proxy", status=500)
    found = await lab.read(lab.entry(source, "native.error_rate", "native.r"))
    assert sample(found, "native.error_rate").value == Fraction(1, 2)
    assert sample(found, "native.r") == Sample(NOW, Fraction(1), Fraction(1), Fraction(1))


async def test_names_are_quoted(lab: Lab) -> None:
    """A cohort with an apostrophe would break the query, or inject one."""
    name = "it's"
    source = AnalyticsEngine("pix_canary", "blob1", (name,))
    write(lab, NOW, name)
    found = await lab.read(lab.entry(source, f"{name}.requests"))
    assert sample(found, f"{name}.requests").value == 1


async def test_a_dataset_that_does_not_exist_fails_the_read_in_words(lab: Lab) -> None:
    """A typo would be an endless zero."""
    with pytest.raises(ReadFailed, match=r"dataset nowhere.*a first point was written"):
        await lab.read(lab.entry(AnalyticsEngine("nowhere"), "canary.requests"))


async def test_a_missing_permission_is_named(lab: Lab) -> None:
    """Nobody would know which box to tick."""
    write(lab, NOW, "native")
    lab.box.faults.add("sql", [403])
    with pytest.raises(ReadFailed, match="Account Analytics Read"):
        await lab.read(lab.entry(CANARY, "native.requests"))


@pytest.mark.parametrize("fault", [500, "garbage", "html", "outage", "reset", 429, "429:300"])
async def test_an_outage_of_the_api_fails_the_read(lab: Lab, fault: object) -> None:
    """An outage would be taken for zero errors."""
    write(lab, NOW, "native")
    lab.box.faults.add("sql", [fault] * 3)
    with pytest.raises(ReadFailed):
        await lab.read(lab.entry(CANARY, "native.requests"))


async def test_one_failed_phase_leaves_its_times_pending(lab: Lab) -> None:
    """Half a backfill would be thrown away, or filled in with zeros."""
    write(lab, NOW, "native")
    lab.box.faults.add("sql", [400])
    found = await lab.read(lab.entry(CANARY, "native.requests"), NOW - 15, NOW)
    assert len(found["native.requests"]) == 1
    assert len(lab.problems) == 1


@pytest.mark.parametrize("signal", ["other.requests", "native.nothing", "native.cache_hit_rate"])
async def test_a_signal_that_the_source_cannot_give_is_told(lab: Lab, signal: str) -> None:
    """It would be unknown for ever and nobody would know why."""
    with pytest.raises(ReadFailed, match=signal):
        await lab.read(lab.entry(CANARY, signal))


def test_only_sql_that_analytics_engine_has_is_used(lab: Lab) -> None:
    """The query would work in the sandbox and fail in the field."""
    import re

    names = ("requests", "errors", "error_rate", "latency_p999", "share", "hit_rate", "slow")
    text = sql([lab.entry(CANARY, *(f"native.{n}" for n in names))], NOW - 60, NOW + 60)
    functions = set(re.findall(r"(\w+)\(", text))
    documented = {
        "intDiv",
        "toUnixTimestamp",
        "if",
        "count",
        "sum",
        "sumIf",
        "countIf",
        "quantileExactWeighted",
        "toDateTime",
    }
    assert functions - documented <= {"AND", "OR", "if"}
    assert "quantileExactWeighted(0.999)(double1, _sample_interval)" in text
    assert "2026-09-21 14:19:00" in text


def a_share(lab: Lab, number: int) -> Entry:
    """The entry of one of many services whose rows share a dataset."""
    source = replace(CANARY, where=f"index1 = 'svc-{number}'")
    entry = lab.entry(source, "native.requests", "native.error_rate", "proxy.requests")
    return replace(entry, service=f"svc-{number}")


async def reads(lab: Lab, services: int) -> tuple[list[Any], int]:
    """What so many services read at the same moment, and how many queries that took."""
    before = len(lab.asked("analytics_engine"))
    found = await asyncio.gather(*(lab.read(a_share(lab, n)) for n in range(services)))
    return list(found), len(lab.asked("analytics_engine")) - before


async def test_services_of_one_dataset_share_a_query_and_get_their_own_samples(lab: Lab) -> None:
    """The number of requests would grow with the number of services, or one be judged by another's rows."""
    for n in range(10):
        lab.box.rows.write_point(
            "pix_canary", NOW - 1, ("native", ""), (50, 200), index=f"svc-{n}", weight=n + 1, visible=0
        )
    lab.box.rows.write_point("pix_canary", NOW - 1, ("native", ""), (50, 500), index="svc-3", weight=4, visible=0)
    lab.box.rows.write_point("pix_canary", NOW - 1, ("native", ""), (50, 500), index="of nobody", weight=99, visible=0)
    found, queries = await reads(lab, 10)
    assert queries == 1
    assert [sample(f, "native.requests").value for f in found] == [1, 2, 3, 8, 5, 6, 7, 8, 9, 10]
    assert sample(found[3], "native.error_rate").value == Fraction(1, 2)
    assert sample(found[4], "native.error_rate").value == 0
    assert sample(found[4], "proxy.requests") == Sample(NOW, Fraction(0), among=Fraction(0))
    assert await reads(lab, 100) == await alone(lab, 100)
    assert (await reads(lab, 100))[1] == 1


async def alone(lab: Lab, services: int) -> tuple[list[Any], int]:
    """The same, each asked for by itself; as if in one query."""
    return [await lab.read(a_share(lab, n)) for n in range(services)], 1


async def test_one_query_asks_for_no_more_rows_than_an_answer_may_have(lab: Lab) -> None:
    """Cut at the limit, the shared answer would be a failed read for every service."""
    write(lab, NOW - 1, "native")
    times = range(NOW - 100 * 60, NOW + 1, 60)
    before = len(lab.asked("analytics_engine"))
    await asyncio.gather(*(lab.read(a_share(lab, n), *times) for n in range(60)))
    assert len(lab.asked("analytics_engine")) - before == 2
