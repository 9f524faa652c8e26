"""What the sandbox's tests share: a clock set by hand, a box without lags, and a client that calls it in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from notaus.sandbox import Lags, Sandbox

START = 1_795_396_800.0  # 2026-11-23 01:20:00 UTC
FIXTURES = Path(__file__).parent.parent / "fixtures" / "contract"


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box(clock: Clock) -> Sandbox:
    return Sandbox(clock, seed=1, lags=Lags(kv=(0.0, 0.0), deployment=0.0))


@pytest.fixture
async def client(box: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {box.token}"}
    async with httpx.AsyncClient(transport=box.transport(), headers=headers) as open_client:
        yield open_client


@pytest.fixture
def api(box: Sandbox) -> str:
    """The address of everything about the account."""
    return f"{box.urls()['api']}/accounts/{box.account.id}"


@pytest.fixture
def values(box: Sandbox, api: str) -> str:
    """The address of the KV values."""
    return f"{api}/storage/kv/namespaces/{box.kv_namespace}/values"


@pytest.fixture
def script(api: str) -> str:
    """The address of bookstrack's Worker."""
    return f"{api}/workers/scripts/api-worker"
