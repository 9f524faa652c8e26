"""Blindness that calls for a step (`on_blind`): once a stretch, within the limits, by approval where a person is to decide."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from notaus.core.deployment import Average
from notaus.core.effect import Outcome
from notaus.core.event import Answer, Close, Hold, Started
from notaus.core.incident import Phase
from notaus.core.rule import NoData, Rule, Severity
from notaus.core.sample import Sample
from notaus.core.service import Requirement
from notaus.core.state import State
from tests.builders import KV_RULES, STEP, T0, Situation, a_rate, a_rollback_service, a_rule, a_service, a_situation

BAD = {"native.error_rate": 0.05}
FAILING = {"r2.failures": 9}
UNSEEN = frozenset({"native.error_rate"})
LONG = 420
"""Seconds after which a rule is blind and has acted."""


def on_blind(name: str = "errors high", **given: object) -> Rule:
    return a_rule("native.error_rate > 3%", 180, "emergency", name=name, on_blind="disabled", **given)


def unseen(*rules: Rule, **given: object) -> Situation:
    """A service none of whose samples of the canary's errors come."""
    situation = a_situation(a_service(rules=rules or (on_blind(),), **given))
    situation.pending = UNSEEN
    return situation


def test_on_blind_steps_once_per_stretch_of_blindness() -> None:
    """The only step that missing data may cause, and not at every tick."""
    rule = a_rule("native.error_rate > 3%", 180, "emergency", name="errors high", on_blind="disabled")
    situation = a_situation(a_service(rules=(rule,)), levers=None)
    situation.pending = frozenset({"native.error_rate"})
    situation.run(420)
    assert situation.rungs == ["disabled"]
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    situation.run(120)
    assert situation.rungs == ["disabled"]
    situation.pending = frozenset()
    situation.run(60)
    situation.pending = frozenset({"native.error_rate"})
    situation.run(420)
    assert situation.rungs == ["disabled", "disabled"]


@pytest.mark.parametrize("late", [False, True])
def test_blindness_that_has_acted_acts_no_more_when_its_incident_is_closed(late: bool) -> None:
    """Somebody puts the service back by hand, closes the incident, and is overruled within the minute: by the same rule, by
    another one, or because the samples come after all, ten minutes late."""
    rules = (
        a_rule("native.error_rate > 3%", 180, "emergency", name="errors high", on_blind="disabled"),
        a_rule("native.error_rate > 1.5%", 300, "reduced", name="errors", on_blind="disabled", blind_after=900),
        a_rule("proxy.error_rate > 3%", 180, "reduced", name="others"),
    )
    situation = a_situation(a_service(rules=rules))
    situation.pending = frozenset({"native.error_rate"})
    situation.run(420)
    assert situation.rungs == ["disabled"]
    situation.run(120)
    situation.take(Close(situation.at, "ann", situation.incident.id, "mine"))
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    for _ in range(40):
        poll = situation.poll({})
        situation.at += STEP
        old = (
            tuple(a_rate(at, 0.003, 1000) for at in range(situation.at - 660, situation.at - 600, STEP)) if late else ()
        )
        situation.take(replace(poll, now=situation.at, tick=situation.at, readings={"native.error_rate": old}))
    assert situation.rungs == ["disabled"]


def test_a_rule_that_needs_approval_asks_before_it_acts_blind() -> None:
    """`approval: required` would be no protection exactly where least is known."""
    situation = unseen(on_blind(approval=True))
    situation.run(LONG)
    assert situation.rungs == []
    request = situation.state.request
    assert request is not None
    assert (request.rung, request.rules, request.blind) == ("disabled", ("errors high",), ("errors high",))
    assert request.reason == "errors high is blind; this rule needs approval"
    situation.run(300)
    assert situation.state.request is not None, "it is asked once, and stays open"
    assert [m.title for m in situation.said if "approval wanted" in m.title] == [
        "pix: approval wanted: the step to disabled"
    ]
    situation.take(Answer(situation.at, "ann", True, request.id))
    assert situation.rungs == ["disabled"]
    situation.run(600)
    assert situation.rungs == ["disabled"]


