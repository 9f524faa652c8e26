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

from notaus.cli.demo.stage import Clock, config_in, environment

SPEED = 40.0


class Process:
    """A notaus process (or one of another module that says JSON first), and what it has said."""

    def __init__(
        self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None, module: str = "notaus"
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTAUS_")}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *command],
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
    """A sandbox, a daemon that guards services in it, and eyes on both."""

    speed = SPEED

    def __init__(self, directory: Path, *services: str, token: str | None = None) -> None:
        self.directory = directory
        self.anchor = time.time()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.http = httpx.Client(timeout=30.0, trust_env=False)
        self.processes: list[Process] = []
        self.sandbox = self.found()
        config_in(directory, *(services or ("pix-immo",)))
        self.token = token

    def found(self) -> Process:
        """Start the sandbox, always at the same address."""
        spot = f"{self.anchor!r},{self.anchor!r},{self.speed!r}"
        self.sandbox = self._keep(Process("sandbox", "--port", str(self.port), "--json", "--clock", spot))
        for service, requests in (("pix-immo", 2_000), ("bookstrack", 300)):  # a fast clock is work for the sandbox
            self.admin("traffic", service=service, requests_per_minute=requests)
        return self.sandbox

    def daemon(self) -> Process:
        return self._keep(Process("run", "--config", str(self.directory / "config"), "--json", env=self._env()))

    def _keep(self, process: Process) -> Process:
        self.processes.append(process)
        return process

    def _env(self) -> dict[str, str]:
        clock = Clock(self.anchor, self.anchor, self.speed)
        env = environment(self.sandbox.first, clock, self.directory)
        return env if self.token is None else env | {"CLOUDFLARE_API_TOKEN": self.token}

    def admin(self, what: str, **body: Any) -> None:
        self.http.post(f"{self.sandbox.first['admin']}/{what}", json=body).raise_for_status()

    def trouble(self) -> None:
        """The canary fails from now on."""
        self.admin("traffic", service="pix-immo", cohort="native", error_rate=0.3)

    @property
    def writes(self) -> list[Any]:
        """What was written to the steering key by way of the API."""
        return [what["value"] for what in self._done("kv")]

    @property
    def deployments(self) -> list[Any]:
        """The tags that were deployed by way of the API."""
        return [what["tag"] for what in self._done("deployment")]

    def _done(self, kind: str) -> list[Any]:
        state = self.http.get(f"{self.sandbox.first['admin']}/state").json()
        return [write["what"] for write in state["writes"] if (write["by"], write["kind"]) == ("api", kind)]

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
