"""The network of a scenario: the sandbox for Cloudflare and the services it plays; for any other service, its own checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from notaus.core.service import Service
from notaus.core.verification import HttpCheck, WebSocketCheck
from notaus.sandbox import Sandbox

PROVIDERS = frozenset({"api.cloudflare.com", "www.cloudflarestatus.com", "api.github.com"})
PLAYED = PROVIDERS | {"api.pix.immo", "api.oooefam.net"}
HOOKS = "hooks.invalid"


class ScenarioTransport(httpx.AsyncBaseTransport):
    """Routes the daemon's requests in process."""

    def __init__(self, box: Sandbox, service: Service, present: Callable[[], Mapping[str, object]]) -> None:
        self.box, self.service, self.present = box, service, present
        self.inner = box.transport()
        self.checks = [c.kind for c in service.verify if isinstance(c.kind, (HttpCheck, WebSocketCheck))]
        self.played = PLAYED if service.name in box.services else PROVIDERS

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host == HOOKS:
            return await self._inner(request, "https://api.cloudflare.com/pages/webhook/scenario")
        if host in self.played:
            return await self.inner.handle_async_request(request)
        # The sandbox's fault `verify` covers the services it plays; a request there tells whether it is in force.
        probe = httpx.Request("GET", "https://api.pix.immo/api/qa", extensions=request.extensions)
        faulty = await self.inner.handle_async_request(probe)
        if faulty.status_code >= 400:
            return faulty
        return self._answer(request)

    async def _inner(self, request: httpx.Request, url: str) -> httpx.Response:
        body = await request.aread()
        headers = [(k, v) for k, v in request.headers.raw if k.lower() != b"host"]
        sent = httpx.Request(request.method, url, headers=headers, content=body, extensions=request.extensions)
        return await self.inner.handle_async_request(sent)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """What the service's own checks expect of a service that does what its key (or version) says."""
        check = next((c for c in self.checks if _same(c.url, request.url)), None)
        if isinstance(check, HttpCheck):
            body: dict[str, Any] = {}
            for path, expected in check.json.items():
                _put(body, path.split("."), self._filled(expected))
            headers = {name: str(self._filled(value)) for name, value in check.headers.items()}
            return httpx.Response(check.status or 200, headers=headers, content=json.dumps(body), request=request)
        return httpx.Response(200, content=b"{}", request=request)

    def _filled(self, expected: object) -> object:
        if isinstance(expected, str) and expected.startswith("$"):
            return self.present().get(expected[1:])
        return expected


def _same(url: str, asked: httpx.URL) -> bool:
    parts = urlsplit(url)
    return (parts.hostname, parts.path or "/") == (asked.host, asked.path)


def _put(body: dict[str, Any], path: list[str], value: object) -> None:
    for part in path[:-1]:
        body = body.setdefault(part, {})
    body[path[-1]] = value
