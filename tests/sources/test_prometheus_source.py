"""The prometheus source against a real Prometheus, and its failures against the answers that the API documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import httpx
import pytest

from notaus.cloudflare.edge import Edge
from notaus.config.sources import Entry, Prometheus
from notaus.errors import ReadFailed
from notaus.sources.prometheus import PrometheusReader

from .conftest import NOW, Lab
from .prometheus_server import program, serving

SECRET = "s3cr3t"
TIMES = [NOW + 15 * n for n in range(-12, 1)]


def history() -> str:
    """A gauge that counts the minutes, one that ends two minutes before NOW's lookback, one of two elements, one of NaN."""
    lines = ["# TYPE queue gauge"]
    lines += [f'queue{{shop="a"}} {n} {NOW + 15 * n}' for n in range(-400, 1)]
    lines += ["# TYPE gone gauge", *(f"gone 1 {NOW - 420 + 15 * n}" for n in range(4))]
    lines += ["# TYPE two gauge", *(f'two{{n="{n}"}} {n} {NOW}' for n in (1, 2))]
    lines += ["# TYPE nothing gauge", f"nothing NaN {NOW}"]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if program("prometheus") is None or program("promtool") is None:
        pytest.skip("Prometheus is not installed")
    with serving(tmp_path_factory.mktemp("prometheus"), history()) as url:
        yield url


def entry(lab: Lab, url: str, query: str, **more: Any) -> Entry:
    return lab.entry(Prometheus(url, query, **more), "queue", name="queue", settle=0)


async def values(
    lab: Lab, asked: Entry, *times: int, answer: Callable[[httpx.Request], httpx.Response] | None = None
) -> Any:
    transport = httpx.MockTransport(answer) if answer is not None else None
    async with httpx.AsyncClient(transport=transport) as http:
        reader = PrometheusReader(replace(lab.context, edge=Edge(http)))
        found = await reader.read(asked, times or (NOW,))
    return [sample.value for sample in found["queue"]]


async def test_the_value_at_the_grid_time(lab: Lab, server: str) -> None:
    """The rule would be judged by another moment's value."""
    assert await values(lab, entry(lab, server, "queue")) == [0]
    assert await values(lab, entry(lab, server, "queue"), NOW - 150) == [-10]
    assert await values(lab, entry(lab, server, "sum(queue) / 4"), NOW - 15) == [Fraction(-1, 4)]
    assert await values(lab, entry(lab, server, "scalar(queue)"), NOW - 15) == [-1]
    assert await values(lab, entry(lab, server, "2.5", percent=True)) == [Fraction(25, 1000)]


async def test_a_backfill_gives_what_each_time_alone_gives(lab: Lab, server: str) -> None:
    """A restart in the middle of a hold would change what is done."""
    asked = entry(lab, server, "queue")
    alone = [(await values(lab, asked, at))[0] for at in TIMES]
    assert await values(lab, asked, *TIMES) == alone == [Fraction(n) for n in range(-12, 1)]
    apart = [NOW - 3600, NOW - 3585, NOW - 15, NOW]
    assert await values(lab, asked, *apart) == [-240, -239, -1, 0]


async def test_none_and_nan_are_unknown(lab: Lab, server: str) -> None:
    """A metric that vanished would pass for 0, a division by zero for a number."""
    assert await values(lab, entry(lab, server, "nosuch")) == [None]
    assert await values(lab, entry(lab, server, "nothing")) == [None]
    assert await values(lab, entry(lab, server, "queue / 0"), NOW - 15) == [None]
    there_and_gone = await values(lab, entry(lab, server, "gone"), *(NOW - 120, NOW - 60))
    assert there_and_gone == [1, None]


@pytest.mark.parametrize("times", [[NOW], [NOW - 15, NOW]])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("two", "the query gives 2 elements, and must give one: sum(…) or max(…)"),
        ("rate(queue)", "expected type range vector"),
        ('"text"', "string"),
        ("queue[5m]", "range vector|matrix"),
    ],
)
async def test_a_query_that_gives_no_one_number_is_told(
    lab: Lab, server: str, query: str, said: str, times: list[int]
) -> None:
    """Which of several elements is meant would be chance."""
    import re

    with pytest.raises(ReadFailed) as failed:
        await values(lab, entry(lab, server, query), *times)
    assert re.search(said.replace("(…)", r"\(…\)"), str(failed.value))


def saying(status: int, body: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body))


VECTOR = {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, "3"]}]}
HISTOGRAM = {"resultType": "vector", "result": [{"metric": {}, "histogram": [NOW, {"count": "3"}]}]}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, {"status": "error", "errorType": "timeout", "error": "query timed out"}, "answered 503: query timed out"),
        (401, b"Unauthorized", "answered 401 with something other than Prometheus' JSON; it wants a login"),
        (200, b"<html>", "answered 200 with something other than Prometheus' JSON"),
        (200, {"status": "success"}, "the answer lacks its data"),
        (200, {"status": "success", "data": {"resultType": "vector"}}, "not shaped as expected"),
        (200, {"status": "success", "data": {"resultType": "vector", "result": [{"value": 3}]}}, "not shaped"),
        (200, {"status": "success", "data": HISTOGRAM}, "native histogram"),
        (200, {"status": "success", "data": VECTOR, "warnings": ["a store is missing"]}, "a store is missing"),
        (200, b"[" * 5_000_000, "larger than"),
    ],
)
async def test_an_answer_that_is_none_is_a_failed_read(lab: Lab, status: int, body: Any, said: str) -> None:
    """Half an answer would be judged as if it were whole."""
    with pytest.raises(ReadFailed, match=r"Prometheus \(queue\)") as failed:
        await values(lab, entry(lab, "http://p.example", "queue"), answer=saying(status, body))
    assert said in str(failed.value)


async def test_remarks_on_the_query_are_no_failure(lab: Lab) -> None:
    """Older releases list among the warnings that a counter may be none: the rule would be blind for ever."""
    body = {
        "status": "success",
        "data": VECTOR,
        "warnings": ["PromQL info: metric might not be a counter"],
        "infos": ["x"],
    }
    assert await values(lab, entry(lab, "http://p.example", "queue"), answer=saying(200, body)) == [3]


async def test_a_login_is_sent_and_never_shown(lab: Lab) -> None:
    """A protected Prometheus could not be read, or its password would stand on a page."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        if len(seen) > 1:
            raise httpx.ConnectError(f"cannot connect to {request.url} with {request.headers}")
        return httpx.Response(200, json={"status": "success", "data": VECTOR})

    tenant = {"X-Scope-OrgID": "shop"}
    asked = entry(lab, f"https://reader:{SECRET}@p.example/prom/", "queue", headers=tenant)
    assert await values(lab, asked, answer=answer) == [3]
    assert seen[0]["Authorization"].startswith("Basic ")
    assert seen[0]["X-Scope-OrgID"] == "shop"
    with pytest.raises(ReadFailed, match="no answer") as failed:
        await values(lab, asked, answer=answer)
    assert SECRET not in str(failed.value)
    assert SECRET not in repr(asked)
