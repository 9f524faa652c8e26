"""Orders: what people ask for, each answered; approval, holds, overrides, restore."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notaus.core.deployment import Doubt
from notaus.core.effect import Deploy, Outcome, WriteKv
from notaus.core.event import (
    Answer,
    Cleared,
    Close,
    Deployed,
    Drilled,
    Hold,
    Judge,
    Release,
    RestoreOrder,
    RollBack,
    SetRung,
    Started,
    Trigger,
)
from notaus.core.foreign import LISTED
from notaus.core.incident import Phase
from notaus.core.orders import ONE_REPORT
from notaus.core.page import Message, Stage
from notaus.core.rule import Alert, Severity
from notaus.core.service import Mode, OverridePolicy
from notaus.core.state import Notice, State
from notaus.core.verification import RampStep, Restore, RestoreNeed
from tests.builders import (
    APPROVER,
    HIGHER,
    KV_RULES,
    READ_BACK,
    T0,
    Situation,
    a_comparison,
    a_deployment,
    a_kv_ladder,
    a_rollback_service,
    a_rule,
    a_service,
    a_situation,
    a_view,
)

BAD = {"native.error_rate": 0.05}
MILD = {"native.error_rate": 0.02}
SPIKE = {"edge.error_rate": 0.2}
ERRORS = {"edge.error_rate": 0.07}


def order(situation: Situation, event: object) -> tuple[bool, str]:
    reply = situation.take(event).reply  # type: ignore[arg-type]
    assert reply is not None
    return reply.accepted, reply.text


def asked() -> Situation:
    situation = a_situation(live="v2")
    situation.until(Phase.AWAITING_APPROVAL, ERRORS)
    return situation


# Approval


def test_a_rule_that_needs_approval_asks_and_does_nothing() -> None:
    """A rollback for a warning without anybody's word."""
    situation = asked()
    request = situation.state.request
    assert request is not None
    assert (request.rules, request.version, request.left) == (("errors",), "id-of-v1", 1800)
    assert situation.pulled == []
    page = situation.told("approval wanted: rolling back to v1")
    assert page.request == request.id
    assert situation.state.words == {"awaiting_approval"}


def test_an_approved_request_is_carried_out_once() -> None:
    """Two people answering at once give one action."""
    situation = asked()
    request = situation.state.request
    assert request is not None
    assert order(situation, Answer(situation.at, "ann", True, request.id)) == (True, "rolling back to v1 has begun")
    assert order(situation, Answer(situation.at, "bob", True, request.id)) == (
        False,
        f"the request {request.id} was approved already",
    )
    assert situation.rungs == ["v1"]
    assert any("bob answered" in entry.text for entry in situation.incident.timeline)
    assert order(a_situation(), Answer(0, "ann", True)) == (False, "no such request is open")


def test_reminders_come_after_5_and_15_minutes_and_expiry_after_30() -> None:
    """A request that nobody saw, or that can be answered tomorrow."""
    situation = asked()
    start = situation.at
    found: list[tuple[int, Message]] = []
    for _ in range(130):
        said = len(situation.said)
        situation.tick(ERRORS)
        found += [(situation.at - start, m) for m in situation.said[said:]]
    reminders = [at for at, m in found if "still waiting" in m.title]
    assert reminders == [300, 900]
    assert [(at, m.loud) for at, m in found if "expired" in m.title] == [(1800, True)]
    assert situation.pulled == []
    assert situation.phase is Phase.WATCHING
    assert HIGHER in situation.incident.contacts
    assert APPROVER in situation.incident.contacts


def test_what_was_asked_is_not_asked_again_while_its_hold_goes_on() -> None:
    """People asked the same at every tick."""
    situation = asked()
    titles = situation.titles
    situation.run(240, ERRORS)
    assert situation.titles == titles


def test_an_expired_request_is_asked_again_only_once_its_condition_has_cleared() -> None:
    """One healthy sample, and people who were asked in vain are asked the same again."""
    situation = asked()
    situation.run(1800, ERRORS)
    assert situation.heard("is expired")
    situation.tick()
    situation.run(330, ERRORS)
    assert situation.state.request is None
    situation.run(150)
    situation.run(330, ERRORS)
    assert situation.state.request is not None


def test_a_denied_request_is_not_asked_again_for_the_same_hold() -> None:
    """People said no."""
    situation = asked()
    assert order(situation, Answer(situation.at, "ann", False))[0]
    situation.run(600, ERRORS)
    assert situation.state.request is None
    assert [t for t in situation.titles if "approval wanted" in t] == ["books: approval wanted: rolling back to v1"]


def test_a_request_is_withdrawn_when_the_condition_clears_or_somebody_deploys() -> None:
    """A question that no longer arises."""
    situation = asked()
    situation.run(180)
    assert situation.state.request is None
    assert situation.heard("is withdrawn")
    other = asked()
    other.deploy("v3")
    other.tick(ERRORS)
    assert other.state.request is None
    assert other.pulled == []


def test_a_worse_rule_supersedes_the_request() -> None:
    """The rollback must not wait for an answer about a lesser matter."""
    rules = (
        a_rule("edge.error_rate > 5%", 60, "rolled_back", name="errors", approval=True),
        a_rule("health.failed >= 1", 60, "rolled_back", name="outage"),
    )
    situation = a_situation(a_rollback_service(rules=rules), live="v2")
    situation.until(Phase.AWAITING_APPROVAL, ERRORS)
    situation.run(90, {**ERRORS, "health.failed": 1})
    assert situation.heard("is superseded")
    assert situation.rungs == ["v1"]


def test_on_approve_everything_is_checked_again() -> None:
    """Approved at 3 a.m. what was true at 2."""
    situation = asked()
    situation.tick()
    assert order(situation, Answer(situation.at, "ann", True)) == (
        False,
        "not done: the condition is not true any more",
    )
    situation = asked()
    situation.take(Hold(situation.at, "bob", 600, "migration"))
    assert order(situation, Answer(situation.at, "ann", True)) == (
        False,
        "not done: a hold by bob is in force: migration",
    )
    situation = asked()
    situation.take(Judge(situation.at, "bob", "v1", True))
    assert "there is no known-stable version" in order(situation, Answer(situation.at, "ann", True))[1]
    assert situation.pulled == []


