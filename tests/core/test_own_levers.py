"""Rungs with levers of their own: beyond the ladder's, in place of what cannot be reached, and back by a person's word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from notaus.core import paging
from notaus.core.effect import Invoke, Outcome, PullLever
from notaus.core.event import Answer, Close, Hold, LeverSlow, RestoreOrder, RollBack, SetRung, Started, Trigger
from notaus.core.incident import Phase
from notaus.core.ladder import CommandLever, Rung, WorkflowLever, filled, unknown_names
from notaus.core.page import Remedy
from notaus.core.rule import Rule, Severity
from notaus.core.service import Mode, OverridePolicy, Service
from notaus.core.verification import Check, ReadBack
from tests.builders import (
    HIGHER,
    KV_RULES,
    MAINTENANCE,
    READ_BACK,
    REVERTED,
    ROLLBACK_RULES,
    Situation,
    Values,
    a_deployment,
    a_deployment_ladder,
    a_kv_ladder,
    a_rollback_service,
    a_rule,
    a_service,
    a_situation,
    a_turn,
    a_view,
    with_rungs,
)

BAD = {"edge.error_rate": 0.2}
DOWN = {"health.failed": 1}
DOWN_RULE = a_rule("health.failed >= 1", 300, "maintenance", name="down")


def books(*rungs: Rung, escalate_to: str | None = "maintenance", **changes: Any) -> Service:
    """A rollback service with rungs beyond (default: a maintenance page)."""
    beyond = rungs or (MAINTENANCE,)
    ladder = with_rungs(a_deployment_ladder(), *beyond, escalate_to=escalate_to if MAINTENANCE in beyond else None)
    return a_rollback_service(ladder=ladder, **changes)


def kiosk(**changes: Any) -> Service:
    """A canary with a maintenance page behind the emergency stop."""
    return a_service(ladder=with_rungs(a_kv_ladder(), MAINTENANCE, escalate_to="maintenance"), **changes)


def invoked(situation: Situation) -> Invoke:
    """The newest action of a rung's own lever."""
    found = [p.action for p in situation.pulled if isinstance(p.action, Invoke)]
    assert found, f"only {situation.rungs} was pulled"
    return found[-1]


def at_maintenance(service: Service | None = None, **changes: Any) -> Situation:
    """A service at its maintenance page, by a person's order."""
    situation = a_situation(service or kiosk(), **changes)
    situation.take(SetRung(situation.at, "anna", "maintenance"))
    assert situation.rung == "maintenance"
    return situation


def test_a_cohort_that_the_ladder_has_drained_is_missed_by_nobody_behind_the_page() -> None:
    """Behind the page every rule of the cohort would page each hour that it is blind."""
    situation = a_situation(kiosk(), rung="emergency")
    nothing = dict.fromkeys((name for name in situation.service.signals if name.startswith("native")), None)
    situation.run(300, nothing)
    situation.take(SetRung(situation.at, "anna", "maintenance"))
    assert situation.rung == "maintenance"
    situation.run(3600, nothing)
    assert not situation.heard("blind")


# The ladder


def test_a_rung_of_its_own_is_safer_than_any_state_of_the_ladders_lever() -> None:
    """A key at its safest value would pass for safer than the maintenance page."""
    ladder = kiosk().ladder
    assert ladder.place_of("maintenance") > ladder.place_of("emergency")
    assert (ladder.safest.name, ladder.rung_at(ladder.place_of("maintenance"))) == ("emergency", MAINTENANCE)
    assert [rung.name for rung in ladder.own] == ["normal", "reduced", "disabled", "emergency"]


def test_what_is_in_place_of_a_rung_needs_no_question_if_possible() -> None:
    """People would be asked for a revert though a maintenance page may be taken by itself."""
    both = books(REVERTED, MAINTENANCE).ladder
    assert both.instead_of("rolled_back") == MAINTENANCE
    assert replace(both, escalate_to=None).instead_of("rolled_back") == REVERTED
    assert both.instead_of("maintenance") is None


def test_what_stands_in_for_a_step_is_passed_over_where_that_was_taken() -> None:
    """A rollback that did not help would be followed by one that cannot help either."""
    both = books(REVERTED, MAINTENANCE).ladder
    place = both.place_of("rolled_back")
    assert both.next_safer(place, "maintenance") == MAINTENANCE
    assert both.to_ask_for(place) == MAINTENANCE
    assert books(REVERTED).ladder.to_ask_for(place) == REVERTED
    assert both.to_ask_for(both.place_of("maintenance")) is None
    assert kiosk().ladder.to_ask_for(kiosk().ladder.place_of("disabled")) is None


def test_names_in_inputs_are_filled_in_and_others_left() -> None:
    """The workflow would not know why, or its runs could not be told apart."""
    assert filled({"reason": "it: $reason", "cost": "$5 $other"}, {"reason": "why"}) == {
        "reason": "it: why",
        "cost": "$5 $other",
    }
    assert unknown_names("$reason and $resaon") == ["resaon"]


def test_the_command_by_hand_is_githubs_own() -> None:
    """At three in the morning somebody would have to look it up."""
    service = books()
    turn = a_turn(service)
    assert (
        paging.by_hand(turn, "maintenance") == "gh workflow run maintenance.yml --repo books/api --ref main -f mode=on"
    )


