"""The decision: of all breaches of a tick, what is done; and what follows a verdict."""

from __future__ import annotations

import pytest

from notaus.core.deployment import Doubt
from notaus.core.effect import Outcome
from notaus.core.event import SetRung
from notaus.core.incident import Phase
from notaus.core.rule import Severity
from notaus.core.service import Mode
from notaus.core.turn import stands
from notaus.core.verification import Check, SignalCheck
from tests.builders import (
    KV_RULES,
    ROLLBACK_RULES,
    T0,
    a_breach,
    a_comparison,
    a_rollback_service,
    a_rule,
    a_service,
    a_situation,
    a_turn,
)

BAD = {"native.error_rate": 0.05}
MILD = {"native.error_rate": 0.02}


def test_of_several_breaches_the_safest_wins_and_one_incident_carries_them_all() -> None:
    """Two steps where one will do, or the lesser of two."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, {**BAD, "r2.failures": 9})
    assert situation.rungs == ["emergency"]
    assert situation.incident.rules == ("errors high", "uploads failing")
    (step,) = [entry for entry in situation.incident.timeline if entry.text.startswith("stepping to emergency: ")]
    assert step.rules == ("errors high", "uploads failing")  # the drill's review counts it for each
    situation.run(120, {**BAD, "r2.failures": 9})
    assert situation.incident.rules == ("errors high", "uploads failing", "errors")
    assert situation.rungs == ["emergency"]


def test_a_worse_breach_acts_at_once_while_the_first_step_is_validating() -> None:
    """Spec 5: any other breach acts at once, whatever the phase, if its `then` is safer."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.run(195, BAD)
    assert situation.rungs == ["reduced", "emergency"]
    assert situation.incident.severity is Severity.CRITICAL


def test_a_step_that_did_not_help_goes_one_rung_further_up_to_escalate_to() -> None:
    """With none left the page says so, with the numbers of both cohorts."""
    situation = a_situation()
    situation.run(360 * 4, MILD)
    assert situation.rungs == ["reduced", "disabled"]
    assert situation.phase is Phase.UNRESOLVED
    page = situation.told("the action did not help: disabled")
    assert page.severity is Severity.CRITICAL
    assert "native.error_rate 0.02" in page.facts["cohorts"]
    assert "proxy.error_rate 0.003" in page.facts["cohorts"]


def test_what_nobody_can_tell_takes_no_step() -> None:
    """Missing data neither escalates nor resolves."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.run(1200, {"native.error_rate": None})
    assert situation.rungs == ["reduced"]
    assert situation.phase is Phase.UNRESOLVED
    assert situation.heard("cannot tell whether reduced helped")


def test_whoever_cannot_tell_looks_again_for_one_more_validate() -> None:
    """Data that is a minute late ends the verdict, and people are called."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.run(420, {"native.error_rate": None})
    assert situation.phase is Phase.VALIDATING
    assert not situation.heard("cannot tell")
    situation.run(150)
    assert situation.phase is Phase.MITIGATED


