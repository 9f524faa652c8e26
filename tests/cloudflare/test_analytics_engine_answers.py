"""What Analytics Engine's answers mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from notaus.cloudflare.analytics_engine import AnalyticsEngine, datetime_literal, string_literal, table
from notaus.errors import Busy, CallFailed, ReadFailed

from .conftest import NOW, Wire, refusal

Wires = Callable[..., Wire]


def answered(data: list[Any], **types: str) -> httpx.Response:
    meta = [{"name": name, "type": kind} for name, kind in types.items()]
    return httpx.Response(200, json={"meta": meta, "data": data, "rows": len(data)})


async def test_the_query_is_sent_as_plain_text(wire: Wires) -> None:
    """The API takes no JSON here."""
    its = wire(answered([]))
    await AnalyticsEngine(its.client()).query("acc", "SELECT 1")
    (sent,) = its.sent
    assert (sent.method, sent.url.path, sent.content) == (
        "POST",
        "/client/v4/accounts/acc/analytics_engine/sql",
        b"SELECT 1",
    )


async def test_integers_come_as_words_and_nan_as_nothing(wire: Wires) -> None:
    """Counts would be added up as text; a NaN would be compared."""
    rows = [{"n": "1194", "i": -3, "x": 0.1, "none": None, "nan": "nan", "inf": "inf", "t": "12"}]
    types = {
        "n": "UInt64",
        "i": "Int64",
        "x": "Float64",
        "none": "Nullable(Float64)",
        "nan": "Float64",
        "inf": "Float64",
    }
    (row,) = await AnalyticsEngine(wire(answered(rows, **types, t="String")).client()).query("acc", "q")
    assert row == {"n": 1194, "i": -3, "x": 0.1, "none": None, "nan": None, "inf": None, "t": "12"}


async def test_bare_nan_in_the_json_is_nothing_too(wire: Wires) -> None:
    """ClickHouse can write NaN, which is no JSON."""
    body = '{"meta": [{"name": "x", "type": "Float64"}], "data": [{"x": NaN}], "rows": 1}'
    (row,) = await AnalyticsEngine(wire(httpx.Response(200, text=body)).client()).query("acc", "q")
    assert row == {"x": None}


async def test_rows_cut_at_the_limit_are_a_failed_read(wire: Wires) -> None:
    """The missing windows would look like no traffic."""
    its = wire(answered([{"n": 1}, {"n": 2}], n="UInt8"))
    with pytest.raises(ReadFailed, match="truncated at 2 rows"):
        await AnalyticsEngine(its.client()).query("acc", "q", limit=2)


@pytest.mark.parametrize(
    "answer", [httpx.Response(400, text="unknown column"), httpx.Response(422, text="unknown column")]
)
async def test_a_refused_query_says_what_is_wrong(wire: Wires, answer: httpx.Response) -> None:
    """A mistake in a condition would be an unexplained failure."""
    with pytest.raises(ReadFailed, match="unknown column"):
        await AnalyticsEngine(wire(answer).client()).query("acc", "q")


async def test_a_missing_permission_is_named(wire: Wires) -> None:
    """Nobody would know which box to tick."""
    with pytest.raises(ReadFailed, match="Account Analytics Read"):
        await AnalyticsEngine(wire(refusal(403, 10000)).client()).query("acc", "q")


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"meta": [], "data": null}', '{"meta": [], "data": [1]}'])
async def test_an_odd_answer_is_no_observation(wire: Wires, body: str) -> None:
    """A broken answer would be taken for no traffic."""
    with pytest.raises(Busy):
        await AnalyticsEngine(wire(httpx.Response(200, text=body)).client()).query("acc", "q")


async def test_an_outage_is_tried_again_and_then_told(wire: Wires) -> None:
    """A hiccup would cost a poll."""
    its = wire(refusal(500))
    with pytest.raises(CallFailed):
        await AnalyticsEngine(its.client()).query("acc", "q")
    assert len(its.sent) == 3


def test_literals_are_quoted() -> None:
    """A name with a quote would break the query, or inject one."""
    assert string_literal("it's \\ x") == "'it''s \\\\ x'"
    assert datetime_literal(int(NOW)) == "toDateTime('2026-09-21 14:20:00')"
    assert (table("pix_canary"), table("pix-canary")) == ("pix_canary", '"pix-canary"')
