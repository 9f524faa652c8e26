"""The web application: metrics and health, open; the API behind its token; a page that says what is where."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from notaus import log
from notaus.metrics import CONTENT_TYPE, Metrics
from notaus.web.answers import HEADERS, Problem, http_problem, problem, unexpected
from notaus.web.api import Api
from notaus.web.approve import Approve
from notaus.web.guard import Guard
from notaus.web.home import home
from notaus.web.hooks import Hooks
from notaus.web.links import Links
from notaus.web.ports import DaemonView

NO_LINKS = Links(b"")


def create(daemon: DaemonView, metrics: Metrics, token: str, links: Links = NO_LINKS) -> Starlette:
    """The application of one daemon. `token` opens the API; an empty one keeps it shut."""
    log.redact(token)

    async def scrape(request: Request) -> Response:
        # The header is set whole: the class would add a charset to a media type that has one.
        return Response(metrics.render(), headers={**HEADERS, "content-type": CONTENT_TYPE})

    return Starlette(
        routes=[
            Route("/", home),
            Route("/metrics", scrape),
            Route("/healthz", _state(daemon.healthy)),
            Route("/readyz", _state(daemon.ready)),
            Mount("/api", app=Guard(Api(daemon).router, token)),
            Mount("/hooks", app=Hooks(daemon).router),
            Approve(daemon, links).route,
        ],
        exception_handlers={Problem: problem, HTTPException: http_problem, Exception: unexpected},
    )


def _state(ask: Callable[[], tuple[bool, str]]) -> Callable[[Request], Response]:
    """200 or 503, and a sentence."""

    async def answer(request: Request) -> Response:
        good, text = ask()
        return PlainTextResponse(f"{text}\n", 200 if good else 503, HEADERS)

    return answer  # type: ignore[return-value]
