"""Cloudflare's own command line client against the sandbox: what it changes notaus sees, and the reverse.

A rung, a version and a key mean the same to both, or a person with `wrangler` in hand would be told something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.kv import Kv
from notaus.config import load
from notaus.core.incident import Phase
from notaus.core.page import Kind, Message
from tests.builders import a_rollback_service, a_service, a_situation

from .conftest import Address
from .judges import PROJECT, WRANGLER, bare_environment, needs_wrangler, node

pytestmark = needs_wrangler

SCRIPT = "api-worker"
SECONDS = 60


@dataclass(frozen=True)
class Wrangler:
    """Runs it without a terminal, a home, or a way to anything but the sandbox."""

    sandbox: Address
    home: Path

    def run(self, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env=self.environment(token), cwd=self.home,
            timeout=SECONDS, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def command(self, *arguments: str) -> list[str]:
        return [str(node()), str(WRANGLER), *arguments]

    def environment(self, token: str | None = None) -> dict[str, str]:
        return bare_environment(
            HOME=str(self.home), XDG_CONFIG_HOME=str(self.home), CI="1", NO_COLOR="1",
            CLOUDFLARE_API_BASE_URL=self.sandbox.api, CLOUDFLARE_ACCOUNT_ID=self.sandbox.account,
            CLOUDFLARE_API_TOKEN=token or self.sandbox.token, CLOUDFLARE_CF_FETCH_ENABLED="false",
            WRANGLER_SEND_METRICS="false", WRANGLER_SEND_ERROR_REPORTS="false", WRANGLER_HIDE_BANNER="true",
            DO_NOT_TRACK="1",
        )  # fmt: skip

    def says(self, *arguments: str) -> str:
        """What it prints when it succeeds."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def key(self, *arguments: str) -> str:
        return self.says("kv", "key", *arguments, "--namespace-id", self.sandbox.namespace, "--remote")

    async def says_later(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.says, *arguments)


@pytest.fixture
def wrangler(sandbox: Address, tmp_path: Path) -> Wrangler:
    return Wrangler(sandbox, tmp_path)


@pytest.fixture
def versions(sandbox: Address) -> Iterator[dict[str, str]]:
    """Ids by tag; v1.9.0 serves at the start."""
    yield {v["tag"]: v["id"] for v in sandbox.state()["workers"][SCRIPT]["versions"]}
    sandbox.admin("deploy", service="bookstrack", version="v1.9.0")


def shares(deployment: dict[str, Any]) -> dict[str, float]:
    return {v["version_id"]: v["percentage"] for v in deployment["versions"]}


def test_it_knows_who_it_is(wrangler: Wrangler, sandbox: Address) -> None:
    """The token routes would differ from Cloudflare's, and the preflight with them."""
    said = wrangler.says("whoami")
    assert "Account API Token" in said
    assert sandbox.account in said


def test_a_wrong_token_is_refused(wrangler: Wrangler) -> None:
    """A sandbox that lets everybody in would hide a missing token until the first day in the field."""
    done = wrangler.run("deployments", "status", "--name", SCRIPT, token="wrong")
    assert (done.returncode, "code: 10000" in done.stderr) == (1, True)


async def test_deployments_read_the_same(wrangler: Wrangler, client: Client, sandbox: Address) -> None:
    """notaus would take another deployment for the live one than the people on call do."""
    ours = await Deployments(client).newest(sandbox.account, SCRIPT)
    listed = json.loads(await wrangler.says_later("deployments", "list", "--name", SCRIPT, "--json"))
    status = json.loads(await wrangler.says_later("deployments", "status", "--name", SCRIPT, "--json"))
    assert [d["id"] for d in listed] == [d.id for d in reversed(ours)]  # it prints the oldest first
    assert [shares(d) for d in listed] == [dict(d.versions) for d in reversed(ours)]
    assert status["id"] == ours[0].id
    told = await wrangler.says_later("deployments", "list", "--name", SCRIPT)
    assert told.index("v1.7.0") < told.index("v1.8.0") < told.index("v1.9.0")


async def test_versions_read_the_same(
    wrangler: Wrangler, client: Client, sandbox: Address, versions: dict[str, str]
) -> None:
    """The version that a page names would not be the one that `wrangler versions` shows."""
    ours = {v.id: v.version().tag for v in await Deployments(client).deployable(sandbox.account, SCRIPT)}
    listed = json.loads(await wrangler.says_later("versions", "list", "--name", SCRIPT, "--json"))
    assert {v["id"]: v["annotations"]["workers/tag"] for v in listed} == ours == {v: t for t, v in versions.items()}
    seen = json.loads(await wrangler.says_later("versions", "view", versions["v1.8.0"], "--name", SCRIPT, "--json"))
    own = await Deployments(client).version(sandbox.account, SCRIPT, versions["v1.8.0"])
    assert own.resources is not None
    assert (seen["number"], seen["resources"]["script"]["etag"]) == (own.number, own.resources.script.etag)
    plain = await wrangler.says_later("versions", "view", versions["v1.8.0"], "--name", SCRIPT)
    assert "CF_VERSION_METADATA" in plain


