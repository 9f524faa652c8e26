"""GitHub's workflows in the sandbox: what is started, how long it takes, how it ends, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from notaus.sandbox import Sandbox

from .conftest import Clock

URL = "https://api.github.com/repos/o/r/actions"
ACCESS = {"authorization": "Bearer t", "user-agent": "test"}


async def dispatch(client: httpx.AsyncClient, file: str = "w.yml", **body: Any) -> httpx.Response:
    given = {"ref": "main", "inputs": {"mode": "on"}, **body}
    return await client.post(f"{URL}/workflows/{file}/dispatches", json=given, headers=ACCESS)


async def test_a_run_shows_late_starts_and_comes_to_its_conclusion(
    client: httpx.AsyncClient, box: Sandbox, clock: Clock
) -> None:
    """Clients that take a dispatch for its end, or a missing run for none, would pass here."""
    answer = await dispatch(client, return_run_details=True)
    assert answer.status_code == 200
    id = answer.json()["workflow_run_id"]
    assert (await dispatch(client)).status_code == 204
    assert (await client.get(f"{URL}/workflows/w.yml/runs", headers=ACCESS)).json()["total_count"] == 0
    seen = []
    for seconds in (0, 3, 27):
        clock.now += seconds
        run = (await client.get(f"{URL}/runs/{id}", headers=ACCESS)).json()
        seen.append((run["status"], run["conclusion"]))
    assert seen == [("queued", None), ("in_progress", None), ("completed", "success")]
    listed = (await client.get(f"{URL}/workflows/w.yml/runs?event=workflow_dispatch", headers=ACCESS)).json()
    assert [(run["id"], run["display_title"]) for run in listed["workflow_runs"]] == [(id + 1, "on"), (id, "on")]
    assert box.actions.state()[0]["inputs"] == {"mode": "on"}


async def test_lists_are_narrowed_by_time_event_workflow_and_repository(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    """A run of yesterday, or of another workflow, would be taken for this one's."""
    await dispatch(client)
    clock.now += 3600
    runs = f"{URL}/workflows/w.yml/runs"
    for query, count in (
        ("created=>=2026-11-23T01:20:00Z", 1),
        ("created=>=2026-11-23T01:20:01Z", 0),
        ("event=push", 0),
    ):
        assert (await client.get(f"{runs}?{query}", headers=ACCESS)).json()["total_count"] == count
    assert (await client.get(f"{URL}/workflows/x.yml/runs", headers=ACCESS)).json()["total_count"] == 0
    other = runs.replace("/o/r/", "/o/other/")
    assert (await client.get(other, headers=ACCESS)).json()["total_count"] == 0


@pytest.mark.parametrize(
    ("file", "body", "status"),
    [
        ("missing.yml", {}, 404),
        ("w.yml", {"ref": ""}, 422),
        ("w.yml", {"ref": "missing"}, 422),
        ("w.yml", {"inputs": {"unexpected": 1}}, 422),
        ("w.yml", {"inputs": {f"i{n}": 1 for n in range(26)}}, 422),
    ],
)
async def test_what_github_refuses_is_refused(
    client: httpx.AsyncClient, box: Sandbox, file: str, body: dict[str, Any], status: int
) -> None:
    """A wrong name would first be told in production."""
    assert (await dispatch(client, file, **body)).status_code == status
    assert box.actions.runs == []


async def test_without_a_token_nothing_is_shown(client: httpx.AsyncClient) -> None:
    """A missing token would pass here."""
    for path in ("workflows/w.yml/runs", "runs/1"):
        answer = await client.get(f"{URL}/{path}", headers={"authorization": "", "user-agent": "test"})
        assert answer.status_code == 401
    assert (await client.get(f"{URL}/runs/1", headers=ACCESS)).status_code == 404
    assert (await client.get(f"{URL}/workflows/missing.yml/runs", headers=ACCESS)).status_code == 404


async def test_how_runs_go_can_be_set(client: httpx.AsyncClient, clock: Clock) -> None:
    """A run that fails, or takes long, could not be tried."""
    how = {"takes": 5, "shows_after": 0, "titled": False, "tells_run": False, "conclusions": ["failure"]}
    assert (await client.post("https://x/admin/workflows", json=how)).json() == []
    assert (await dispatch(client, return_run_details=True)).status_code == 204
    clock.now += 5
    (run,) = (await client.get(f"{URL}/workflows/w.yml/runs", headers=ACCESS)).json()["workflow_runs"]
    assert (run["conclusion"], run["display_title"]) == ("failure", run["name"])
    state = (await client.get("https://x/admin/state")).json()
    assert state["workflows"][0]["conclusion"] == "failure"
    wrong = await client.post("https://x/admin/workflows", json={"conclusions": ["fine"]})
    assert (wrong.status_code, "success, failure" in wrong.json()["error"]) == (400, True)