def test_an_approval_is_for_the_target_that_was_asked_about() -> None:
    """Approved: v1. Since then v1 was flagged, and v0 is the target: nobody said yes to that, nor to v1 now."""
    service = a_rollback_service()
    view = a_view(a_deployment(T0 - 90000, "v1"), a_deployment(T0 - 180000, "v0"))
    situation = Situation(service, State(service.name), view=view)
    situation.take(Started(situation.at, "config-1"))
    situation.run(900)
    situation.deploy("v2")
    situation.run(900)
    situation.until(Phase.AWAITING_APPROVAL, ERRORS)
    situation.take(Judge(situation.at, "bob", "v1", True))
    assert order(situation, Answer(situation.at, "ann", True)) == (False, "not done: the target is another one by now")
    assert situation.pulled == []


def test_a_hold_stops_the_clock_of_an_open_request() -> None:
    """Spec 18: it would expire while nobody may answer it."""
    situation = asked()
    situation.take(Hold(situation.at, "bob", 1200, "migration"))
    situation.run(1200, ERRORS)
    request = situation.state.request
    assert request is not None
    assert request.left > 1700


def test_further_rules_join_an_open_request_and_another_step_supersedes_it() -> None:
    """One open request per service and target."""
    rules = (
        a_rule("native.error_rate > 1.5%", 60, "reduced", name="a", approval=True, severity=Severity.WARNING),
        a_rule("r2.failures > 5", 60, "reduced", name="b", approval=True, severity=Severity.WARNING),
        a_rule("native.latency_p90 > 600", 60, "emergency", name="c", approval=True),
    )
    situation = a_situation(a_service(rules=rules))
    situation.run(90, MILD)
    situation.run(90, {**MILD, "r2.failures": 9})
    assert situation.state.request is not None
    assert situation.state.request.rules == ("a", "b")
    situation.run(90, {**MILD, "r2.failures": 9, "native.latency_p90": 700})
    assert situation.state.request.rung == "emergency"
    assert order(situation, Answer(situation.at, "ann", True)) == (True, "the step to emergency has begun")


# Holds and overrides


def test_a_hold_blocks_rollbacks_and_asks_at_its_end() -> None:
    """A rollback in the middle of a migration."""
    situation = a_situation(live="v2")
    assert order(situation, Hold(situation.at, "ann", 300, "migration 42")) == (
        True,
        "version rollbacks of books held for 5m",
    )
    situation.run(240, SPIKE)
    assert situation.state.words == {"watching", "held", "held_back"}
    assert situation.heard("a hold by ann is in force: migration 42")
    situation.run(75, SPIKE)
    assert situation.pulled == []
    assert situation.state.request is not None
    assert "the hold by ann is over" in situation.state.request.reason


def test_a_hold_lets_the_key_through_unless_it_is_for_all() -> None:
    """KV rungs stay allowed unless `--all`."""
    situation = a_situation()
    situation.take(Hold(situation.at, "ann", 3600, "m"))
    situation.run(240, BAD)
    assert situation.rungs == ["emergency"]
    assert order(situation, Hold(situation.at, "ann", 3600, "m", all=True))[1] == "every step of pix held for 1h"
    held = a_situation()
    held.take(Hold(held.at, "ann", 3600, "m", all=True))
    held.run(240, BAD)
    assert held.pulled == []
    assert order(held, Release(held.at, "bob")) == (True, "ended: the hold by ann (m); notaus acts again on pix")
    assert held.state.request is not None
    assert order(a_situation(), Release(0, "bob")) == (False, "pix is neither on hold, nor overridden, nor stopped")


@pytest.mark.parametrize(("everything", "pulls"), [(True, 1), (False, 2)])
def test_a_hold_stops_the_further_tries_of_a_step_that_did_not_get_through(everything: bool, pulls: int) -> None:
    """A person says stop, and notaus would go on pulling the lever for as long as the breach stands."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, BAD)
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.take(Hold(situation.at, "ann", 600, "migration", all=everything))
    situation.run(60, BAD)
    assert len(situation.pulled) == pulls
    assert bool(situation.heard("dropped: a hold is in force")) is everything
    situation.run(600, BAD)
    assert (situation.state.request is not None) is everything


def test_at_the_end_of_a_hold_nothing_is_asked_that_is_no_safer() -> None:
    """A person has set a safer rung meanwhile."""
    situation = a_situation()
    situation.take(Hold(situation.at, "ann", 600, "m", all=True))
    situation.run(420, MILD)
    situation.take(SetRung(situation.at, "bob", "emergency"))
    situation.run(300, MILD)
    assert situation.state.request is None
    over = a_situation()
    over.take(Hold(over.at, "ann", 600, "m", all=True))
    over.run(420, MILD)
    over.run(240)
    assert over.state.request is None


def overridden() -> Situation:
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    situation.run(90)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick()
    return situation


def test_a_less_safe_value_in_an_incident_is_an_override() -> None:
    """A fight with a human."""
    situation = overridden()
    assert situation.phase is Phase.HELD
    assert situation.rung == "normal"
    situation.run(600, BAD)
    assert situation.rungs == ["emergency"]
    warning = situation.told("errors high during an override: nothing was done")
    assert warning.severity is Severity.CRITICAL
    assert "notaus release pix" in warning.lines[-1]
    assert order(situation, Release(situation.at, "ann"))[0]
    situation.tick(BAD)
    assert situation.rungs == ["emergency", "emergency"]


def test_after_a_write_that_was_there_already_an_earlier_value_of_ours_is_somebody_elses() -> None:
    """After a crash in the middle of a stop, a person's way back to normal would pass for our own write of last week."""
    situation = a_situation(rung="reduced")
    order(situation, SetRung(situation.at, "ann", "normal"))
    situation.run(300)
    situation.levers = None
    order(situation, Trigger(situation.at, "ann", "database errors", "seen"))
    situation.key = {"canary_percent": 0, "emergency_proxy": True}  # written before the crash
    situation.end_lever(situation.pulled[-1], Outcome.ALREADY)
    situation.run(120)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick()
    assert situation.phase is Phase.HELD
    assert situation.heard("somebody else wrote")


