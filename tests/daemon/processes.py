"""The daemon and the sandbox as processes of their own: real HTTP on loopback, one fast clock."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from notaus.cli.demo.stage import DATABASE, config_in

SPEED = 40.0
ZONE = "3a1f0c5d9b7e4826a0d5c1e2f3b4a596"


class Process:
    """A notaus process, and what it has said."""

    def __init__(self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTAUS_")}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "notaus", *command],
            env=clean | {"NO_PROXY": "*"} | (env or {}),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.log: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "\n".join(self.log)
        self.first: dict[str, Any] = json.loads(line)
        self.up_after = time.monotonic() - self.began

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.decode())

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self, text: str) -> bool:
        return any(text in line for line in self.log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


class Town:
    """A sandbox, a daemon that guards pix-immo in it, and eyes on both."""

    speed = SPEED

    def __init__(self, directory: Path, *, token: str | None = None) -> None:
        self.directory = directory
        self.anchor = time.time()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.http = httpx.Client(timeout=30.0, trust_env=False)
        self.processes: list[Process] = []
        self.sandbox = self.found()
        config_in(directory, "pix-immo")
        self.token = token

    def found(self) -> Process:
        """Start the sandbox, always at the same address."""
        spot = f"{self.anchor!r},{self.anchor!r},{self.speed!r}"
        self.sandbox = self._keep(Process("sandbox", "--port", str(self.port), "--json", "--clock", spot))
        self.admin("traffic", service="pix-immo", requests_per_minute=2_000)  # a fast clock is work for the sandbox
        return self.sandbox

    def daemon(self) -> Process:
        return self._keep(Process("run", "--config", str(self.directory / "config"), "--json", env=self._env()))

    def _keep(self, process: Process) -> Process:
        self.processes.append(process)
        return process

    def _env(self) -> dict[str, str]:
        at = self.sandbox.first
        channels = {
            "pagerduty": {
                name: {"routing_key": name.ljust(32, "0"), "url": f"{at['pages']}/pagerduty/v2/enqueue"}
                for name in ("pix-oncall",)
            },
            "slack": {"#incidents": {"webhook_url": f"{at['pages']}/slack/incidents"}},
        }
        return {
            "CLOUDFLARE_API_TOKEN": self.token or at["token"],
            "CLOUDFLARE_ACCOUNT_ID": at["account"],
            "PIX_KV_NAMESPACE": at["kv_namespace"],
            "PIX_DATABASE_URL": f"sqlite:///{self.directory / DATABASE}",
            "NOTAUS_CLOUDFLARE__API_URL": at["api"],
            "NOTAUS_CLOUDFLARE__STATUS_URL": at["admin"].removesuffix("admin") + "status/api/v2/summary.json",
            "NOTAUS_ORIGINS": json.dumps({"api.pix.immo": at["workers"]["pix-immo"]}),
            "NOTAUS_CHANNELS": json.dumps(channels),
            "NOTAUS_CLOCK": json.dumps({"speed": self.speed, "anchor": [self.anchor, self.anchor]}),
            "NOTAUS_LISTEN__PORT": "0",
            "NOTAUS_STORE": str(self.directory / "notaus.sqlite"),
        }

    def admin(self, what: str, **body: Any) -> None:
        self.http.post(f"{self.sandbox.first['admin']}/{what}", json=body).raise_for_status()

    def trouble(self) -> None:
        """The canary fails from now on."""
        self.admin("traffic", service="pix-immo", cohort="native", error_rate=0.3)

    @property
    def writes(self) -> list[Any]:
        """What was written to the steering key by way of the API."""
        state = self.http.get(f"{self.sandbox.first['admin']}/state").json()
        return [write["what"]["value"] for write in state["writes"] if write["by"] == "api"]

    @property
    def pages(self) -> str:
        return self.http.get(self.sandbox.first["pages"]).text

    @property
    def requests(self) -> int:
        return len(self.http.get(f"{self.sandbox.first['admin']}/requests").json())

    def until(self, what: Callable[[], object], seconds: float = 25.0) -> None:
        """Wait for it; the daemon's log is shown where it does not come."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "".join(self.processes[-1].log[-30:])
            time.sleep(0.1)

    def leave(self) -> None:
        for process in self.processes:
            if process.process.poll() is None:
                process.kill()
        self.http.close()


@contextlib.contextmanager
def a_town(directory: Path, **more: Any) -> Iterator[Town]:
    town = Town(directory, **more)
    try:
        yield town
    finally:
        town.leave()


def fill_disk(process: Process) -> None:
    """No file of this process can grow any more."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))


def make_room(process: Process) -> None:
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