def test_an_approval_that_comes_when_the_rule_sees_again_does_nothing() -> None:
    """What was approved was a step in the dark."""
    situation = unseen(on_blind(approval=True, resolve_for=3000))
    situation.run(LONG)
    request = situation.state.request
    assert request is not None
    situation.pending = frozenset()
    situation.run(30)
    situation.take(Answer(situation.at, "ann", True, request.id))
    assert situation.rungs == []
    assert situation.last is not None
    assert situation.last.reply is not None
    assert situation.last.reply.text == "not done: the condition is not true any more"


def test_a_question_about_blindness_is_withdrawn_once_the_condition_is_known_to_be_false() -> None:
    """Before that, too, the newest sample says so: it is from before."""
    situation = unseen(on_blind(approval=True))
    situation.run(900)
    assert situation.state.request is not None
    situation.pending = frozenset()
    situation.run(30)
    assert situation.state.request is None
    assert "pix: the request pix-2 is withdrawn" in [message.title for message in situation.said]


def test_no_to_a_step_in_the_dark_is_no_answer_about_the_condition() -> None:
    """The breach that the blindness hid would find its question answered already."""
    situation = a_situation(a_service(rules=(on_blind(approval=True),)))
    situation.run(60, BAD)
    situation.pending = UNSEEN
    situation.run(LONG)
    situation.take(Answer(situation.at, "ann", False))
    situation.run(300)
    assert situation.state.request is None, "asked again within the same stretch"
    situation.pending = frozenset()
    situation.run(420, BAD)
    request = situation.state.request
    assert request is not None
    assert (request.rung, request.blind) == ("emergency", ())


def test_a_breach_behind_an_open_question_about_blindness_asks_for_itself() -> None:
    """`then` is no safer here: it joins the question, and its approval is about the condition from then on."""
    rule = replace(on_blind(approval=True), then="disabled")
    situation = unseen(rule)
    situation.run(LONG)
    assert situation.state.request is not None
    situation.pending = frozenset()
    situation.run(420, BAD)
    request = situation.state.request
    assert request is not None
    assert (request.rules, request.unheld) == (("errors high",), ())
    situation.take(Answer(situation.at, "ann", False))
    situation.run(300, BAD)
    assert situation.state.request is None, "denied: it asks again only when it has cleared"


def test_blindness_during_a_hold_of_every_step_is_told_and_asks_at_its_end() -> None:
    """Whoever holds everything is overruled at the hold's end, by what went on all the while."""
    situation = unseen()
    situation.take(Hold(situation.at, "bob", 1200, "migration", all=True))
    situation.run(900)
    assert situation.rungs == []
    told = [m for m in situation.said if "nothing was done" in m.title]
    assert [m.title for m in told] == ["pix: blind: errors high: nothing was done"]
    assert "a hold by bob is in force: migration" in told[0].lines
    situation.run(330)
    request = situation.state.request
    assert request is not None
    assert request.reason == "the hold by bob is over, and the breach still stands"
    assert situation.rungs == []
    situation.take(Answer(situation.at, "ann", True, request.id))
    assert situation.rungs == ["disabled"]


def test_blindness_that_ended_during_the_hold_asks_nothing_and_one_that_begins_after_it_acts() -> None:
    situation = unseen()
    situation.take(Hold(situation.at, "bob", 900, "migration", all=True))
    situation.run(600)
    situation.pending = frozenset()
    situation.run(360)
    assert (situation.state.request, situation.rungs) == (None, [])
    situation.pending = UNSEEN
    situation.run(LONG)
    assert situation.rungs == ["disabled"]


def test_a_hold_of_rollbacks_leaves_the_key_alone() -> None:
    """A KV rung stays allowed, for blindness like for a breach."""
    situation = unseen()
    situation.take(Hold(situation.at, "bob", 1200, "migration"))
    situation.run(LONG)
    assert situation.rungs == ["disabled"]