def test_after_an_override_only_samples_after_it_count() -> None:
    """Handed back at once, a hold that had begun before would act within the minute."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    situation.run(75, BAD)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick(BAD)
    assert order(situation, Release(situation.at, "ann"))[0]
    situation.run(165, BAD)
    assert situation.rungs == ["emergency"]
    situation.tick(BAD)
    assert situation.rungs == ["emergency", "emergency"]


def test_an_override_ends_after_half_an_hour() -> None:
    """Nothing automatic for 30m, and then again."""
    situation = overridden()
    start = situation.at
    while situation.phase is Phase.HELD:
        situation.tick()
    assert situation.at - start == 1800
    assert situation.heard("the override is over")


def test_the_value_replaced_is_merely_stale_for_a_minute() -> None:
    """The edge lags: our own write must not look like somebody else's."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    key, situation.key = situation.key, {"canary_percent": 10, "emergency_proxy": False}
    situation.run(45)
    assert situation.phase is Phase.VALIDATING
    situation.key = key
    situation.tick()
    assert situation.phase is Phase.VALIDATING


def test_a_safer_value_in_an_incident_is_taken_over() -> None:
    """A person went further than notaus: guard on from there."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.key = {"canary_percent": 0, "emergency_proxy": True}
    situation.tick()
    assert (situation.phase, situation.rung) == (Phase.WATCHING, "emergency")
    assert situation.heard("somebody else moved the service to a safer state")


def test_a_safer_value_during_an_override_leaves_it_standing() -> None:
    """A person who goes on working would have notaus step in between, on what was so before."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.run(75)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick(MILD)
    assert situation.phase is Phase.HELD
    situation.run(600, MILD)
    situation.key = {"canary_percent": 0, "emergency_proxy": False}
    situation.tick(MILD)
    assert (situation.phase, situation.rung) == (Phase.HELD, "disabled")
    assert situation.heard("somebody else moved the service to a safer state")
    situation.run(900, BAD)
    assert situation.rungs == ["reduced"]


def test_enforce_writes_our_rung_again_and_never_a_less_safe_one() -> None:
    """`override: enforce` is the alternative to waiting."""
    situation = a_situation(a_service(override=OverridePolicy.ENFORCE))
    situation.until(Phase.VALIDATING, MILD)
    situation.run(75, MILD)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick(MILD)
    assert situation.rungs == ["reduced", "reduced"]
    situation.key = {"canary_percent": 0, "emergency_proxy": True}
    situation.tick(MILD)
    situation.key = {"canary_percent": 0, "emergency_proxy": False}
    situation.tick(MILD)
    assert situation.rungs == ["reduced", "reduced"]
    assert situation.phase is Phase.HELD


@pytest.mark.parametrize("limit", ["a hold of every step", "the budget", "all is clear", "all is clear by now"])
def test_enforce_keeps_to_the_limits_of_any_automatic_step(limit: str) -> None:
    """It would write against a person all day, or through a hold, or for no reason at all."""
    situation = a_situation(a_service(override=OverridePolicy.ENFORCE, max_actions=1 if limit == "the budget" else 4))
    situation.until(Phase.VALIDATING, MILD)
    values = {} if limit == "all is clear" else MILD
    situation.run(75, values)
    if limit == "a hold of every step":
        order(situation, Hold(situation.at, "ann", 3600, "at work on it", all=True))
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick(values if limit != "all is clear by now" else {})
    assert situation.rungs == ["reduced"]
    assert situation.phase is Phase.HELD


def test_enforce_leaves_alone_what_was_left_to_people() -> None:
    """A decision that stands for half an hour would be written over at the next one."""
    situation = a_situation(a_service(override=OverridePolicy.ENFORCE))
    situation.until(Phase.VALIDATING, MILD)
    situation.run(75, MILD)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.tick({})
    assert situation.phase is Phase.HELD
    situation.run(300, MILD)
    situation.key = {"canary_percent": 25, "emergency_proxy": False}
    situation.tick(MILD)
    assert (situation.phase, situation.rungs) == (Phase.HELD, ["reduced"])


def test_closing_during_an_override_lets_a_breach_hold_anew() -> None:
    """Somebody has decided otherwise, closes the incident, and is overruled within the second."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.run(600, BAD)
    assert situation.phase is Phase.HELD
    order(situation, Close(situation.at, "ann", situation.incident.id, "mine"))
    situation.run(165, BAD)
    assert situation.rungs == ["emergency"]
    situation.run(60, BAD)
    assert situation.rungs == ["emergency", "emergency"]


def test_a_list_from_before_our_deployment_that_arrives_after_it_is_no_override() -> None:
    """notaus would take its own rollback for somebody else's, and stop guarding for half an hour."""
    situation = a_situation(live="v2")
    situation.until(Phase.VALIDATING, SPIKE)
    ours = situation.view
    assert ours is not None
    situation.view = replace(ours, deployments=ours.deployments[1:])
    situation.tick()
    assert situation.phase is Phase.VALIDATING
    assert not situation.heard("which had served before")
    situation.view = ours
    situation.run(30)
    assert situation.phase is Phase.VALIDATING
    situation.view = replace(ours, deployments=ours.deployments[1:])
    situation.run(LISTED)  # it stays away: then it is gone
    assert situation.heard("which had served before")


