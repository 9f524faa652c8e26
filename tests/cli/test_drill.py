"""`notaus drill` with real processes: sandbox, daemon, and both drills at once, on a fast clock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus.cli.demo.stage import Clock, config_in, environment
from tests.cli.conftest import PROJECT, SURROUNDINGS, call, first_line, process, steering_key

SPEED = 5.0
Env = dict[str, str]


@pytest.fixture(scope="module")
def sandbox(clock: Clock) -> Iterator[Any]:
    """Without users: a drill is about keys and versions."""
    spot = f"{clock.anchor!r},{clock.anchor!r},{clock.speed!r}"
    with process("sandbox", "--port", 0, "--json", "--no-traffic", "--clock", spot) as started:
        yield first_line(started)


@pytest.fixture(scope="module")
def variables(sandbox: Any, clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Env:
    """As for the other commands, on staging."""
    state = tmp_path_factory.mktemp("state")
    config = config_in(state)
    for file in (config / "services").glob("*.yaml"):
        file.write_text(file.read_text().replace("mode: act", "staging: true\nmode: act", 1))
    return {**environment(sandbox, clock, state), "NOTAUS_CONFIG": str(config)}


@pytest.fixture(scope="module")
def drilled(daemon: Env, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What both drills printed, and with which code they ended."""
    reports = tmp_path_factory.mktemp("reports")
    running = {
        service: subprocess.Popen(
            [sys.executable, "-m", "notaus", "drill", service, "--by", "kim", "--page", "--json", "--to", str(reports)],
            env={**SURROUNDINGS, **daemon}, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for service in ("pix-immo", "bookstrack")
    }  # fmt: skip
    try:
        found = {}
        for service, each in running.items():
            out, err = each.communicate(timeout=180)
            found[service] = (each.returncode, json.loads(out), err)
        yield found
    finally:
        for each in running.values():
            if each.poll() is None:
                each.kill()
                each.communicate()


def test_both_drills_run_to_their_end_and_put_everything_back(
    drilled: dict[str, Any], sandbox: Any, daemon: Env
) -> None:
    """On virtual time everything is quick; here KV keys take their time, and so does the machine."""
    for code, found, err in drilled.values():
        assert found["restored"] is True, (found, err)
        assert found["problems"] == []
        assert code == (0 if found["passed"] else 1)
        assert found["passed"] is all(each["met"] for each in found["measured"])
        assert all(each["seconds"] is not None for each in found["measured"])
        assert len(found["rules"]) >= 7
        assert all(said.endswith("and its end") or "can be read" in said for said in found["contacts"].values())
        assert Path(found["path"]).read_text() == found["markdown"]
    assert len(drilled["pix-immo"][1]["measured"]) == 13
    assert steering_key(sandbox)["canary_percent"] == 10
    state = httpx.get(f"{sandbox['admin']}/state", trust_env=False).json()
    assert state["workers"]["api-worker"]["live_at_edge"] == "v1.9.0"
    services = call("status", "--json", env=daemon).json["services"]
    assert [services[name]["incident"] for name in ("pix-immo", "bookstrack")] == [None, None]


def test_what_it_found_is_in_the_journal_and_was_told(drilled: dict[str, Any], sandbox: Any) -> None:
    """A drill nobody hears of might as well not have been held."""
    pages = httpx.get(sandbox["pages"], trust_env=False).json()
    told = [page for page in pages if "a drill" in json.dumps(page["payload"])]
    assert {page["channel"] for page in told} >= {"slack:incidents", "slack:bookstrack-alerts"}


def test_a_production_service_is_not_drilled_by_mistake(daemon: Env, tmp_path: Path) -> None:
    """The wrong name after the command would send every user elsewhere."""
    found = call("drill", "pix-immo", env={**daemon, "NOTAUS_CONFIG": str(config_in(tmp_path, "pix-immo"))})
    assert found.code == 1
    assert "pix-immo is not marked `staging: true`; --yes says that" in found.err
