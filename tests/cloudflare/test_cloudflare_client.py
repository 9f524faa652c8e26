"""What the client makes of Cloudflare's answers, and of none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from notaus.cloudflare.budget import PRESSING, UNHURRIED, Budgets, Family, Ledger
from notaus.cloudflare.client import Call, Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.kv import Kv
from notaus.errors import Busy, CallFailed, Refused, Silent

from .conftest import API, NOW, Wire, ok, recording, refusal

Wires = Callable[..., Wire]
GET = Call("GET", "/x")
PUT = Call("PUT", "/x", content=b"1", lever=True)


async def test_the_token_goes_into_the_header_and_nowhere_else(wire: Wires) -> None:
    """The token would end in a log."""
    its = wire(refusal(403, 10000, "Authentication error"))
    client = its.client(token=SecretStr("cfat_secret"), lever_token="cfat_lever")
    with pytest.raises(Refused) as caught:
        await client.envelope(GET)
    assert its.sent[0].headers["Authorization"] == "Bearer cfat_secret"
    assert "secret" not in f"{client!r}{client}{caught.value!r}{vars(client)}"
    with pytest.raises(Refused):
        await client.envelope(PUT)
    assert its.sent[1].headers["Authorization"] == "Bearer cfat_lever"


async def test_null_errors_and_code_10000_in_messages_are_no_errors(wire: Wires) -> None:
    """The live API's success would be taken for a failure."""
    happy = {"messages": [{"code": 10000, "message": "This API Token is valid and active"}], "errors": None}
    assert (await wire(ok({"id": "1"}, **happy)).client().envelope(GET)).result == {"id": "1"}
    assert (await wire(ok({}, messages=["text"])).client().envelope(GET)).result == {}


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (refusal(404, 10007, "This Worker does not exist"), Refused, "This Worker does not exist (code 10007)"),
        (refusal(400, 6003, "Invalid request headers"), Refused, "6003"),
        (refusal(429, 971), Busy, "429"),
        (refusal(408), Busy, "408"),
        (refusal(500), Busy, "500"),
        (httpx.Response(503, text="upstream down"), Busy, "upstream down"),
        (httpx.Response(502, text="bad gateway"), Silent, "bad gateway"),
        (httpx.Response(524), Silent, "524"),
        (httpx.Response(403, text="<html><b>Just a moment</b></html>", headers={"cf-ray": "8a"}), Refused, "cf-ray 8a"),
        (httpx.Response(302, headers={"Location": "/"}), Refused, "redirect"),
        (httpx.Response(200, text='{"success": true, "resu'), Silent, "other than Cloudflare's JSON"),
        (httpx.Response(200, text="[]"), Silent, "other than Cloudflare's JSON"),
        (httpx.Response(204), Silent, "nothing"),
        (
            httpx.Response(200, json={"success": False, "errors": [{"code": 7, "message": "no"}]}),
            Refused,
            "no (code 7)",
        ),
        (httpx.ConnectError("refused"), Busy, "could not connect"),
        (httpx.ConnectTimeout("slow"), Busy, "could not connect"),
        (httpx.PoolTimeout("full"), Busy, "could not connect"),
        (httpx.ReadTimeout("slow"), Silent, "no answer within"),
        (httpx.WriteError("broken"), Silent, "the connection broke"),
        (httpx.RemoteProtocolError("cut"), Silent, "the connection broke"),
    ],
)
async def test_a_failed_write_is_refused_busy_or_silent(wire: Wires, answer: Any, error: type, said: str) -> None:
    """A write that may have happened would be repeated, or one that cannot happen be tried for ever."""
    its = wire(answer)
    with pytest.raises(CallFailed) as caught:
        await its.client().envelope(PUT)
    assert type(caught.value) is error
    assert said in str(caught.value)
    assert len(its.sent) == 1


async def test_a_read_is_tried_three_times_with_growing_pauses(wire: Wires) -> None:
    """A hiccup would cost a poll; or an outage be hammered."""
    its = wire(refusal(500), httpx.ReadError("cut"), ok("fine"))
    assert (await its.client().envelope(GET)).result == "fine"
    assert its.clock.slept == [0.5, 1.5]
    its = wire(refusal(500))
    with pytest.raises(Busy):
        await its.client().envelope(GET)
    assert len(its.sent) == 3


async def test_a_query_by_post_is_safe_to_repeat_and_a_write_is_not(wire: Wires) -> None:
    """A deployment would be made three times."""
    its = wire(refusal(500), ok())
    await its.client().envelope(Call("POST", "/graphql", json={}, query=True, family=Family.GRAPHQL))
    assert len(its.sent) == 2
    its = wire(refusal(500), ok())
    with pytest.raises(Busy):
        await its.client().envelope(Call("POST", "/deployments", json={}))
    assert len(its.sent) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Mon, 21 Sep 2026 14:20:30 GMT", 30.0), ("soon", None), ("-3", None), ("nan", None)],
)
async def test_retry_after_is_seconds_or_a_date(wire: Wires, header: str, seconds: float | None) -> None:
    """Cloudflare's wish would be misread."""
    answer = refusal(429, Retry_After=header, Date="Mon, 21 Sep 2026 14:20:00 GMT")
    with pytest.raises(Busy) as caught:
        await wire(answer).client().envelope(PUT)
    assert caught.value.retry_after == seconds