def test_a_version_that_served_before_is_an_override_and_a_new_one_a_fix_forward() -> None:
    """Somebody redeploys what was rolled back, on purpose."""
    situation = a_situation(live="v2")
    situation.until(Phase.VALIDATING, SPIKE)
    situation.run(60)
    situation.deploy("v2")
    situation.tick()
    assert situation.phase is Phase.HELD
    assert situation.heard("somebody deployed v2, which had served before")
    fixed = a_situation(live="v2")
    fixed.until(Phase.VALIDATING, SPIKE)
    fixed.deploy("v3")
    fixed.tick()
    assert (fixed.phase, fixed.rung) == (Phase.WATCHING, "normal")


def test_outside_an_incident_a_foreign_value_or_deployment_is_simply_the_new_state() -> None:
    """Nobody is paged for steering their own service."""
    situation = a_situation()
    situation.key = {"canary_percent": 5, "emergency_proxy": False}
    situation.tick()
    assert (situation.rung, situation.said) == ("reduced", [])
    other = a_situation(live="v2")
    other.deploy("v3")
    other.tick()
    assert other.said == []


# Triggers


def test_a_trigger_acts_at_once_and_the_same_report_within_an_hour_is_one() -> None:
    """Confirmed data loss waits for nobody; a hook that repeats itself does not count twice."""
    situation = a_situation(live="v2")
    report = Trigger(situation.at, "hook", "data loss", "rows are gone", True, "f1")
    assert order(situation, report) == (True, "rolled_back has begun")
    assert situation.rungs == ["v1"]
    assert order(situation, report) == (True, ONE_REPORT)
    again = replace(report, fingerprint=None)
    assert order(situation, again)[1].startswith("people are told, nothing was done: the service is already at")
    assert order(situation, replace(report, rule="nothing"))[1] == (
        "'nothing' is no trigger of books; its triggers: data loss"
    )


def test_a_report_that_led_to_nothing_is_looked_at_again_when_it_is_repeated() -> None:
    """Alertmanager repeats it while data is being lost, and the first one came during a hold, or before the first look."""
    situation = a_situation(live="v2")
    situation.take(Hold(situation.at, "ann", 600, "m"))
    report = Trigger(situation.at, "hook", "data loss", "rows are gone", True, "f1")
    assert "nothing was done: a hold by ann is in force" in order(situation, report)[1]
    told = len(situation.said)
    situation.run(300)
    assert order(situation, replace(report, now=situation.at)) == (True, ONE_REPORT)
    assert len(situation.said) == told  # for the same reason: people have heard
    situation.run(330)
    assert order(situation, replace(report, now=situation.at)) == (True, "rolled_back has begun")
    situation.run(60)
    assert order(situation, replace(report, now=situation.at)) == (True, ONE_REPORT)
    assert situation.rungs == ["v1"]


def test_a_trigger_is_bound_by_hold_target_and_override() -> None:
    """Spec 3: bound by `no_hold` and `target`."""
    held = a_situation(live="v2")
    held.take(Hold(held.at, "ann", 600, "m"))
    assert not order(held, Trigger(held.at, "ann", "data loss", "seen"))[0]
    alone = a_situation(live="v1")
    assert "no known-stable version" in order(alone, Trigger(alone.at, "ann", "data loss", "seen"))[1]
    situation = overridden()
    hook = Trigger(situation.at, "hook", "database errors", "seen", True)
    assert order(situation, hook) == (False, "people are told, nothing was done: an override is in force")
    assert order(situation, replace(hook, hook=False, by="ann")) == (True, "emergency has begun")
    asking = a_rule(None, 0, "emergency", name="database errors", approval=True)
    asked = a_situation(a_service(rules=(*KV_RULES[:-1], asking)))
    assert order(asked, Trigger(asked.at, "ann", "database errors", "seen"))[1].startswith("approval is asked for")


def test_a_report_while_the_step_is_under_way_joins_it() -> None:
    """The lever pulled a second time, or a step dropped as cleared though data loss was reported meanwhile."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, BAD)
    assert order(situation, Trigger(situation.at, "ann", "database errors", "seen")) == (
        False,
        "people are told, nothing was done: the service is on its way to emergency",
    )
    assert len(situation.pulled) == 1
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.run(30)
    assert situation.rungs == ["emergency", "emergency"]


# Levers by hand


def test_the_same_order_twice_is_one_step() -> None:
    """Two people, one thought: the second must not overtake the first one's write."""
    situation = a_situation(levers=None)
    assert order(situation, SetRung(situation.at, "ann", "reduced")) == (True, "reduced has begun")
    assert order(situation, SetRung(situation.at, "bob", "reduced")) == (True, "reduced is on its way already, by ann")
    assert order(situation, SetRung(situation.at, "bob", None)) == (True, "emergency has begun")
    assert situation.rungs == ["reduced", "emergency"]
    books = a_situation(live="v2", levers=None)
    books.take(Hold(books.at, "bob", 3600, "migration 42"))
    begun = "rolling back to v1 has begun; there is a hold by bob: migration 42"
    assert order(books, RollBack(books.at, "ann")) == (True, begun)
    assert order(books, RollBack(books.at, "bob", "v1")) == (True, "v1 is on its way already, by ann")
    assert books.rungs == ["v1"]


def test_setting_a_rung_by_hand() -> None:
    """The runbook's cheat sheet, journaled and verified."""
    situation = a_situation(a_service(verify=(READ_BACK,)))
    assert order(situation, SetRung(situation.at, "ann", "nowhere"))[1].startswith("'nowhere' is no rung of pix")
    assert order(situation, SetRung(situation.at, "ann", "normal")) == (False, "pix is at normal already")
    assert order(situation, SetRung(situation.at, "ann", None)) == (True, "emergency has begun")
    assert situation.pulled[0].action == WriteKv("emergency", False, {"canary_percent": 10, "emergency_proxy": False})
    assert order(situation, RollBack(situation.at, "ann"))[1].startswith("pix is steered by a KV key")