# Steps


def test_a_rule_may_name_it_and_its_run_is_asked_for_once() -> None:
    """The page would come up twice, or not at all."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v1")
    situation.run(600, DOWN)
    action = invoked(situation)
    assert situation.rungs == ["maintenance"]
    assert (action.undo, action.again, action.look_only) == (False, False, False)
    assert action.key == f"{situation.incident.id}-1"
    assert (situation.rung, situation.state.beyond) == ("maintenance", ("maintenance",))
    message = situation.told("maintenance is in force")
    assert message.banner == "books Incident - Maintenance Complete"
    assert message.facts["undo"].endswith("-f mode=off")
    assert message.public.remedy is Remedy.PROTECTED


def test_its_verdict_counts_from_when_it_took_effect() -> None:
    """A workflow that takes ten minutes would be judged by samples from before its end."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v1", levers=None)
    situation.run(900, DOWN)
    assert situation.phase is Phase.ACTING
    situation.end_lever(situation.pulled[0])
    situation.run(345, {})
    assert situation.phase is Phase.VALIDATING
    situation.run(30, {})
    assert situation.phase is Phase.MITIGATED


def test_a_try_that_is_repeated_keeps_its_key_and_says_so() -> None:
    """A run that an earlier try started could not be found."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v1", levers=Outcome.UNKNOWN)
    situation.run(400, DOWN)
    first, second = (p.action for p in situation.pulled[:2])
    assert isinstance(first, Invoke)
    assert isinstance(second, Invoke)
    assert (first.key, first.again, second.again) == (second.key, False, True)
    assert situation.state.beyond == ()


def test_a_run_that_failed_may_have_changed_something() -> None:
    """The page would claim that nothing was changed."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v1", levers=Outcome.REFUSED)
    situation.run(330, DOWN)
    message = situation.told("was refused")
    assert "Nothing was changed" not in " ".join(message.lines)
    assert HIGHER in situation.incident.contacts
    assert situation.rung == "normal"


def test_checks_without_a_rung_are_about_the_ladders_own() -> None:
    """A maintenance page would never be verified: its version is none."""
    own = Check(ReadBack("deployment"), "at the page", at="maintenance")
    service = books(rules=(DOWN_RULE,), verify=(Check(ReadBack("deployment"), "general"),))
    assert a_situation(service, live="v1").service.checks_at("maintenance") == ()
    assert replace(service, verify=(*service.verify, own)).checks_at("maintenance") == (own,)
    assert len(replace(service, verify=(*service.verify, own)).checks_at("rolled_back")) == 1


def test_a_hold_keeps_it_back() -> None:
    """A revert would be deployed into the middle of a migration."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v1")
    situation.take(Hold(situation.at, "anna", 1200, "migration 42"))
    situation.run(600, DOWN)
    assert situation.rungs == []
    assert situation.heard("migration 42")


def test_within_holds_for_it_too() -> None:
    """What began long after the deployment would be laid at its door."""
    late = replace(DOWN_RULE, within_of_deploy=60)
    situation = a_situation(books(rules=(late,)), live="v2")
    situation.run(600, DOWN)
    assert situation.rungs == []
    assert situation.heard("which is then not to blame")


def test_a_rung_that_needs_approval_asks() -> None:
    """A revert would be pushed without anybody's word."""
    situation = a_situation(books(REVERTED, rules=(replace(DOWN_RULE, then="reverted"),)), live="v1")
    situation.run(600, DOWN)
    assert situation.rungs == []
    assert situation.state.request is not None
    situation.take(Answer(situation.at, "anna", True))
    assert situation.rungs == ["reverted"]
    assert situation.state.beyond == ()


def test_what_a_workflow_deploys_is_no_fix_of_somebody_elses() -> None:
    """The verdict on a revert would be void as soon as its version is seen; and it would be guarded by no rule."""
    situation = a_situation(books(REVERTED, rules=(replace(DOWN_RULE, then="reverted"),)), live="v1", levers=None)
    situation.run(600, DOWN)
    situation.take(Answer(situation.at, "anna", True))
    situation.run(30, DOWN)
    situation.deploy("v3")
    situation.tick()
    situation.end_lever(situation.pulled[0])
    situation.run(30)
    assert situation.phase is Phase.VALIDATING
    assert any("v3 was deployed while reverted was at work" in e.text for e in situation.incident.timeline)
    situation.run(120)
    situation.deploy("v4")
    situation.tick()
    assert situation.heard("v4 was deployed: a fix-forward")


