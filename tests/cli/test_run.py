"""`notaus run`: starts, reloads, stops; and says why where it cannot."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CONFIG, call, first_line, process, services, wait_until


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration that a test may spoil."""
    shutil.copytree(CONFIG, tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def env(variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**variables, "NOTAUS_STORE": str(tmp_path / "state" / "notaus.sqlite")}


def test_it_polls_at_once_reloads_and_stops_when_asked(env: dict[str, str], directory: Path, sandbox: Any) -> None:
    """A daemon that cannot be told to stop or to reload is killed, in the middle of a rollback at worst."""
    service = directory / "services" / "pix-immo.yaml"
    with process("run", "--json", "--config", directory, env=env) as started:
        ready = first_line(started)
        assert ready["event"] == "ready"
        assert ready["services"] == ["bookstrack", "pix-immo"]
        found = {**env, "NOTAUS_LISTEN__PORT": ready["url"].rpartition(":")[2], "NOTAUS_CONFIG": str(directory)}
        wait_until(lambda: services(found).get("pix-immo", {}).get("tick"), 20)

        good = service.read_text()
        service.write_text(good.replace("for: 5m", "for: 5").replace("mode: act", "mode: atc"))
        started.send_signal(signal.SIGHUP)
        refused = first_line(started)
        assert refused["event"] == "refused"
        assert any("atc" in problem for problem in refused["problems"])
        assert len(refused["problems"]) >= 2
        service.write_text(good.replace("mode: act", "mode: observe"))
        started.send_signal(signal.SIGHUP)
        assert first_line(started)["event"] == "reloaded"
        wait_until(lambda: services(found)["pix-immo"]["mode"] == "observe", 20)
        started.send_signal(signal.SIGTERM)
        assert first_line(started) == {"event": "stopped"}
        assert started.wait(25) == 0
        assert started.stderr is not None
        said = started.stderr.read()
        assert "the old configuration stays in force" in said
        assert sandbox["token"] not in said
        assert "Traceback" not in said


def test_ctrl_c_stops_it_like_sigterm(env: dict[str, str]) -> None:
    """Somebody trying it out would see a traceback."""
    with process("run", "--json", env=env) as started:
        first_line(started)
        started.send_signal(signal.SIGINT)
        assert first_line(started) == {"event": "stopped"}
        assert started.wait(25) == 0


def test_a_journal_that_cannot_be_kept_is_told(env: dict[str, str], tmp_path: Path) -> None:
    """A daemon without a journal must not start, and must say why."""
    (tmp_path / "file").write_text("")
    found = call("run", env={**env, "NOTAUS_STORE": str(tmp_path / "file" / "notaus.sqlite")})
    assert found.code == 1
    assert "cannot be" in found.err
    assert "Traceback" not in found.err


def test_an_address_in_use_is_told(env: dict[str, str]) -> None:
    """Two daemons on one machine would look like one that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = call("run", env={**env, "NOTAUS_LISTEN__PORT": str(taken.getsockname()[1])})
    assert found.code == 1
    assert "another process does already" in found.err
    assert "Traceback" not in found.err


def test_without_its_environment_it_names_every_variable(env: dict[str, str]) -> None:
    """One missing variable a start is a long evening."""
    bare = {k: v for k, v in env.items() if k.startswith("NOTAUS_")}
    found = call("run", env=bare)
    assert found.code == 2
    for name in ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "PIX_KV_NAMESPACE", "BOOKSTRACK_ZONE"):
        assert f"the environment variable {name} is not set" in found.err
