"""Who may use the API: whoever shows the token. Around every path under /api, those that do not exist included."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from notaus.web.answers import Answer

HINT = "send the daemon's API token: `Authorization: Bearer TOKEN`"
NO_TOKEN = "the daemon has no API token, so nobody can log in; configure one"


class Guard:
    """Lets a request through only with the bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """With an empty `token` nobody gets through."""
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._admits(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        told = {"error": "not logged in", "hint": HINT if self._token else NO_TOKEN}
        await Answer(told, 401, {"www-authenticate": 'Bearer realm="notaus"'})(scope, receive, send)

    def _admits(self, headers: Headers) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(shown.strip().encode(), self._token)
        return same and bool(self._token) and scheme.casefold() == "bearer"