def test_an_old_version_deployed_meanwhile_is_an_override_all_the_same() -> None:
    """A person who puts a known version back would be overruled."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v2", levers=None)
    situation.run(600, DOWN)
    situation.deploy("v1")
    situation.end_lever(situation.pulled[0])
    situation.tick()
    assert situation.phase is Phase.HELD


# In place of a rollback


def bad_deployment(service: Service, **changes: Any) -> Situation:
    return a_situation(service, live="v2", **changes)


def test_a_refused_rollback_is_followed_by_what_escalate_to_allows() -> None:
    """Users would see errors until somebody is awake."""
    situation = bad_deployment(books(), levers=Outcome.REFUSED)
    situation.run(150, BAD)
    assert situation.rungs[:2] == ["v1", "maintenance"]
    assert situation.incident.facts["if Cloudflare is the cause"].startswith("ask Cloudflare Support")


def test_a_refused_rollback_is_asked_about_where_nothing_goes_by_itself() -> None:
    """A maintenance page would come up that nobody allowed."""
    situation = bad_deployment(books(escalate_to=None), levers=Outcome.REFUSED)
    situation.run(150, BAD)
    assert situation.rungs == ["v1"]
    assert situation.state.request is not None
    assert situation.state.request.rung == "maintenance"


def test_a_persons_rollback_that_is_refused_leads_to_nothing_else() -> None:
    """Who asked for a rollback has not asked for a maintenance page."""
    situation = bad_deployment(books(), levers=Outcome.REFUSED)
    situation.take(RollBack(situation.at, "anna"))
    assert situation.rungs == ["v1"]
    assert situation.state.request is None


def test_a_refusal_that_comes_when_all_is_well_leads_to_nothing_else() -> None:
    """The page would come up after the trouble."""
    situation = bad_deployment(books(), levers=None)
    situation.run(150, BAD)
    situation.run(300)
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    assert situation.rungs == ["v1"]
    assert situation.state.request is None


def test_a_refusal_during_a_hold_is_asked_about() -> None:
    """The hold would be passed over, or the matter forgotten."""
    situation = bad_deployment(books(), levers=None)
    situation.run(150, BAD)
    situation.take(Hold(situation.at, "anna", 1200, "migration 42"))
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    assert situation.rungs == ["v1"]
    assert situation.state.request is not None
    assert "migration 42" in situation.state.request.reason


def test_a_rollback_that_does_not_get_through_is_followed_when_its_verdict_is_due() -> None:
    """An outage of Cloudflare's API would leave the bad version to the users."""
    situation = bad_deployment(books(), levers=Outcome.FAILED)
    situation.run(480, BAD)
    assert set(situation.rungs) == {"v1"}
    situation.levers = Outcome.DONE
    situation.state = replace(
        situation.state,
        incident=replace(
            situation.incident,
            step=replace(situation.incident.step, retry_at=situation.at + 900),  # type: ignore[type-var]
        ),
    )
    situation.run(60, BAD)
    assert situation.rungs[-1] == "maintenance"
    assert situation.heard("v1 still does not get through")


def test_a_rollback_that_gets_through_after_all_withdraws_the_question() -> None:
    """A maintenance page could be approved for what is over."""
    situation = bad_deployment(books(escalate_to=None), levers=Outcome.FAILED)
    situation.run(540, BAD)
    assert situation.state.request is not None
    assert [t for t in situation.titles if "still does not get through" in t] == [
        "books: v1 still does not get through"
    ]
    situation.levers = Outcome.DONE
    situation.run(120, BAD)
    assert situation.state.request is None
    assert situation.heard("got through after all")


SLOW = {"proxy.latency_p90": 900.0}
SLOW_RULE = a_rule("proxy.latency_p90 > 800", 300, "maintenance", name="very slow")
HIGH = {"native.error_rate": 0.3}


def a_page_that_does_not_come(rules: tuple[Rule, ...], values: Values) -> Situation:
    """A canary for which the maintenance page is called for, and whose workflow cannot be dispatched; tried on later."""
    situation = a_situation(kiosk(rules=rules))
    situation.run(600)
    situation.levers = Outcome.FAILED
    situation.run(600, values)
    assert set(situation.rungs) == {"maintenance"}
    assert situation.heard("maintenance did not get through")
    step = situation.incident.step
    assert step is not None
    situation.state = replace(
        situation.state, incident=replace(situation.incident, step=replace(step, retry_at=situation.at + 3600))
    )
    situation.levers = Outcome.DONE
    return situation


def test_the_emergency_stop_does_not_wait_for_a_page_that_does_not_come() -> None:
    """GitHub would be down, and with it a lever that has nothing to do with it."""
    situation = a_page_that_does_not_come((SLOW_RULE, KV_RULES[1]), SLOW)
    situation.run(180, {**SLOW, **HIGH})
    assert situation.rungs[-1] == "maintenance"
    situation.run(120, {**SLOW, **HIGH})
    assert situation.rungs[-1] == "emergency"
    assert situation.incident.step is not None
    assert set(situation.incident.step.rules) == {"errors high", "very slow"}


def test_a_second_rule_for_a_page_that_does_not_come_joins_it() -> None:
    """The workflow would be dispatched a second time, beside the first."""
    other = a_rule("native.error_rate > 3%", 300, "maintenance", name="failing")
    situation = a_page_that_does_not_come((SLOW_RULE, other), SLOW)
    situation.run(600, {**SLOW, **HIGH})
    assert len({action.key for p in situation.pulled if isinstance(action := p.action, Invoke)}) == 1
    assert situation.heard("failing has joined")