async def test_what_it_deploys_notaus_sees(
    wrangler: Wrangler, client: Client, sandbox: Address, versions: dict[str, str]
) -> None:
    """A person's split or rollback would go unseen, and notaus would act on top of it."""
    old, middle, new = (versions[tag] for tag in ("v1.7.0", "v1.8.0", "v1.9.0"))
    deployments = Deployments(client)
    command = ("versions", "deploy", f"{new}@10", f"{middle}@90", "-y", "--name", SCRIPT, "--message", "canary")
    assert "SUCCESS" in await wrangler.says_later(*command)
    split = (await deployments.newest(sandbox.account, SCRIPT))[0]
    assert (dict(split.versions), split.message) == ({new: 10, middle: 90}, "canary")
    assert "SUCCESS" in await wrangler.says_later("rollback", old, "-y", "-m", "back", "--name", SCRIPT)
    back = (await deployments.newest(sandbox.account, SCRIPT))[0]
    assert (dict(back.versions), back.message) == ({old: 100}, "back")


async def test_without_an_id_it_goes_back_to_the_last_version_that_had_all_traffic(
    wrangler: Wrangler, client: Client, sandbox: Address, versions: dict[str, str]
) -> None:
    """After a rollback of ours, `wrangler rollback` brings the bad version back: the runbook's ping-pong, which pages
    warn of, would not show in the sandbox."""
    await Deployments(client).create(sandbox.account, SCRIPT, versions["v1.8.0"], "notaus: v1.9.0 is bad")
    said = await wrangler.says_later("rollback", "-y", "-m", "by hand", "--name", SCRIPT)
    assert f"Current Version ID: {versions['v1.9.0']}" in said
    assert dict((await Deployments(client).newest(sandbox.account, SCRIPT))[0].versions) == {versions["v1.9.0"]: 100}


async def test_what_notaus_deploys_it_sees(
    wrangler: Wrangler, client: Client, sandbox: Address, versions: dict[str, str]
) -> None:
    """People would not see from their own tools what notaus did, and why."""
    id = await Deployments(client).create(sandbox.account, SCRIPT, versions["v1.7.0"], "INC-1: 7 % errors since v1.9.0")
    status = json.loads(await wrangler.says_later("deployments", "status", "--name", SCRIPT, "--json"))
    assert (status["id"], shares(status)) == (id, {versions["v1.7.0"]: 100})
    assert status["annotations"]["workers/message"] == "INC-1: 7 % errors since v1.9.0"
    assert status["code_update_strategy"] == {"mode": "immediate"}


def test_a_version_that_does_not_exist_is_refused(wrangler: Wrangler) -> None:
    """A typo in an emergency would look like a success."""
    done = wrangler.run("rollback", "00000000-0000-4000-8000-000000000000", "-y", "-m", "x", "--name", SCRIPT)
    assert (done.returncode, "Version not found" in done.stderr) == (1, True)


async def test_keys_are_written_and_read_by_both(wrangler: Wrangler, client: Client, sandbox: Address) -> None:
    """The key that a person sets by the runbook's command would not be the key that notaus reads; or the reverse."""
    kv, value = Kv(client), '{"canary_percent":5,"canary_tag":"B2a","emergency_proxy":false}'
    await asyncio.to_thread(wrangler.key, "put", "by/hand key", value)
    assert await kv.get(sandbox.account, sandbox.namespace, "by/hand key") == value.encode()
    await asyncio.to_thread(wrangler.key, "put", "described", "ü", "--metadata", '{"by":"oncall"}')
    assert await kv.get(sandbox.account, sandbox.namespace, "described") == "ü".encode()
    assert await kv.metadata(sandbox.account, sandbox.namespace, "described") == {"by": "oncall"}

    await kv.put(sandbox.account, sandbox.namespace, "ours", b'{"a": "\xc3\xbc"}', {"writer": "notaus", "seq": 1})
    assert await asyncio.to_thread(wrangler.key, "get", "ours") == '{"a": "ü"}'
    listed = {entry["name"]: entry for entry in json.loads(await asyncio.to_thread(wrangler.key, "list"))}
    assert listed["ours"]["metadata"] == {"writer": "notaus", "seq": 1}
    assert {"by/hand key", "described", "config"} <= set(listed)


def test_a_key_that_does_not_exist_is_told(wrangler: Wrangler, sandbox: Address) -> None:
    """A missing steering key would read as an empty one."""
    namespace = ("--namespace-id", sandbox.namespace, "--remote")
    done = wrangler.run("kv", "key", "get", "nope", *namespace)
    assert (done.returncode, "404" in done.stderr) == (1, True)


