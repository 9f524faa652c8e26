"""The program as a whole: help, exit codes, and how mistakes are told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from notaus.cli.program import COMMANDS, app
from tests.cli.conftest import CONFIG, PROJECT, SURROUNDINGS, call

NAMES = [name for commands in COMMANDS.values() for name, _ in commands]


def test_help_lists_every_command_quickly() -> None:
    """Nobody waits for a help page, and nobody looks for a command that the help hides."""
    begun = time.process_time(), time.monotonic()
    found = call("--help")
    assert found.code == 0
    assert all(f"│ {name} " in found.out for name in NAMES)
    assert time.monotonic() - begun[1] < 30  # half a second on an idle machine


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_and_takes_json(name: str) -> None:
    """A command without `--json` cannot be used by a program."""
    found = CliRunner().invoke(app, [name, "--help"])
    assert found.exit_code == 0
    assert "--json" in found.output


def test_help_loads_no_heavy_library() -> None:
    """One import at the top of a module would make every command slow."""
    heavy = "sqlalchemy httpx starlette uvicorn pydantic ruamel sqlglot graphql apscheduler"
    code = f"import sys, notaus.cli.program; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_the_version_is_told() -> None:
    """A bug report would not say what it is about."""
    assert call("--version").out.startswith("notaus 0.")


@pytest.mark.parametrize(
    "arguments", [("nosuch",), ("set", "pix-immo"), ("hold", "pix-immo", "--for", "3", "--reason", "x")]
)
def test_a_mistake_in_the_arguments_is_2(arguments: tuple[str, ...]) -> None:
    """A script could not tell its own mistake from an answer."""
    found = call(*arguments)
    assert (found.code, found.out) == (2, "")
    assert "Traceback" not in found.err


@pytest.mark.parametrize("name", ["backtest"])
def test_what_a_later_release_brings_says_so(name: str) -> None:
    """Somebody would take silence for success."""
    found = call(name)
    assert found.code == 1
    assert "not available yet" in found.err


def test_the_schema_is_printed() -> None:
    """Editors could not complete the configuration."""
    assert set(call("schema").json["$defs"]) == {"service", "daemon"}


def broken(tmp_path: Path) -> Path:
    """A configuration with three mistakes in two files."""
    directory = tmp_path / "config"
    (directory / "services").mkdir(parents=True)
    (directory / "notaus.yaml").write_text("listne: {port: 1}\ncloudflare: {token: t}\n")
    text = (
        (CONFIG / "services" / "pix-immo.yaml")
        .read_text()
        .replace("for: 5m", "for: 5")
        .replace("\nname: pix", "\nnmae: pix", 1)
    )
    (directory / "services" / "pix-immo.yaml").write_text(text)
    return directory


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_a_broken_configuration_is_2_with_every_mistake(command: str, tmp_path: Path) -> None:
    """A person would mend one mistake per start."""
    directory = broken(tmp_path)
    found = call(command, "--config", directory)
    assert found.code == 2
    assert "did you mean `listen`?" in found.err
    assert "Traceback" not in found.err
    if command != "status":  # it reads the daemon's file alone
        assert "did you mean `name`?" in found.err
        assert "rules[0].for" in found.err


def test_a_broken_configuration_is_told_to_machines_too(tmp_path: Path) -> None:
    """`--json` would leave a program with nothing to read."""
    found = call("check", "--json", "--config", broken(tmp_path))
    assert found.code == 2
    assert len(found.json["problems"]) >= 3


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """`--config` with a typing mistake would find no daemon, and no reason."""
    found = call("status", "--config", tmp_path / "nosuch")
    assert found.code == 2
    assert "there is no such directory" in found.err


def test_a_closed_pipe_ends_quietly() -> None:
    """`notaus schema | head -1` would end in a traceback."""
    command = f"{sys.executable} -m notaus schema | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=PROJECT, env=SURROUNDINGS, timeout=30, check=False
    )
    assert done.stdout.strip() == "{"
    assert done.stderr == ""


def test_an_unforeseen_mistake_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback tells the person on call nothing."""
    from notaus import config
    from notaus.cli import program

    monkeypatch.setattr(config, "schema", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["notaus", "schema", "--json"])
    with pytest.raises(SystemExit) as left:
        program.run()
    told = capsys.readouterr()
    assert left.value.code == 1
    assert "notaus made a mistake: ZeroDivisionError" in told.err
    assert "Traceback" not in told.err
    assert "problems" in json.loads(told.out)