@pytest.mark.parametrize(("ended", "again"), [(Outcome.FAILED, True), (Outcome.UNKNOWN, False), (Outcome.LOST, False)])
def test_a_page_that_may_have_come_is_not_asked_for_again_by_itself(ended: Outcome, again: bool) -> None:
    """A command would be run twice, or a workflow dispatched twice, and nobody had said so."""
    situation = a_situation(kiosk(rules=(SLOW_RULE, KV_RULES[1])))
    situation.run(600)
    situation.levers = ended
    situation.run(600, SLOW)
    assert situation.incident.step is not None
    if ended is not Outcome.LOST:
        later = replace(situation.incident.step, retry_at=situation.at + 3600)
        situation.state = replace(situation.state, incident=replace(situation.incident, step=later))
    situation.levers = Outcome.DONE
    situation.run(1200, {**SLOW, **HIGH})
    stopped = situation.rungs.index("emergency")
    assert ("maintenance" in situation.rungs[stopped:]) is again
    assert (situation.state.request is None) is again
    assert again or situation.incident.lost == ("maintenance",)


def with_a_page_under_way() -> tuple[Situation, PullLever]:
    """A canary at `reduced` whose maintenance page is being tried once more, and that try."""
    rules = (KV_RULES[0], SLOW_RULE, a_rule("r2.failures > 5", 180, "emergency", name="uploads failing"))
    situation = a_situation(kiosk(rules=rules))
    situation.until(Phase.VALIDATING, {"native.error_rate": 0.02})
    situation.levers = Outcome.FAILED
    situation.run(1200, SLOW)
    situation.levers = None
    situation.run(120, SLOW)
    assert situation.incident.step is not None
    assert (situation.incident.step.waiting, situation.incident.step.retry_at) == (True, None)
    return situation, situation.pulled[-1]


def test_a_later_try_that_is_under_way_is_told_quietly_and_once_an_hour() -> None:
    """People would have read last that the page did not get through, while its workflow runs for minutes; or they would read
    at each of a day's tries that it is not confirmed yet."""
    situation, again = with_a_page_under_way()
    before = len(situation.said)
    for later in (0, 60, 3599, 3600):
        situation.take(LeverSlow(situation.at + later, again.id))
    told = [(page.title, page.loud) for page in situation.said[before:]]
    assert told == [("pix: stepping to maintenance (not confirmed yet)", False)] * 2


def test_what_is_dropped_with_an_unknown_end_is_told_and_not_begun_again_by_itself() -> None:
    """A page would stand that nobody knows of, and be put up once more beside it."""
    situation = a_situation(kiosk(rules=(SLOW_RULE,)))
    situation.run(600)
    situation.levers = Outcome.UNKNOWN
    situation.run(330, SLOW)
    assert set(situation.rungs) == {"maintenance"}
    begun = len(situation.rungs)
    situation.run(120)
    assert situation.heard("it may have been done all the same")
    assert situation.incident.lost == ("maintenance",)
    situation.run(600, SLOW)
    assert len(situation.rungs) == begun
    assert situation.state.request is not None


def test_a_person_who_changes_the_key_while_the_page_is_under_way_is_seen() -> None:
    """The next breach would write over a decision that nobody had noticed."""
    situation, _ = with_a_page_under_way()
    assert situation.rung == "reduced"
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.levers = Outcome.DONE
    situation.run(300, {**SLOW, "r2.failures": 50})
    assert situation.phase is Phase.HELD
    assert situation.rungs[-1] == "maintenance"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.DONE, "maintenance is in force all the same"),
        (Outcome.UNKNOWN, "maintenance may be in force all the same"),
        (Outcome.REFUSED, None),
    ],
)
def test_a_page_that_comes_after_it_was_overtaken_is_told(outcome: Outcome, said: str | None) -> None:
    """All users would see the maintenance page, and no person would hear of it."""
    situation, page = with_a_page_under_way()
    situation.run(240, {**SLOW, "r2.failures": 50})
    assert situation.rungs[-1] == "emergency"
    before = len(situation.said)
    situation.end_lever(page, outcome)
    told = [message.title for message in situation.said[before:]]
    assert told == ([f"pix: {said}"] if said else [])
    assert situation.state.beyond == (("maintenance",) if outcome is Outcome.DONE else ())
    assert situation.incident.lost == (("maintenance",) if outcome is Outcome.UNKNOWN else ())


def test_a_page_that_comes_after_the_incidents_end_is_told() -> None:
    """The same, and there is no thread for it any more: a later version became known-stable meanwhile."""
    situation, page = with_a_page_under_way()
    situation.state = replace(situation.state, incident=None)
    situation.end_lever(page, Outcome.UNKNOWN)
    assert situation.heard("maintenance may be in force all the same")


def test_a_page_that_is_taken_back_after_it_was_overtaken_is_told_as_that() -> None:
    """ "Is in force all the same" would be said of what has just gone."""
    situation = at_maintenance()
    situation.levers = None
    situation.take(SetRung(situation.at, "anna", "normal"))
    page = situation.pulled[-1]
    assert isinstance(page.action, Invoke)
    assert page.action.undo
    situation.state = replace(situation.state, incident=None)
    situation.end_lever(page, Outcome.DONE)
    assert situation.heard("maintenance is taken back all the same")


def test_the_page_is_tried_again_where_the_emergency_stop_did_not_help() -> None:
    """What called for the page still stands, and would have been forgotten over the stop."""
    situation = a_page_that_does_not_come((SLOW_RULE, KV_RULES[1]), SLOW)
    situation.run(750, {**SLOW, **HIGH})
    assert situation.rungs[-2:] == ["emergency", "maintenance"]
    assert situation.rung == "maintenance"


