"""Whatever a sender that knows the secret posts, at every place of every body: an answer, and never a failure of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from notaus.config.settings import Hook
from notaus.metrics import Metrics
from notaus.web import create, slack
from tests.fuzz.garbage import GONE, LIES, changed, positions
from tests.web.conftest import SECRET, TOKEN, FakeDaemon
from tests.web.test_hooks import BODY, PROOF
from tests.web.test_slack import PRESSED, signed

RAW = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"a":' * 20_000,
    b"null",
    b"1e999",
    b'"\\ud800"',
    b"payload=" + b"%5B" * 9_000,
)


@pytest.mark.parametrize("name", [*sorted(BODY), "slack"])
async def test_every_lie_at_every_place_of_a_delivery_is_answered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One odd alert would be a failure of ours, which its sender repeats for ever; and a lie must reach nobody else."""
    told: list[httpx.Request] = []
    quiet = httpx.MockTransport(lambda request: told.append(request) or httpx.Response(200))  # type: ignore[func-returns-value]
    real = httpx.AsyncClient
    monkeypatch.setattr(slack, "client", lambda: real(transport=quiet))
    daemon = FakeDaemon()
    daemon.set = replace(daemon.set, hooks={name: Hook(SecretStr(SECRET), (10**6, 60))})
    document: Any = PRESSED if name == "slack" else BODY[name]
    lied = [json.dumps(changed(document, path, lie)).encode() for path in positions(document) for lie in (*LIES, GONE)]
    transport = httpx.ASGITransport(create(daemon, Metrics(), TOKEN), raise_app_exceptions=True)
    async with real(transport=transport, base_url="http://notaus.test") as client:
        for body in (*lied, *RAW):
            sent = urlencode({"payload": body}).encode() if name == "slack" and body not in RAW else body
            headers = signed(sent) if name == "slack" else PROOF[name]
            answer = await client.post(f"/hooks/{name}", content=sent, headers=headers)
            assert answer.status_code in (200, 401, 404, 422), body[:200]
            assert answer.status_code != 401 or name == "slack", "only Slack's are good but once"
            assert len(answer.text) < 10_000
            json.loads(answer.text)
    assert {request.url.host for request in told} <= {"hooks.slack.com"}
