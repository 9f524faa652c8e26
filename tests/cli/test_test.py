"""`notaus test`: a line per scenario, and an exit code that a build can rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CONFIG, PROJECT, call

GIVEN = PROJECT / "tests" / "scenarios"
HOLDS = GIVEN / "152-stop-by-hand.yaml"
DIFFERS = """\
name: nothing comes of nothing
service: pix-immo
series:
  native.error_rate: 5%x20
expect:
  - {never: {kv: {emergency_proxy: true}}, after: "0:00"}
"""


@pytest.fixture
def differing(tmp_path: Path) -> Path:
    path = tmp_path / "differs.yaml"
    path.write_text(DIFFERS)
    return path


@pytest.fixture
def mistaken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text(DIFFERS.replace("service: pix-immo", "servcie: pix-immo").replace('"0:00"', '"0.00"'))
    return path


def test_a_scenario_that_holds_is_ok() -> None:
    """The users' own unit tests would tell them nothing."""
    found = call("test", "--config", CONFIG, HOLDS)
    assert (found.code, found.out) == (0, "ok stop goes to the safest rung at once\n")


def test_the_origins_of_the_surroundings_are_no_part_of_a_scenario() -> None:
    """In a shell that speaks to a demo or to staging, each step of each scenario would be unverified."""
    origins = json.dumps({"api.pix.immo": "http://127.0.0.1:9", "api.oooefam.net": "http://127.0.0.1:9"})
    verified = GIVEN / "137-killed-while-verifying.yaml"
    found = call("test", "--config", CONFIG, verified, env={"NOTAUS_ORIGINS": origins})
    assert found.code == 0, found.out


def test_a_scenario_that_differs_fails_with_the_first_difference(differing: Path) -> None:
    """A failing test that does not say where is no help."""
    found = call("test", "--config", CONFIG, HOLDS, differing, "-j", "2")
    assert found.code == 1
    assert "FAIL nothing comes of nothing\n" in found.out
    assert f"{differing}:6" in found.out
    assert "native.error_rate"[-10:] in found.out


def test_a_broken_scenario_is_2_and_the_others_still_run(differing: Path, mistaken: Path) -> None:
    """One typing mistake would hide every other result."""
    found = call("test", "--config", CONFIG, mistaken, HOLDS, differing)
    assert found.code == 2
    assert [line.split()[0] for line in found.out.splitlines() if not line.startswith(" ")] == ["FAIL", "ok", "FAIL"]
    assert "unknown key `servcie`" in found.err
    assert "is no time" in found.err
    assert "Traceback" not in found.err


def test_results_come_as_json_in_the_order_of_the_files(differing: Path, mistaken: Path) -> None:
    """A build could not show which scenario failed."""
    found = call("test", "--json", "--config", CONFIG, differing, mistaken, HOLDS, "-j", "2")
    assert found.code == 2
    assert [(Path(r["file"]).name, r["ok"]) for r in found.json] == [
        ("differs.yaml", False),
        ("broken.yaml", False),
        (HOLDS.name, True),
    ]
    assert "expected: " in found.json[0]["difference"]
    assert found.json[2]["difference"] is None


def test_a_directory_means_its_scenarios(differing: Path) -> None:
    """A new file in a directory of scenarios would never run."""
    found = call("test", "--json", "--config", CONFIG, differing.parent, "-j", "1")
    assert [r["name"] for r in found.json] == ["nothing comes of nothing"]
    assert found.code == 1
    empty = differing.parent / "empty"
    empty.mkdir()
    assert call("test", "--config", CONFIG, empty).code == 2


def test_no_such_file_and_a_broken_configuration_are_2(tmp_path: Path) -> None:
    """A misspelt path in a build would pass as tested."""
    assert "cannot be read" in call("test", "--config", CONFIG, tmp_path / "nosuch.yaml").err
    assert call("test", "--config", CONFIG, tmp_path / "nosuch.yaml").code == 2
    assert call("test", "--config", tmp_path, HOLDS).code == 2


def test_a_crash_inside_a_scenario_is_a_fail_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours in one scenario would end the run of all."""
    from notaus.backtest import runner
    from notaus.cli.test import play

    def crash(scenario: object, configuration: object) -> object:
        raise RuntimeError("something broke")

    monkeypatch.setattr(runner, "play", crash)
    result = play(HOLDS, CONFIG)
    assert (result.code, result.lines) == (1, ("the run broke off: RuntimeError: something broke",))
