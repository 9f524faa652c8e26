"""The command lever of a rung, with real programs: once, without a shell, within its time, and nothing of ours in its sight."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notaus.core.effect import Invoke, LeverResult, Outcome
from notaus.core.ladder import CommandLever
from notaus.core.service import Service
from notaus.levers import command
from notaus.levers.command import CommandPuller, Ended
from notaus.log import redact
from tests.builders import a_service

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the:pytest.PytestDeprecationWarning")

SERVICE: Service = a_service()
ACTION = Invoke("maintenance", "pix-1-2", "native.error_rate 4 %; $(reboot)", 0, "pix-1")


def on_a_real_loop(work: Coroutine[Any, Any, LeverResult]) -> LeverResult:
    """Programs take real time; the loop of this directory's other tests has none."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


def pull(lever: CommandLever, **changes: Any) -> LeverResult:
    return on_a_real_loop(CommandPuller().pull(SERVICE, replace(ACTION, **changes), lever))


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; the kernel may take a moment to bury it."""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
    return False


def a_page(folder: Path) -> CommandLever:
    """A maintenance page that is a file."""
    page = folder / "page"
    return CommandLever(
        ("/usr/bin/touch", str(page)), check=("/usr/bin/test", "-e", str(page)), undo=("/bin/rm", str(page))
    )


def test_a_program_that_ends_well_is_done_and_taken_back_by_its_own(tmp_path: Path) -> None:
    """The page would not come up, or not go away."""
    lever = a_page(tmp_path)
    assert pull(lever).outcome is Outcome.DONE
    assert (tmp_path / "page").exists()
    assert pull(lever).outcome is Outcome.ALREADY
    assert pull(lever, undo=True).outcome is Outcome.DONE
    assert not (tmp_path / "page").exists()


def test_there_is_no_shell_and_nothing_of_ours_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule's values would be run as commands, or a team's script would print every token of the daemon."""
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "s3cr3t")
    result = pull(
        CommandLever((*python("import os, sys; print(sys.argv[1:], sorted(os.environ.items()))"), "$(id); *"))
    )
    (said,) = result.notes
    assert "['$(id); *']" in said
    assert "('NOTAUS_REASON', 'native.error_rate 4 %; $(reboot)')" in said
    assert "('NOTAUS_INCIDENT', 'pix-1'), ('NOTAUS_KEY', 'pix-1-2')" in said
    assert "CLOUDFLARE" not in said


def test_a_program_that_ends_badly_is_refused_with_the_end_of_what_it_said() -> None:
    """Nobody would know why the page is not there; or its output would fill the journal, secrets and all."""
    redact("hidden-value-1")
    result = pull(CommandLever(python("print('x' * 100_000); print('no, hidden-value-1'); raise SystemExit(3)")))
    assert result.outcome is Outcome.REFUSED
    assert "it ended with 3" in result.detail
    (said,) = result.notes
    assert len(said) < 2_100
    assert "no, " in said
    assert "hidden-value-1" not in said


def test_a_program_that_is_not_there_is_refused() -> None:
    """A wrong path would stop the service's decisions."""
    result = pull(CommandLever(("/nowhere/at-all",), check=("/nowhere/either",)))
    assert result.outcome is Outcome.REFUSED
    assert "/nowhere/at-all cannot be run" in result.detail


def test_after_its_time_a_program_is_ended_with_all_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left behind would switch the page on when nobody wants it any more."""
    child = "import os, signal, time; signal.signal(15, signal.SIG_IGN); open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import os, subprocess, sys; os.chdir({str(tmp_path)!r}); subprocess.run([sys.executable, '-c', {child!r}])"
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.2)
    result = pull(CommandLever(python(code), timeout=1))
    assert result.outcome is Outcome.LOST
    assert "it was ended after 1 s; whether it is so cannot be found out" in result.detail
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_what_a_program_leaves_running_does_not_hold_its_result_up() -> None:
    """A script that starts something in the background would count as hanging: lost, after it had done its work."""
    child = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('on')"
    )
    result = pull(CommandLever(python(child), timeout=30))
    assert (result.outcome, result.detail.rpartition("it ended with ")[2]) == (Outcome.DONE, "0")
    assert result.notes == ("output: on",)


def test_a_pull_that_is_dropped_ends_its_program(tmp_path: Path) -> None:
    """A later step would find an earlier one still at work."""
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    async def drop() -> LeverResult:
        task = asyncio.create_task(CommandPuller().pull(SERVICE, ACTION, CommandLever(python(code))))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return LeverResult(Outcome.UNKNOWN, "dropped")

    on_a_real_loop(drop())
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("check", "ended", "outcome"),
    [
        (0, Ended(None), Outcome.DONE),
        (1, Ended(None), Outcome.FAILED),
        (7, Ended(None), Outcome.LOST),
        (0, Ended(3), Outcome.DONE),
        (1, Ended(3), Outcome.REFUSED),
        (1, Ended(0), Outcome.REFUSED),
        (7, Ended(0), Outcome.DONE),
        (None, Ended(0), Outcome.DONE),
        (None, Ended(3), Outcome.REFUSED),
    ],
)
def test_what_a_check_says_settles_how_it_ended(check: int | None, ended: Ended, outcome: Outcome) -> None:
    """A page that is up would count as refused, one that is not as done."""
    ran: list[str] = []

    async def play(argv: Any, environment: Any, seconds: float) -> Ended:
        ran.append(argv[0])
        if argv[0] == "check":
            return Ended(1 if ran == ["check"] else check)
        return ended

    lever = CommandLever(("do",), check=() if check is None else ("check",))
    result = on_a_real_loop(CommandPuller(play).pull(SERVICE, ACTION, lever))
    assert (result.outcome, ran.count("do")) == (outcome, 1)


@pytest.mark.parametrize(
    ("check", "outcome"), [(0, Outcome.DONE), (1, Outcome.FAILED), (7, Outcome.LOST), (None, Outcome.LOST)]
)
def test_after_a_crash_only_the_check_is_run(check: int | None, outcome: Outcome) -> None:
    """What was cut off would be run a second time, blindly."""
    ran: list[str] = []

    async def play(argv: Any, environment: Any, seconds: float) -> Ended:
        ran.append(argv[0])
        return Ended(check)

    lever = CommandLever(("do",), check=() if check is None else ("check",))
    result = on_a_real_loop(CommandPuller(play).pull(SERVICE, replace(ACTION, look_only=True), lever))
    assert (result.outcome, "do" in ran) == (outcome, False)