def test_blindness_waits_for_room_and_says_so_once() -> None:
    situation = unseen(max_actions=0)
    situation.run(900)
    assert situation.rungs == []
    told = [m for m in situation.said if "nothing was done" in m.title]
    assert [(m.title, m.severity) for m in told] == [("pix: blind: errors high: nothing was done", Severity.CRITICAL)]
    situation.service = replace(situation.service, max_actions=1)
    situation.tick()
    assert situation.rungs == ["disabled"]


def test_what_is_in_force_already_is_no_reason_to_step_back_to_it() -> None:
    """A person puts a service back that rested at a safe rung while a rule was blind: within a tick it is overruled."""
    situation = a_situation(a_service(rules=(on_blind(),)), rung="disabled")
    situation.pending = UNSEEN
    situation.run(600)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.run(600)
    assert situation.rungs == []


def test_a_breach_and_blindness_are_one_decision() -> None:
    """Two pages and two steps a tick apart, the second of them to the milder rung."""
    others = a_rule("proxy.error_rate > 3%", 300, "emergency", name="others")
    situation = unseen(on_blind(), others)
    situation.run(LONG, {"proxy.error_rate": 0.05})
    assert situation.rungs == ["emergency"]
    assert situation.incident.phase is Phase.VALIDATING


def test_what_is_only_under_way_is_not_what_blindness_wants() -> None:
    """A step that is refused in the end would leave the service where nobody sees anything."""
    others = a_rule("r2.failures > 5", 60, "emergency", name="others")
    situation = a_situation(a_service(rules=(on_blind(), others)), levers=None)
    situation.run(300, FAILING)
    situation.pending = UNSEEN
    situation.run(LONG, FAILING)
    assert situation.rungs == ["emergency"]
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    situation.tick(FAILING)
    assert situation.rungs == ["emergency", "disabled"]


def test_blind_rules_that_would_only_notify_do_not_stand_in_the_way_of_their_step() -> None:
    """`on_blind` of the whole service, an outage in which reads and writes fail: the service was stopped by a crash of ours."""
    rules = tuple(replace(rule, on_blind="disabled") for rule in KV_RULES)
    situation = a_situation(a_service(rules=rules), levers=Outcome.FAILED)
    situation.pending = frozenset(situation.service.signals)
    situation.run(600)
    assert situation.state.stopped is None
    assert set(situation.rungs) == {"disabled"}
    assert situation.state.incident is not None
    assert situation.state.incident.phase is Phase.ACTING


def test_several_blind_rules_are_told_in_one_page() -> None:
    situation = unseen(on_blind(), on_blind(name="errors"), max_actions=0)
    situation.run(900)
    told = [m.title for m in situation.said if "nothing was done" in m.title]
    assert told == ["pix: blind: errors high, errors: nothing was done"]


def test_a_question_about_a_condition_is_withdrawn_when_it_clears_however_late_the_samples_come() -> None:
    """With samples that come two minutes late every rule is blind in name; what they say counts all the same."""
    situation = a_situation(a_service(rules=(on_blind(approval=True),)))
    situation.run(240, BAD)
    assert situation.state.request is not None
    late: list[tuple[Sample, ...]] = []
    for _ in range(40):
        situation.at += STEP
        poll = situation.poll({})
        readings = dict(poll.readings)
        late.append(tuple(readings.pop("native.error_rate")))
        if len(late) > 8:
            readings["native.error_rate"] = late.pop(0)
        situation.take(replace(poll, readings=readings))
    assert situation.state.request is None
    assert "the condition has cleared" in [line for message in situation.said for line in message.lines]


@pytest.mark.parametrize("then", ["reduced", "emergency"])
def test_a_rule_that_stands_and_is_blind_calls_for_one_step_at_a_time(then: str) -> None:
    """`no_data: breach` and blindness come due at one tick: refused, the step was tried and paged at every tick."""
    rule = a_rule("r2.failures > 5", 300, then, name="unknown", on_blind="disabled", no_data=NoData.BREACH)
    situation = a_situation(a_service(rules=(rule,)), levers=Outcome.REFUSED)
    situation.run(2400)
    situation.run(480, {"r2.failures": None})
    assert situation.rungs == [then, "disabled"]
    assert situation.state.incident is not None
    assert situation.state.incident.rules == ("unknown",)


