"""Versions and deployments: shapes as recorded from the live API, and the rules for what may be deployed."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from notaus.sandbox import Lags, Sandbox

from .conftest import FIXTURES, START, Clock


def shape(value: Any) -> Any:
    """The keys and kinds of values, whatever the values are."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.parametrize("name", ["deployments", "versions"])
async def test_the_lists_have_the_shape_of_the_recordings(
    client: httpx.AsyncClient, box: Sandbox, script: str, name: str
) -> None:
    """A client that reads the sandbox must read the live API, down to what is null and what is empty."""
    recorded = json.loads((FIXTURES / "recordings" / f"{name}-list.json").read_text())
    worker = box.worker("api-worker")
    worker.clear()
    worker.deploy(worker.upload().id, message="Automatic deployment on upload.", triggered_by="upload")
    answer = await client.get(f"{script}/{name}")
    body = answer.json()
    if name == "deployments":
        assert body["result"]["deployments"][0].pop("code_update_strategy")["mode"] == "deferred"
    assert shape(body) == shape(recorded["response_body"])
    for header, value in recorded["response_headers"].items():
        assert answer.headers[header] == value


async def test_paging_really_ends(client: httpx.AsyncClient, box: Sandbox, script: str) -> None:
    """The official SDK asks for the next page until one is empty."""
    for number in range(20):
        box.worker("api-worker").upload(f"v3.{number}")
    seen = []
    for page in range(1, 5):
        items = (await client.get(f"{script}/versions", params={"page": page})).json()["result"]["items"]
        seen.append(len(items))
    assert seen == [10, 10, 3, 0]


async def test_a_deployment_goes_on_top_and_reaches_the_edge_later(clock: Clock) -> None:
    """First in the list is what is active; what answers is some seconds behind."""
    box = Sandbox(clock, seed=1, lags=Lags(deployment=3.0))
    url = f"{box.urls()['api']}/accounts/{box.account.id}/workers/scripts/api-worker/deployments"
    target = box.worker("api-worker").tagged("v1.8.0").id
    body = {
        "strategy": "percentage",
        "versions": [{"version_id": target, "percentage": 100}],
        "annotations": {"workers/message": "incident 7"},
        "code_update_strategy": {"mode": "immediate"},
    }
    async with httpx.AsyncClient(transport=box.transport(), headers={"Authorization": f"Bearer {box.token}"}) as client:
        done = (await client.post(url, json=body)).json()["result"]
        assert done["code_update_strategy"] == {"mode": "immediate"}
        assert done["annotations"]["workers/message"] == "incident 7"
        first = (await client.get(url)).json()["result"]["deployments"][0]
        assert first == done
        for now, version in ((START + 2.9, "v1.9.0"), (START + 3, "v1.8.0")):
            clock.now = now
            health = (await client.get("https://api.oooefam.net/health")).json()
            assert health["data"] == {"status": "ok", "version": version, "worker": "api-worker"}
    assert [(w.by, w.kind, w.what["tag"]) for w in box.writes] == [("api", "deployment", "v1.8.0")]


def deployment(*shares: tuple[str, float], **more: Any) -> dict[str, Any]:
    return {"strategy": "percentage", "versions": [{"version_id": v, "percentage": p} for v, p in shares], **more}


async def test_what_cloudflare_refuses_is_refused(client: httpx.AsyncClient, box: Sandbox, script: str) -> None:
    """A lever that never meets a refusal here meets its first in an incident."""
    worker = box.worker("api-worker")
    good = worker.tagged("v1.8.0").id
    by_block = {
        blocked: worker.upload(f"old-{blocked}", blocked=blocked).id
        for blocked in ("do_migration", "secrets", "binding")
    }
    cases = [
        (deployment(("00000000-0000-4000-8000-000000000000", 100)), 404, 100146),
        (deployment((good, 90)), 400, 10021),
        (deployment((good, 50), (good, 25), (good, 25)), 400, 10021),
        (deployment((by_block["do_migration"], 100)), 400, 10211),
        (deployment((by_block["secrets"], 100)), 400, 10220),
        (deployment((by_block["binding"], 100)), 400, 100140),
        (deployment((good, 100), code_update_strategy={"mode": "immediate", "max_delay": 3}), 400, 10021),
        ({"versions": []}, 400, 10021),
    ]
    for body, status, code in cases:
        answer = await client.post(f"{script}/deployments", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code), body
    assert box.writes == []
    secrets = await client.post(f"{script}/deployments", json=cases[4][0])
    assert secrets.json()["errors"][0]["message"].endswith("The following secrets have changed: API_KEY, DB_URL")
    forced = await client.post(f"{script}/deployments?force=true", json=cases[4][0])
    assert forced.status_code == 200


async def test_only_the_hundred_newest_versions_can_be_deployed(
    client: httpx.AsyncClient, box: Sandbox, script: str
) -> None:
    """The pre-flight must say so before an incident does."""
    worker = box.worker("api-worker")
    oldest = worker.versions[0].id
    for number in range(98):
        worker.upload(f"v4.{number}")
    answer = await client.post(f"{script}/deployments", json=deployment((oldest, 100)))
    assert answer.json()["errors"][0]["code"] == 100147
    listed = (await client.get(f"{script}/versions?deployable=true")).json()["result"]["items"]
    assert len(listed) == 100
    assert oldest not in {item["id"] for item in listed}


async def test_a_split_answers_by_its_percentages(client: httpx.AsyncClient, box: Sandbox, script: str) -> None:
    """A gradual deployment has two live versions."""
    worker = box.worker("api-worker")
    old, new = worker.tagged("v1.8.0").id, worker.tagged("v1.9.0").id
    answer = await client.post(f"{script}/deployments", json=deployment((new, 10), (old, 90)))
    assert [v["percentage"] for v in answer.json()["result"]["versions"]] == [10, 90]
    seen = [(await client.get("https://api.oooefam.net/health")).json()["data"]["version"] for _ in range(300)]
    assert 10 < seen.count("v1.9.0") < 60


async def test_a_version_shows_its_resources(client: httpx.AsyncClient, box: Sandbox, script: str) -> None:
    """The etag tells one release from another."""
    version = box.worker("api-worker").upload("v9", etag="e9", blocked="binding")
    detail = (await client.get(f"{script}/versions/{version.id}")).json()["result"]
    assert detail["resources"]["script"]["etag"] == "e9"
    assert detail["annotations"]["workers/tag"] == "v9"
    assert {"type": "kv_namespace", "name": "GONE", "namespace_id": "dead" * 8} in detail["resources"]["bindings"]


async def test_the_routes_around_a_script_answer(client: httpx.AsyncClient, api: str, script: str) -> None:
    """wrangler asks for these on its way."""
    assert (await client.get(f"{api}/workers/services/api-worker")).status_code == 200
    assert (await client.get(f"{api}/workers/services/none")).json()["errors"][0]["code"] == 10090
    assert (await client.get(f"{api}/workers/scripts/none/deployments")).json()["errors"][0]["code"] == 10007
    patched = await client.patch(f"{script}/script-settings", json={"logpush": True})
    assert patched.json()["result"]["logpush"] is True
    tail = (await client.post(f"{script}/tails", json={})).json()["result"]
    assert tail["url"].startswith("wss://")
    assert (await client.get(f"{script}/subdomain")).json()["result"] == {"enabled": False, "previews_enabled": False}
    active = (await client.get(f"{script}/deployments")).json()["result"]["deployments"]
    assert (await client.delete(f"{script}/deployments/{active[0]['id']}")).status_code == 400
    assert (await client.delete(f"{script}/deployments/{active[1]['id']}")).status_code == 200
