"""GraphQL Analytics over rows, by Cloudflare's own schema."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from notaus.sandbox import Sandbox
from notaus.sandbox.graphql import schema

from .conftest import FIXTURES, START

HEALTH = """
query Health($acct: string!, $from: Time!, $to: Time!, $scripts: [string!], $bucket: string!) {
  viewer { accounts(filter: {accountTag: $acct}) {
    errs: workersInvocationsAdaptive(limit: 9999, orderBy: [datetimeMinute_ASC, sum_requests_DESC],
      filter: {scriptName_in: $scripts, datetime_geq: $from, datetime_lt: $to}) {
      dimensions { datetimeMinute scriptName scriptVersion status }
      sum { requests errors clientDisconnects } avg { sampleInterval } }
    lat: workersInvocationsAdaptive(limit: 9999, orderBy: [datetimeMinute_ASC],
      filter: {scriptName_in: $scripts, datetime_geq: $from, datetime_lt: $to}) {
      dimensions { scriptName }
      sum { requests } quantiles { wallTimeP50 wallTimeP90 wallTimeP99 cpuTimeP90 requestDurationP90 } }
    r2up: r2OperationsAdaptiveGroups(limit: 9999,
      filter: {bucketName: $bucket, datetime_geq: $from, datetime_lt: $to,
               actionType_in: ["PutObject", "UploadPart", "CompleteMultipartUpload"]}) {
      dimensions { datetimeMinute actionType actionStatus responseStatusCode } sum { requests } }
  } } }
"""


@pytest.fixture(autouse=True)
def rows(box: Sandbox) -> None:
    invocations = (
        (-300, 1180, "success", 0, 21_000),
        (-290, 14, "scriptThrewException", 1, 905_000),
        (0, 5, "success", 0, 1),  # beyond the window
    )
    for offset, weight, status, errors, wall in invocations:
        box.rows.write(
            "workersInvocationsAdaptive", START + offset, weight, visible=0,
            scriptName="media-api", scriptVersion="v1", status=status, errors=errors, wallTime=wall, cpuTime=4_310,
        )  # fmt: skip
    for action, status in (("PutObject", "internalError"), ("GetObject", "success")):
        box.rows.write(
            "r2OperationsAdaptiveGroups", START - 200, 3, visible=0,
            bucketName="uploads", actionType=action, actionStatus=status, responseStatusCode=500,
        )  # fmt: skip
    for status, weight, ms in ((200, 90, 80.0), (404, 4, 20.0), (503, 6, 900.0)):
        box.rows.write(
            "httpRequestsAdaptiveGroups", START - 100, weight, visible=0, zoneTag=box.zone,
            clientRequestHTTPHost="api.oooefam.net", edgeResponseStatus=status, edgeTimeToFirstByteMs=ms,
        )  # fmt: skip


async def ask(client: httpx.AsyncClient, box: Sandbox, query: str, **variables: Any) -> dict[str, Any]:
    url = f"{box.urls()['api']}/graphql"
    answer = await client.post(url, json={"query": query, "variables": variables, "operationName": None})
    assert answer.status_code == 200
    return dict(answer.json())


async def test_the_example_document_is_answered_group_by_group(client: httpx.AsyncClient, box: Sandbox) -> None:
    """Aliases, filters, grouping by what is selected, sums and quantiles: all that the daemon's one document needs."""
    answer = await ask(
        client, box, HEALTH, acct=box.account.id, scripts=["media-api"], bucket="uploads",
        **{"from": "2026-11-23T01:15:00Z", "to": "2026-11-23T01:20:00Z"},
    )  # fmt: skip
    dimensions = {"datetimeMinute": "2026-11-23T01:15:00Z", "scriptName": "media-api", "scriptVersion": "v1"}
    assert answer == {
        "data": {
            "viewer": {
                "accounts": [
                    {
                        "errs": [
                            {
                                "dimensions": {**dimensions, "status": "success"},
                                "sum": {"requests": 1180, "errors": 0, "clientDisconnects": 0},
                                "avg": {"sampleInterval": 1180.0},
                            },
                            {
                                "dimensions": {**dimensions, "status": "scriptThrewException"},
                                "sum": {"requests": 14, "errors": 14, "clientDisconnects": 0},
                                "avg": {"sampleInterval": 14.0},
                            },
                        ],
                        "lat": [
                            {
                                "dimensions": {"scriptName": "media-api"},
                                "sum": {"requests": 1194},
                                "quantiles": {
                                    "wallTimeP50": 21000,
                                    "wallTimeP90": 21000,
                                    "wallTimeP99": 905000,
                                    "cpuTimeP90": 4310,
                                    "requestDurationP90": 0,
                                },
                            }
                        ],
                        "r2up": [
                            {
                                "dimensions": {
                                    "datetimeMinute": "2026-11-23T01:16:00Z",
                                    "actionType": "PutObject",
                                    "actionStatus": "internalError",
                                    "responseStatusCode": 500,
                                },
                                "sum": {"requests": 3},
                            }
                        ],
                    }
                ]
            }
        },
        "errors": None,
    }


