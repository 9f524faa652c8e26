"""Requests made up from the API's own description, to a real daemon: answered as described, and obeyed only with proof."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from pydantic import SecretStr
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from notaus import web
from notaus.app import App
from notaus.backtest.virtual_time import run
from notaus.config.settings import Hook
from notaus.metrics import Metrics
from notaus.web import slack
from notaus.web.openapi import HOOKS, description
from tests.test_app import House
from tests.web.conftest import FakeDaemon

TOKEN, SECRET = "the-api-token", "the-hook-secret"
EACH = 5
"""Cases of each kind for each operation, in `make test`."""
JUDGED_BY = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
)
FORM = "application/x-www-form-urlencoded"
BODIES = ("negative_data_rejection", "positive_data_acceptance")
"""Those of them that say what becomes of what was sent: a stranger's is not even read."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
NAMES: dict[str, list[str]] = {
    "service": ["pix-immo", "bookstrack", "elsewhere"],
    "rung": ["emergency", "normal", "reduced"],
    "signal": ["queue", "native"],
}
"""What a guess would never hit: half of the requests would end at the first door."""
WRONG = ({}, {"authorization": "Bearer another"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": "Bearer "})


def told() -> dict[str, Any]:
    """The description, with names that there are."""
    document = copy.deepcopy(description())

    def named(node: Any) -> None:
        if isinstance(node, dict):
            for name, known in NAMES.items():
                if isinstance(node.get("properties"), dict) and name in node["properties"]:
                    node["properties"][name] = {"type": "string", "enum": known}
            if node.get("in") == "path" and node["name"] in NAMES:
                node["schema"] = {"type": "string", "enum": NAMES[node["name"]]}
        for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            named(each)

    named(document)
    slack_body = document["paths"]["/hooks/slack"]["post"]["requestBody"]
    payload = slack_body["content"][FORM]["schema"]["properties"]["payload"]
    slack_body["content"] = {"application/json": {"schema": payload["contentSchema"]}}  # packed when it is sent
    del document["security"], document["components"]["securitySchemes"]  # proof is shown or withheld by the test
    for method in (each for path in document["paths"].values() for each in path.values() if isinstance(each, dict)):
        method.pop("security", None)
    return document


def is_open(case: Case) -> bool:
    """Whether the description says that no proof is needed."""
    return description()["paths"][case.path][case.method.lower()].get("security") == []


def sampled(strategy: SearchStrategy[Case], count: int, begin: int) -> list[Case]:
    """At most so many; none where nothing can be wrong with a request."""
    cases: list[Case] = []

    @seed(begin)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(case: Case) -> None:
        cases.append(case)

    with contextlib.suppress(Unsatisfiable):
        draw()
    return cases


def drawn(count: int, begin: int) -> Iterator[Case]:
    """Cases that fit the description and cases that do not, so many of each for every operation."""
    for result in schemathesis.openapi.from_dict(told()).get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:
            cases = sampled(operation.as_strategy(generation_mode=mode), count, begin)
            assert cases or mode is GenerationMode.NEGATIVE, operation.label
            yield from cases


def written(case: Case) -> httpx.Request:
    """The request as it goes over the wire, without proof."""
    prepared = requests.Request(**case.as_transport_kwargs(base_url="http://notaus.test")).prepare()
    assert prepared.url is not None
    body, kind = prepared.body or b"", prepared.headers.get("content-type", "")
    if case.path == "/hooks/slack":
        body, kind = urlencode({"payload": body}).encode(), FORM
    return httpx.Request(str(prepared.method), prepared.url, headers={"content-type": kind}, content=body)


def proven(request: httpx.Request, now: int) -> httpx.Request:
    """The same, from somebody who knows the secret."""
    hook = request.url.path.startswith("/hooks/")
    proof = {"authorization": f"Bearer {SECRET if hook else TOKEN}", "cf-webhook-auth": SECRET}
    if request.url.path == "/hooks/slack":
        signed = hmac.new(SECRET.encode(), f"v0:{now}:".encode() + request.content, hashlib.sha256).hexdigest()
        proof = {"x-slack-signature": f"v0={signed}", "x-slack-request-timestamp": str(now)}
    return httpx.Request(request.method, request.url, headers={**request.headers, **proof}, content=request.content)


class Door:
    """A daemon that guards both services, with every hook open, and its web."""

    def __init__(self, house: House, app: App) -> None:
        self.house, self.app = house, app
        page = web.create(app.desk, app.metrics, TOKEN)
        transport = httpx.ASGITransport(page, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://notaus.test")

    async def world(self) -> Any:
        """All that an order could change: the services' states, the account, the incidents."""
        states = {name: self.app.desk.state(name) for name in self.house.services}
        return states, len(self.house.box.writes), await self.app.desk.incidents(1000)

    async def told_nothing(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request of which nothing comes."""
        before = ticks = None
        while before is None or ticks != [state.tick for state in before[0].values()]:  # a tick changes states, too
            before = await self.world()
            answer = await self.client.send(request)
            after = await self.world()
            ticks = [state.tick for state in after[0].values()]
        assert after == before, f"{request.method} {request.url}"
        return answer


async def a_door(house: House) -> Door:
    hooks = {name: Hook(SecretStr(SECRET), (10**6, 60)) for name in HOOKS}
    configuration = house.configuration
    house.configuration = replace(configuration, settings=replace(configuration.settings, hooks=hooks))
    door = Door(house, await house.app())
    await asyncio.sleep(420)  # until it has looked at everything, and told what it cannot see: that changes states, too
    return door


def without_proof(request: httpx.Request, number: int) -> httpx.Request:
    headers = {**request.headers, **WRONG[number % len(WRONG)]}
    return httpx.Request(request.method, request.url, headers=headers, content=request.content)


def test_every_answer_is_as_described_and_nobody_is_obeyed_without_proof(
    rounds: int, begin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool made from the description would fail at 3 a.m., or a stranger could pull the emergency stop."""
    load_all_checks()
    judges = CHECKS.get_by_names(JUDGED_BY)
    shapes = [judge for judge in judges if judge.__name__ not in BODIES]
    quiet, real = httpx.MockTransport(lambda request: httpx.Response(200)), httpx.AsyncClient
    monkeypatch.setattr(slack, "client", lambda: real(transport=quiet))
    cases = list(drawn(EACH * rounds, begin))
    answers: Counter[tuple[str, int]] = Counter()

    async def main(_: Any) -> None:
        house = House("pix-immo", "bookstrack")
        try:
            door = await a_door(house)
            for number, case in enumerate(cases):
                stranger = await door.told_nothing(without_proof(written(case), number))
                case.validate_response(stranger, checks=shapes)
                if not is_open(case) and "\n" not in stranger.request.url.path:  # nothing is there to guard
                    assert stranger.status_code in (401, 429), case.as_curl_command()
            for case in cases:
                answer = await door.client.send(proven(written(case), door.app.desk.now()))
                answers[case.operation.label, answer.status_code] += 1
                case.validate_response(answer, checks=judges)
        finally:
            await house.close()

    run(main)
    obeyed = {label for label, status in answers if status == 200}
    assert len(obeyed) >= len({label for label, _ in answers}) / 2, f"too few got past the first door: {answers}"


async def test_a_method_that_is_not_described_is_not_taken() -> None:
    """A link that is looked at, or a form on a strange page, would give an order."""
    transport = httpx.ASGITransport(web.create(FakeDaemon(), Metrics(), TOKEN))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://notaus.test", headers={"authorization": f"Bearer {TOKEN}"}
    ) as client:
        for path, described in description()["paths"].items():
            allowed = {method.upper() for method in described} & set(METHODS)
            for method in set(METHODS) - allowed:
                answer = await client.request(method, path.format(id="7", service="pix-immo", token="x"))
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == allowed
                assert answer.json().keys() == {"error", "hint"}


def test_every_reference_in_the_description_leads_to_a_shape() -> None:
    """A generator of clients stops at the first one that does not, and a tester passes the body over in silence."""
    document = description()
    found = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document))
    assert set(found) == document["components"]["schemas"].keys()
    assert json.dumps(document).count('"$ref"') == len(found)