def test_the_example_worker_is_one_that_it_would_deploy(sandbox: Address, tmp_path: Path) -> None:
    """A team would copy a wrangler.jsonc that wrangler refuses."""
    project = shutil.copytree(PROJECT / "examples/canary-worker", tmp_path / "worker")
    done = Wrangler(sandbox, project).run("deploy", "--dry-run", "--outdir", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    for binding in ("env.KV_CANARY_CONFIG", "env.CANARY_METRICS (pix_canary)", "env.MEDIA (piximmo-media)"):
        assert binding in done.stdout


async def test_its_tail_shows_the_requests_that_fail(sandbox: Address, wrangler: Wrangler) -> None:
    """The runbook's first look during an incident would stay empty."""
    url = sandbox.urls["workers"]["pix-immo"] + "/api/listings"
    sandbox.admin("traffic", service="pix-immo", cohort="proxy", error_rate=1.0)
    tailing = await asyncio.create_subprocess_exec(
        *wrangler.command("tail", "pix-immo-api", "--format", "json"), env=wrangler.environment(), cwd=wrangler.home,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert tailing.stdout is not None
    told = ""
    try:
        async with asyncio.timeout(3 * SECONDS), httpx.AsyncClient(trust_env=False) as visitor:
            while '"status": 500' not in told:
                await visitor.get(url, headers={"Cookie": "pix_cohort=proxy; session=secret"})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        while line := await tailing.stdout.readline():
                            told += line.decode()
                if tailing.returncode is not None:
                    raise AssertionError(told)
    finally:
        sandbox.admin("traffic", service="pix-immo", cohort="proxy", error_rate=0.0)
        with contextlib.suppress(ProcessLookupError):
            tailing.terminate()
        await tailing.wait()
    assert '"scriptName": "pix-immo-api"' in told
    assert "secret" not in told


# The commands on the pages


def by_hand(command: str, wrangler: Wrangler) -> subprocess.CompletedProcess[str]:
    """The command of a page as a person pastes it into a shell, where `npx` finds this wrangler."""
    tools = wrangler.home / "bin"
    tools.mkdir(exist_ok=True)
    npx = tools / "npx"
    npx.write_text(f'#!/bin/sh\nshift\nexec "{node()}" "{WRANGLER}" "$@"\n')
    npx.chmod(0o755)
    environment = wrangler.environment() | {"PATH": f"{tools}:/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, env=environment, cwd=wrangler.home,
        timeout=SECONDS, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def pages_of(service: str, **changes: Any) -> list[Message]:
    """What people were told of an incident of one of the repository's services, its lever pointed at the sandbox."""
    deploys = service == "bookstrack"
    found = load(PROJECT / "config", {}, lenient=True).service(service)
    ladder = replace(found.ladder, lever=replace(found.ladder.lever, **changes))
    made = (a_rollback_service if deploys else a_service)(ladder=ladder)
    situation = a_situation(made, live="v2" if deploys else None)
    situation.until(Phase.VALIDATING, {"edge.error_rate": 0.12} if deploys else {"native.error_rate": 0.05})
    return [message for message in situation.said if message.kind is Kind.PAGE]


async def test_it_takes_the_command_by_hand_of_every_page_about_a_key(
    wrangler: Wrangler, client: Client, sandbox: Address
) -> None:
    """At 3 a.m., with notaus out of reach, the command on the page would be refused, or write something else."""
    (page,) = pages_of("pix-immo", namespace=sandbox.namespace)
    done = await asyncio.to_thread(by_hand, page.facts["by hand"], wrangler)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(await Kv(client).get(sandbox.account, sandbox.namespace, "config") or b"")
    now = written.pop("last_updated")
    assert written == {"canary_percent": 0, "canary_tag": "B2a", "emergency_proxy": True}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now)
    await asyncio.sleep(1.1)  # a key takes one write a second, also from wrangler
    undone = await asyncio.to_thread(by_hand, page.facts["undo"], wrangler)
    assert undone.returncode == 0, undone.stdout + undone.stderr
    back = json.loads(await Kv(client).get(sandbox.account, sandbox.namespace, "config") or b"")
    assert (back["canary_percent"], back["emergency_proxy"]) == (10, False)


async def test_it_takes_the_command_by_hand_of_every_page_about_a_rollback(
    wrangler: Wrangler, client: Client, sandbox: Address, versions: dict[str, str]
) -> None:
    """The runbook's `wrangler rollback` without a version brings back whatever came before; ours names it."""
    (page,) = pages_of("bookstrack")
    command = page.facts["by hand"].replace("id-of-v1", versions["v1.8.0"])
    done = await asyncio.to_thread(by_hand, command, wrangler)
    assert done.returncode == 0, done.stdout + done.stderr
    live = (await Deployments(client).newest(sandbox.account, SCRIPT))[0]
    assert (dict(live.versions), live.message) == ({versions["v1.8.0"]: 100}, "by hand")