async def test_zone_requests_are_counted_and_filtered(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The http source rests on count, ratio and the OR filter."""
    query = """query($z: String!) { viewer { zones(filter: {zoneTag: $z}) {
      bad: httpRequestsAdaptiveGroups(limit: 1, filter: {clientRequestHTTPHost: "api.oooefam.net",
        OR: [{edgeResponseStatus_geq: 500}, {edgeResponseStatus_in: [400, 408, 422]}]}) { count }
      all: httpRequestsAdaptiveGroups(limit: 10, filter: {datetime_geq: "2026-11-23T01:15:00Z"}) {
        count ratio { status4xx status5xx } quantiles { edgeTimeToFirstByteMsP50 edgeTimeToFirstByteMsP95 }
        avg { sampleInterval } confidence(level: 0.95) { level count { estimate sampleSize } } }
    } } }"""
    zone = (await ask(client, box, query, z=box.zone))["data"]["viewer"]["zones"][0]
    assert zone["bad"] == [{"count": 6}]
    group = zone["all"][0]
    assert group["count"] == 100
    assert group["ratio"] == {"status4xx": 0.04, "status5xx": 0.06}
    assert group["quantiles"] == {"edgeTimeToFirstByteMsP50": 80, "edgeTimeToFirstByteMsP95": 900}
    assert group["confidence"] == {"level": 0.95, "count": {"estimate": 100, "sampleSize": 3}}


async def test_a_limit_cuts_rows_without_a_word(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The live API truncates silently; the client must find out by itself."""
    query = """{ viewer { zones { httpRequestsAdaptiveGroups(limit: 2, filter: {}, orderBy: [count_DESC]) {
        count dimensions { edgeResponseStatus } } } } }"""
    groups = (await ask(client, box, query))["data"]["viewer"]["zones"][0]["httpRequestsAdaptiveGroups"]
    assert [group["dimensions"]["edgeResponseStatus"] for group in groups] == [200, 503]


async def test_no_rows_give_an_empty_list(client: httpx.AsyncClient, box: Sandbox) -> None:
    """Empty is not zero: a row with zero requests would be read as health."""
    query = """{ viewer { accounts { workersInvocationsAdaptive(limit: 10, filter: {scriptName: "nobody"}) {
        sum { requests } } kvOperationsAdaptiveGroups(limit: 1, filter: {}) { count } } } }"""
    account = (await ask(client, box, query))["data"]["viewer"]["accounts"][0]
    assert account == {"workersInvocationsAdaptive": [], "kvOperationsAdaptiveGroups": []}


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("{ viewer { accounts(filter: {accountTag: \"other\"}) { accountTag } } }", "authz", "not authorized"),
        ("{ viewer { zones(filter: {zoneTag: \"other\"}) { zoneTag } } }", "authz", "not authorized"),
        ("{ viewer { accounts { workersInvocationsAdaptive(filter: {}) { sum { requests } } } } }", "parse", "limit"),
        ("{ viewer { accounts { workersInvocationsAdaptive(limit: 1, filter: {}) { sum { nope } } } } }", "parse", "nope"),
        ("{ viewer { zones { httpRequestsAdaptiveGroups(limit: 1, filter: {}) {"
         " quantiles { edgeTimeToFirstByteMsP90 } } } } }", "parse", "edgeTimeToFirstByteMsP90"),
        ("{ viewer { accounts { workersInvocationsAdaptive(limit: 10001, filter: {}) { sum { requests } } } } }",
         "invalid", "limit must be"),
        ("{ viewer { accounts { workersInvocationsAdaptive(limit: 1, filter: {datetime_geq: \"2020-01-01T00:00:00Z\"})"
         " { sum { requests } } } } }", "invalid", "cannot request data older than"),
        ("{ viewer { accounts { workersInvocationsAdaptive(limit: 1, filter: {datetime_geq: \"yesterday\"})"
         " { sum { requests } } } } }", "parse", "yesterday"),
        ("{", "parse", "parsing"),
    ],
)  # fmt: skip
async def test_an_error_comes_with_http_200_and_no_data(
    client: httpx.AsyncClient, box: Sandbox, query: str, code: str, words: str
) -> None:
    """A client that trusts the status alone would take an error for an empty account."""
    answer = await ask(client, box, query)
    assert answer["data"] is None
    error = answer["errors"][0]
    assert error["extensions"]["code"] == code
    assert set(error["extensions"]) == {"code", "timestamp", "ray_id"}
    assert words in error["message"]