def test_an_approval_of_a_step_in_the_dark_is_not_measured_by_a_hold_from_before() -> None:
    """The bad minutes before the data stopped were no new deployment's: that is not what was asked about."""
    rule = a_rule("edge.error_rate > 10%", 120, "rolled_back", name="spike", on_blind="rolled_back")
    service = replace(a_rollback_service(rules=(rule,)), require=frozenset({Requirement.NEW_SINCE_DEPLOY}))
    situation = a_situation(service, live="v2")
    before = {"edge.error_rate": Average(Fraction(1, 5), Fraction(2000), Fraction(10000))}
    situation.state = replace(situation.state, before=before)
    situation.run(150, {"edge.error_rate": 0.2})
    assert (situation.rungs, situation.state.request) == ([], None), "pre-existing: told, and nothing done"
    situation.pending = frozenset({"edge.error_rate"})
    situation.run(LONG)
    assert situation.state.request is not None
    situation.take(Answer(situation.at, "ann", True))
    assert situation.rungs == ["v1"]


def test_a_no_about_the_condition_stands_though_the_rule_went_blind_before_it() -> None:
    """People have said no; half an hour of missing data would be taken for another question."""
    situation = a_situation(a_service(rules=(replace(on_blind(approval=True), then="disabled"),)))
    situation.run(2400)
    situation.run(240, BAD)
    situation.run(LONG, {"native.error_rate": None})
    request = situation.state.request
    assert request is not None
    assert (request.blind, request.unheld) == (("errors high",), ())
    situation.take(Answer(situation.at, "ann", False))
    situation.run(300, BAD)
    assert situation.state.request is None


def test_a_question_about_a_condition_can_be_answered_when_nobody_sees_it_any_more() -> None:
    """People would be asked to approve what cannot be approved, and the blindness would have had its question."""
    situation = a_situation(a_service(rules=(on_blind(approval=True),)))
    situation.run(LONG, BAD)
    situation.pending = UNSEEN
    situation.run(600)
    assert situation.rungs == []
    situation.take(Answer(situation.at, "ann", True))
    assert situation.rungs == ["emergency"]


def test_a_blind_rule_does_not_keep_another_ones_step_from_its_verdict() -> None:
    """A breach that was cured ended in a page that nobody can tell."""
    breach = a_rule("r2.failures > 5", 300, "reduced", name="failures")
    situation = unseen(replace(on_blind(), on_blind="reduced"), breach)
    situation.run(330, FAILING)
    assert situation.rungs == ["reduced"]
    situation.run(1200)
    assert situation.incident.phase is Phase.MITIGATED
    assert situation.rungs == ["reduced"], "what is in force is what the blind rule wants"


def test_an_incident_about_blindness_is_not_over_while_it_lasts() -> None:
    """'resolved: clear for 30m', and nobody had seen anything for an hour."""
    situation = unseen(max_actions=0)
    situation.run(3600)
    assert situation.state.incident is not None
    situation.pending = frozenset()
    situation.run(2100)
    assert situation.state.incident is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_a_step_that_came_to_nothing_was_no_step_for_the_other_blind_rules(outcome: Outcome) -> None:
    """The one that called for it sees again, or was refused; the other stays blind, and nothing is ever done."""
    rules = (
        on_blind(),
        a_rule("proxy.error_rate > 3%", 180, "emergency", name="b", on_blind="reduced", blind_after=600),
    )
    situation = unseen(*rules)
    situation.levers = outcome
    situation.pending = frozenset({"native.error_rate", "proxy.error_rate"})
    situation.run(330)
    assert set(situation.rungs) == {"disabled"}
    situation.pending = frozenset({"proxy.error_rate"})
    situation.run(120)
    situation.levers = Outcome.DONE
    situation.run(600)
    assert situation.rungs[-1] == "reduced"


