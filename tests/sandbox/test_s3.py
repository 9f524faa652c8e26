"""The sandbox's S3 API refuses who has not signed with the keys of a token that may."""

from __future__ import annotations

from hashlib import sha256

import httpx
import pytest

from notaus.cloudflare.r2 import Keys, signed
from notaus.sandbox import Sandbox

from .conftest import START, Clock

URL = "https://account.r2.cloudflarestorage.com/piximmo-media/a"


@pytest.mark.parametrize(
    ("secret", "permissions", "status", "code"),
    [
        ("right", {"r2.write"}, 200, ""),
        ("wrong", {"r2.write"}, 403, "SignatureDoesNotMatch"),
        ("right", {"r2.read"}, 403, "AccessDenied"),
    ],
)
async def test_a_put_needs_the_signature_and_the_permission(
    secret: str, permissions: set[str], status: int, code: str, clock: Clock
) -> None:
    """What signs wrongly would pass here, and fail at Cloudflare for the first time in an incident."""
    box = Sandbox(clock)
    token = box.account.add_token("of-the-bucket", permissions)
    right = sha256(token.value.encode()).hexdigest()
    headers = signed(
        "PUT", httpx.URL(URL), b"x", Keys(token.id, right if secret == "right" else right[::-1]), int(START)
    )
    async with httpx.AsyncClient(transport=box.transport()) as http:
        answer = await http.put(URL, content=b"x", headers=headers)
    assert (answer.status_code, code in answer.text) == (status, True)
    assert len(box.bindings.objects) == (status == 200)


async def test_a_bucket_is_there_once_it_was_made(clock: Clock) -> None:
    """A bucket whose name is misspelled would be an empty one here, and none at Cloudflare."""
    box = Sandbox(clock)
    token = box.account.add_token("of-the-buckets", {"r2.write"})
    keys = Keys(token.id, sha256(token.value.encode()).hexdigest())
    bucket = httpx.URL("https://account.r2.cloudflarestorage.com/backups")
    statuses = []
    async with httpx.AsyncClient(transport=box.transport()) as http:
        for method in ("GET", "PUT", "GET"):
            answer = await http.request(method, bucket, headers=signed(method, bucket, b"", keys, int(START)))
            statuses.append(answer.status_code)
    assert statuses == [404, 200, 200]
