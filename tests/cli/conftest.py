"""Real processes: a sandbox on a fast clock, a daemon beside it, and the command line called as a person calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus.cli.demo.stage import Clock, config_in, environment

SPEED = 15.0
"""Of the clock that sandbox and daemon share; a module may set its own `SPEED`."""
PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "config"
SURROUNDINGS = {k: v for k, v in os.environ.items() if not k.startswith(("NOTAUS_", "CLOUDFLARE_", "PIX_"))}


@dataclass(frozen=True)
class Called:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: object, env: Mapping[str, str] | None = None, cwd: Path = PROJECT, seconds: float = 60) -> Called:
    """`notaus ARGUMENTS…` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "notaus", *map(str, arguments)],
        env={**SURROUNDINGS, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Called(done.returncode, done.stdout, done.stderr)


@contextmanager
def process(*arguments: object, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A long-running command; ended in every case."""
    started = subprocess.Popen(
        [sys.executable, "-m", "notaus", *map(str, arguments)],
        env={**SURROUNDINGS, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()
        started.communicate()


def first_line(started: subprocess.Popen[str]) -> Any:
    assert started.stdout is not None
    line = started.stdout.readline()
    assert line, f"no output; standard error: {started.stderr.read() if started.stderr else ''}"
    return json.loads(line)


@pytest.fixture(scope="module")
def clock(request: pytest.FixtureRequest) -> Clock:
    now = time.time()
    return Clock(now, now, getattr(request.module, "SPEED", SPEED))


@pytest.fixture(scope="module")
def sandbox(clock: Clock) -> Iterator[Any]:
    """The addresses of a running sandbox."""
    spot = f"{clock.anchor!r},{clock.anchor!r},{clock.speed!r}"
    with process("sandbox", "--port", 0, "--json", "--clock", spot) as started:
        yield first_line(started)


@pytest.fixture(scope="module")
def variables(sandbox: Any, clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a daemon beside the sandbox."""
    state = tmp_path_factory.mktemp("state")
    return {**environment(sandbox, clock, state), "NOTAUS_CONFIG": str(config_in(state))}


@pytest.fixture(scope="module")
def daemon(variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """A running daemon; the environment in which every command finds it."""
    with process("run", "--json", env=variables) as started:
        ready = first_line(started)
        found = {**variables, "NOTAUS_LISTEN__PORT": ready["url"].rpartition(":")[2]}
        wait_until(lambda: _polled(found), 45)
        yield found


def services(env: Mapping[str, str]) -> Mapping[str, Any]:
    """What the running daemon says of each service; what `notaus status --json` shows, without a process for each look."""
    token = (Path(env["NOTAUS_STORE"]).parent / "api-token").read_text().strip()
    url = f"http://127.0.0.1:{env['NOTAUS_LISTEN__PORT']}/api/status"
    found = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).raise_for_status().json()
    states: Mapping[str, Any] = found["services"]
    return states


def _polled(env: Mapping[str, str]) -> bool:
    states = services(env).values()
    return bool(states) and all(state["tick"] for state in states)


def wait_until(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.2)


def sandbox_state(sandbox: Mapping[str, Any]) -> Any:
    return httpx.get(f"{sandbox['admin']}/state", trust_env=False).json()


def steering_key(sandbox: Mapping[str, Any]) -> Any:
    return json.loads(sandbox_state(sandbox)["kv"]["api"][sandbox["kv_namespace"]]["config"])