def test_a_rule_carried_along_acts_for_itself_once_the_page_does_not_come() -> None:
    """Both rules held at once, and the milder one's stop would be counted as done with the page."""
    situation = a_page_that_does_not_come(
        (SLOW_RULE, a_rule("native.error_rate > 3%", 300, "emergency")), {**SLOW, **HIGH}
    )
    situation.run(150, {**SLOW, **HIGH})
    assert situation.rungs[-1] == "emergency"


@pytest.mark.parametrize("escalate_to", ["maintenance", None])
def test_a_blocked_rollback_has_the_page_in_its_place(escalate_to: str | None) -> None:
    """A migration in between would leave the service to its fate."""
    situation = bad_deployment(books(escalate_to=escalate_to))
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    situation.run(150, BAD)
    assert situation.rungs == (["maintenance"] if escalate_to else [])
    assert (situation.state.request is None) is bool(escalate_to)
    assert situation.heard("a migration lies in between")
    assert HIGHER in situation.incident.contacts


def test_a_blocked_rollback_without_another_rung_calls_for_help() -> None:
    """Those whom the recovery plan names would not hear of it."""
    situation = bad_deployment(a_rollback_service())
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    situation.run(150, BAD)
    assert HIGHER in situation.incident.contacts


def test_a_blocked_rollback_of_what_was_so_before_is_only_told() -> None:
    """The maintenance page would come up for a deployment that is not to blame."""
    situation = bad_deployment(books())
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    average = situation.state.before["edge.error_rate"]
    assert average is not None
    before = {**situation.state.before, "edge.error_rate": replace(average, mean=average.mean * 70, of=average.of * 70)}  # type: ignore[operator]
    situation.state = replace(situation.state, before=before)
    situation.run(150, BAD)
    assert (situation.rungs, situation.state.request) == ([], None)
    assert situation.heard("pre-existing")


def test_a_blocked_rollback_in_doubt_is_asked_about_with_its_doubt() -> None:
    """What a rollback itself would have asked about would be done at once by another lever."""
    situation = bad_deployment(books())
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    situation.state = replace(situation.state, before=dict.fromkeys(situation.state.before))
    situation.run(150, BAD)
    assert situation.rungs == []
    assert situation.state.request is not None
    assert "not known" in situation.state.request.reason


def test_a_blocked_rollback_asked_for_once_is_not_asked_again() -> None:
    """A denial would be asked over at each tick."""
    situation = bad_deployment(books(escalate_to=None, rules=ROLLBACK_RULES[:1]))
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    situation.run(150, BAD)
    situation.take(Answer(situation.at, "anna", False))
    situation.run(300, BAD)
    assert situation.state.request is None


@pytest.mark.parametrize(("escalate_to", "done"), [("maintenance", ["maintenance"]), (None, [])])
def test_a_report_of_data_loss_has_the_page_in_place_of_a_blocked_rollback(
    escalate_to: str | None, done: list[str]
) -> None:
    """Data would go on being lost."""
    situation = bad_deployment(books(escalate_to=escalate_to))
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    situation.tick()
    situation.take(Trigger(situation.at, "anna", "data loss", "rows are missing"))
    assert situation.rungs == done
    assert (situation.state.request is not None) is not bool(done)


def test_a_rollback_that_did_not_help_is_followed_by_the_page() -> None:
    """The recovery plan would wait for somebody to read it."""
    situation = bad_deployment(books())
    situation.run(600, BAD)
    assert situation.rungs == ["v1", "maintenance"]
    assert situation.told("maintenance is in force").facts["if Cloudflare is the cause"]


def test_after_a_rollback_that_did_not_help_the_page_is_asked_for() -> None:
    """Without `escalate_to` nothing may go further by itself."""
    situation = bad_deployment(books(REVERTED, MAINTENANCE, escalate_to=None))
    situation.run(600, BAD)
    assert situation.rungs == ["v1"]
    assert situation.state.request is not None
    assert situation.state.request.rung == "maintenance"


def test_a_revert_that_did_not_help_goes_on_as_if_nothing_were_in_force() -> None:
    """After a deployment from git the ladder would end, though a rollback and the page are still there."""
    rules = (replace(DOWN_RULE, then="reverted"), *ROLLBACK_RULES[:1])
    situation = a_situation(books(REVERTED, MAINTENANCE, rules=rules), live="v1")
    situation.run(330, DOWN)
    situation.take(Answer(situation.at, "anna", True))
    situation.deploy("v2")
    view = situation.view
    assert view is not None
    situation.view = replace(view, blocked={"id-of-v1": "a migration lies in between"})
    situation.run(480, DOWN)
    assert situation.rungs == ["reverted", "maintenance"]


# By hand


def test_stop_goes_to_the_safest_of_the_ladders_own() -> None:
    """The emergency stop would take the site down."""
    situation = a_situation(kiosk())
    situation.take(SetRung(situation.at, "anna", None))
    assert situation.rungs == ["emergency"]
    situation = at_maintenance()
    situation.take(SetRung(situation.at, "anna", None))
    assert (situation.rungs, situation.rung) == (["maintenance", "emergency"], "maintenance")


def test_a_person_takes_it_back_to_what_is_in_force_beneath() -> None:
    """The key under it would be guessed, or written."""
    situation = at_maintenance()
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert (invoked(situation).undo, situation.rung, situation.state.beyond) == (True, "normal", ())
    assert situation.phase is Phase.HELD
    assert situation.told("without maintenance is in force").banner == "pix - maintenance taken back"
    assert "undo" not in situation.incident.facts


