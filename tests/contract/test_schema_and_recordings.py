"""Cloudflare's schema and recorded answers of the live API: our documents, our client, and the sandbox beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from notaus import config
from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.edge import Edge
from notaus.config.sources import R2, Entry, Http, Workers
from notaus.sandbox import Sandbox
from notaus.sources import Context, build
from notaus.sources import http as http_source
from notaus.sources import workers as workers_source

from .judges import PROJECT

NOW = 1_790_665_200
CONTRACT = PROJECT / "tests/fixtures/contract"
RECORDINGS = sorted((CONTRACT / "recordings").glob("*.json"))
NEWER = {"result.deployments[].code_update_strategy"}
"""In the sandbox's answers but not in the recordings: Cloudflare added it after they were made."""


class Standing:
    speed, skew = 1.0, 0.0

    def now(self) -> float:
        return float(NOW)

    async def sleep(self, seconds: float) -> None: ...

    def observe(self, remote: float, uncertainty: float) -> None: ...


@lru_cache
def schema() -> GraphQLSchema:
    return build_schema((CONTRACT / "cloudflare.graphql").read_text(encoding="utf-8"))


def entries(account: str, zone: str) -> Iterator[Entry]:
    """Everything that can be asked of each GraphQL source: all measures, all percentiles, with cohorts and without."""
    latencies = [f"latency_p{rank}" for rank in workers_source.PERCENTILES]
    for latency in ("wallTime", "cpuTime"):
        measures = [*workers_source.COUNTS, "error_rate", *latencies]
        plain = tuple(f"api.{measure}" for measure in measures)
        yield Entry("s", account, "api", Workers("pix-immo-api", latency=latency), plain, 60, 180)
        versions = tuple(f"2bbbf05d.{measure}" for measure in measures)
        yield Entry("s", account, "api", Workers("pix-immo-api", by_version=True, latency=latency), versions, 60, 180)
    measures = [*http_source.MEASURES, *(f"latency_p{rank}" for rank in http_source.PERCENTILES)]
    for errors in (((500, 599),), ((400, 499), (500, 599))):
        edge = tuple(f"edge.{measure}" for measure in measures)
        yield Entry("s", account, "edge", Http(zone, "api.oooefam.net", errors), edge, 60, 180)
    r2 = tuple(f"r2.{measure}" for measure in ("operations", "failures", "failure_rate"))
    yield Entry("s", account, "r2", R2("piximmo-media", ("PutObject", "UploadPart")), r2, 60, 180)


def configured(box: Sandbox) -> Iterator[Entry]:
    """What the two service files ask of GraphQL."""
    environment = {"CLOUDFLARE_ACCOUNT_ID": box.account.id, "BOOKSTRACK_ZONE": box.zone}
    found = config.load(PROJECT / "config", environment, lenient=True).entries
    yield from (entry for entry in found if isinstance(entry.source, Workers | Http | R2))


async def documents() -> list[str]:
    """Every document sent for all of the above: one grid time, and a backfill."""
    box = Sandbox(lambda: float(NOW))
    sent: list[str] = []

    async def noted(request: httpx.Request) -> None:
        if request.url.path.endswith("/graphql"):
            sent.append(json.loads(await request.aread())["query"])

    async with httpx.AsyncClient(transport=box.transport(), event_hooks={"request": [noted]}) as http:
        context = Context(Client(http, str(box.urls()["api"]), box.account.id, box.token, Standing()), Edge(http, {}))
        for entry in (*entries(box.account.id, box.zone), *configured(box)):
            reader = build(type(entry.source), context)
            for times in ([NOW - 60], list(range(NOW - 240, NOW - 59, 15))):
                await reader.read(entry, times)
    return sent


async def test_every_document_is_good_by_cloudflares_schema() -> None:
    """A field that does not exist fails its whole document, and with it everybody who shares it."""
    found = await documents()
    assert len(found) >= 20
    assert {name for name in ("workersInvocationsAdaptive", "httpRequestsAdaptiveGroups", "r2OperationsAdaptiveGroups")
            if not any(name in text for text in found)} == set()  # fmt: skip
    for text in found:
        assert validate(schema(), parse(text)) == [], text


def test_a_document_with_a_field_that_does_not_exist_is_noticed() -> None:
    """The judge would let everything pass."""
    text = '{ viewer { accounts(filter: {accountTag: "a"}) { workersInvocationsAdaptive(limit: 1, filter: {}) { nothing } } } }'
    assert [error.message for error in validate(schema(), parse(text))]


def recording(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTRACT / "recordings" / name).read_text(encoding="utf-8"))
    return found


async def replayed(name: str) -> Deployments:
    """The part of our client that reads scripts, against the recorded answer."""
    told = recording(name)
    answer = httpx.Response(told["status"], json=told["response_body"], headers=told["response_headers"])
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer))
    return Deployments(Client(http, "https://api.cloudflare.com/client/v4", "a", "t", Standing()))


async def test_the_client_reads_the_recorded_deployments() -> None:
    """The live API would be misread on the first day."""
    (found,) = await (await replayed("deployments-list.json")).newest("a", "s")
    assert found.id == "e0166a02-dbba-4044-a8a8-04b017c19614"
    assert found.versions == (("2bbbf05d-a4dd-495b-bbb3-7121f176550e", 100),)
    assert (found.created, found.message) == (1_790_665_061, "Automatic deployment on upload.")


async def test_the_client_reads_the_recorded_versions() -> None:
    """`errors` and `messages` are null there, and a version may have neither tag nor message."""
    (found,) = await (await replayed("versions-list.json")).deployable("a", "s")
    assert (found.id, found.number) == ("2bbbf05d-a4dd-495b-bbb3-7121f176550e", 1)
    version = found.version()
    assert (version.tag, version.message, version.triggered_by) == (None, None, "upload")


def shape(value: Any, path: str = "") -> dict[str, str]:
    """Each path of a JSON value with its type; the entries of a list are one."""
    if isinstance(value, dict):
        found = {path: "object"} if path else {}
        for name, inner in value.items():
            found |= shape(inner, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list):
        found = {path: "list"}
        for inner in value:
            found |= shape(inner, f"{path}[]")
        return found
    kinds = {bool: "boolean", int: "number", float: "number", str: "text", type(None): "null"}
    return {path: kinds[type(value)]}


@pytest.mark.parametrize("name", [path.name for path in RECORDINGS])
async def test_the_sandbox_answers_in_the_recorded_shape(name: str) -> None:
    """Field by field: a client built on the sandbox would stumble in the field."""
    told, box = recording(name), Sandbox(lambda: float(NOW))
    worker = box.workers["pix-immo-api"]
    worker.clear()
    version = worker.upload(None, None, triggered_by="upload")
    worker.deploy(version.id, message="Automatic deployment on upload.", triggered_by="upload")
    path = told["path"].replace("ACCOUNT_ID", box.account.id).replace("SCRIPT", "pix-immo-api")
    async with httpx.AsyncClient(transport=box.transport()) as http:
        answer = await http.request(
            told["method"], f"{box.urls()['api']}{path}", headers={"Authorization": f"Bearer {box.token}"}
        )
    ours, theirs = shape(answer.json()), shape(told["response_body"])
    extra = {path for path in ours if path not in theirs and not any(path.startswith(newer) for newer in NEWER)}
    wrong = {path: (ours.get(path), kind) for path, kind in theirs.items() if ours.get(path) != kind}
    assert (answer.status_code, extra, wrong) == (told["status"], set(), {})
    for header, value in told["response_headers"].items():
        assert answer.headers[header].lower() == value.lower()
