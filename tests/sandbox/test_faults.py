"""Faults on purpose, in process: what fails, whether the work was done, and for how long."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from notaus.sandbox import Sandbox
from notaus.sandbox.faults import TARGETS, Kind

from .conftest import START, Clock


async def test_a_lost_reply_does_the_work_and_drops_the_answer(
    client: httpx.AsyncClient, box: Sandbox, values: str
) -> None:
    """The case that tempts a client to write twice."""
    box.faults.add("kv.put", ["lost_reply"])
    with pytest.raises(httpx.ReadError):
        await client.put(f"{values}/a", content=b"1")
    assert box.kv.read(box.kv_namespace, "a") == b"1"
    assert (await client.get(f"{values}/a")).status_code == 200
    assert box.journal.requests[0].fault == "lost_reply"
    assert box.journal.requests[0].status == 0


async def test_a_late_reply_does_the_work_at_once(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """Whoever is killed while waiting for it must be found to have done it."""
    box.faults.add("kv.put", ["late_reply:3600"])
    with pytest.raises(httpx.ReadTimeout):
        await client.put(f"{values}/a", content=b"1", timeout=0.02)
    assert box.kv.read(box.kv_namespace, "a") == b"1"


@pytest.mark.parametrize(
    ("kind", "error"), [("reset", httpx.ReadError), ("outage", httpx.ConnectError), ("hang", httpx.ReadTimeout)]
)
async def test_a_call_that_never_arrives_does_no_work(
    client: httpx.AsyncClient, box: Sandbox, values: str, kind: str, error: type[Exception]
) -> None:
    """Were the work done, the client's second try would be the bug."""
    box.faults.add("kv.put", kind)
    with pytest.raises(error):
        await client.put(f"{values}/a", content=b"1", timeout=0.02)
    assert box.kv.read(box.kv_namespace, "a") is None


async def test_a_list_of_kinds_is_used_up_call_by_call(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """Scenarios name the next calls in order."""
    box.faults.add("kv.get", [500, "429:7", "html"])
    answers = [await client.get(f"{values}/config") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [500, 429, 403, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert answers[2].headers["cf-mitigated"] == "challenge"


async def test_a_duration_includes_its_start_and_excludes_its_end(
    client: httpx.AsyncClient, box: Sandbox, values: str, clock: Clock
) -> None:
    """`for: D` lasts over [at, at + D)."""
    box.faults.add("api", 503, duration=10, at=START + 5)
    seen = []
    for offset in (4.9, 5, 14.9, 15):
        clock.now = START + offset
        seen.append((await client.get(f"{values}/config")).status_code)
    assert seen == [200, 503, 503, 200]


async def test_only_the_target_fails(client: httpx.AsyncClient, box: Sandbox, values: str, script: str) -> None:
    """A fault of the analytics must leave the levers alone, and the other way round."""
    for target in ("kv.put", "analytics", "verify", "page", "deployments.post", "versions.get"):
        box.faults.add(target, 500, duration=60)
    root = box.urls()
    calls = {
        client.get(f"{values}/config"): 200,
        client.put(f"{values}/config", content=b"1"): 500,
        client.get(f"{script}/deployments"): 200,
        client.get(f"{script}/versions"): 500,
        client.post(f"{script}/deployments", json={}): 500,
        client.post(f"{root['api']}/graphql", json={"query": "{ cost }"}): 500,
        client.get("https://api.oooefam.net/health"): 500,
        client.post("https://hooks.slack.com/x", json={"text": "a"}): 500,
        client.get(f"{root['pages']}"): 200,
    }
    for call, status in calls.items():
        assert (await call).status_code == status


async def test_garbage_is_no_json_and_a_slow_answer_takes_its_time(
    client: httpx.AsyncClient, box: Sandbox, values: str
) -> None:
    """Both happen in the wild, and neither is an answer in time."""
    box.faults.add("kv.get", ["garbage", "slow:0.03"])
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        (await client.get(f"{values}/config")).json()
    begun = time.perf_counter()
    assert (await client.get(f"{values}/config")).status_code == 200
    assert time.perf_counter() - begun >= 0.03


async def test_an_outage_is_not_a_slow_one(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """Everything is gone at once, and comes back."""
    box.faults.add("all", "outage", duration=30)
    for url in (f"{values}/config", "https://api.pix.immo/api/qa"):
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
    assert (await client.get(f"{box.urls()['admin']}/state")).status_code == 200
    box.faults.clear()
    assert (await client.get(f"{values}/config")).status_code == 200


@pytest.mark.parametrize("kind", ["nonsense", 200, "slow", "slow:x", "late_reply", "lost_reply:3", {"status": "x"}, ""])
def test_a_kind_that_does_not_exist_is_refused(kind: object) -> None:
    """A typo in a scenario must not pass as no fault."""
    with pytest.raises(ValueError, match=r"fault|kind"):
        Kind.parse(kind)


def test_a_target_that_does_not_exist_is_refused(box: Sandbox) -> None:
    """The message names those that do."""
    with pytest.raises(ValueError, match=", ".join(TARGETS[:3])):
        box.faults.add("kv", 500)


async def test_a_read_timeout_is_kept_on_any_clock(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """On a virtual-time loop nothing else would end a hanging call."""
    box.faults.add("kv.get", ["timeout"])
    async with asyncio.timeout(2):
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"{values}/config", timeout=0.01)
