"""A live tail of a Worker that keeps no logs, over a real socket to a sandbox of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus import log
from notaus.clock import SystemClock
from notaus.cloudflare import tail
from notaus.cloudflare.client import Call, Client
from notaus.cloudflare.edge import Edge
from notaus.core.effect import Collect, Kept
from notaus.core.service import Exhibit, Service
from notaus.custody import Collector, Questions, collector
from notaus.errors import NotausError
from tests.builders import a_rollback_service
from tests.contract.conftest import Address, running_sandbox

SCRIPT = "api-worker"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Address]:
    with running_sandbox("--no-traffic", "--seed", "3") as address:
        yield address


class Scene:
    """The bookstrack service, whose Worker logs nothing, and somebody who uses it."""

    def __init__(self, sandbox: Address, http: httpx.AsyncClient, directory: Path) -> None:
        self.sandbox, self.http, self.directory = sandbox, http, directory
        self.clock = SystemClock()
        self.client = Client(http, sandbox.api, sandbox.account, sandbox.token, self.clock)
        self.edge = Edge(http)
        self.service = Service(
            name="bookstrack",
            account=sandbox.account,
            worker=SCRIPT,
            signals={},
            rules=(),
            ladder=a_rollback_service().ladder,
        )

    async def no_samples(self, service: str, signal: str, since: int) -> list[Any]:
        return []

    async def collect(self) -> Kept:
        asks = Questions(self.client, self.edge, {})
        made = Collector(self.client, self.edge, self.clock, self.no_samples, asks, self.directory)
        now = int(self.clock.now())
        return await made.collect(
            self.service, Collect("e", "bookstrack", "incident-1", (Exhibit.TELEMETRY,), now - 60, now)
        )

    async def used(self, times: int = 1_000) -> None:
        """Requests, until cancelled."""
        headers = {"Cookie": "session=s3cr3t-of-a-user", "Authorization": "Bearer s3cr3t-of-a-user"}
        for _ in range(times):
            await self.http.get(f"{self.sandbox.base}/workers/bookstrack/health", headers=headers)
            await asyncio.sleep(0.1)

    async def settings(self, enabled: bool) -> None:
        path = f"/accounts/{self.sandbox.account}/workers/scripts/{SCRIPT}/script-settings"
        await self.client.envelope(Call("PATCH", path, json={"observability": {"enabled": enabled}}))

    async def tails(self) -> list[Any]:
        path = f"/accounts/{self.sandbox.account}/workers/scripts/{SCRIPT}/tails"
        found = (await self.client.envelope(Call("GET", path))).result
        return found if isinstance(found, list) else [found]

    def manifest(self) -> dict[str, dict[str, Any]]:
        listed = json.loads((self.directory / "incident-1" / "manifest.json").read_text(encoding="utf-8"))["files"]
        return {each["file"]: each for each in listed}


@pytest.fixture
async def scene(sandbox: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(collector, "AGAIN_SECONDS", 3)
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Scene(sandbox, http, tmp_path)


async def test_a_worker_that_keeps_no_logs_is_listened_to(scene: Scene) -> None:
    """Of an incident of such a Worker nothing at all would be left."""
    await scene.settings(enabled=False)
    using = asyncio.create_task(scene.used())
    kept = await scene.collect()
    using.cancel()
    await scene.settings(enabled=True)
    listed = scene.manifest()
    assert [p.partition(":")[0] for p in kept.problems] == ["1-telemetry.ndjson", "2-telemetry.ndjson"]
    assert all("api-worker logs no invocations; turn on `observability`" in p for p in kept.problems)
    text = (scene.directory / "incident-1" / "tail.ndjson").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    assert {(e["scriptName"], e["event"]["response"]["status"]) for e in events} == {(SCRIPT, 200)}
    assert len(events) >= 5
    assert listed["tail.ndjson"]["complete"]
    assert "s3cr3t-of-a-user" not in text
    assert await scene.tails() == []


async def test_a_worker_that_keeps_logs_is_not_listened_to(scene: Scene) -> None:
    """Ten listeners are all that a Worker has; people at work on the incident need them."""
    kept = await scene.collect()
    assert kept.problems == ()
    assert "tail.ndjson" not in scene.manifest()


async def test_the_address_of_a_tail_is_known_to_nobody(scene: Scene) -> None:
    """Whoever has it hears what the Worker logs."""
    listening = asyncio.create_task(tail.LiveTail(scene.client, scene.edge).listen(scene.sandbox.account, SCRIPT, 1))
    while not (open_ := await scene.tails()):
        assert not listening.done()
        await asyncio.sleep(0.05)
    assert open_[0]["url"] not in log.scrub(open_[0]["url"])
    assert open_[0]["id"] not in log.scrub(f"while connecting to {open_[0]['url']}")
    await listening


async def test_what_is_too_much_is_left_out_and_said_to_be(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker with a million requests a minute would fill the memory."""
    monkeypatch.setattr(tail, "MOST_EVENTS", 3)
    using = asyncio.create_task(scene.used())
    events, complete = await tail.LiveTail(scene.client, scene.edge).listen(scene.sandbox.account, SCRIPT, 20)
    using.cancel()
    assert (len(events), complete) == (3, False)


async def test_a_tail_that_cannot_be_had_is_told(scene: Scene) -> None:
    """Nothing happened, people would think."""
    nowhere = tail.LiveTail(scene.client, Edge(scene.http, {"127.0.0.1": "http://127.0.0.1:9"}))
    with pytest.raises(NotausError, match="tail: api-worker: ConnectionRefusedError on the way to it"):
        await nowhere.listen(scene.sandbox.account, SCRIPT, 5)
    assert await scene.tails() == []
    silent = await asyncio.start_server(lambda reader, writer: reader.read(), "127.0.0.1", 0)  # never shakes hands
    port = silent.sockets[0].getsockname()[1]
    hanging = tail.LiveTail(scene.client, Edge(scene.http, {"127.0.0.1": f"http://127.0.0.1:{port}"}))
    with pytest.raises(NotausError, match="tail: api-worker: no connection to it in time"):
        await hanging.listen(scene.sandbox.account, SCRIPT, 1)
    silent.close()
    with pytest.raises(NotausError, match="no-such-worker"):
        await nowhere.listen(scene.sandbox.account, "no-such-worker", 5)