def test_outside_an_incident_taking_back_is_a_notice() -> None:
    """A planned maintenance would page the on-call at its end."""
    situation = at_maintenance()
    situation.take(Close(situation.at, "anna", situation.incident.id, "planned"))
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert (situation.state.incident, situation.rung) == (None, "normal")
    assert situation.heard("done as ordered")


def test_a_less_safe_rung_than_that_beneath_comes_after() -> None:
    """The page would be taken off and the key moved in one go, the second unseen."""
    situation = at_maintenance(rung="reduced")
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert situation.last is not None
    assert situation.last.reply is not None
    assert "`notaus set pix reduced` takes that back first" in situation.last.reply.text
    assert situation.rungs == ["maintenance"]


def test_a_safer_rung_of_the_ladder_is_carried_out_beneath_it() -> None:
    """Nobody could prepare what comes after the page."""
    situation = at_maintenance()
    situation.take(SetRung(situation.at, "anna", "emergency"))
    assert situation.rungs == ["maintenance", "emergency"]
    assert (situation.rung, situation.key and situation.key["emergency_proxy"]) == ("maintenance", True)
    situation.take(SetRung(situation.at, "anna", "emergency"))
    assert invoked(situation).undo


def test_it_is_there_already() -> None:
    """A second run would be started for nothing."""
    situation = at_maintenance()
    situation.take(SetRung(situation.at, "anna", "maintenance"))
    assert situation.rungs == ["maintenance"]


def test_without_undo_a_persons_word_is_taken() -> None:
    """A service whose page was taken off by hand would stand at it for ever."""
    bare = Rung("maintenance", lever=replace(MAINTENANCE.lever, undo={}))  # type: ignore[type-var]
    service = a_service(ladder=with_rungs(a_kv_ladder(), bare))
    situation = at_maintenance(service)
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert (situation.rungs, situation.rung, situation.phase) == (["maintenance"], "normal", Phase.HELD)
    situation = at_maintenance(service)
    situation.take(Close(situation.at, "anna", situation.incident.id, "planned"))
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert (situation.rung, situation.state.incident) == ("normal", None)


def test_of_several_the_safest_is_taken_back_first() -> None:
    """The one below would be forgotten with it."""
    shut = replace(MAINTENANCE, name="shut")
    service = a_service(ladder=with_rungs(a_kv_ladder(), MAINTENANCE, shut))
    situation = at_maintenance(service)
    situation.take(SetRung(situation.at, "anna", "shut"))
    assert situation.state.beyond == ("maintenance", "shut")
    situation.take(SetRung(situation.at, "anna", "maintenance"))
    assert (invoked(situation).rung, invoked(situation).undo, situation.rung) == ("shut", True, "maintenance")


def test_where_the_key_cannot_be_ranked_the_way_back_leads_to_the_first_rung() -> None:
    """Nobody could take the page off while the key is broken."""
    situation = at_maintenance()
    situation.key = {"canary_percent": "many"}
    situation.tick()
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert invoked(situation).undo


def test_nothing_is_taken_back_while_a_lever_is_pulled_or_in_observe_mode() -> None:
    """Two hands would be on the lever; or a service that only observes would act."""
    situation = at_maintenance()
    situation.levers = None
    situation.take(SetRung(situation.at, "anna", "emergency"))
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert situation.rungs == ["maintenance", "emergency"]
    situation = at_maintenance()
    situation.service = replace(situation.service, mode=Mode.OBSERVE)
    situation.take(SetRung(situation.at, "anna", "normal"))
    assert situation.rungs == ["maintenance"]


def test_no_way_back_begins_from_it() -> None:
    """A ramp would write the key beneath the page, and call it restored."""
    situation = at_maintenance()
    situation.take(RestoreOrder(situation.at, "anna"))
    assert situation.last is not None
    assert situation.last.reply is not None
    assert "`notaus set pix normal` takes that back first" in situation.last.reply.text


def test_a_ladder_that_no_longer_has_the_rung_forgets_it() -> None:
    """A service would stand at what can neither be ranked nor taken back."""
    situation = at_maintenance()
    situation.service = a_service()
    situation.take(Started(situation.at, "config-2"))
    assert (situation.state.beyond, situation.rung) == ((), "normal")


def test_the_key_beneath_it_is_still_seen() -> None:
    """Somebody who weakens the key under the page would not be noticed, or would be taken for one who made it safer."""
    situation = at_maintenance(rung="emergency", service=kiosk(verify=(READ_BACK,)))
    situation.key = {**(situation.key or {}), "emergency_proxy": False}
    situation.tick()
    assert situation.phase is Phase.HELD


def test_enforce_does_not_start_a_workflow_again_over_a_key() -> None:
    """Each change of the key under the page would start another run."""
    situation = at_maintenance(kiosk(override=OverridePolicy.ENFORCE), rung="emergency")
    situation.key = {**(situation.key or {}), "emergency_proxy": False}
    situation.tick()
    assert situation.rungs == ["maintenance"]


