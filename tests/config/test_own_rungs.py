"""Rungs with levers of their own, as a service file states them."""

from __future__ import annotations

from pathlib import Path

import pytest

from notaus.config import InvalidConfiguration, load
from notaus.core.ladder import CommandLever, Rung, WorkflowLever

from .texts import BOOKS, DAEMON, ENVIRON, PIX, changed, loaded, problems

WORKFLOW = "{repository: bookstrack/api, file: maintenance.yml}"
RUNGS = "rungs: {normal: current, rolled_back: last known stable}"


def with_rung(rung: str, name: str = "maintenance") -> str:
    return changed(BOOKS, (RUNGS, f"rungs: {{normal: current, rolled_back: last known stable, {name}: {rung}}}"))


def test_a_workflow_is_read_with_its_defaults() -> None:
    """A service file would not say what happens."""
    ladder = loaded(with_rung(f"{{workflow: {WORKFLOW}}}")).service.ladder
    assert ladder.rungs[2] == Rung("maintenance", lever=WorkflowLever("bookstrack/api", "maintenance.yml"))
    assert ladder.rungs[2].lever.within == 900  # type: ignore[union-attr]


def test_everything_that_can_be_said_of_a_workflow_is_read() -> None:
    """A flag would reach GitHub as `True`, or a revert would go without a question."""
    text = with_rung(
        "{approval: required, workflow: {repository: b/api, file: w.yaml, ref: live, within: 5m, deploys: true,"
        ' inputs: {mode: "on", force: true, n: 5, reason: "$reason ($key)"}, undo: {mode: "off"}}}'
    )
    lever = WorkflowLever(
        "b/api",
        "w.yaml",
        "live",
        {"mode": "on", "force": "true", "n": "5", "reason": "$reason ($key)"},
        {"mode": "off"},
        300,
        True,
    )
    assert loaded(text).service.ladder.rungs[2] == Rung("maintenance", lever=lever, approval=True)


@pytest.mark.parametrize(
    ("rung", "wrong"),
    [
        ("{workflow: {file: maintenance.yml}}", "`repository` is missing"),
        ("{workflow: {repository: api, file: maintenance.yml}}", "is not a repository"),
        ("{workflow: {repository: b/api, file: .github/workflows/m.yml}}", "is not a workflow's file"),
        ("{workflow: {repository: b/api, file: m.yml, input: {}}}", "unknown key `input`"),
        ("{workflow: {repository: b/api, file: m.yml, inputs: {why: $resaon}}}", "`$resaon` stands for nothing here"),
        ("{workflow: {repository: b/api, file: m.yml, undo: {why: $resaon}}}", "`$resaon` stands for nothing here"),
        (f"{{workflow: {WORKFLOW}, approval: maybe}}", "`maybe` is unknown here"),
        ("{workflow: [maintenance.yml]}", "is a list"),
    ],
)
def test_what_cannot_work_is_told_at_load(rung: str, wrong: str) -> None:
    """It would be told in the night in which it is needed."""
    assert wrong in " ".join(problem.wrong for problem in problems(with_rung(rung)))


def test_it_stands_behind_the_ladders_own() -> None:
    """What the ladder's lever holds would count as safer than the maintenance page."""
    text = changed(
        BOOKS, (RUNGS, f"rungs: {{normal: current, page: {{workflow: {WORKFLOW}}}, back: last known stable}}")
    )
    assert "a rung with a lever of its own stands before one of the ladder's" in [p.wrong for p in problems(text)]


def test_a_key_still_needs_two_rungs_of_its_own_and_may_have_a_field_called_workflow() -> None:
    """A ladder would have nothing for its key to move between; or a team's field would be taken for a lever."""
    emergency = "    emergency: {canary_percent: 0,  emergency_proxy: true}\n"
    beyond = f"{emergency}    maintenance: {{workflow: {WORKFLOW}}}\n"
    service = loaded(changed(PIX, (emergency, beyond))).service
    assert (service.ladder.safest.name, service.ladder.ranked_fields) == (
        "emergency",
        ("emergency_proxy", "canary_percent"),
    )
    fields = PIX.replace("emergency_proxy: false}", "emergency_proxy: false, workflow: a}")
    fields = fields.replace("emergency_proxy: true}", "emergency_proxy: true, workflow: b}")
    assert all(rung.lever is None for rung in loaded(fields).service.ladder.rungs)


def test_no_ramp_leads_over_it() -> None:
    """A way back would write a key for a rung that has none."""
    emergency = "    emergency: {canary_percent: 0,  emergency_proxy: true}\n"
    text = changed(
        PIX,
        (emergency, f"{emergency}    maintenance: {{workflow: {WORKFLOW}}}\n"),
        ("ramp: [", "ramp: [{rung: maintenance, for: 1h}, "),
    )
    assert any("which no ramp pulls" in problem.wrong for problem in problems(text))


def test_a_workflow_needs_a_token_for_github(directory: Path) -> None:
    """The refusal would come with the first incident."""
    (directory / "services/bookstrack.yaml").write_text(with_rung(f"{{workflow: {WORKFLOW}}}"))
    with pytest.raises(InvalidConfiguration) as found:
        load(directory, ENVIRON)
    assert "a rung starts a workflow, and no token for GitHub is given" in str(found.value)
    (directory / "notaus.yaml").write_text(f"{DAEMON}\ngithub: {{token: t-1, url: https://github.example/api/v3/}}\n")
    github = load(directory, ENVIRON).settings.github
    assert github is not None
    assert (github.token.get_secret_value(), github.url) == ("t-1", "https://github.example/api/v3")
    assert "t-1" not in repr(github)


def test_a_command_is_read_with_all_that_can_be_said_of_it() -> None:
    """A service file would not say what is run."""
    bare = loaded(with_rung("{command: [/bin/page, on]}")).service.ladder.rungs[2]
    assert bare == Rung("maintenance", lever=CommandLever(("/bin/page", "on"), 60))
    text = with_rung(
        "{command: [/bin/p], check: [/bin/p, is-on], undo: [/bin/p, off], timeout: 5s, approval: required}"
    )
    lever = CommandLever(("/bin/p",), 5, ("/bin/p", "is-on"), ("/bin/p", "off"))
    assert loaded(text).service.ladder.rungs[2] == Rung("maintenance", lever=lever, approval=True)


@pytest.mark.parametrize(
    ("rung", "wrong"),
    [
        ("{command: []}", "is empty"),
        ("{command: [/bin/page, 5]}", "is the number 5"),
        ("{command: [/bin/page], timeout: 5}", "5 has no unit"),
        ("{command: [/bin/page], inputs: {}}", "unknown key `inputs`"),
        (f"{{command: [/bin/page], workflow: {WORKFLOW}}}", "has both `command` and `workflow`"),
    ],
)
def test_a_command_that_cannot_be_run_is_told_at_load(rung: str, wrong: str) -> None:
    """It would be told in the night in which it is needed."""
    assert wrong in " ".join(problem.wrong for problem in problems(with_rung(rung)))