@pytest.mark.parametrize("close", [False, True])
def test_whoever_undoes_a_step_in_the_dark_is_not_overruled_in_the_same_stretch(close: bool) -> None:
    """An override makes every rule count anew: for as long as its samples take to settle, none of it was blindness."""
    situation = a_situation(a_service(60, rules=(on_blind(),)))
    situation.pending = UNSEEN
    situation.run(600)
    assert situation.rungs == ["disabled"]
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.run(60)
    if close:
        situation.take(Close(situation.at, "ann", situation.incident.id, "mine"))
    situation.run(3600)
    assert situation.rungs == ["disabled"]
    assert not situation.heard("over: blind: reads fail")


def test_the_time_in_which_no_daemon_ran_is_no_blindness() -> None:
    """A host that boots before its network is up would shut a healthy service off at its first tick."""
    situation = a_situation(a_service(rules=(on_blind(),)))
    situation.run(600)
    situation.at += 3600
    situation.take(Started(situation.at, "config-1"))
    situation.pending = UNSEEN
    situation.run(240)
    assert situation.rungs == []
    situation.run(120)
    assert situation.rungs == ["disabled"]


def test_a_rollback_in_the_dark_keeps_to_the_limits_of_its_rule() -> None:
    """`within` of its deployment; and whether it is new since then a person has to say."""
    within = a_rule(
        "edge.error_rate > 10%", 120, "rolled_back", name="spike", on_blind="rolled_back", within_of_deploy=600
    )
    situation = a_situation(a_rollback_service(rules=(within,)), live="v2")
    situation.run(1200)
    situation.pending = frozenset({"edge.error_rate"})
    situation.run(LONG)
    assert situation.rungs == []
    asks = replace(within, within_of_deploy=None)
    service = replace(a_rollback_service(rules=(asks,)), require=frozenset({Requirement.NEW_SINCE_DEPLOY}))
    situation = a_situation(service, live="v2")
    situation.pending = frozenset({"edge.error_rate"})
    situation.run(LONG)
    assert situation.rungs == []
    assert situation.state.request is not None
    assert "whether it is new since the deployment is not known" in situation.state.request.reason


def test_the_verdict_of_a_step_in_the_dark_goes_no_further_by_what_has_not_held() -> None:
    """Two bad minutes of a rule that only notifies would take the next rung."""
    rule = a_rule("native.latency_p90 > 600", 600, "investigate", name="slow", on_blind="reduced")
    situation = a_situation(a_service(rules=(rule,)))
    situation.pending = frozenset({"native.latency_p90"})
    situation.run(LONG)
    assert situation.rungs == ["reduced"]
    situation.pending = frozenset()
    situation.run(900, {"native.latency_p90": 700})
    assert situation.rungs == ["reduced"]
    assert situation.heard("the action did not help: reduced")


@pytest.mark.parametrize("late", [False, True])
def test_a_fresh_daemon_that_can_read_nothing_is_blind(late: bool) -> None:
    """Its first tick was taken for the end of a pause as long as the epoch: no notice, no step, until a sample came."""
    service = a_service(rules=(on_blind(),))
    situation = Situation(
        service, State(service.name), key={"canary_tag": "B2a", **service.ladder.rung("normal").fields}
    )
    situation.at = T0 - 1800
    situation.take(Started(situation.at + (3 if late else 0), "config-1"))
    situation.pending = UNSEEN
    situation.run(LONG)
    assert situation.heard("blind: reads fail")
    assert situation.rungs == ["disabled"]


def test_one_missed_read_does_not_keep_an_incident_open() -> None:
    """A source that is now and then a step late would keep it open for ever."""
    situation = a_situation(a_service(rules=(on_blind(approval=True),)))
    situation.run(LONG, BAD)
    situation.take(Answer(situation.at, "ann", False))
    for _ in range(2):
        situation.run(1185)
        situation.pending = UNSEEN
        situation.tick()
        situation.pending = frozenset()
    assert situation.state.incident is None


