"""`notaus demo`: the whole story, told from what really happens, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from notaus.cli.demo.stage import CONFIG as EMBEDDED
from notaus.sandbox.workerd import find
from tests.cli.conftest import CONFIG, SURROUNDINGS, call, process, wait_until

PROJECT = Path(__file__).parents[2]


def test_the_configuration_in_the_package_is_the_projects() -> None:
    """The demo of an installed notaus would show something else than the project's own files."""
    for file in ("notaus.yaml", "services/pix-immo.yaml", "services/bookstrack.yaml"):
        assert (EMBEDDED / file).read_text() == (CONFIG / file).read_text(), file
    assert len(list((EMBEDDED / "services").iterdir())) == len(list((CONFIG / "services").iterdir()))


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == pid:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])


def test_both_incidents_are_handled_as_the_runbooks_say(tmp_path: Path) -> None:
    """The first thing anybody tries would fail."""
    found = call("demo", "--json", env={"NOTAUS_STORE": "/nosuch", "TMPDIR": str(tmp_path)}, seconds=400)
    events = [json.loads(line) for line in found.out.splitlines()]
    assert events[-1]["missing"] == []
    assert found.code == 0
    checks = [event["text"] for event in events if event["event"] == "check"]
    assert any("/api/qa answers with 1;tag=B2a;cohort=proxy;reason=emergency" in text for text in checks)
    assert any("/health answers with" in text and "v1.9.0" in text for text in checks)
    assert sum("PagerDuty" in text for text in checks) == 2
    assert [e["incident"]["phase"] for e in events if e["event"] == "incident"] == ["mitigated", "mitigated"]
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_every_process(tmp_path: Path) -> None:
    """Orphans would go on polling for ever."""
    _is_ended_by(signal.SIGINT, tmp_path)


def test_even_a_kill_leaves_no_process_behind(tmp_path: Path) -> None:
    """As above, where nobody is left to clean up."""
    _is_ended_by(signal.SIGKILL, tmp_path)


def _is_ended_by(number: signal.Signals, tmp_path: Path) -> None:
    with process("demo", "--json", env={"TMPDIR": str(tmp_path)}) as started:
        assert started.stdout is not None
        while json.loads(started.stdout.readline())["event"] != "daemon":
            pass
        children = children_of(started.pid)
        assert len(children) == 2
        time.sleep(0.5)
        started.send_signal(number)
        assert started.wait(90) != 0  # each process has ten seconds to end, more on a busy machine
        assert started.stderr is not None
        assert "Traceback" not in started.stderr.read()
        wait_until(lambda: not any(alive(child) for child in children), 25)


def test_a_kept_demo_is_found_with_the_configuration_it_runs_with(tmp_path: Path) -> None:
    """`notaus check` beside it would ask SQLite what only PostgreSQL understands, and say that nothing is ready."""
    with process("demo", "--keep", "--json", env={"TMPDIR": str(tmp_path)}) as started:
        assert started.stdout is not None
        while json.loads(started.stdout.readline())["event"] != "daemon":
            pass
        wait_until(lambda: any(tmp_path.glob("*/env")), 25)
        directory = next(tmp_path.iterdir())
        script = '. "$0/env" && exec "$1" -m notaus check --json'
        command = ["sh", "-c", script, str(directory), sys.executable]
        done = subprocess.run(command, env=SURROUNDINGS, capture_output=True, text=True, timeout=120, check=False)
        asked = {found["what"]: found["ready"] for found in json.loads(done.stdout)["findings"]}
        assert asked["pix-immo: signals.orphaned_intents"] == "yes"


def test_a_speed_that_no_machine_keeps_up_with_is_refused() -> None:
    """The story would fail for want of time, and look like a fault of notaus."""
    found = call("demo", "--speed", "1000")
    assert found.code == 2
    assert "must be from 1 to 60" in found.err


@pytest.mark.skipif(find(PROJECT) is None, reason="workerd is not installed")
def test_a_real_worker_takes_the_place_of_the_users() -> None:
    """`notaus demo --workerd` would show something else than what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "notaus", "demo", "--workerd", "--speed", "24", "--json"],
        cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, events[-1]["missing"]) == (0, []), done.stderr
    measured = next(event for event in events if event["event"] == "measured")
    assert 180 <= measured["seconds"] <= 720
