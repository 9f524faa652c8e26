"""The levers by hand while the daemon is down: the command line takes the lease, acts, verifies, and leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import call, first_line, process, sandbox_state, steering_key

Env = dict[str, str]


@pytest.fixture(scope="module")
def env(variables: Env) -> Env:
    """A daemon's environment; its port is one where nobody listens."""
    return {**variables, "NOTAUS_LISTEN__PORT": "9"}


def test_there_is_nothing_to_read_before_the_first_start(env: Env, tmp_path: Path) -> None:
    """`status` would make an empty journal, and say that all is well."""
    store = tmp_path / "nosuch" / "notaus.sqlite"
    found = call("status", env={**env, "NOTAUS_STORE": str(store)})
    assert found.code == 1
    assert "there is no journal" in found.err
    assert not store.parent.exists()


def test_the_emergency_stop_works_without_a_daemon(env: Env, sandbox: Any) -> None:
    """The day the daemon is down is the day somebody needs the lever."""
    found = call("stop", "pix-immo", "--by", "anna", "--json", env=env)
    assert found.code == 0, found
    told = found.json
    assert (told["through"], told["outcome"], told["verified"]) == ("journal", "done", True)
    assert steering_key(sandbox)["emergency_proxy"] is True
    assert "acting in its place" in found.err


def test_the_journal_tells_what_was_done(env: Env) -> None:
    """Nobody would know afterwards."""
    status = call("status", "--json", env=env)
    assert status.json["through"] == "journal"
    assert status.json["services"]["pix-immo"]["rung"] == "emergency"
    assert "from the journal" in call("status", env=env).err
    (incident,) = call("incidents", "--json", env=env).json
    assert incident["timeline"][0]["text"] == "stepping to emergency: ordered by anna"
    assert call("incidents", incident["id"], env=env).code == 0


def test_the_document_is_made_of_the_journal_alone(env: Env, tmp_path: Path) -> None:
    """Nobody could write the post-mortem while the daemon is down, and a second call would undo what people wrote."""
    (incident,) = call("incidents", "--json", env=env).json
    printed = call("report", incident["id"], env=env)
    assert printed.code == 0, printed
    assert "stepping to emergency: ordered by anna" in printed.out
    assert call("report", incident["id"], "--to", tmp_path, env=env).code == 0
    (document,) = tmp_path.glob("*_b2a_incident.md")
    assert document.read_text(encoding="utf-8").strip() == printed.out.strip()
    refused = call("report", incident["id"], "--to", tmp_path, env=env)
    assert (refused.code, refused.out) == (1, "")
    assert "--force" in refused.err
    assert call("report", incident["id"], "--to", tmp_path, "--force", env=env).code == 0
    assert "there is no incident" in call("report", "nosuch", env=env).err


def test_a_rollback_works_without_a_daemon(env: Env, sandbox: Any) -> None:
    """The same for the service that is steered by deployments."""
    found = call("rollback", "bookstrack", "--by", "anna", "--no-wait", env=env)
    assert found.code == 0, found
    assert "rolling back to v1.8.0 has begun" in found.out
    active = sandbox_state(sandbox)["workers"]["api-worker"]["active"]
    labels = {v["id"]: v["tag"] for v in sandbox_state(sandbox)["workers"]["api-worker"]["versions"]}
    assert [labels[v["version_id"]] for v in active["versions"]] == ["v1.8.0"]


def test_what_makes_no_sense_is_refused_there_too(env: Env) -> None:
    """The two ways to give an order must not differ."""
    assert call("stop", "pix-imo", env=env).code == 2
    assert call("set", "pix-immo", "redused", env=env).code == 1
    assert call("hold", "bookstrack", "--for", "40d", "--reason", "long", env=env).code == 2
    bare = {name: value for name, value in env.items() if not name.startswith("CLOUDFLARE")}
    found = call("stop", "pix-immo", env=bare)
    assert found.code == 2
    assert "CLOUDFLARE_API_TOKEN is not set" in found.err


def test_a_daemon_that_holds_the_lease_is_not_pushed_aside(env: Env) -> None:
    """Two would act at once."""
    with process("run", "--json", env={**env, "NOTAUS_LISTEN__PORT": "0"}) as started:
        first_line(started)
        found = call("set", "pix-immo", "normal", env=env)
        assert found.code == 1
        assert "holds the lease" in found.err