def test_a_view_without_a_deployment_keeps_nobody_from_the_page() -> None:
    """A Worker that was deleted could not be shut off."""
    situation = a_situation(books(rules=(DOWN_RULE,)), live="v1")
    situation.view = a_view()
    situation.run(600, DOWN)
    assert situation.rungs == ["maintenance"]


def test_severity_of_what_is_asked_is_critical() -> None:
    """A question about the last resort would come as quietly as the warning before it."""
    warning = a_rule("edge.error_rate > 5%", 120, "rolled_back", name="errors", severity=Severity.WARNING)
    situation = bad_deployment(books(escalate_to=None, rules=(warning,)), levers=Outcome.REFUSED)
    situation.run(150, BAD)
    assert situation.state.request is not None
    assert situation.state.request.severity is Severity.CRITICAL
    assert a_deployment(0, "v1").alone == "id-of-v1"


def test_a_refused_write_of_the_key_is_followed_by_the_page_too() -> None:
    """Only services that are rolled back would have a last resort."""
    situation = a_situation(kiosk(), levers=Outcome.REFUSED)
    situation.run(200, {"native.error_rate": 0.2})
    assert situation.rungs[:2] == ["emergency", "maintenance"]


def test_a_refusal_of_what_turns_out_to_be_older_leads_to_nothing_else() -> None:
    """The page would come up for trouble that the deployment did not bring."""
    situation = bad_deployment(books(), levers=None)
    situation.run(150, BAD)
    average = situation.state.before["edge.error_rate"]
    assert average is not None
    before = {**situation.state.before, "edge.error_rate": replace(average, mean=average.mean * 70, of=average.of * 70)}  # type: ignore[operator]
    situation.state = replace(situation.state, before=before)
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    assert situation.rungs == ["v1"]
    assert situation.state.request is None


def test_a_blind_rule_does_not_take_a_rung_that_needs_approval() -> None:
    """Missing data would push a revert."""
    rule = replace(DOWN_RULE, then="rolled_back", on_blind="reverted", blind_after=60)
    situation = a_situation(books(REVERTED, rules=(rule,)), live="v1")
    situation.pending = frozenset({"health.failed"})
    situation.run(600)
    assert situation.rungs == []


SHUT = Rung("shut", lever=CommandLever(("/etc/notaus/page", "on now"), undo=("/etc/notaus/page", "off")))


def test_a_command_that_was_lost_is_run_again_by_a_persons_word_alone() -> None:
    """What may have been done would be done twice, or nobody be asked."""
    service = books(SHUT, rules=(replace(DOWN_RULE, then="shut"),))
    situation = a_situation(service, live="v1", levers=Outcome.LOST)
    situation.run(600, DOWN)
    assert situation.rungs == ["shut"]
    assert situation.heard("may have been done, or not")
    assert situation.state.request is not None
    situation.levers = Outcome.DONE
    situation.take(Answer(situation.at, "anna", True))
    assert (situation.rungs, situation.rung) == (["shut", "shut"], "shut")
    assert situation.told("shut is in force").facts["undo"] == "/etc/notaus/page off"


def test_a_persons_command_that_was_lost_is_told_to_that_person() -> None:
    """A question would be asked for which no rule stands."""
    situation = a_situation(books(SHUT), live="v1", levers=Outcome.LOST)
    situation.take(SetRung(situation.at, "anna", "shut"))
    assert (situation.rungs, situation.state.request) == (["shut"], None)
    assert situation.told("may have been done").facts["by hand"] == "/etc/notaus/page 'on now'"


def test_another_rule_does_not_run_a_lost_command_again() -> None:
    """What may have been done would be done twice without anybody's word."""
    rules = (replace(DOWN_RULE, then="shut"), a_rule("edge.error_rate > 5%", 600, "shut", name="errors"))
    situation = a_situation(books(SHUT, rules=rules), live="v1", levers=Outcome.LOST)
    situation.run(900, {**DOWN, **BAD})
    assert situation.rungs == ["shut"]
    assert situation.state.request is not None
    assert situation.state.request.rules == ("down", "errors")


def test_a_hold_refuses_an_approval_of_it() -> None:
    """A revert would be pushed in the middle of a migration."""
    situation = a_situation(books(REVERTED, rules=(replace(DOWN_RULE, then="reverted"),)), live="v1")
    situation.run(600, DOWN)
    situation.take(Hold(situation.at, "ben", 1200, "migration 42"))
    reply = situation.take(Answer(situation.at, "anna", True)).reply
    assert reply is not None
    assert (reply.accepted, situation.rungs) == (False, [])
    assert "migration 42" in reply.text


CANARY_RULE = a_rule("native.error_rate > 3%", 180, "emergency", name="errors")


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.LOST])
@pytest.mark.parametrize("later", [0, 60])
def test_where_it_is_refused_what_calls_for_less_acts_for_itself(outcome: Outcome, later: int) -> None:
    """The emergency stop would stay untouched, because a workflow that then failed had been on its way."""
    rules = (a_rule("r2.failures > 5", 180, "maintenance", name="lost"), CANARY_RULE)
    situation = a_situation(kiosk(rules=rules), levers=None)
    situation.run(later, {"r2.failures": 50})
    situation.run(240, {"r2.failures": 50, "native.error_rate": 0.2})
    assert situation.rungs == ["maintenance"]
    situation.levers = Outcome.DONE
    situation.end_lever(situation.pulled[0], outcome)
    situation.run(60, {"r2.failures": 50, "native.error_rate": 0.2})
    assert situation.rungs == ["maintenance", "emergency"]