def test_a_less_safe_rung_by_hand_is_quiet_outside_an_incident_and_an_override_within() -> None:
    """A person's word stands, and nobody is paged for it."""
    quiet = a_situation(rung="reduced")
    order(quiet, SetRung(quiet.at, "ann", "normal", "the canary is well"))
    assert (quiet.phase, quiet.rung, quiet.pages()) == (None, "normal", [])
    checked = a_situation(a_service(verify=(READ_BACK,)), rung="reduced", checks=False)
    order(checked, SetRung(checked.at, "ann", "normal"))
    assert checked.phase is None
    assert checked.heard("done as ordered, unverified")
    loud = a_situation()
    loud.until(Phase.VALIDATING, BAD)
    order(loud, SetRung(loud.at, "ann", "normal"))
    assert loud.phase is Phase.HELD
    assert loud.heard("ann set normal")


def test_rolling_back_by_hand() -> None:
    """`notaus rollback [--to VERSION]`."""
    situation = a_situation(live="v2")
    assert order(situation, RollBack(situation.at, "ann", "v9"))[1] == (
        "no version is called 'v9'; the newest are v2, v1"
    )
    assert order(situation, RollBack(situation.at, "ann", "v2")) == (False, "v2 is live already")
    assert order(situation, SetRung(situation.at, "ann", "normal"))[1].startswith("normal is what you deploy")
    assert order(situation, RollBack(situation.at, "ann", accept_changed_secrets=True)) == (
        True,
        "rolling back to v1 has begun",
    )
    action = situation.pulled[0].action
    assert isinstance(action, Deploy)
    assert action.accept_changed_secrets
    assert not order(a_situation(live="v1"), RollBack(0, "ann"))[0]
    unread = a_situation(a_rollback_service())
    assert order(unread, RollBack(unread.at, "ann"))[1].startswith("the deployments have not been read yet")
    other = a_situation(live="v2")
    assert order(other, SetRung(other.at, "ann", None))[0]
    other.tick()
    assert order(other, RollBack(other.at, "ann", "v2")) == (True, "rolling back to v2 has begun")


def test_a_blocked_target_is_refused_unless_the_secrets_are_accepted() -> None:
    """A refused rollback is never forced but by a person's word."""
    situation = a_situation(live="v2")
    assert situation.view is not None
    situation.view = replace(situation.view, blocked={"id-of-v1": "its secrets have changed"})
    situation.tick()
    assert "cannot be deployed: its secrets have changed" in order(situation, RollBack(situation.at, "ann"))[1]
    assert order(situation, RollBack(situation.at, "ann", accept_changed_secrets=True))[0]


def test_a_persons_word_on_a_version() -> None:
    """`notaus versions --flag|--clear`."""
    situation = a_situation(live="v2")
    assert order(situation, Judge(situation.at, "ann", "v9", True)) == (False, "no version is called 'v9'")
    assert order(situation, Judge(situation.at, "ann", "v1", True))[1].startswith("v1 is flagged")
    assert situation.state.registry.of("id-of-v1").doubt is Doubt.FLAGGED
    assert order(situation, Judge(situation.at, "ann", "v1", False)) == (True, "v1 is cleared")
    assert situation.state.registry.stable("id-of-v1")


def test_closing_an_incident_by_hand() -> None:
    """The wrong incident closed."""
    situation = asked()
    name = situation.incident.id
    assert order(situation, Close(situation.at, "ann", "another", "x")) == (
        False,
        f"no open incident is called 'another'; open is {name}",
    )
    assert order(situation, Close(situation.at, "ann", name, "false alarm")) == (True, f"{name} is closed")
    assert (situation.phase, situation.state.request) == (None, None)
    assert order(situation, Close(situation.at, "ann", name, "x"))[1].endswith("none is open")


def test_an_incident_whose_lever_keeps_failing_can_be_closed_between_two_tries() -> None:
    """An outage of hours in which nobody could end it; or a lever let go of in the middle of its work."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, BAD)
    close = Close(situation.at, "ann", situation.incident.id, "done by hand")
    assert order(situation, close) == (False, "a lever is being pulled; try again in a moment")
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    assert order(situation, close)[0]
    assert situation.phase is None


def test_two_incidents_of_one_second_have_two_ids() -> None:
    """The journal would write the second over the first: a person's quick order, then the breach of that very tick."""
    situation = a_situation(rung="reduced")
    for rung in ("normal", "reduced", "normal"):
        order(situation, SetRung(situation.at, "ann", rung))
        assert order(situation, Close(situation.at, "ann", situation.incident.id, "x"))[0] if situation.phase else True
    assert len({incident.id for incident in situation.closed}) == len(situation.closed) == 3


# The way back


RESTORE = Restore(
    (
        RestoreNeed("native.error_rate < 1%", a_comparison("native.error_rate < 1%")),
        RestoreNeed("root cause identified"),
    ),
    (RampStep("reduced", 120), RampStep("normal", 60)),
)


def test_the_way_back_needs_its_prerequisites_and_goes_rung_by_rung() -> None:
    """A restore into a service that is still on fire."""
    situation = a_situation(a_service(restore=RESTORE))
    situation.until(Phase.VALIDATING, BAD)
    situation.tick(BAD)
    refused = order(situation, RestoreOrder(situation.at, "ann", ("root cause identified",)))
    assert refused[1].splitlines()[1] == "NOT MET: native.error_rate < 1% (it is not so)"
    situation.run(150)
    assert "NOT MET: root cause" in order(situation, RestoreOrder(situation.at, "ann"))[1]
    accepted, text = order(situation, RestoreOrder(situation.at, "ann", ("Root  cause identified",)))
    assert accepted
    assert text.endswith("restoring: reduced for 2m, then normal for 1m")
    assert "met: root cause identified (attested by ann)" in situation.incident.timeline[-2].text
    assert (situation.phase, situation.rung) == (Phase.RAMPING, "reduced")
    situation.until(None)
    assert situation.rungs == ["emergency", "reduced", "normal"]
    assert situation.closed[0].timeline[-1].text == "resolved: restored by ann"