async def test_a_read_waits_for_a_short_retry_after_and_leaves_a_long_one(wire: Wires) -> None:
    """A poll would hang for five minutes."""
    its = wire(refusal(429, Retry_After="3"), ok())
    await its.client().envelope(GET)
    assert its.clock.slept == [3.0]
    its = wire(refusal(429, Retry_After="300"))
    with pytest.raises(Busy):
        await its.client().envelope(GET)
    assert (len(its.sent), its.clock.slept) == (1, [])


async def test_after_a_429_reads_keep_the_break_and_levers_go_out(wire: Wires) -> None:
    """Polling would keep the account blocked, for the levers too."""
    its = wire(refusal(429, Retry_After="100"), ok())
    client = its.client()
    with pytest.raises(Busy):
        await client.envelope(GET)
    with pytest.raises(Busy, match="not sent"):
        await client.envelope(GET)
    await client.envelope(PUT)
    its.clock.time += 101
    await client.envelope(GET)
    assert len(its.sent) == 3


async def test_the_reserve_is_for_levers_alone(wire: Wires) -> None:
    """The polls would have used up the budget when the rollback needs it."""
    its = wire(ok())
    client = its.client(budgets=Budgets(api=10, graphql=5, reserve=0.2))
    for _ in range(8):
        await client.envelope(GET)
    with pytest.raises(Busy, match="budget of 10 api calls") as caught:
        await client.envelope(GET)
    assert caught.value.retry_after == 300
    assert len(its.sent) == 8
    await client.envelope(PUT)
    assert client.budget_remaining(Family.API) == pytest.approx(0.1)
    assert client.budget_remaining("graphql") == 1
    its.clock.time += 301
    await client.envelope(GET)
    assert client.budget_remaining(Family.API) == pytest.approx(0.9)


async def test_the_budget_slides(wire: Wires) -> None:
    """A block of calls at the end of one window and the start of the next would be twice the limit."""
    its = wire(ok())
    client = its.client(budgets=Budgets(api=4, reserve=0))
    for _ in range(4):
        await client.envelope(GET)
        its.clock.time += 60
    with pytest.raises(Busy) as caught:
        await client.envelope(GET)
    assert caught.value.retry_after == 60
    its.clock.time += 60
    await client.envelope(GET)


async def test_every_answer_corrects_the_clock(wire: Wires) -> None:
    """Cloudflare's idea of now would not be known."""
    its = wire(httpx.Response(200, json={"success": True}, headers={"Date": "Mon, 21 Sep 2026 14:20:05 GMT"}))
    await its.client().envelope(GET)
    ((remote, uncertainty),) = its.clock.observed
    assert remote == NOW + 5
    assert 0 <= uncertainty < 5


@pytest.mark.parametrize(
    "date",
    ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 99 Foo 2026", "\xff", "", "Mon, 01 Jan 1 0:0:0 +9959"],
)
async def test_a_date_that_is_none_is_passed_over(wire: Wires, date: str) -> None:
    """An answer would count as lost for a header that nobody needs, a PUT's too."""
    headers = httpx.Headers([(b"date", date.encode("latin-1")), (b"retry-after", date.encode("latin-1"))])
    its = wire(httpx.Response(200, json={"success": True}, headers=headers))
    await its.client().envelope(GET)
    with pytest.raises(Busy):
        await wire(httpx.Response(500, headers=headers)).client().envelope(PUT)


async def test_every_request_is_observed(wire: Wires) -> None:
    """The metrics of requests would be wrong."""
    seen: list[tuple[str, str, int]] = []
    its = wire(httpx.ReadError("cut"), refusal(500), ok())
    await its.client(on_request=lambda family, method, status, seconds: seen.append((family, method, status))).envelope(
        GET
    )
    assert seen == [("api", "GET", 0), ("api", "GET", 500), ("api", "GET", 200)]


async def test_a_body_without_end_is_not_read(wire: Wires) -> None:
    """An answer of gigabytes would fill the memory."""
    its = wire(httpx.Response(200, content=b"x" * 2000))
    with pytest.raises(Silent, match="larger than 1000 bytes"):
        await its.client(body_bytes=1000).send(PUT)


async def test_every_call_has_a_deadline() -> None:
    """A connection that never answers would stop the poll, or the stop."""

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    http = httpx.AsyncClient(transport=httpx.MockTransport(never))
    client = Client(http, API, "acc", "t", Wire().clock, lever_seconds=0.01)
    with pytest.raises(Silent, match=r"no answer within 0\.01 s"):
        await client.send(PUT)


