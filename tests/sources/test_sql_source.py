"""The sql source: a user's own Analytics Engine query, asked of one window after the other."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from notaus.cloudflare.analytics_engine import windowed
from notaus.config.sources import Entry, Sql
from notaus.errors import ReadFailed

from .conftest import NOW, Lab

WINDOW = "FROM jobs WHERE timestamp > {from} AND timestamp <= {to}"
FAILED = f"SELECT max(timestamp) AS time, sumIf(_sample_interval, blob1 = 'failed') AS value {WINDOW};"


def entry(lab: Lab, query: str, **more: Any) -> Entry:
    return lab.entry(Sql(query, **more), "jobs", name="jobs")


def write(lab: Lab, at: int, outcome: str = "failed", weight: int = 1) -> None:
    lab.box.rows.write_point("jobs", at, (outcome,), (2.5,), weight=weight, visible=0)


async def values(lab: Lab, query: str, *times: int, **more: Any) -> list[Fraction | None]:
    return [sample.value for sample in (await lab.read(entry(lab, query, **more), *(times or (NOW,))))["jobs"]]


async def test_the_window_is_exact(lab: Lab) -> None:
    """A failure would count in two windows, or in none."""
    for at in (NOW - 60, NOW - 59, NOW, NOW + 1):
        write(lab, at)
    assert await values(lab, FAILED) == [2]


async def test_a_count_of_nothing_is_known_where_the_dataset_is_alive(lab: Lab) -> None:
    """A dataset that died would pass for one without failures, or a quiet one for blind."""
    write(lab, NOW - 30, "done")
    assert await values(lab, FAILED) == [0]
    assert await values(lab, FAILED, NOW + 600) == [None]
    assert await values(lab, f"SELECT timestamp AS time, double1 AS value {WINDOW}", NOW + 600) == [None]


async def test_the_newest_row_within_the_window_counts(lab: Lab) -> None:
    """A series of points would give any of them."""
    for at in (NOW - 100, NOW - 20, NOW - 40):
        lab.box.rows.write_point("jobs", at, (), (float(NOW - at),), visible=0)
    rows = "SELECT timestamp AS time, double1 AS value FROM jobs WHERE timestamp <= {to} OR timestamp > {from}"
    assert await values(lab, rows) == [20]
    assert await values(lab, rows.replace("timestamp AS", "toUnixTimestamp(timestamp) AS")) == [20]
    assert await values(lab, rows, percent=True) == [Fraction(20, 100)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"SELECT count() AS value {WINDOW}", "gives value; it must give `time` and `value`: SELECT max(timestamp)"),
        (f"SELECT blob1 AS time, 1 AS value {WINDOW}", "`time` is 'failed', and must be a DateTime"),
        (f"SELECT timestamp AS time, blob1 AS value {WINDOW}", "gives str 'failed', and must give a number"),
        (f"SELECT timestamp AS time, {{to}} AS value {WINDOW}", "must give a number"),
        ("SELECT timestamp AS time, 1 AS value FROM nosuch WHERE timestamp > {from} AND timestamp <= {to}", "nosuch"),
    ],
)
async def test_an_answer_that_is_no_value_is_told(lab: Lab, query: str, said: str) -> None:
    """Nobody would find out why the rule is blind."""
    write(lab, NOW)
    with pytest.raises(ReadFailed) as failed:
        await values(lab, query)
    assert said in str(failed.value)


async def test_two_rows_of_one_time_are_told(lab: Lab) -> None:
    """Which of two groups is meant would be chance."""
    write(lab, NOW, "failed")
    write(lab, NOW, "done")
    with pytest.raises(ReadFailed, match="2 rows of one time; it must give one value"):
        await values(lab, f"SELECT timestamp AS time, 1 AS value {WINDOW}")


@pytest.mark.parametrize("fault", [500, "garbage", "html", "timeout"])
async def test_a_failed_read_is_never_a_zero(lab: Lab, fault: object) -> None:
    """An outage of the API would pass for health."""
    write(lab, NOW, "done")
    lab.box.faults.add("sql", [fault], 600)
    with pytest.raises(ReadFailed, match="the query of jobs"):
        await values(lab, FAILED)


async def test_of_a_long_backfill_the_newest_come_first_and_the_rest_stays_pending(lab: Lab) -> None:
    """A start would spend the budget that levers and other sources live on."""
    for n in range(100):
        write(lab, NOW - 15 * n)
    found = await lab.read(entry(lab, FAILED), *range(NOW - 15 * 60, NOW + 1, 15))
    assert [s.at for s in found["jobs"]] == list(range(NOW - 15 * 7, NOW + 1, 15))
    assert len(lab.asked("sql")) == 8


def test_only_the_times_are_put_in() -> None:
    """A value of another's making could change the query."""
    text = windowed("SELECT '{x}', {from}, '{to}' ; ", 0, 60)
    moments = [f"toDateTime('{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}')" for at in (0, 60)]
    assert text == f"SELECT '{{x}}', {moments[0]}, '{moments[1]}' FORMAT JSON"