def test_the_pages_of_the_way_back_carry_its_own_commands_and_the_last_one_says_that_it_is_over() -> None:
    """Somebody would type the emergency stop, believing it to be the step that the page tells of."""
    situation = a_situation(a_service(restore=RESTORE))
    situation.until(Phase.VALIDATING, BAD)
    situation.run(150)
    order(situation, RestoreOrder(situation.at, "ann", ("root cause identified",)))
    situation.until(None)
    steps = [m.facts["by hand"] for m in situation.said if "is in force" in m.title]
    assert ['"canary_percent":0' in steps[0], '"canary_percent":5' in steps[1], '"canary_percent":10' in steps[2]] == [
        True
    ] * 3
    last = situation.said[-1]
    assert (last.banner, last.facts["status"]) == ("pix Incident - Closed", "CLOSED")
    assert "in force" in last.facts["next"]


def test_where_data_cannot_exist_a_named_person_attests() -> None:
    """Native has no traffic, so its error rate cannot be known."""
    need = RestoreNeed("native.error_rate < 1%", a_comparison("native.error_rate < 1%"))
    situation = a_situation(a_service(restore=Restore((need,))), rung="emergency")
    situation.run(300, {"native.error_rate": None})
    assert "no data; --attest" in order(situation, RestoreOrder(situation.at, "ann"))[1]
    assert order(situation, RestoreOrder(situation.at, "ann", (need.text,)))[0]
    situation.tick()
    assert (situation.rung, situation.phase) == ("normal", None)
    assert order(situation, RestoreOrder(situation.at, "ann", (need.text,)))[1].startswith("nothing to restore")
    fresh = Situation(a_service(restore=Restore((need,))), situation.state)
    assert "no data" in order(fresh, RestoreOrder(fresh.at, "ann"))[1]


def test_what_was_known_an_hour_ago_meets_no_prerequisite() -> None:
    """The way back would begin blind: all was well until the data stopped."""
    need = RestoreNeed("native.error_rate < 1%", a_comparison("native.error_rate < 1%"))
    situation = a_situation(a_service(restore=Restore((need,))), rung="reduced")
    situation.run(300)
    situation.pending = frozenset(situation.service.signals)
    situation.run(3600)
    granted, said = order(situation, RestoreOrder(situation.at, "ann"))
    assert (granted, situation.pulled) == (False, [])
    assert 'no data; --attest "native.error_rate < 1%"' in said


def closed_by_ann(situation: Situation) -> tuple[Stage, str]:
    """What the public is told of an incident that a person closes, and how the page ends."""
    order(situation, Close(situation.at, "ann", situation.incident.id, "enough"))
    return situation.said[-1].public.stage, situation.said[-1].title


def test_closing_what_is_not_over_tells_the_public_nothing_else() -> None:
    """ "All systems operating normally", while a tenth of all requests fails."""
    left = "enough; nothing showed that it is over: a public status page is left as it is"
    situation = a_situation()
    situation.until(Phase.UNRESOLVED, {"r2.failures": 9})
    assert closed_by_ann(situation) == (Stage.INVESTIGATING, f"pix: closed: by ann: {left}")
    validating = a_situation()
    validating.until(Phase.VALIDATING, BAD)
    assert closed_by_ann(validating)[0] is Stage.MONITORING
    silent = a_situation(a_service(mode=Mode.ACT))
    silent.until(Phase.VALIDATING, BAD)
    silent.pending = frozenset(silent.service.signals)
    silent.run(120)
    assert closed_by_ann(silent)[0] is Stage.MONITORING
    reported = a_situation()
    order(reported, Trigger(reported.at, "ann", "database errors", "rows are missing"))
    assert closed_by_ann(reported)[0] is not Stage.RESOLVED


def test_closing_what_is_over_says_so_to_the_public() -> None:
    """The status page would tell of an incident for days after its end."""
    helped = a_situation()
    helped.until(Phase.MITIGATED, BAD)
    assert closed_by_ann(helped) == (Stage.RESOLVED, "pix: closed: by ann: enough")
    clear = a_situation()
    clear.until(Phase.VALIDATING, MILD)
    clear.run(60)
    assert closed_by_ann(clear)[0] is Stage.RESOLVED
    ordered = a_situation()
    order(ordered, SetRung(ordered.at, "ann", "emergency"))
    assert closed_by_ann(ordered)[0] is Stage.RESOLVED


def test_only_time_with_every_rule_clear_counts_and_a_breach_ends_the_ramp() -> None:
    """Up to normal though a notice stands, or nobody could look."""
    situation = a_situation(a_service(restore=Restore((), RESTORE.ramp)), rung="disabled")
    order(situation, RestoreOrder(situation.at, "ann"))
    situation.run(300, {"native.error_rate": None})
    assert situation.rung == "reduced"
    situation.run(330, MILD)
    assert situation.incident.ramp is None
    assert situation.rungs == ["reduced", "disabled"]


def test_no_time_counts_on_the_way_back_while_a_notice_stands() -> None:
    """Up to normal while people are being told that something is wrong."""
    situation = a_situation(a_service(restore=Restore((), RESTORE.ramp)), rung="disabled")
    order(situation, RestoreOrder(situation.at, "ann"))
    standing = Notice("thread", Severity.WARNING, situation.at, situation.at, 1, "something")
    situation.state = replace(situation.state, notices={"something": standing})
    situation.run(300)
    assert situation.rung == "reduced"
    situation.state = replace(situation.state, notices={})
    situation.run(150)
    assert situation.rung == "normal"


def test_a_ramp_step_that_does_not_get_through_is_tried_again_or_ends() -> None:
    """A way back that hangs half way."""
    situation = a_situation(a_service(restore=Restore((), RESTORE.ramp)), rung="disabled", levers=None)
    order(situation, RestoreOrder(situation.at, "ann"))
    situation.end_lever(situation.pulled[-1], Outcome.FAILED)
    situation.run(30)
    assert situation.rungs == ["reduced", "reduced"]
    situation.end_lever(situation.pulled[-1], Outcome.FOREIGN)
    assert situation.phase is None
    assert situation.closed[0].quiet


