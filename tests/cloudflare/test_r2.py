"""The signature of R2's S3 API, against the examples that are published for it."""

from __future__ import annotations

import httpx
import pytest

from notaus.clock import SystemClock
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.r2 import R2, Keys, signed
from notaus.journal import LeaseLost

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = 1369353600  # 2013-05-24T00:00:00Z
HOST = "https://examplebucket.s3.amazonaws.com"


def signature(url: str, **more: str) -> str:
    headers = signed("GET", httpx.URL(url), b"", KEYS, AT, more, region="us-east-1")
    return headers["authorization"].rpartition("Signature=")[2]


def test_signatures_are_those_of_the_published_examples() -> None:
    """R2 would refuse each request, in words that do not say why."""
    get = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert signature(f"{HOST}/test.txt", range="bytes=0-9") == get
    listing = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert signature(f"{HOST}/?prefix=J&max-keys=2") == listing


async def test_a_sandbox_has_its_own_buckets() -> None:
    """A demonstration would write to the real bucket of the account."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"success": True, "result": {"id": "1", "status": "active"}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = Client(http, "http://127.0.0.1:1/client/v4", "a", "token", SystemClock())
        await R2(client, Edge(http)).try_write("a", "media", "health check.txt")
    assert {url.partition("?")[0] for url in asked[1:]} == {
        "http://127.0.0.1:1/r2/media",
        "http://127.0.0.1:1/r2/media/health%20check.txt",
    }


async def test_who_lost_the_account_writes_no_test() -> None:
    """Another replica acts by now; its own test would meet ours."""
    methods: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        return httpx.Response(200, json={"success": True, "result": {"id": "1", "status": "active"}})

    def lost() -> None:
        raise LeaseLost("another replica acts")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = Client(http, "http://127.0.0.1:1/client/v4", "a", "token", SystemClock(), before_write=lost)
        with pytest.raises(LeaseLost):
            await R2(client, Edge(http)).try_write("a", "media", "health-check.txt")
    assert set(methods) == {"GET"}


def test_a_secret_key_is_never_shown() -> None:
    """It is as good as the token."""
    assert KEYS.secret not in repr(KEYS)
