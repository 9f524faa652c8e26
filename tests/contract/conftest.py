"""A sandbox as a process of its own, as the judges meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from notaus.clock import SystemClock
from notaus.cloudflare.client import Client

from .judges import PROJECT, bare_environment


@dataclass(frozen=True)
class Address:
    """What a running sandbox says of itself, and its admin API."""

    urls: dict[str, Any]

    @property
    def base(self) -> str:
        return str(self.urls["admin"]).removesuffix("/admin")

    @property
    def api(self) -> str:
        return str(self.urls["api"])

    @property
    def token(self) -> str:
        return str(self.urls["token"])

    @property
    def account(self) -> str:
        return str(self.urls["account"])

    @property
    def namespace(self) -> str:
        return str(self.urls["kv_namespace"])

    def admin(self, what: str, **body: Any) -> Any:
        answer = httpx.post(f"{self.base}/admin/{what}", json=body, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.base}/admin/state", trust_env=False).json()
        return found


@contextmanager
def running_sandbox(*arguments: str) -> Iterator[Address]:
    """A sandbox in a process; the first line that it prints is its addresses."""
    command = [sys.executable, "-m", "notaus.sandbox", "--port", "0", "--json", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=PROJECT, env=bare_environment()
    )
    try:
        assert process.stdout is not None
        yield Address(json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close() if process.stdout else None


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Address]:
    """Without users: only what a test does happens."""
    with running_sandbox("--no-traffic", "--seed", "7") as address:
        yield address


@pytest.fixture
async def client(sandbox: Address) -> AsyncIterator[Client]:
    """The client that the daemon uses, against the same sandbox."""
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Client(http, sandbox.api, sandbox.account, sandbox.token, SystemClock())