def with_an_unknown_end(rung: str = "normal") -> Situation:
    """A maintenance page of which nobody knows whether it is up; its next try is due."""
    situation = a_situation(kiosk(rules=(SLOW_RULE,)), rung=rung)
    situation.run(600)
    situation.levers = Outcome.UNKNOWN
    situation.run(330, SLOW)
    assert set(situation.rungs) == {"maintenance"}
    return situation


@pytest.mark.parametrize("by", ["the key", "close"])
def test_what_a_person_overtakes_with_an_unknown_end_is_told(by: str) -> None:
    """They have decided otherwise, and the page may come up all the same; and it was begun again beside it."""
    situation = with_an_unknown_end()
    begun = len(situation.rungs)
    if by == "close":
        situation.take(Close(situation.at, "ann", situation.incident.id, "mine"))
        assert situation.closed[-1].lost == ("maintenance",)
    else:
        situation.key = {"canary_percent": 25, "emergency_proxy": False}
        situation.run(60, SLOW)
        assert (situation.phase, situation.incident.lost) == (Phase.HELD, ("maintenance",))
    assert situation.heard("stepping to maintenance may have been done all the same")
    assert len(situation.rungs) == begun


@pytest.mark.parametrize("order", ["set", "restore"])
def test_what_an_order_overtakes_with_an_unknown_end_is_told_once(order: str) -> None:
    """People had last read that it is tried on."""
    situation = with_an_unknown_end("reduced")
    situation.levers = Outcome.DONE
    before = len(situation.said)
    if order == "set":
        situation.take(SetRung(situation.at, "anna", "emergency"))
    else:
        situation.take(RestoreOrder(situation.at, "anna", ()))
        assert situation.phase is Phase.RAMPING
    told = [page.title for page in situation.said[before:] if "all the same" in page.title]
    assert told == ["pix: stepping to maintenance may have been done all the same"]
    assert situation.incident.lost == ("maintenance",)
    begun = situation.rungs.count("maintenance")
    situation.run(1200, SLOW)
    assert situation.rungs.count("maintenance") == begun


def test_a_rollback_service_that_is_restored_with_an_unknown_workflow_hears_of_it() -> None:
    situation = a_situation(books(rules=(replace(DOWN_RULE, hold=60),)), live="v2")
    situation.levers = Outcome.UNKNOWN
    situation.run(120, DOWN)
    assert set(situation.rungs) == {"maintenance"}
    situation.take(RestoreOrder(situation.at, "anna", ()))
    assert situation.state.incident is None
    assert situation.heard("stepping to maintenance may have been done all the same")


def test_a_doubt_that_is_settled_is_none_any_more() -> None:
    """An hour later a new breach would only ask, and say that nobody can find out what two orders have made sure of."""
    situation = with_an_unknown_end()
    situation.levers = Outcome.DONE
    before = len(situation.said)
    situation.take(SetRung(situation.at, "anna", "maintenance"))
    assert situation.incident.lost == ()
    assert not any("all the same" in page.title for page in situation.said[before:])


def test_a_lost_undo_is_no_doubt_about_the_rung_beneath() -> None:
    """The emergency stop would ask whether it is in force."""
    situation = at_maintenance(kiosk(rules=(SLOW_RULE, KV_RULES[1])), rung="emergency")
    situation.levers = Outcome.LOST
    situation.take(SetRung(situation.at, "anna", "emergency"))
    assert situation.incident.lost == ("maintenance",)


def test_a_workflow_that_deploys_is_dispatched_once_a_stretch_of_blindness() -> None:
    """Its own deployment passed for a new version that nobody looks at: each run reverted the one before."""
    rung = Rung("reverted", lever=WorkflowLever("books/api", "revert.yml", deploys=True))
    rule = a_rule("edge.error_rate > 10%", 120, "reverted", name="spike", on_blind="reverted")
    ladder = with_rungs(a_deployment_ladder(), rung, escalate_to="reverted")
    service = a_rollback_service(ladder=ladder, rules=(rule,), require=frozenset())
    situation = a_situation(service, live="v2", levers=None)
    situation.run(600)
    situation.pending = frozenset({"edge.error_rate"})
    situation.run(480)
    assert len(situation.pulled) == 1
    situation.deploy("v3")
    situation.end_lever(situation.pulled[-1], Outcome.DONE)
    situation.run(3600)
    assert len(situation.pulled) == 1


def test_a_doubt_is_told_for_each_run_and_once() -> None:
    """The page that a person began after it would come up unannounced; or each write would ring for the first one."""
    situation = with_an_unknown_end("reduced")
    situation.run(120)
    assert situation.heard("it may have been done all the same")
    before = len(situation.said)
    situation.key = {"canary_percent": 10, "emergency_proxy": False}
    situation.run(30)
    assert not any("all the same" in page.title for page in situation.said[before:])
    situation.take(SetRung(situation.at, "anna", "maintenance"))
    situation.key = {"canary_percent": 25, "emergency_proxy": False}
    situation.run(30)
    told = [page.title for page in situation.said[before:] if "all the same" in page.title]
    assert told == ["pix: stepping to maintenance may have been done all the same"]