def test_a_hold_is_acted_on_and_told_once() -> None:
    """The rule joins its own step, and people hear of it at every tick."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    titles = situation.titles
    situation.run(90, BAD)
    assert situation.titles == titles
    assert not situation.heard("errors high has joined")


def test_a_hold_that_began_before_the_verdict_takes_no_step_until_it_has_begun_anew() -> None:
    """Spec 18: shown on the page; it acts once it has broken and begun anew."""
    slower = {"native.latency_p90": 500}
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.run(240)
    situation.until(Phase.MITIGATED, slower)
    situation.run(300, slower)
    assert situation.rungs == ["reduced"]
    assert situation.heard("slower holds since before the verdict: no step")
    situation.run(15)
    situation.run(330, slower)
    assert situation.rungs == ["reduced", "disabled"]


def test_with_no_rung_left_each_new_hold_is_told_once() -> None:
    """Spec 18: each new hold raises the page to critical once."""
    situation = a_situation(rung="emergency")
    for _ in range(2):
        situation.run(240, BAD)
        situation.run(30)
    told = [m for m in situation.said if "no rung is left" in m.title]
    assert len(told) == 2
    assert {m.severity for m in told} == {Severity.CRITICAL}
    assert situation.pulled == []


def test_with_no_rung_left_for_notaus_people_get_the_command_of_the_stop() -> None:
    """At 3 a.m. they would have to look it up."""
    situation = a_situation(rung="disabled")
    situation.run(360, MILD)
    assert (situation.rungs, situation.heard("no rung is left")) == ([], True)
    told = next(page for page in situation.said if "no rung is left" in page.title)
    assert '"emergency_proxy":true' in told.facts["by hand"]


def test_a_breach_without_evidence_sends_one_notice_and_acts_when_evidence_arrives() -> None:
    """Thin traffic must neither act nor be silent."""
    situation = a_situation(a_service(rules=(KV_RULES[1],), baselines={}))
    situation.run(300, {"native.error_rate": 0.035})
    assert situation.pulled == []
    assert situation.notices()[0].startswith("pix: errors high: not enough evidence")
    assert len(situation.notices()) == 1
    situation.run(300, {"native.error_rate": 0.2})
    assert situation.rungs == ["emergency"]
    assert situation.heard("over: errors high")


def test_thin_evidence_is_over_when_the_condition_has_cleared() -> None:
    """A notice that stays for ever is one nobody reads."""
    situation = a_situation(a_service(rules=(KV_RULES[1],), baselines={}))
    situation.run(240, {"native.error_rate": 0.035})
    situation.run(180)
    assert situation.notices()[-1].startswith("pix: over: errors high")


def test_what_would_only_ask_joins_the_step_of_what_may_act() -> None:
    """An approval request beside the very step that is being taken."""
    asking = a_rule("edge.error_rate > 5%", 120, "rolled_back", name="errors", approval=True)
    situation = a_situation(a_rollback_service(rules=(ROLLBACK_RULES[0], asking)), live="v2")
    situation.until(Phase.VALIDATING, {"edge.error_rate": 0.2})
    assert situation.state.request is None
    assert situation.incident.rules == ("error spike", "errors")


def test_beyond_the_limit_of_actions_people_are_told_and_it_acts_when_there_is_room() -> None:
    """`max_actions`: a loop of steps must end, and an emergency must not wait for it."""
    situation = a_situation(a_service(max_actions=1))
    situation.run(720, MILD)
    assert situation.rungs == ["reduced"]
    assert situation.heard("the limit of 1 actions in 1h is reached")
    situation.run(3300, MILD)
    assert situation.rungs == ["reduced", "disabled"]
    safest = a_situation(a_service(max_actions=0))
    safest.run(300, BAD)
    assert safest.rungs == ["emergency"]


def test_where_the_other_cohort_is_clearly_worse_a_person_is_asked() -> None:
    """Spec 17.10: never a step toward a cohort known to be worse."""
    situation = a_situation()
    situation.run(240, {"native.error_rate": 0.05, "proxy.error_rate": 0.2})
    assert situation.pulled == []
    assert situation.state.request is not None
    assert "is clearly worse than native" in situation.state.request.reason
    equal = a_situation()
    equal.run(240, {"native.error_rate": 0.05, "proxy.error_rate": 0.05})
    assert equal.rungs == ["emergency"]


def test_a_key_that_cannot_be_ranked_stops_every_step_and_pages() -> None:
    """Spec 5: a value that cannot be ranked: no action, page."""
    situation = a_situation()
    situation.key = {"canary_percent": "ten"}
    situation.run(240, BAD)
    assert situation.pulled == []
    assert situation.heard("the steering key cannot be ranked")
    assert situation.told("cannot be ranked, so nothing is written").severity is Severity.CRITICAL


@pytest.mark.parametrize(("percent", "rung"), [(8, "reduced"), (3, "disabled")])
def test_from_between_rungs_the_next_safer_is_taken(percent: int, rung: str) -> None:
    """Spec 5: from 8 % set by hand, `reduced` is 5 %; at 3 %, `then: reduced` takes `disabled`."""
    situation = a_situation()
    situation.key = {"canary_percent": percent, "emergency_proxy": False}
    situation.run(330, MILD)
    assert situation.rungs == [rung]


def test_a_new_breach_after_a_person_was_safer_takes_the_next_rung() -> None:
    """A hold at a rung notaus did not choose."""
    situation = a_situation()
    situation.take(SetRung(situation.at, "ann", "reduced"))
    situation.run(60)
    situation.until(Phase.MITIGATED)
    situation.run(330, MILD)
    assert situation.rungs == ["reduced", "disabled"]


def test_a_refused_step_leaves_room_for_a_worse_breach() -> None:
    """A refusal is the end of that hold's step, not of the service's protection."""
    situation = a_situation(levers=Outcome.REFUSED)
    situation.run(330, MILD)
    situation.levers = Outcome.DONE
    situation.run(240, BAD)
    assert situation.rungs == ["reduced", "emergency"]
    assert situation.at > T0


def test_a_breach_on_old_samples_does_not_act() -> None:
    """An emergency for something that was seen an hour ago (spec 3: no older than `settle` + 60 s)."""
    rule, breach = KV_RULES[1], a_breach()
    assert breach.newest is not None
    for age, recent in ((60, True), (61, False)):
        turn = a_turn(at=breach.newest + age)
        turn.holds = {rule.name: breach}
        assert stands(turn, rule) is recent


def test_a_milder_breach_at_a_safer_rung_moves_nothing_down() -> None:
    """Spec 17.2: the traffic that the emergency keeps away, let in again by a rule that calls for less."""
    situation = a_situation(rung="emergency")
    situation.run(400, {**MILD, "native.share": 0})
    assert (situation.rungs, situation.rung) == ([], "emergency")


def test_a_version_rolled_back_from_is_suspect_and_after_the_verdict_flagged() -> None:
    """The bad version would be the target of the next rollback."""
    situation = a_situation(live="v2")
    situation.until(Phase.VALIDATING, {"edge.error_rate": 0.3})
    assert situation.state.registry.of("id-of-v2").doubt is Doubt.SUSPECT
    situation.until(Phase.MITIGATED)
    assert situation.state.registry.of("id-of-v2").doubt is Doubt.FLAGGED


def test_a_known_stable_version_is_not_to_blame() -> None:
    """Hours after a deployment that has proven itself, somebody is asked to roll it back."""
    situation = a_situation(live="v2")
    situation.run(4000)
    assert situation.state.registry.stable("id-of-v2")
    situation.run(400, {"edge.error_rate": 0.07})
    assert situation.state.request is None
    assert situation.heard("is itself known-stable: no deployment is to blame")


def test_of_a_milder_and_a_worse_breach_the_worse_acts() -> None:
    """Spec 5: of several breaches of one tick the safest `then` wins."""
    milder = a_rule("native.error_rate > 1.5%", 180, "reduced", name="milder")
    worse = a_rule("native.error_rate > 3%", 180, "emergency", name="worse")
    situation = a_situation(a_service(rules=(milder, worse)))
    situation.run(240, BAD)
    assert situation.rungs == ["emergency"]


def test_observe_mode_pulls_no_lever_at_a_breach() -> None:
    """A team that only tries it out, and finds its canary switched off."""
    situation = a_situation(a_service(mode=Mode.OBSERVE))
    situation.run(240, BAD)
    assert situation.pulled == []


@pytest.mark.parametrize("advisory", [True, False])
def test_a_signal_check_that_fails_is_told_with_the_verdict_and_an_advisory_one_rings_nobody(advisory: bool) -> None:
    """People would be woken for a cold cache, or sleep on while something is still wrong."""
    check = Check(SignalCheck(a_comparison("edge.error_rate < 0.1%"), 300), "errors below 0.1 %", advisory=advisory)
    situation = a_situation(a_rollback_service(verify=(check,)), live="v2")
    situation.until(Phase.VALIDATING, {"edge.error_rate": 0.2})
    situation.until(Phase.MITIGATED)
    told = situation.told("helped: resolved")
    assert "FAILED: errors below 0.1 %: true at 0 of" in "\n".join(told.lines)
    assert told.loud is not advisory
