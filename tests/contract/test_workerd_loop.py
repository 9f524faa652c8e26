"""The example Worker in Cloudflare's own runtime: what it answers, and the whole loop from a fault to its own answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus.sandbox.visitors import Visitors, marks
from notaus.sandbox.workerd import Workerd, WorkerFiles

from .conftest import Address, running_sandbox
from .judges import PROJECT, bare_environment, needs_workerd, workerd_binary

pytestmark = needs_workerd

WORKER = PROJECT / "examples/canary-worker"
SPEED = 24.0
PER_SECOND = 90.0
HEALTHY_SECONDS = 240
"""Of the shared clock, before the fault."""
PATIENCE_SECONDS = 720
"""Of the shared clock, from the fault to the first emergency answer. The hold is 180, the source settles in 60."""
NORMAL = {"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": False}
EMERGENCY = {"canary_percent": 0, "canary_tag": "B2a", "emergency_proxy": True}


@contextmanager
def worker(sandbox: Address) -> Iterator[Workerd]:
    binary = workerd_binary()
    assert binary is not None
    with Workerd(binary, WorkerFiles.read(WORKER), sandbox.base, {"UPLOAD_TOKEN": "open-sesame"}) as running:
        yield running


@pytest.fixture(scope="module")
def pix(sandbox: Address) -> Iterator[Workerd]:
    sandbox.admin("traffic", service="pix-immo", cohort="native", error_rate=0.0, latency_ms=1.0)
    sandbox.admin("traffic", service="pix-immo", cohort="proxy", error_rate=0.0, latency_ms=1.0)
    with worker(sandbox) as running:
        yield running


@pytest.fixture
def visitor(pix: Workerd) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=pix.url, trust_env=False) as client:
        yield client


def set_key(sandbox: Address, value: dict[str, Any] | str | None) -> None:
    text = json.dumps(value) if isinstance(value, dict) else value
    sandbox.admin("kv", key="config", value=text, lag=0)


def points(sandbox: Address, columns: str) -> list[dict[str, Any]]:
    url = f"{sandbox.api}/accounts/{sandbox.account}/analytics_engine/sql"
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    sandbox.admin("ingestion", dataset="points", lag=0)
    answer = httpx.post(url, content=f"SELECT {columns} FROM pix_canary", headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_new_visitors_are_rolled_and_stay(sandbox: Address, visitor: httpx.Client) -> None:
    """The split would not be what the key says, or a visitor would see both worlds."""
    set_key(sandbox, {**NORMAL, "canary_percent": 25})
    cohorts = []
    for _ in range(200):
        answer = visitor.get("/api/listings")
        visitor.cookies.clear()
        mark = marks(answer.headers["X-Pix-Canary"])
        assert (mark["tag"], mark["reason"]) == ("B2a", "roll")
        assert answer.headers["Set-Cookie"].startswith(f"pix_cohort={mark['cohort']}; Path=/; Max-Age=86400; HttpOnly")
        assert answer.json()["from"] == mark["cohort"]
        cohorts.append(mark["cohort"])
    assert 25 < cohorts.count("native") < 80
    kept = visitor.get("/api/listings", headers={"Cookie": "a=b; pix_cohort=native"})
    assert kept.headers["X-Pix-Canary"] == "1;tag=B2a;cohort=native;reason=sticky"
    assert "Set-Cookie" not in kept.headers


def test_the_emergency_beats_the_cookie(sandbox: Address, visitor: httpx.Client) -> None:
    """The emergency stop would leave returning visitors on the broken handlers."""
    set_key(sandbox, EMERGENCY)
    answer = visitor.get("/api/listings", headers={"Cookie": "pix_cohort=native"})
    assert answer.headers["X-Pix-Canary"] == "1;tag=B2a;cohort=proxy;reason=emergency"
    assert answer.json()["from"] == "proxy"
    qa = visitor.get("/api/qa")
    assert qa.json()["canary"] == {"percent": 0, "tag": "B2a", "emergency_proxy": True}
    assert qa.headers["X-Pix-Canary"] == "1;tag=B2a;cohort=proxy;reason=emergency"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "not json",
        "[]",
        "{}",
        '{"canary_percent": "10", "canary_tag": "B2a", "emergency_proxy": false}',
        '{"canary_percent": 101, "canary_tag": "B2a", "emergency_proxy": false}',
        '{"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": "no"}',
        '{"canary_percent": 10, "canary_tag": "a;cohort=native", "emergency_proxy": false}',
    ],
)
def test_a_missing_or_broken_key_sends_everyone_to_the_proxy(
    sandbox: Address, visitor: httpx.Client, value: str | None
) -> None:
    """A slip of the pen in the key would take the service down, or roll the canary out."""
    set_key(sandbox, value)
    answer = visitor.get("/api/listings", headers={"Cookie": "pix_cohort=native"})
    assert answer.headers["X-Pix-Canary"] == "1;tag=;cohort=proxy;reason=emergency"
    assert (answer.status_code, answer.json()["from"]) == (200, "proxy")


def test_each_request_writes_one_point_in_the_layout_of_the_service_file(
    sandbox: Address, visitor: httpx.Client
) -> None:
    """notaus would read nothing, or the wrong column; what probes ask of /api/qa is nobody's traffic."""
    set_key(sandbox, NORMAL)
    before = len(points(sandbox, "double2"))
    visitor.get("/api/listings", headers={"Cookie": "pix_cohort=native"})
    visitor.get("/api/qa")
    sandbox.admin("traffic", service="pix-immo", cohort="native", error_rate=1.0, latency_ms=1.0)
    failed = visitor.get("/api/listings", headers={"Cookie": "pix_cohort=native"})
    sandbox.admin("traffic", service="pix-immo", cohort="native", error_rate=0.0, latency_ms=1.0)
    assert failed.status_code == 500
    found = points(sandbox, "index1, blob1, blob2, blob3, double1, double2")[before:]
    assert [row["double2"] for row in found] == [200, 500]
    assert all(0 <= row["double1"] < 5_000 for row in found)
    names = {(row["index1"], row["blob1"], row["blob2"], row["blob3"]) for row in found}
    assert names == {("pix:native", "native", "B2a", "sticky")}


