"""The sandbox over real HTTP: dropped connections look like dropped connections, and the process speaks JSON first."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.asyncio.client import connect

from notaus.sandbox import Sandbox
from notaus.sandbox.server import Clock as ScaledClock
from notaus.sandbox.server import serving


@pytest.fixture
async def served(box: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the box on a free port of this machine."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serving(box, on_ready=ready.set_result))
    base = await asyncio.wait_for(ready, 5)
    headers = {"Authorization": f"Bearer {box.token}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as client:
        yield client
    task.cancel()
    await asyncio.wait([task], timeout=5)


def value_path(box: Sandbox, key: str) -> str:
    return f"/client/v4/accounts/{box.account.id}/storage/kv/namespaces/{box.kv_namespace}/values/{key}"


async def test_a_call_over_the_wire_is_a_call_in_process(served: httpx.AsyncClient, box: Sandbox) -> None:
    """Both ways in must be the same sandbox, the encoded key included."""
    assert (await served.put(value_path(box, "a%2Fb"), content=b"1")).status_code == 200
    assert box.kv.read(box.kv_namespace, "a/b") == b"1"
    answer = await served.get(value_path(box, "config"))
    assert answer.json()["canary_percent"] == 10
    assert len(answer.headers.get_list("date")) == 1
    assert (await served.get("/workers/bookstrack/health")).json()["data"]["version"] == "v1.9.0"


@pytest.mark.parametrize(("kind", "stored"), [("lost_reply", b"1"), ("reset", None), ("outage", None)])
async def test_a_dropped_connection_is_one(
    served: httpx.AsyncClient, box: Sandbox, kind: str, stored: bytes | None
) -> None:
    """A client must see its connection break, not an error that somebody sent."""
    box.faults.add("kv.put", kind)
    with pytest.raises(httpx.TransportError):
        await served.put(value_path(box, "a"), content=b"1")
    assert box.kv.read(box.kv_namespace, "a") == stored
    assert (await served.get(value_path(box, "config"))).status_code == 200


async def test_a_hanging_call_ends_with_its_client(served: httpx.AsyncClient, box: Sandbox) -> None:
    """Else a sandbox full of hanging calls could not be stopped."""
    box.faults.add("kv.get", "hang")
    with pytest.raises(httpx.ReadTimeout):
        await served.get(value_path(box, "config"), timeout=0.1)
    for _ in range(100):
        if box.journal.requests:
            break
        await asyncio.sleep(0.01)
    assert box.journal.requests[-1].status == 0


async def test_a_websocket_opens_over_the_wire(served: httpx.AsyncClient, box: Sandbox) -> None:
    """The check's handshake against a real server."""
    url = (
        str(served.base_url).rstrip("/").replace("http", "ws") + "/workers/bookstrack/ws/progress?jobId=test&token=test"
    )
    async with connect(url, proxy=None) as socket:
        assert json.loads(await asyncio.wait_for(socket.recv(), 2))["type"] == "ready"


def test_a_shared_clock_is_read_from_its_anchors() -> None:
    """Sandbox and daemon of the demo run on one sped-up clock."""
    clock = ScaledClock.parse(f"{time.time()},1000,60")
    assert 1000 <= clock() < 1060
    for wrong in ("", "1,2", "1,2,0", "a,b,c"):
        with pytest.raises(ValueError, match="clock"):
            ScaledClock.parse(wrong)


def test_the_first_line_of_output_is_the_addresses() -> None:
    """Whoever starts a sandbox reads where it is from there."""
    arguments = [sys.executable, "-m", "notaus.sandbox", "--port", "0", "--json", "--speed", "20", "--no-traffic"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        assert list(urls) == ["api", "token", "account", "kv_namespace", "workers", "admin", "pages"]
        assert set(urls["workers"]) == {"pix-immo", "bookstrack"}
        answer = httpx.get(f"{urls['workers']['pix-immo']}/api/qa", trust_env=False)
        assert answer.json()["canary"]["percent"] == 10
    finally:
        process.terminate()
        assert process.wait(10) in (0, -15)


async def test_a_call_in_process_is_cheap(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """Half an hour of scenario has to take well under a second."""
    box.account.api_limit = None
    best = 1.0
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(50):
            await client.get(f"{values}/config")
        best = min(best, (time.perf_counter() - begun) / 50)
    assert best < 0.002
