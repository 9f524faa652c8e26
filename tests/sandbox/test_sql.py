"""Analytics Engine's SQL against answers worked out by hand, and what it refuses."""

from __future__ import annotations

import json

import httpx
import pytest

from notaus.sandbox import Sandbox
from notaus.sandbox.analytics_engine import AnalyticsEngine
from notaus.sandbox.rows import Revision
from notaus.sandbox.sql_functions import Quantile
from notaus.sandbox.sql_nodes import SqlRefused

from .conftest import START

# offset from START in seconds, weight, cohort, cache, kind, milliseconds, status
ROWS = [
    (-120, 1, "native", "HIT", "http", 100.0, 200.0),
    (-119, 3, "native", "MISS", "http", 500.0, 503.0),
    (-60, 2, "proxy", "HIT", "http", 50.0, 200.0),
    (-59, 1, "proxy", "", "ws", 70.0, 500.0),
    (-1, 6, "native", "HIT", "http", 300.0, 200.0),
]

CASES = {
    "weighted counts, rates and quantiles by cohort": (
        "SELECT blob1 AS cohort, sum(_sample_interval) AS n, sumIf(_sample_interval, double2 >= 500) / n AS rate,"
        " quantileExactWeighted(0.9)(double1, _sample_interval) AS p90 FROM m GROUP BY cohort ORDER BY cohort",
        [
            {"cohort": "native", "n": "10", "rate": 0.3, "p90": 500},
            {"cohort": "proxy", "n": "3", "rate": 1 / 3, "p90": 70},
        ],
    ),
    "the grid of trailing windows that the client asks for": (
        "SELECT intDiv(toUnixTimestamp(timestamp) - 1795396680, 60) AS k, count() AS c FROM m"
        " WHERE timestamp > toDateTime('2026-11-23 01:18:00') AND timestamp <= toDateTime('2026-11-23 01:20:00')"
        " GROUP BY k ORDER BY k",
        [{"k": "0", "c": "1"}, {"k": "1", "c": "3"}],
    ),
    "countIf is not weighted": ("SELECT countIf(blob1 = 'native') AS c FROM m", [{"c": "3"}]),
    "avgIf and if": (
        "SELECT avgIf(double1, blob1 = 'proxy') AS a, sum(if(double2 >= 500, 1, 0)) AS e FROM m",
        [{"a": 60, "e": "2"}],
    ),
    "an interval before now, a time truncated to the minute": (
        "SELECT toStartOfInterval(timestamp, INTERVAL '1' MINUTE) AS minute, count() AS c FROM m"
        " WHERE timestamp >= NOW() - INTERVAL '60' SECOND GROUP BY minute ORDER BY minute",
        [{"minute": "2026-11-23 01:19:00", "c": "3"}],
    ),
    "division by zero is infinite or nan, null in JSON": (
        "SELECT 1 / 0 AS a, 0 / 0 AS b, double2 FROM m LIMIT 1",
        [{"a": None, "b": None, "double2": 200}],
    ),
    "no rows give zero, nan and the beginning of time": (
        "SELECT count() AS c, sum(double1) AS s, avg(double1) AS a, max(timestamp) AS t,"
        " quantileExactWeighted(0.9)(double1, _sample_interval) AS q FROM m WHERE blob1 = 'nobody'",
        [{"c": "0", "s": 0, "a": None, "t": "1970-01-01 00:00:00", "q": None}],
    ),
    "a subquery and HAVING": (
        "SELECT cohort, n FROM (SELECT blob1 AS cohort, sum(_sample_interval) AS n FROM m GROUP BY cohort)"
        " WHERE n > 5 ORDER BY n DESC",
        [{"cohort": "native", "n": "10"}],
    ),
    "HAVING on an aggregate": (
        "SELECT blob1 FROM m GROUP BY blob1 HAVING sum(_sample_interval) < 5",
        [{"blob1": "proxy"}],
    ),
    "argMax, topK and both spellings of the quantile": (
        "SELECT argMax(blob1, double1) AS x, topK(1)(blob1) AS t, quantileWeighted(0.5, double1, _sample_interval) AS q,"
        " quantileWeighted(0.5)(double1, _sample_interval) AS r FROM m",
        [{"x": "native", "t": ["native"], "q": 300, "r": 300}],
    ),
    "nan comes last, however it is ordered": (
        "SELECT blob1, sumIf(double1, blob4 = 'ws') / countIf(blob4 = 'ws') AS a FROM m GROUP BY blob1 ORDER BY a",
        [{"blob1": "proxy", "a": 70}, {"blob1": "native", "a": None}],
    ),
    "LIMIT, OFFSET and positions": (
        "SELECT blob1, double1 FROM m ORDER BY 2 DESC LIMIT 1 OFFSET 1",
        [{"blob1": "native", "double1": 300}],
    ),
    "IN, LIKE, BETWEEN and NOT": (
        "SELECT count() AS c FROM m WHERE blob1 IN ('native') AND blob4 LIKE 'h%' AND NOT double2 BETWEEN 500 AND 599",
        [{"c": "2"}],
    ),
    "LIKE minds the case, ILIKE does not": (
        "SELECT countIf(blob1 LIKE 'NAT%') AS a, countIf(blob1 ILIKE 'NAT%') AS b, countIf(blob1 NOT LIKE 'n%') AS c FROM m",
        [{"a": "0", "b": "3", "c": "2"}],
    ),
    "scalar functions": (
        "SELECT intDiv(-7, 2) AS a, round(2.5) AS b, pow(2, 3) AS c, substring('hamlet', 2, 3) AS d,"
        " position('hamlet', 'm') AS e, toUInt8(257) AS f, formatDateTime(toDateTime('2026-01-02 03:04:05'), '%Y') AS g"
        " FROM m LIMIT 1",
        [{"a": -3, "b": 2, "c": 8, "d": "aml", "e": "3", "f": 1, "g": "2026"}],
    ),
}


