"""A crash between a delivery and its record: Statuspage, GitHub and Slack hold one incident all the same."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from notaus.backtest.virtual_time import run
from notaus.config import Configuration
from notaus.config.daemon_keys import ComponentStatus
from notaus.config.settings import GitHub, Slack, Statuspage
from notaus.core.service import Contact, Contacts, Service
from notaus.sandbox import Sandbox
from tests.daemon import simulation
from tests.daemon.simulation import Plan

HOSTS = ("slack.com", "api.statuspage.io", "api.github.com")
PEOPLE = Contacts((Contact("slack", "#alerts"), Contact("statuspage", "api"), Contact("github", "bookstrack/api")))


class Stage(simulation.Stage):
    """The same run, told to a Slack bot, a status page and an issue tracker."""

    def _service(self, configuration: Configuration) -> Service:
        return replace(super()._service(configuration), contacts=PEOPLE)

    def _configuration(self, configuration: Configuration) -> Configuration:
        made = super()._configuration(configuration)
        key, bot = SecretStr("planted-key-of-a-channel"), SecretStr("xoxb-planted-bot-token")
        page = Statuspage(key, "page", None, "API", (), ComponentStatus.DEGRADED, "", "https://api.statuspage.io")
        channels = replace(
            made.settings.channels,
            slack={"#alerts": Slack(None, bot, "#alerts", "https://slack.com/api")},
            statuspage={"api": page},
            github={"bookstrack/api": GitHub(key, "bookstrack/api", (), (), (), "https://api.github.com")},
        )
        return replace(made, settings=replace(made.settings, channels=channels))

    def _outcome(self) -> Any:
        return self


@pytest.fixture(autouse=True)
def channels_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios know of one webhook; here the other channels are the sandbox's, too."""
    usual = simulation.ScenarioTransport.handle_async_request

    async def routed(self: Any, request: httpx.Request) -> httpx.Response:
        if request.url.host in HOSTS:
            answer: httpx.Response = await self.inner.handle_async_request(request)
            return answer
        return await usual(self, request)

    monkeypatch.setattr(simulation.ScenarioTransport, "handle_async_request", routed)


def played(plan: Plan) -> Stage:
    return run(lambda loop: Stage("bookstrack", plan, loop, 480).play())  # type: ignore[arg-type, return-value]


@cache
def undisturbed() -> Stage:
    return played(Plan())


def moments(pattern: str) -> list[int]:
    """The requests that fit, counted from 1."""
    return [n for n, what in enumerate(undisturbed().requests, 1) if re.search(pattern, what)]


def stages(box: Sandbox) -> list[str]:
    (incident,) = box.statuspage.incidents.values()
    return [update["status"] for update in reversed(incident["incident_updates"])]


def sequences(box: Sandbox) -> set[str]:
    """The messages that stand in Slack, by the number in their foot."""
    return {
        number
        for message in box.slack.messages.values()
        for number in re.findall(r"message (\d+)", str(message["blocks"][-1]))
    }


STAGES = ["investigating", "identified", "monitoring", "investigating"]
"""With its short holds this run ends in "cannot tell", so the public reads that it is being looked into."""


def test_undisturbed_one_incident_is_one_thread_one_public_incident_and_one_issue() -> None:
    """What the crashes are held against must itself be right."""
    box = undisturbed().box
    assert stages(box) == STAGES
    assert len(box.issues.issues) == 1
    roots = [message for message in box.slack.messages.values() if "thread_ts" not in message]
    assert len(roots) == 1
    assert len(box.slack.messages) == 3


@pytest.mark.parametrize(
    "request_of", ["POST api.statuspage.io/.*/incidents$", "POST api.github.com/.*/issues$", "chat.postMessage"]
)
def test_a_crash_after_the_delivery_makes_no_second_one_and_loses_no_message(request_of: str) -> None:
    """Customers would read of two outages, people work on two issues, or a page be missing."""
    (first, *_) = moments(request_of)
    stage = played(Plan("after", first))
    assert stage.crashed
    assert stages(stage.box) == STAGES
    assert len(stage.box.issues.issues) == 1
    assert {"2", "3"} <= sequences(stage.box)


def test_after_a_restart_the_thread_goes_on_where_it_was() -> None:
    """What was answered is kept in the journal: the verdict would begin a thread of its own."""
    last_receipt = max(n for n, kind in enumerate(undisturbed().steps, 1) if kind == "Sent!")
    sent = [n for n, kind in enumerate(undisturbed().steps, 1) if kind == "Sent!"]
    stage = played(Plan("write", sent[len(sent) // 2]))
    assert stage.crashed
    assert last_receipt > sent[len(sent) // 2]
    roots = [message for message in stage.box.slack.messages.values() if "thread_ts" not in message]
    assert len(roots) == 1
    assert stages(stage.box) == STAGES