def test_an_upload_of_the_native_cohort_reaches_the_bucket(sandbox: Address, visitor: httpx.Client) -> None:
    """The upload path, whose failures the service file guards, would not be there; or be open to anybody."""
    set_key(sandbox, NORMAL)
    headers = {"Cookie": "pix_cohort=native", "Authorization": "Bearer open-sesame"}
    before = sandbox.state()["rows"]["r2OperationsAdaptiveGroups"]
    stored = visitor.put("/api/uploads/cat.jpg", content=b"meow", headers=headers)
    assert (stored.status_code, stored.json()["size"]) == (201, 4)
    assert stored.json()["key"] == "uploads/cat.jpg"
    assert sandbox.state()["rows"]["r2OperationsAdaptiveGroups"] == before + 1
    assert visitor.post("/api/uploads/cat.jpg", content=b"meow", headers=headers).status_code == 405
    headers["Authorization"] = "Bearer wrong"
    assert visitor.put("/api/uploads/cat.jpg", content=b"meow", headers=headers).status_code == 403


# --- the closed loop ------------------------------------------------------------------------------------------------


def configuration(directory: Path, sandbox: Address, url: str, clock: tuple[float, float, float]) -> Path:
    """The daemon's own file for this test; the service file is the project's, word for word."""
    (directory / "services").mkdir(parents=True)
    service = (PROJECT / "config/services/pix-immo.yaml").read_text(encoding="utf-8")
    (directory / "services/pix-immo.yaml").write_text(service, encoding="utf-8")
    real, virtual, speed = clock
    settings = {
        "store": str(directory / "notaus.sqlite"),
        "listen": {"address": "127.0.0.1", "port": 0},
        "cloudflare": {
            "api_url": sandbox.api,
            "token": sandbox.token,
            "status_url": f"{sandbox.base}/status/api/v2/summary.json",
        },
        "origins": {"api.pix.immo": url},
        "clock": {"speed": speed, "anchor": [real, virtual]},
        "channels": {
            "pagerduty": {"pix-oncall": {"routing_key": "0" * 32, "url": f"{sandbox.urls['pages']}/pagerduty/v2/enqueue"}},
            "slack": {"#incidents": {"webhook_url": f"{sandbox.urls['pages']}/slack/services/T/B/X"}},
        },
    }  # fmt: skip
    (directory / "notaus.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return directory


@contextmanager
def daemon(directory: Path, sandbox: Address) -> Iterator[subprocess.Popen[str]]:
    environment = bare_environment(
        CLOUDFLARE_ACCOUNT_ID=sandbox.account,
        PIX_KV_NAMESPACE=sandbox.namespace,
        PIX_DATABASE_URL="postgresql://127.0.0.1:9/none",
    )
    command = [sys.executable, "-m", "notaus", "run", "--config", str(directory), "--json"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert '"ready"' in line, line + (directory / "log").read_text()
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


async def until_first_emergency(visitors: Visitors, since: float, patience: float) -> float:
    """Seconds of the machine from ``since`` to the first emergency answer."""
    loop = asyncio.get_running_loop()
    while loop.time() < since + patience:
        first = next((v.at for v in visitors.since(since) if v.reason == "emergency"), None)
        if first is not None:
            return first - since
        await asyncio.sleep(0.05)
    raise AssertionError(f"no emergency answer within {patience:g} s: {visitors.counted()}")


async def test_a_fault_of_the_native_handlers_ends_in_the_workers_own_emergency_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real requests, counted by a real Worker, would not lead to the decision that the runbook asks for; or the write
    would not change what the Worker does."""
    now = time.time()
    clock = (now, now + 86_400, SPEED)  # a day ahead, so that nobody takes the machine's time for the shared one
    with (
        running_sandbox("--no-traffic", "--seed", "3", "--clock", ",".join(map(repr, clock))) as sandbox,
        worker(sandbox) as pix,
        daemon(configuration(tmp_path / "config", sandbox, pix.url, clock), sandbox),
    ):
        loop = asyncio.get_running_loop()
        visitors = Visitors(pix.url, PER_SECOND, (HEALTHY_SECONDS + PATIENCE_SECONDS) / SPEED + 10)
        coming = asyncio.create_task(visitors.come())
        await asyncio.sleep(HEALTHY_SECONDS / SPEED)
        assert {v.reason for v in visitors.visits} == {"roll", "sticky"}
        await asyncio.to_thread(sandbox.admin, "traffic", service="pix-immo", cohort="native", error_rate=0.4)
        fault = loop.time()
        real_seconds = await until_first_emergency(visitors, fault, PATIENCE_SECONDS / SPEED)
        await asyncio.sleep(60 / SPEED)
        settled = list(visitors.since(loop.time() - 30 / SPEED))
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        state = await asyncio.to_thread(sandbox.state)
        pages = (await asyncio.to_thread(httpx.get, str(sandbox.urls["pages"]), trust_env=False)).json()
    assert 180 <= real_seconds * SPEED <= PATIENCE_SECONDS
    assert settled
    assert {(v.cohort, v.reason, v.status) for v in settled} <= {
        ("proxy", "emergency", 200),
        ("proxy", "emergency", 500),
    }
    assert any(v.returning == "native" for v in settled)
    written = [w["what"]["value"] for w in state["writes"] if w["kind"] == "kv"]
    assert [{name: value[name] for name in EMERGENCY} for value in written] == [EMERGENCY]
    assert pages, "nobody was paged"
    with capsys.disabled():
        served = len(visitors.visits)
        print(  # noqa: T201 (a measurement for docs/testing.md)
            f"\nworkerd loop: {served} requests; from the fault to the first emergency answer"
            f" {real_seconds * SPEED:.0f} s of the shared clock ({real_seconds:.1f} s at {SPEED:g} times)"
        )