def test_the_way_back_ends_what_was_still_to_be_tried() -> None:
    """The emergency written over the way back that a person started."""
    ramp = Restore((), (RampStep("reduced", 120), RampStep("normal", 60)))
    situation = a_situation(a_service(restore=ramp), rung="reduced", levers=None)
    order(situation, Trigger(situation.at, "ann", "database errors", "seen"))
    restore = RestoreOrder(situation.at, "ann")
    assert order(situation, restore) == (False, "a lever is being pulled; try again in a moment")
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    assert order(situation, restore)[0]
    situation.run(90)
    assert (situation.rungs, situation.phase) == (["emergency"], Phase.RAMPING)


def test_a_service_that_only_observes_is_not_restored_by_notaus() -> None:
    """Observe mode pulls no lever, whoever asks."""
    situation = a_situation(a_service(mode=Mode.OBSERVE), rung="reduced")
    refused = order(situation, RestoreOrder(situation.at, "ann"))
    assert refused == (False, "pix is in observe mode: notaus pulls no lever")
    assert situation.pulled == []


def test_a_reload_to_observe_ends_what_was_still_to_be_done() -> None:
    """Observe mode pulls no lever: neither a step that waits for its next try, nor the next rung of a ramp."""
    failing = a_situation(levers=None)
    order(failing, Trigger(failing.at, "ann", "database errors", "seen"))
    failing.end_lever(failing.pulled[0], Outcome.FAILED)
    failing.service = replace(failing.service, mode=Mode.OBSERVE)
    failing.run(30)
    assert (failing.rungs, failing.phase) == (["emergency"], Phase.WATCHING)
    assert failing.heard("dropped: the service only observes now")
    for rung, before in (("reduced", None), ("emergency", Phase.VALIDATING)):
        ramp = Restore((), (RampStep("reduced", 120), RampStep("normal", 60)))
        situation = a_situation(a_service(restore=ramp), rung="normal" if before else rung)
        if before is not None:
            situation.until(before, BAD)
            situation.run(300)
        order(situation, RestoreOrder(situation.at, "ann"))
        pulled = len(situation.pulled)
        situation.service = replace(situation.service, mode=Mode.OBSERVE)
        situation.run(180)
        assert len(situation.pulled) == pulled
        assert situation.phase is (None if before is None else Phase.WATCHING)
        assert situation.heard("the service only observes now")


def test_a_ramp_step_that_is_dropped_ends_a_quiet_incident() -> None:
    """An incident that nobody opened for trouble, and nobody would close."""
    ramp = Restore((), (RampStep("reduced", 120), RampStep("normal", 60)))
    situation = a_situation(a_service(restore=ramp), rung="emergency", levers=None)
    order(situation, RestoreOrder(situation.at, "ann"))
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.service = replace(situation.service, mode=Mode.OBSERVE)
    situation.run(30)
    assert (len(situation.pulled), situation.phase) == (1, None)


def test_a_key_that_notaus_mends_is_told_as_mended() -> None:
    """A notice that stands for ever, and keeps the way back waiting."""
    situation = a_situation()
    situation.key = {"canary_percent": "many"}
    situation.tick()
    assert "key" in situation.state.notices
    situation.unread = "a 500"  # so the emergency is written without reading first
    situation.tick()
    order(situation, Trigger(situation.at, "ann", "database errors", "seen"))
    situation.unread = None
    situation.tick()
    assert (situation.rung, situation.state.notices) == ("emergency", {})


def test_a_rollback_service_is_restored_by_deploying_something_else() -> None:
    """notaus never redeploys what it rolled back."""
    situation = a_situation(live="v2")
    assert order(situation, RestoreOrder(situation.at, "ann")) == (False, "nothing to restore: no incident is open")
    situation.until(Phase.VALIDATING, SPIKE)
    situation.tick()
    assert order(situation, RestoreOrder(situation.at, "ann")) == (True, "the incident is closed")
    other = a_situation(live="v2")
    other.until(Phase.VALIDATING, SPIKE)
    other.deploy("v2")
    other.tick()
    assert order(other, RestoreOrder(other.at, "ann")) == (False, "the version that was rolled back from is live")


def test_a_ladder_without_drains_or_share_asks_nobody_about_cohorts() -> None:
    """A worker with one cohort has nobody to shift traffic to."""
    situation = a_situation(a_service(ladder=a_kv_ladder(drains={}, share=None)))
    situation.run(240, {"native.error_rate": 0.05, "proxy.error_rate": 0.2})
    assert situation.rungs == ["emergency"]


# What others tell


def test_a_link_or_button_of_somebody_who_is_no_approver_is_refused_and_noted() -> None:
    """Whoever else got hold of a button would deploy."""
    situation = asked()
    before = situation.state.request
    for approved in (True, False):
        accepted, said = order(situation, Answer(situation.at, "eve", approved, None, HIGHER))
        assert (accepted, said) == (False, "pagerduty: lead is none of the approvers of books")
    assert situation.state.request == before
    assert [entry.text for entry in situation.incident.timeline if "is no approver" in entry.text][-1].startswith("eve")
    assert order(situation, Answer(situation.at, "ann", True, None, APPROVER))[0]


V2 = {"tag": "v2", "commit": "abc123", "message": "faster search", "link": "https://ci.example/1"}


def test_the_page_of_a_rollback_says_who_deployed_what_it_rolls_back_from() -> None:
    """People would have to look for the author of the release at 3 a.m."""
    situation = a_situation(live="v2")
    assert order(situation, Deployed(situation.at, "kim", **V2)) == (
        True,
        "remembered: v2, commit abc123, deployed by kim: faster search (https://ci.example/1)",
    )
    order(situation, Deployed(situation.at, "ann", tag="v1"))
    situation.until(Phase.VALIDATING, SPIKE)
    told = "v2, commit abc123, deployed by kim: faster search (https://ci.example/1)"
    assert situation.incident.facts["release"] == told


