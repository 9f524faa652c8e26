"""Cloudflare's own Python client against the sandbox, its known traps included, and beside the client of notaus."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.kv import Kv

from .conftest import Address
from .judges import PYTHON, bare_environment, needs_python

pytestmark = needs_python

SESSION = Path(__file__).parent / "sdk_session.py"
SCRIPT = "api-worker"
SECONDS = 60


def session(sandbox: Address, *calls: tuple[str, ...], token: str | None = None, retries: int = 0) -> list[Any]:
    """What each call gave, all in one session of the SDK."""
    environment = bare_environment(
        TOKEN=token or sandbox.token, API=sandbox.api, ACCOUNT=sandbox.account, NAMESPACE=sandbox.namespace,
        RETRIES=str(retries),
    )  # fmt: skip
    command = [str(PYTHON), str(SESSION), *map(json.dumps, calls)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)["done"]
    return found


async def session_later(sandbox: Address, *calls: tuple[str, ...], retries: int = 0) -> list[Any]:
    return await asyncio.to_thread(session, sandbox, *calls, retries=retries)


@pytest.fixture
def ids(sandbox: Address) -> dict[str, str]:
    return {v["tag"]: v["id"] for v in sandbox.state()["workers"][SCRIPT]["versions"]}


async def test_values_are_the_same_bytes_for_both(sandbox: Address, client: Client) -> None:
    """It always sends a form with a file name, which must not end up in the value."""
    text = '{"canary_percent": 5, "note": "ü"}'
    calls = (("kv_update", "sdk key", text), ("kv_update", "described", "x", '{"by": "sdk"}'))
    assert await session_later(sandbox, *calls, ("kv_get", "sdk key"), ("kv_text", "sdk key")) == [
        None, None, text, "refused before any request",
    ]  # fmt: skip
    kv = Kv(client)
    assert await kv.get(sandbox.account, sandbox.namespace, "sdk key") == text.encode()
    assert await kv.metadata(sandbox.account, sandbox.namespace, "described") == {"by": "sdk"}
    await kv.put(sandbox.account, sandbox.namespace, "ours", b"by notaus", {"seq": 1})
    read, keys = await session_later(sandbox, ("kv_get", "ours"), ("kv_keys",))
    assert (read, {"ours", "sdk key", "described"} <= set(keys)) == ("by notaus", True)


async def test_deployments_made_by_either_are_seen_by_the_other(
    sandbox: Address, client: Client, ids: dict[str, str]
) -> None:
    """It writes `workers_message` for `workers/message` and looks for `items` where the answer has `deployments`."""
    made, listed = await session_later(
        sandbox, ("deployment_create", ids["v1.8.0"], "by the SDK"), ("deployment_list",)
    )
    newest = (await Deployments(client).newest(sandbox.account, SCRIPT))[0]
    assert (newest.id, newest.message, dict(newest.versions)) == (made, "by the SDK", {ids["v1.8.0"]: 100})
    assert listed["ids"][0] == made
    assert not listed["iterated"], (
        "the trap is gone: the SDK now finds deployments by itself; say so in docs/testing.md"
    )
    ours = await Deployments(client).create(sandbox.account, SCRIPT, ids["v1.9.0"], "by notaus")
    (listed,) = await session_later(sandbox, ("deployment_list",))
    assert listed["ids"][:2] == [ours, made]


def test_paging_ends(sandbox: Address, ids: dict[str, str]) -> None:
    """It asks for the next page until one is empty: a server that ignores `page` would be asked for ever."""
    assert session(sandbox, ("version_list", "2"), ("version_list", "1")) == [list(reversed(ids.values()))] * 2


async def test_versions_and_the_token_are_told_the_same(sandbox: Address, client: Client, ids: dict[str, str]) -> None:
    """The reading of a version would depend on who reads it."""
    own = await Deployments(client).version(sandbox.account, SCRIPT, ids["v1.8.0"])
    calls = (("version_get", ids["v1.8.0"]), ("token_verify",))
    assert await session_later(sandbox, *calls) == [own.number, "active"]


def test_refusals_have_the_status_that_it_knows(sandbox: Address, ids: dict[str, str]) -> None:
    """An error that only our own client understands is not Cloudflare's."""
    unknown = "00000000-0000-4000-8000-000000000000"
    calls = (("kv_get", "nope"), ("version_get", unknown), ("deployment_create", unknown, "x"))
    assert [c["error"] for c in session(sandbox, *calls)] == ["NotFoundError"] * 3
    assert session(sandbox, ("kv_get", "config"), token="wrong")[0]["status"] == 401


def test_a_post_that_it_repeats_after_a_lost_reply_is_done_twice(sandbox: Address, ids: dict[str, str]) -> None:
    """Why notaus looks before it repeats: nothing on the wire lets the server know a repeated POST, here or there."""
    before = session(sandbox, ("deployment_list",))[0]["ids"]
    sandbox.admin("faults", target="deployments.post", **{"with": ["lost_reply"]})
    (made,) = session(sandbox, ("deployment_create", ids["v1.9.0"], "once?"), retries=2)
    after = session(sandbox, ("deployment_list",))[0]["ids"]
    assert (after[0], after[2:]) == (made, before[: len(after) - 2])
    assert after[1] not in before