def test_several_blind_rules_ring_as_loudly_as_the_worst_of_them() -> None:
    rules = (on_blind(name="mild", severity=Severity.WARNING), on_blind())
    situation = unseen(*rules)
    situation.take(Hold(situation.at, "bob", 3000, "migration", all=True))
    situation.run(900)
    told = [(m.severity, m.title) for m in situation.said if "nothing was done" in m.title]
    assert told == [(Severity.CRITICAL, "pix: blind: mild, errors high: nothing was done")]


def test_a_hold_that_is_complete_after_the_verdict_of_a_step_in_the_dark_takes_the_next_rung() -> None:
    """It was no reason at the verdict, for it had not held: afterwards it has, and nobody would do anything for an hour."""
    rule = a_rule("native.error_rate > 3%", 600, "reduced", name="errors", on_blind="reduced")
    situation = unseen(rule)
    situation.run(345)
    situation.pending = frozenset()
    situation.tick()
    situation.run(1800, BAD)
    assert situation.rungs == ["reduced", "disabled"]


@pytest.mark.parametrize("before", [240, 600])
def test_a_new_version_is_guarded_against_blindness_whatever_was_said_of_the_one_before(before: int) -> None:
    """What was told, or asked and withdrawn, was about the other one."""
    rule = a_rule("edge.error_rate > 10%", 120, "rolled_back", name="spike", on_blind="rolled_back")
    situation = a_situation(a_rollback_service(rules=(rule,)), live="v2")
    situation.pending = frozenset({"edge.error_rate"})
    situation.run(before)
    situation.deploy("v3")
    situation.run(LONG)
    assert situation.state.request is not None
    assert situation.state.request.deployment == situation.state.accepted


def test_a_hold_that_begins_before_the_blindness_still_takes_its_own_step_after_it() -> None:
    """A breach breaks the service first and then its metrics: the milder step in the dark would be all there is."""
    situation = a_situation(a_service(rules=(on_blind(),)))
    situation.run(90, BAD)
    situation.pending = UNSEEN
    situation.run(360, BAD)
    assert situation.rungs == ["disabled"]
    situation.pending = frozenset()
    situation.run(1200, BAD)
    assert situation.rungs == ["disabled", "emergency"]


def test_that_a_rung_takes_a_cohort_its_traffic_makes_no_second_stretch() -> None:
    """Traffic gone, a step to a rung without any, a person who puts it back: five minutes later it was taken again."""
    situation = a_situation(a_service(rules=(on_blind(),)))
    situation.run(2400)
    gone = {"native.error_rate": None}
    situation.run(600, gone)
    assert situation.rungs == ["disabled"]
    situation.take(Close(situation.at, "ann", situation.incident.id, "mine"))
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.run(1200, gone)
    assert situation.rungs == ["disabled"]


def test_two_blind_rules_ask_one_question() -> None:
    """A no to it is no answer about either condition."""
    situation = unseen(on_blind(approval=True), on_blind(name="errors", approval=True))
    situation.run(LONG)
    request = situation.state.request
    assert request is not None
    assert request.rules == request.blind == ("errors high", "errors")
    situation.take(Answer(situation.at, "ann", False))
    assert all(state.refused is None for state in situation.state.rules.values())


def test_a_verdict_in_the_dark_leaves_the_holds_of_other_rules_as_they_are() -> None:
    """A hold that began before the verdict takes no step and is shown, whatever caused the step (spec 18)."""
    errors = a_rule("native.error_rate > 3%", 1200, "reduced", name="errors", on_blind="reduced")
    situation = unseen(errors, a_rule("r2.failures > 5", 600, "reduced", name="failures"))
    situation.run(345)
    situation.pending = frozenset()
    situation.run(135, BAD)
    situation.run(660, {**BAD, **FAILING})
    assert situation.rungs == ["reduced"]
    assert situation.heard("failures holds since before the verdict: no step")