async def test_the_live_api_s_deployments_are_read(wire: Wires) -> None:
    """The recorded answer of the live API would not be understood."""
    its = wire(recording("deployments-list"))
    (deployment,) = await Deployments(its.client()).newest("acc", "script")
    assert deployment.id == "e0166a02-dbba-4044-a8a8-04b017c19614"
    assert deployment.alone == "2bbbf05d-a4dd-495b-bbb3-7121f176550e"
    assert (deployment.created, deployment.message) == (1790665061, "Automatic deployment on upload.")


async def test_the_live_api_s_versions_are_read(wire: Wires) -> None:
    """Its null `errors` and `messages` would be taken for a broken answer."""
    (version,) = await Deployments(wire(recording("versions-list")).client()).deployable("acc", "script")
    assert (version.number, version.version().triggered_by) == (1, "upload")


async def test_deployments_are_sorted_by_time_to_the_microsecond(wire: Wires) -> None:
    """Two deployments within a second would be confused."""

    def entry(id: str, created: str) -> dict[str, Any]:
        return {"id": id, "created_on": created, "versions": [{"version_id": "v", "percentage": 100}]}

    times = {"a": "2026-09-29T06:57:41.100000Z", "c": "2026-09-29T06:57:41.300000Z", "b": "2026-09-29T06:57:41.200000Z"}
    its = wire(ok({"deployments": [entry(id, at) for id, at in times.items()]}))
    assert [d.id for d in await Deployments(its.client()).newest("acc", "s")] == ["c", "b", "a"]


async def test_a_list_that_ignores_pages_ends(wire: Wires) -> None:
    """An API without paging would be asked for ever."""
    one = {"id": "a", "created_on": "2026-09-29T06:57:41Z", "versions": [{"version_id": "v", "percentage": 100}]}
    its = wire(ok({"deployments": [one]}))
    assert len(await Deployments(its.client()).since("acc", "s", 0)) == 1
    assert len(its.sent) == 2


@pytest.mark.parametrize("result", [None, [], {}, {"deployments": None}, {"deployments": [{"id": 1}]}])
async def test_an_odd_shape_is_no_list_of_deployments(wire: Wires, result: Any) -> None:
    """A changed API would look like a script without deployments."""
    with pytest.raises(Silent, match="not shaped as expected"):
        await Deployments(wire(ok(result)).client()).newest("acc", "s")


async def test_a_missing_key_is_not_a_missing_namespace(wire: Wires) -> None:
    """A typo in the namespace would look like a key that was never written."""
    assert await Kv(wire(refusal(404, 10009)).client()).get("acc", "ns", "k") is None
    with pytest.raises(Refused):
        await Kv(wire(refusal(404, 10013)).client()).get("acc", "ns", "k")


async def test_a_key_is_one_segment_of_the_path(wire: Wires) -> None:
    """`a/b` would name another route."""
    its = wire(ok())
    await Kv(its.client()).put("acc", "ns", "a/b:c d", b"1")
    assert its.sent[0].url.raw_path.endswith(b"/values/a%2Fb%3Ac%20d")


async def test_clients_that_use_the_same_token_share_its_budget(wire: Wires) -> None:
    """Cloudflare counts by token: each account, and each reload, would spend the whole budget anew."""
    its, ledger = wire(ok()), Ledger()
    budgets = Budgets(api=10, reserve=0.2)
    one, other = (its.client(budgets=budgets, ledger=ledger) for _ in range(2))
    stranger = its.client(budgets=budgets, ledger=ledger, token="cfat_another")
    for client in (one, other) * 4:
        await client.envelope(GET)
    assert one.budget_remaining(Family.API) == other.budget_remaining(Family.API) == pytest.approx(0.2)
    with pytest.raises(Busy):
        await other.envelope(GET)
    await stranger.envelope(GET)


async def test_close_to_the_limit_what_can_wait_waits_first(wire: Wires) -> None:
    """Reads that nothing depends on would use up what the readings of a breach, and the levers, need."""
    its = wire(ok())
    client = its.client(budgets=Budgets(api=10, reserve=0.1))
    unhurried = replace(GET, unhurried=True)
    for _ in range(6):
        await client.envelope(unhurried)
    assert client.spare(Family.API, UNHURRIED) == 0
    assert client.spare(Family.API, PRESSING) == 2
    with pytest.raises(Busy):
        await client.envelope(unhurried)
    for _ in range(3):
        await client.envelope(GET)
    with pytest.raises(Busy):
        await client.envelope(GET)
    await client.envelope(PUT)
    its.clock.time += 301
    assert client.spare(Family.API, UNHURRIED) == 6


async def test_what_may_not_go_out_any_more_is_stopped_right_before_it_would(wire: Wires) -> None:
    """A replica without its lease would still send the write it was waiting to repeat."""

    def no() -> None:
        raise PermissionError("another replica acts")

    at = wire(httpx.Response(200, json={"success": True, "result": {}}))
    client = at.client(before_write=no)
    await client.envelope(Call("GET", "/x"))
    await client.envelope(Call("POST", "/graphql", query=True))
    with pytest.raises(PermissionError):
        await client.envelope(Call("PUT", "/x", lever=True))
    assert [request.method for request in at.sent] == ["GET", "POST"]
