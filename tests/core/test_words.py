"""The runbooks' words: what a page is called, its facts in their order, and what outsiders may read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from notaus.core import words
from notaus.core.effect import Outcome
from notaus.core.incident import Incident, Phase, Ramp
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.page import Remedy, Stage, Symptom
from notaus.core.rule import Severity
from notaus.core.turn import Turn
from tests.builders import (
    T0,
    Situation,
    a_rollback_service,
    a_service,
    a_situation,
    a_state,
    a_step,
    a_turn,
    a_version,
    an_incident,
)

BAD = {"native.error_rate": 0.05}
BROKEN = {"edge.error_rate": 0.12}


def a_kv_turn(phase: Phase = Phase.WATCHING, **incident: Any) -> Turn:
    service = a_service(title="B2a")
    return a_turn(service, replace(a_state(service), incident=an_incident(phase, **incident)))


def a_rollback_turn(phase: Phase = Phase.WATCHING, **incident: Any) -> Turn:
    service = a_rollback_service()
    given = {"step": a_step("rolled_back", version="id-of-v1", label="v1"), **incident}
    return a_turn(service, replace(a_state(service), incident=an_incident(phase, **given)))


EMERGENCY, REDUCED = a_step("emergency"), a_step("reduced")


@pytest.mark.parametrize(
    ("turn", "called"),
    [
        (a_kv_turn(), None),
        (a_kv_turn(Phase.AWAITING_APPROVAL, step=EMERGENCY), None),
        (a_kv_turn(Phase.ACTING, step=EMERGENCY), "B2a Incident - Emergency Rollback In Progress"),
        (a_kv_turn(Phase.VALIDATING, step=EMERGENCY), "B2a Incident - Emergency Rollback Executed"),
        (a_kv_turn(Phase.VALIDATING, step=REDUCED), "B2a Incident - Rollback to reduced Executed"),
        (a_kv_turn(Phase.UNRESOLVED, step=EMERGENCY), "B2a Incident - Emergency Rollback Did Not Help"),
        (
            a_kv_turn(Phase.WATCHING, step=replace(REDUCED, outcome=Outcome.REFUSED)),
            "B2a Incident - Rollback to reduced Not Done",
        ),
        (a_kv_turn(Phase.RAMPING, step=REDUCED, ramp=Ramp("alice", 0)), "B2a - Return to Normal Operation"),
        (a_kv_turn(Phase.CLOSED, step=EMERGENCY), "B2a Incident - Closed"),
        (a_rollback_turn(Phase.ACTING), "ROLLBACK IN PROGRESS"),
        (a_rollback_turn(Phase.VALIDATING), "ROLLBACK IN PROGRESS"),
        (a_rollback_turn(Phase.MITIGATED), "ROLLBACK COMPLETE"),
        (a_rollback_turn(Phase.UNRESOLVED), "ROLLBACK DID NOT HELP"),
        (
            a_rollback_turn(Phase.VALIDATING, quiet=True, step=a_step("x", version="v", verified=True)),
            "ROLLBACK COMPLETE",
        ),
    ],
)
def test_a_page_is_called_what_the_runbook_calls_it(turn: Turn, called: str | None) -> None:
    """People look for the words that they have agreed on."""
    assert words.banner(turn) == called


@pytest.mark.parametrize(
    ("incident", "stage"),
    [
        (an_incident(), Stage.INVESTIGATING),
        (an_incident(Phase.ACTING, step=EMERGENCY), Stage.INVESTIGATING),
        (an_incident(Phase.VALIDATING, step=EMERGENCY), Stage.IDENTIFIED),
        (an_incident(Phase.VALIDATING, step=replace(EMERGENCY, verified=False)), Stage.IDENTIFIED),
        (an_incident(Phase.VALIDATING, step=replace(EMERGENCY, verified=True)), Stage.MONITORING),
        (an_incident(Phase.UNRESOLVED, step=EMERGENCY), Stage.INVESTIGATING),
        (an_incident(Phase.HELD, step=EMERGENCY), Stage.INVESTIGATING),
        (an_incident(Phase.MITIGATED, step=EMERGENCY), Stage.RESOLVED),
        (an_incident(Phase.RAMPING, step=EMERGENCY), Stage.RESOLVED),
    ],
)
def test_each_phase_has_its_stage_on_the_status_page(incident: Incident, stage: Stage) -> None:
    """The public would read that all is well while nothing helped, or the reverse."""
    assert words.stage(incident) is stage


@pytest.mark.parametrize("phase", list(Phase))
def test_each_phase_says_where_things_stand_and_what_comes_next(phase: Phase) -> None:
    """The reader of a page would have to know the program to know what to do."""
    for turn in (a_kv_turn(phase, step=EMERGENCY), a_rollback_turn(phase), a_kv_turn(phase)):
        facts = words.arranged(turn)
        assert facts["status"] == words.STATUS[phase]
        assert facts["next"]


def test_facts_come_in_the_runbooks_order_and_ours_between() -> None:
    """What happened would be found below what to type."""
    turn = a_kv_turn(facts={"by hand": "npx", "said": "x", "action": "done", "status": "of before"})
    names = list(words.arranged(turn))
    assert names == ["status", "time", "action", "next", "said", "by hand"]


def test_the_links_of_the_service_are_on_its_page() -> None:
    """The dashboard would have to be searched for at 3 a.m."""
    service = a_service(links={"dashboard": "https://dash.example"})
    turn = a_turn(service, replace(a_state(service), incident=an_incident()))
    assert words.arranged(turn)["dashboard"] == "https://dash.example"


def test_the_deployment_is_the_bad_one_until_the_rollback_has_helped() -> None:
    """The template's line means the deployment to blame, and later what serves."""
    turn = a_rollback_turn(Phase.VALIDATING)
    assert words.arranged(turn)["deployment"] == "v1"
    turn.update(step=a_step("rolled_back", version="id-of-v1", label="v1", away_from="id-of-v2"))
    assert words.arranged(turn)["deployment"] == "id-of-v2"
    turn.change(registry=replace(turn.state.registry, names={"id-of-v2": a_version("v2")}))
    assert words.arranged(turn)["deployment"] == "v2 (id-of-v2)"
    turn.update(phase=Phase.MITIGATED)
    assert words.arranged(turn)["deployment"] == "rolled back to v1"