def test_the_page_of_a_request_says_so_too_and_an_id_names_a_version_as_well() -> None:
    """Whoever approves would not know what was deployed."""
    situation = a_situation(live="v2")
    view = situation.state.view
    assert view is not None
    assert view.live is not None
    id = view.live.versions[0][0]
    order(situation, Deployed(situation.at, "bob", version=id))
    order(situation, Deployed(situation.at, "ann", version=id))
    order(situation, Deployed(situation.at, "kim", version=f"{id}x", tag="v2"))
    order(situation, Deployed(situation.at, "eve", version=id[:2]))
    situation.until(Phase.AWAITING_APPROVAL, ERRORS)
    assert "deployed by ann" in situation.incident.facts["release"]


def test_a_fix_forward_is_told_with_its_announcement() -> None:
    """A new deployment in the middle of an incident would be a riddle."""
    situation = a_situation(live="v2")
    situation.until(Phase.VALIDATING, SPIKE)
    order(situation, Deployed(situation.at, "kim", tag="v3", message="the fix"))
    assert situation.incident.timeline[-1].text == "announced: v3, deployed by kim: the fix"
    situation.deploy("v3")
    situation.run(60)
    assert "Announced: v3, deployed by kim: the fix." in situation.told("fix-forward").lines


def test_an_announcement_is_no_evidence_and_told_twice_it_is_one() -> None:
    """A retry of CI would fill the memory, and a word would move a service."""
    situation = a_situation(live="v2")
    order(situation, Deployed(situation.at, "kim", **V2))
    before = situation.state
    assert order(situation, Deployed(situation.at + 9, "kim", **V2)) == (True, "announced already")
    assert situation.state == before
    for number in range(30):
        order(situation, Deployed(situation.at, "kim", tag=f"v{number}"))
    assert len(situation.state.releases) == 20
    situation.run(600)
    assert (situation.phase, situation.pages(), situation.notices()) == (None, [], [])


def reported(fingerprint: str = "f1") -> Situation:
    situation = a_situation(replace(a_service(), rules=(*KV_RULES, replace(a_rule(), **TRIGGERED))))
    situation.run(60)
    assert order(situation, Trigger(situation.at, "alertmanager", "database", "pool empty", True, fingerprint))[0]
    return situation


TRIGGERED: dict[str, object] = {"name": "database", "then": "emergency", "when": (), "hold": 0, "trigger": True}


def test_the_same_alert_within_an_hour_is_one_report_and_after_it_another() -> None:
    """Alertmanager repeats what goes on: each repetition would page."""
    situation = reported()
    situation.run(60)
    before = situation.state
    again = Trigger(situation.at, "alertmanager", "database", "pool empty", True, "f1")
    assert order(situation, again) == (True, ONE_REPORT)
    assert situation.state == before
    assert order(situation, replace(again, fingerprint="f2"))[1].startswith("people are told")


def test_the_end_of_an_alert_is_noted_once_and_undoes_nothing() -> None:
    """Protection would be weakened by a machine's word."""
    situation = reported()
    situation.run(60)
    rung, over = situation.rung, Cleared(situation.at, "alertmanager", "database", "pool empty")
    assert order(situation, over) == (True, "noted; what has been done stays")
    order(situation, replace(over, now=situation.at + 30))
    said = [entry.text for entry in situation.incident.timeline if "is over" in entry.text]
    assert said == ["alertmanager says that database is over: pool empty"]
    assert (situation.rung, rung) == ("emergency", "emergency")


def test_the_end_of_an_alert_without_an_incident_is_nothing() -> None:
    """A stray message would open one."""
    situation = a_situation()
    situation.run(60)
    told = order(situation, Cleared(situation.at, "alertmanager", "database", "pool empty"))
    assert told == (True, "no open incident is about it")
    assert situation.phase is None


def test_a_button_pressed_long_after_everything_is_refused_as_politely() -> None:
    """The daemon would stumble over an answer where no incident is open to note it in."""
    accepted, said = order(a_situation(), Answer(T0, "eve", True, "books-1", HIGHER))
    assert (accepted, said) == (False, "pagerduty: lead is none of the approvers of pix")


def test_an_alert_must_come_by_its_hook_and_say_everything() -> None:
    """Another alert would stop the service."""
    named = Alert("alertmanager", (("alertname", "a"), ("env", "live")))
    assert named.is_met("alertmanager", {"alertname": "a", "env": "live", "pod": "1"})
    assert not named.is_met("cloudflare", {"alertname": "a", "env": "live"})
    assert not named.is_met("alertmanager", {"alertname": "a"})


def test_a_drill_is_told_once_and_stands_only_where_something_was_not_put_back() -> None:
    """A notice that stays would keep ramps from going on; one that is quiet would leave staging at its emergency stop."""
    situation = a_situation()
    situation.run(60)
    told = order(situation, Drilled(situation.at, "the schedule", True, True, "13 things measured", "var/drills/1.md"))
    assert told == (True, "people are told")
    assert situation.state.notices == {}
    assert situation.said[-1].title == "pix: a drill: every target is met"
    assert situation.said[-1].lines == (
        "13 things measured",
        "Its report: var/drills/1.md",
        "Held by the schedule.",
    )
    assert situation.said[-1].loud is False
    order(situation, Drilled(situation.at, "kim", False, False, "NOT put back: reduced"))
    assert situation.said[-1].severity is Severity.CRITICAL
    assert situation.said[-1].loud is True
    assert "drill" in situation.state.notices
    order(situation, Drilled(situation.at, "kim", False, True, "Not held"))
    assert situation.state.notices == {}
    assert situation.said[-1].title == "pix: a drill: NOT as it should be"