async def test_one_failing_node_fails_the_document(client: httpx.AsyncClient, box: Sandbox) -> None:
    """So no half of an answer is ever taken for the whole."""
    query = """{ viewer { accounts {
        good: workersInvocationsAdaptive(limit: 1, filter: {}) { sum { requests } }
        bad: workersInvocationsAdaptive(limit: 99999, filter: {}) { sum { requests } } } } }"""
    answer = await ask(client, box, query)
    assert answer["data"] is None
    assert answer["errors"][0]["path"] == ["viewer", "accounts", "0", "bad"]


async def test_limits_and_fields_can_be_looked_up(client: httpx.AsyncClient, box: Sandbox) -> None:
    """The client's self-check at startup uses both."""
    query = """{ viewer { accounts { settings { workersInvocationsAdaptive {
        enabled maxPageSize maxDuration maxNumberOfFields notOlderThan availableFields } } } }
        __type(name: "AccountWorkersInvocationsAdaptiveSum") { fields { name } } }"""
    data = (await ask(client, box, query))["data"]
    settings = data["viewer"]["accounts"][0]["settings"]["workersInvocationsAdaptive"]
    assert settings["enabled"] is True
    assert settings["maxPageSize"] == 10_000
    assert "sum_requests" in settings["availableFields"]
    assert {"name": "requests"} in data["__type"]["fields"]


async def test_rows_show_after_their_lag_and_revised_ones_later(
    client: httpx.AsyncClient, box: Sandbox, clock: Any
) -> None:
    """Late rows are what the settle time is for."""
    box.rows.write("r2OperationsAdaptiveGroups", START, bucketName="late")
    query = """{ viewer { accounts { r2OperationsAdaptiveGroups(limit: 1, filter: {bucketName: "late"}) {
        sum { requests } } } } }"""
    for now, found in ((START + 59, 0), (START + 60, 1)):
        clock.now = now
        groups = (await ask(client, box, query))["data"]["viewer"]["accounts"][0]["r2OperationsAdaptiveGroups"]
        assert len(groups) == found


def test_the_packaged_schema_is_the_contract() -> None:
    """Two copies that drift apart would let the sandbox accept what Cloudflare refuses."""
    packaged = FIXTURES.parents[2] / "src" / "notaus" / "sandbox" / "cloudflare.graphql"
    assert packaged.read_text() == (FIXTURES / "cloudflare.graphql").read_text()
    assert "workersInvocationsAdaptive" in schema().type_map["account"].fields  # type: ignore[attr-defined]
