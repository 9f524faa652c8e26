"""What the daemon costs and how fast it is: start-up, memory, CPU at rest, API requests a minute, breach to KV write.

`python benchmarks/daemon.py [--runs 20] [--rest 120]` starts a sandbox and a daemon per run, as processes of their own that
speak HTTP on loopback, at normal speed, and prints a table. Figures are of the whole processes.

The time from breach to KV write is taken from the tick at which the sample that completes the hold became available (the
step's own `action` time: the settle time is a multiple of the step) to the time at which the sandbox applied the write.
A short `for`, `window` and `settle` make twenty runs possible; none of them is part of the figure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

SERVICE = """
name: pix-immo
account: ${CLOUDFLARE_ACCOUNT_ID}
worker: pix-immo-api
mode: act
step: 5s
window: 15s
signals:
  canary:
    source: analytics_engine
    dataset: pix_canary
    settle: 30s
    cohorts: {column: blob1, names: [native, proxy]}
    error: double2 >= 500
    latency: double1
ladder:
  lever: {kv: "${PIX_KV_NAMESPACE}", key: config, fields: {canary_tag: B2a, last_updated: $now}}
  rungs:
    normal:    {canary_percent: 10, emergency_proxy: false}
    emergency: {canary_percent: 0,  emergency_proxy: true}
  drains: {emergency: native}
  share: {signal: native.share, from: canary_percent}
rules:
  - {name: native errors high, when: native.error_rate > 3%, for: 15s, severity: critical, then: emergency}
verify:
  - {read: kv}
page:
  critical: [pagerduty: pix-oncall]
"""


@contextlib.contextmanager
def sandbox() -> Iterator[dict[str, Any]]:
    """A sandbox process with traffic, and its addresses."""
    process = subprocess.Popen(
        [sys.executable, "-m", "notaus.sandbox", "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def daemon(
    box: dict[str, Any], config: Path, state: Path
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client, float]]:
    """A daemon process, a client of its API, and when it was started."""
    names = ("pix-oncall", "platform", "engineering-lead")
    slack = ("#incidents", "#bookstrack-alerts", "#engineering")
    channels = {
        "pagerduty": {n: {"routing_key": "0" * 32, "url": f"{box['pages']}/pagerduty/v2/enqueue"} for n in names},
        "slack": {n: {"webhook_url": f"{box['pages']}/slack/{n[1:]}"} for n in slack},
        "statuspage": {"api": {"token": "statuspage-key", "page": "page", "url": f"{box['pages']}/statuspage"}},
        "github": {"bookstrack/api": {"token": "github-token", "url": f"{box['pages']}/github"}},
    }
    env = {
        **os.environ,
        "CLOUDFLARE_API_TOKEN": box["token"],
        "CLOUDFLARE_ACCOUNT_ID": box["account"],
        "PIX_KV_NAMESPACE": box["kv_namespace"],
        "PIX_DATABASE_URL": "postgresql://pix@127.0.0.1:1/pix",
        "NOTAUS_CLOUDFLARE__API_URL": box["api"],
        "NOTAUS_STORE": f"sqlite:///{state}/notaus.sqlite",
        "NOTAUS_LISTEN__PORT": "0",
        "NOTAUS_CHANNELS": json.dumps(channels),
        "NOTAUS_ORIGINS": json.dumps({"api.pix.immo": box["workers"]["pix-immo"]}),
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "notaus", "run", "--config", str(config), "--json"],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        token = (state / "api-token").read_text()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=5) as client:
            yield process, client, began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def write_config(directory: Path, service: str) -> Path:
    """A configuration of one service."""
    config = directory / "config"
    (config / "services").mkdir(parents=True)
    (config / "notaus.yaml").write_text(Path("config/notaus.yaml").read_text())
    (config / "services" / "pix-immo.yaml").write_text(service)
    return config


def until(condition: Any, seconds: float) -> Any:
    """The first true value of `condition()`, polled."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError, KeyError):
            found = condition()
            if found:
                return found
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds:g} s")


def one_run() -> tuple[float, float]:
    """Seconds from process start to the first poll taken, and from the breach due to the KV write."""
    with tempfile.TemporaryDirectory() as directory, sandbox() as box:
        state = Path(directory)
        with daemon(box, write_config(state, SERVICE), state) as (_, client, began):
            status = lambda: client.get("/api/status").json()["services"]["pix-immo"]  # noqa: E731
            until(lambda: status()["tick"], 20)
            first_poll = time.monotonic() - began
            with httpx.Client(base_url=box["admin"]) as admin:
                until(lambda: all(r["now"] == "false" for r in status()["rules"]), 60)
                admin.post("/traffic", json={"service": "pix-immo", "cohort": "native", "error_rate": 0.3})
                writes = lambda: [w for w in admin.get("/state").json()["writes"] if w["by"] == "api"]  # noqa: E731
                write = until(writes, 120)[0]
                incident = until(lambda: status()["incident"], 5)
                action = client.get(f"/api/incidents/{incident}").json()["step"]["action"]
    return first_poll, write["at"] - action


def at_rest(seconds: float) -> dict[str, float]:
    """Memory, CPU and API requests of a daemon that guards pix-immo while nothing happens."""
    text = Path("config/services/pix-immo.yaml").read_text()
    with tempfile.TemporaryDirectory() as directory, sandbox() as box:
        state = Path(directory)
        with daemon(box, write_config(state, text), state) as (process, client, _):
            until(lambda: client.get("/api/status").json()["services"]["pix-immo"]["tick"], 20)
            time.sleep(45)  # the first reads fill a history of an hour and a half
            calls, cpu = api_calls(box), cpu_seconds(process.pid)
            time.sleep(seconds)
            return {
                "cpu": (cpu_seconds(process.pid) - cpu) / seconds,
                "requests": (api_calls(box) - calls) / seconds * 60,
                "memory": resident(process.pid),
            }


def api_calls(box: dict[str, Any]) -> int:
    """Requests to the emulated Cloudflare API so far."""
    answer = httpx.get(box["admin"] + "/requests").json()
    listed = answer["requests"] if isinstance(answer, dict) else answer
    return sum(each["path"].startswith("/client/v4") for each in listed)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rest", type=float, default=120.0, help="seconds")
    options = parser.parse_args()
    rest = at_rest(options.rest)
    runs = []
    for number in range(options.runs):
        runs.append(one_run())
        print(
            f"run {number + 1}: first poll {runs[-1][0]:.2f} s, breach to write {runs[-1][1] * 1000:.0f} ms", flush=True
        )
    starts, delays = sorted(r[0] for r in runs), sorted(r[1] for r in runs)
    p95 = delays[min(len(delays) - 1, int(len(delays) * 0.95))]
    print(f"\nstart-up to first poll      median {statistics.median(starts):.2f} s, worst {starts[-1]:.2f} s")
    print(f"resident memory at rest     {rest['memory']:.0f} MB")
    print(f"CPU at rest                 {rest['cpu'] * 100:.2f} % of a core")
    print(f"API requests at rest        {rest['requests']:.1f} a minute")
    print(f"breach due to KV write      median {statistics.median(delays) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms")


if __name__ == "__main__":
    main()