@pytest.fixture
def engine(box: Sandbox) -> AnalyticsEngine:
    for offset, weight, cohort, cache, kind, ms, status in ROWS:
        box.rows.write_point("m", START + offset, [cohort, "", cache, kind], [ms, status], cohort, weight, visible=0)
    return AnalyticsEngine(box.rows)


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_one_worked_out_by_hand(engine: AnalyticsEngine, name: str) -> None:
    """A wrong answer here would make the sandbox confirm a wrong client."""
    query, expected = CASES[name]
    assert engine.select(query) == expected


REFUSED = {
    "SELECT a FROM m": "column: a",
    "SELECT blob21 FROM m": "blob21",
    "SELECT blob1 FROM nowhere": "table nowhere",
    "SELECT quantileIf(0.9)(double1, blob1 = 'a') FROM m": "quantileIf",
    "SELECT uniq(blob1) FROM m": "uniq",
    "SELECT median(double1) FROM m": "quantile",
    "SELECT blob1 FROM m JOIN n ON 1": "JOIN",
    "SELECT blob1 FROM m UNION ALL SELECT blob1 FROM m": "UNION",
    "WITH a AS (SELECT 1) SELECT blob1 FROM m": "WITH",
    "SELECT DISTINCT blob1 FROM m": "DISTINCT",
    "SELECT sum(double1) OVER () FROM m": "OVER",
    "SELECT if(double1 > 1, double1, NULL) FROM m": "NULL",
    "SELECT CASE WHEN double1 > 1 THEN 1 ELSE 2 END FROM m": "CASE",
    "SELECT count() FROM m WHERE blob1 IN (SELECT blob1 FROM m)": "subquery",
    "SELECT blob1, count() FROM m": "not under an aggregate",
    "SELECT sum(count()) FROM m": "inside another aggregate",
    "SELECT blob1 FROM m WHERE count() > 1": "WHERE",
    "SELECT blob1 = 1 FROM m": "cannot compare",
    "SELECT count() FROM m WHERE timestamp > NOW() - INTERVAL 5 MINUTE": "quoted",
    "SELECT toDateTime('2026-11-23T01:20:00Z') FROM m": "cannot parse DateTime",
    "SELECT blob1 FROM m FORMAT XML": "FORMAT XML",
    "SELECT blob1 FROM m LIMIT 1 BY blob1": "LIMIT BY",
    "SELECT blob1 FROM m SETTINGS a = 1": "SETTINGS",
    "DROP TABLE m": "DROP",
    "SELECT blob1 FROM m; SELECT blob1 FROM m": "one statement",
    "SELECT FROM WHERE": "unable to parse",
    "SELECT 1": "FROM",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_analytics_engine_lacks_is_refused_by_name(engine: AnalyticsEngine, query: str) -> None:
    """Were it accepted, a query could pass here and fail in production."""
    with pytest.raises(SqlRefused) as refused:
        engine.select(query)
    assert REFUSED[query].lower() in str(refused.value).lower()


def test_a_quantile_is_the_first_value_at_which_the_weight_is_reached() -> None:
    """The boundary decides whether p90 is the ninth or the tenth of ten values."""
    for level, expected in ((0.9, 9.0), (0.91, 10.0), (0.05, 1.0), (1.0, 10.0)):
        quantile = Quantile()
        for value in range(10, 0, -1):
            quantile.step(level, float(value), 1)
        assert quantile.finalize() == expected


async def test_format_json_has_meta_and_64_bit_numbers_as_text(
    client: httpx.AsyncClient, api: str, engine: AnalyticsEngine
) -> None:
    """A client that never sees UInt64 as text would break on the live API."""
    query = "SELECT max(timestamp) AS t, blob1 AS b, sum(_sample_interval) AS n, avg(double1) AS a FROM m GROUP BY b"
    answer = await client.post(f"{api}/analytics_engine/sql", content=query + " ORDER BY b LIMIT 1")
    assert answer.json() == {
        "meta": [
            {"name": "t", "type": "DateTime"},
            {"name": "b", "type": "String"},
            {"name": "n", "type": "UInt64"},
            {"name": "a", "type": "Float64"},
        ],
        "data": [{"t": "2026-11-23 01:19:59", "b": "native", "n": "10", "a": 300}],
        "rows": 1,
        "rows_before_limit_at_least": 2,
    }


async def test_the_other_formats_show_tables_and_get(
    client: httpx.AsyncClient, api: str, engine: AnalyticsEngine
) -> None:
    """These are documented ways to ask; wrangler users and dashboards use them."""
    url = f"{api}/analytics_engine/sql"
    lines = await client.post(url, content="SELECT blob1, count() AS c FROM m GROUP BY blob1 FORMAT JSONEachRow")
    assert [json.loads(line) for line in lines.text.splitlines()] == [
        {"blob1": "native", "c": "3"},
        {"blob1": "proxy", "c": "2"},
    ]
    tabs = await client.get(
        url, params={"query": "SELECT blob1, count() AS c FROM m GROUP BY blob1 FORMAT TabSeparated"}
    )
    assert tabs.text == "native\t3\nproxy\t2\n"
    tables = await client.post(url, content="SHOW TABLES")
    assert [row["dataset"] for row in tables.json()["data"]] == ["m"]


async def test_an_error_is_plain_text_and_not_an_envelope(client: httpx.AsyncClient, api: str) -> None:
    """A client that parses every body as JSON must meet this one."""
    answer = await client.post(f"{api}/analytics_engine/sql", content="SELECT x FROM nowhere")
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/plain")
    assert "nowhere" in answer.text


def test_a_row_shows_only_after_its_lag(box: Sandbox) -> None:
    """Without lag nothing would test that the newest data is not yet trusted."""
    engine = AnalyticsEngine(box.rows)
    box.rows.write_point("m", START, ["a"], [1.0])
    query = "SELECT count() AS c FROM m"
    assert engine.select(query, START + 19.9) == [{"c": "0"}]
    assert engine.select(query, START + 20) == [{"c": "1"}]


def test_a_revised_share_of_the_rows_comes_later_still(box: Sandbox) -> None:
    """Minutes that grow after they were read are what the settle time is for."""
    engine = AnalyticsEngine(box.rows)
    box.rows.revisions["m"] = Revision(share=0.5, delay=30)
    for second in range(200):
        box.rows.write_point("m", START + second / 200, ["a"], [1.0])
    query = "SELECT count() AS c FROM m"
    early = int(engine.select(query, START + 21)[0]["c"])
    assert 60 < early < 140
    assert engine.select(query, START + 51) == [{"c": "200"}]
