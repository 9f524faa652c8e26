"""A sandbox in the same process, and the channels as the daemon has them, speaking to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from notaus.core.service import Contact
from notaus.notify import Channels, GitHub, PagerDuty, SlackApp, Statuspage
from notaus.sandbox import Sandbox

from .messages import AT

KEY = "R0123456789abcdefR0123456789abcd"
PAGERDUTY = Contact("pagerduty", "platform")
SLACK = Contact("slack", "#incidents")
STATUSPAGE = Contact("statuspage", "api")
GITHUB = Contact("github", "bookstrack/api")


@pytest.fixture
def now() -> list[float]:
    """The sandbox's clock, to be moved."""
    return [float(AT)]


@pytest.fixture
def box(now: list[float]) -> Sandbox:
    return Sandbox(lambda: now[0], traffic=False)


@pytest.fixture
async def channels(box: Sandbox) -> AsyncIterator[Channels]:
    entries = {
        "pagerduty": {"platform": PagerDuty(KEY)},
        "slack": {
            "#incidents": SlackApp("xoxb-planted-bot-token", "#incidents"),
            "#typo": SlackApp("xoxb-planted-bot-token", "no channel"),
        },
        "statuspage": {
            "api": Statuspage("planted-statuspage-key", "page", "API", ("c1",), closing="We will tell you more.")
        },
        "github": {
            "bookstrack/api": GitHub(
                "planted-github-token", "bookstrack/api", ("incident",), ("lead",), ("bookstrack/team",)
            )
        },
    }
    async with httpx.AsyncClient(transport=box.transport(), timeout=5) as http:
        yield Channels(http, entries, "https://notaus.example")