def test_the_time_until_the_verdict_is_told_in_whole_minutes() -> None:
    """The template's ETA; a verdict that is due is one minute away, never none."""
    turn = a_kv_turn(Phase.VALIDATING, step=a_step("emergency", "errors high", "gone"))
    assert words.arranged(turn)["ETA"] == "6 minutes (verdict at 14:06 UTC)"
    turn.now = T0 + 3600
    assert words.arranged(turn)["ETA"].startswith("1 minute (")
    turn.update(step=a_step("emergency", by="alice"))
    assert "ETA" not in words.arranged(turn)


def test_what_it_cost_is_counted_from_the_hold_until_it_is_mitigated() -> None:
    """The template's impact: users cannot be counted, their failed requests can."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    first = situation.said[-1].facts["impact"]
    minutes = (situation.at - situation.incident.impact.since) // 60 if situation.incident.impact else 0
    # 5 % of 1,000 native and 0.3 % of 9,000 proxy requests a minute
    assert first.startswith(f"{minutes * 77:,} failed requests (0.77 % of the traffic) since ")
    situation.until(Phase.MITIGATED, {"native.error_rate": None, "native.share": 0})
    cost = situation.said[-1].facts["impact"]
    situation.run(600)
    situation.run(15, {"proxy.error_rate": 0.5})
    assert situation.incident.impact is not None
    assert (
        words.cost_of(Turn(situation.service, situation.state, situation.history, 0, 0), situation.incident.impact)
        == cost
    )


def test_a_rollback_that_helped_tells_error_rate_and_response_time() -> None:
    """The two figures of the runbook's message."""
    situation = a_situation(live="v2")
    situation.until(Phase.VALIDATING, BROKEN)
    assert "error rate" not in situation.said[-1].facts
    situation.until(Phase.MITIGATED)
    facts = situation.said[-1].facts
    assert facts["error rate"] == "back to normal (edge 0.3 %)"
    assert facts["response time"] == "edge P95 400 ms"


def test_without_data_neither_figure_nor_cost_is_made_up() -> None:
    """Nothing known is not nothing failed."""
    service = a_service()
    turn = a_turn(service, replace(a_state(service), incident=an_incident(Phase.MITIGATED, step=EMERGENCY)))
    assert not {"error rate", "response time", "impact"} & words.arranged(turn).keys()


def test_outsiders_read_what_they_notice_and_nothing_else() -> None:
    """The status page is read by everybody."""
    situation = a_situation(a_service(title="B2a"))
    situation.until(Phase.VALIDATING, BAD)
    told = situation.said[0].public
    assert (told.called, told.symptom, told.remedy, told.minutes) == ("B2a", Symptom.ERRORS, Remedy.DIVERTED, 6)
    assert (
        words.public(Turn(situation.service, situation.state, situation.history, 0, 0), ended=True).stage
        is Stage.RESOLVED
    )
    rolled = a_situation(live="v2")
    rolled.until(Phase.VALIDATING, BROKEN)
    assert (rolled.said[0].public.called, rolled.said[0].public.remedy) == ("", Remedy.ROLLED_BACK)


@pytest.mark.parametrize(
    ("rules", "symptom"),
    [
        (("errors",), Symptom.ERRORS),
        (("slower",), Symptom.SLOW),
        (("slower", "uploads failing"), Symptom.ERRORS),
        (("database errors",), Symptom.DISRUPTED),
        (("gone",), Symptom.DISRUPTED),
    ],
)
def test_the_symptom_follows_from_the_rules(rules: tuple[str, ...], symptom: Symptom) -> None:
    """Customers who see errors would read of slowness."""
    turn = a_kv_turn(rules=rules)
    assert words.public(turn, ended=False).symptom is symptom
    assert words.public(turn, ended=False).remedy is Remedy.NONE


def test_the_command_by_hand_is_on_every_page() -> None:
    """Every page carries the command that does the same by hand (spec 10), also one of which notaus did nothing."""
    for situation, values in ((a_situation(), BAD), (a_situation(live="v2"), BROKEN)):
        situation.until(Phase.VALIDATING, values)
        _command_on_each(situation)
    turn = a_kv_turn()
    from notaus.core.paging import tell

    tell(turn, "told", severity=Severity.CRITICAL)
    assert isinstance(turn.service.ladder.lever, KvLever)
    assert '"emergency_proxy":true' in turn.open_incident.facts["by hand"]


def _command_on_each(situation: Situation) -> None:
    deploys = isinstance(situation.service.ladder.lever, DeploymentLever)
    command = "npx wrangler rollback id-of-v1" if deploys else "npx wrangler kv key put config"
    assert situation.said
    assert all(message.facts["by hand"].startswith(command) for message in situation.said)
