"""A maintenance page beyond pix-immo's ladder, put up and taken down by a workflow: a rung with a lever of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from notaus.core.ladder import Rung, WorkflowLever
from notaus.core.service import Service
from notaus.sandbox.actions import Run
from tests.builders import a_rule, with_rungs

ON, OFF = {"mode": "on", "key": "$key", "why": "$reason"}, {"mode": "off", "key": "$key", "why": "$reason"}
LEVER = WorkflowLever("media/pix-api", "maintenance.yml", inputs=ON, undo=OFF, within=120)
RULE = "both fail"


def with_a_page(service: Service, hold: int) -> Service:
    """The service with one more rung, a rule that calls for it, and leave to go there when nothing less has helped."""
    rule = a_rule("proxy.error_rate > 15%", hold, "maintenance", name=RULE)
    ladder = with_rungs(service.ladder, Rung("maintenance", lever=LEVER), escalate_to="maintenance")
    return replace(service, ladder=ladder, rules=(*service.rules, rule))


def ended(run: Run) -> float:
    """When it came, or comes, to its conclusion."""
    return run.at + run.takes


def up(runs: Iterable[Run], at: float) -> bool:
    """Whether the page stands at `at`, by the last run that had succeeded by then."""
    done = [run for run in runs if run.conclusion == "success" and ended(run) <= at]
    return bool(done) and max(done, key=ended).inputs["mode"] == "on"
