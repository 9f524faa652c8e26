"""Steps: from the decision to the lever's outcome, its retries, and the checks that follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notaus.core.effect import Collect, Deploy, Kept, Outcome, RunChecks, Send, WriteKv
from notaus.core.event import ChecksEnded, Close, Collected, LeverSlow, RestoreOrder, SetRung
from notaus.core.incident import Phase
from notaus.core.rule import Severity
from notaus.core.service import Exhibit, Mode
from notaus.core.verification import RampStep, Restore
from tests.builders import READ_BACK, T0, Situation, a_kv_ladder, a_rollback_service, a_service, a_situation

BAD = {"native.error_rate": 0.05}
MILD = {"native.error_rate": 0.02}


def acting(**changes: object) -> Situation:
    """A critical breach has been acted on, and the lever's outcome is still out."""
    situation = a_situation(levers=None, **changes)  # type: ignore[arg-type]
    situation.until(Phase.ACTING, BAD)
    return situation


def test_a_critical_breach_writes_the_emergency_rung_and_pages_after() -> None:
    """Act first, then page."""
    situation = acting()
    assert situation.at == T0 + 15 + 180
    assert [p.action for p in situation.pulled] == [WriteKv("emergency", True, None, True)]
    assert situation.said == []
    situation.end_lever(situation.pulled[0])
    assert situation.phase is Phase.VALIDATING
    page = situation.said[0]
    assert (page.severity, page.loud, page.title) == (Severity.CRITICAL, True, "pix: emergency is in force")
    assert page.facts["undo"].startswith('npx wrangler kv key put config \'{"canary_tag":"B2a","canary_percent":10')
    assert page.facts["evidence"].endswith("practically never")
    assert "canary_percent=10" in page.facts["replaced"]


def test_after_ten_seconds_without_an_outcome_people_are_told_once() -> None:
    """An action nobody was told of."""
    situation = acting()
    pull = situation.pulled[0].id
    situation.take(LeverSlow(situation.at, "another"))
    situation.take(LeverSlow(situation.at, pull))
    situation.take(LeverSlow(situation.at, pull))
    assert situation.titles == ["pix: stepping to emergency (not confirmed yet)"]
    situation.end_lever(situation.pulled[0])
    assert not situation.said[-1].loud
    situation.take(LeverSlow(situation.at, pull))
    assert len(situation.said) == 2


def test_a_slow_lever_that_a_later_step_has_overtaken_is_told_of_no_more() -> None:
    """People would hear of the newest step that it is not confirmed, whose ten seconds have only begun."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, {"native.error_rate": 0.02})
    situation.run(195, BAD)
    assert situation.rungs == ["reduced", "emergency"]
    earlier, later = situation.pulled
    situation.take(LeverSlow(situation.at, earlier.id))
    assert not situation.heard("not confirmed yet")
    situation.take(LeverSlow(situation.at, later.id))
    assert situation.titles[-1] == "pix: stepping to emergency (not confirmed yet)"


def test_the_same_outcome_twice_changes_nothing() -> None:
    """A step counted, told or verified twice after a restart."""
    situation = acting()
    situation.end_lever(situation.pulled[0])
    before = situation.state
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    assert situation.state == before


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
def test_a_lever_that_did_not_get_through_is_tried_again_with_patience(outcome: Outcome) -> None:
    """A step lost to a bad minute at Cloudflare; or one that hammers it."""
    situation = acting()
    tries = []
    for _ in range(4):
        start = situation.at
        situation.end_lever(situation.pulled[-1], outcome)
        before = len(situation.pulled)
        while len(situation.pulled) == before:
            situation.tick(BAD)
        tries.append(situation.at - start)
    assert tries == [15, 30, 60, 60]
    assert [t for t in situation.titles if "did not get through" in t] == [
        "pix: stepping to emergency did not get through"
    ]
    situation.end_lever(situation.pulled[-1])
    assert situation.phase is Phase.VALIDATING
    assert len(set(situation.rungs)) == 1


def test_a_step_whose_condition_cleared_before_it_got_through_is_dropped() -> None:
    """Spec 6: dropped, not applied late."""
    situation = acting()
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.run(60)
    assert situation.phase is Phase.WATCHING
    assert situation.heard("dropped: the condition has cleared")
    assert len(situation.pulled) == 1


def test_missing_data_drops_no_step() -> None:
    """Missing data clears nothing."""
    situation = acting()
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.run(30, {"native.error_rate": None})
    assert len(situation.pulled) == 2


def test_a_persons_step_is_tried_again_whatever_the_samples_say() -> None:
    """Nobody asked the samples when a person decided."""
    situation = a_situation(levers=None)
    situation.take(SetRung(situation.at, "ann", "reduced"))
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.run(30)
    assert [p.action for p in situation.pulled][1:] == [
        WriteKv("reduced", False, {"canary_percent": 10, "emergency_proxy": False}, False)
    ]


@pytest.mark.parametrize(("outcome", "said"), [(Outcome.REFUSED, "was refused"), (Outcome.FOREIGN, "was overtaken")])
def test_a_refused_step_is_told_and_not_forced(outcome: Outcome, said: str) -> None:
    """A refused rollback is never forced; people get the command."""
    situation = acting()
    situation.end_lever(situation.pulled[0], outcome)
    assert situation.phase is Phase.WATCHING
    assert situation.told(said).severity is Severity.CRITICAL
    assert "npx wrangler kv key put config" in situation.said[-1].facts["by hand"]
    situation.run(90, BAD)
    assert len(situation.pulled) == 1


def test_already_there_counts_as_in_force() -> None:
    """The lever found the key as safe or safer: nothing was written, and the verdict goes on from there."""
    situation = acting()
    situation.key = {"canary_percent": 0, "emergency_proxy": True}
    situation.end_lever(situation.pulled[0], Outcome.ALREADY)
    assert (situation.phase, situation.rung) == (Phase.VALIDATING, "emergency")


def test_a_rollback_names_the_deployment_judged_also_when_tried_again() -> None:
    """A fix-forward that comes in between two tries would be rolled back over."""
    situation = a_situation(live="v2", levers=None)
    situation.until(Phase.ACTING, {"edge.error_rate": 0.2})
    action = situation.pulled[0].action
    assert isinstance(action, Deploy)
    assert (action.label, action.expected, action.accept_changed_secrets) == ("v1", "deployment--900", False)
    assert action.message.startswith("notaus books-")
    assert "edge.error_rate > 10%; seen: edge.error_rate 20 %" in action.message
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.deploy("v3")
    situation.run(30, {"edge.error_rate": 0.2})
    assert [p.action.expected for p in situation.pulled] == ["deployment--900"] * 2  # type: ignore[union-attr]
    situation.end_lever(situation.pulled[-1], Outcome.FOREIGN)
    situation.tick({"edge.error_rate": 0.2})
    assert situation.phase is Phase.WATCHING
    assert situation.heard("v3 was deployed: a fix-forward")


def test_the_checks_of_a_step_are_told_and_unverified_is_a_state_of_its_own() -> None:
    """Spec 9: unverified is paged, not retried, and cleared by analytics that show the effect."""
    situation = a_situation(a_service(verify=(READ_BACK,)), checks=False)
    situation.until(Phase.VALIDATING, MILD)
    assert situation.state.words == {"validating", "unverified"}
    assert situation.told("reduced is unverified").loud
    situation.until(Phase.MITIGATED)
    assert situation.heard("by the signals alone")
    assert situation.state.words == {"mitigated"}
    assert len(situation.pulled) == 1


def test_checks_get_the_rungs_fields_and_the_target() -> None:
    """`.canary.percent` = 5 is expected of the rung that was set, not of another."""
    situation = a_situation(a_rollback_service(verify=(READ_BACK,)), live="v2", checks=None)
    situation.until(Phase.VALIDATING, {"edge.error_rate": 0.2})
    checks = next(e for e in situation.state.outbox.values() if isinstance(e, RunChecks))
    assert checks.variables == {"target.tag": "v1", "target.id": "id-of-v1"}
    assert checks.deadline == situation.at + 120
    before = situation.state
    situation.take(ChecksEnded(situation.at, "unknown", None))  # type: ignore[arg-type]
    assert situation.state == before


def test_an_incident_is_not_closed_while_a_lever_is_being_pulled() -> None:
    """The next tick would ask for the same step again, in a new incident."""
    situation = acting()
    situation.take(Close(situation.at, "ann", situation.incident.id, "false alarm"))
    assert situation.phase is Phase.ACTING
    situation.end_lever(situation.pulled[0])
    situation.take(Close(situation.at, "ann", situation.incident.id, "false alarm"))
    assert situation.phase is None
    assert situation.rung == "emergency"


def test_in_observe_mode_no_lever_is_pulled_and_notices_say_what_would_have_been_done() -> None:
    """A new service must be safe to point at production."""
    situation = a_situation(a_service(mode=Mode.OBSERVE))
    situation.until(Phase.VALIDATING, MILD)
    assert situation.pulled == []
    assert situation.rung == "reduced"
    assert situation.pages() == []
    assert situation.notices() == ["pix: would act: stepping to reduced"]
    situation.until(Phase.MITIGATED)
    situation.until(None)
    assert situation.closed[0].phase is Phase.CLOSED
    assert situation.rung == "normal"


def test_messages_leave_the_outbox_only_when_delivered() -> None:
    """A page lost."""
    situation = acting(delivering=False)
    situation.end_lever(situation.pulled[0])
    assert sum(isinstance(e, Send) for e in situation.state.outbox.values()) == 2


def test_a_lever_that_has_ended_is_not_asked_for_again() -> None:
    """A restart would pull it once more."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, BAD)
    situation.end_lever(situation.pulled[0])
    assert situation.pulled[0].id not in situation.state.outbox


def test_an_automatic_step_tried_again_still_only_goes_up() -> None:
    """Somebody was safer meanwhile, and the second try would undo it."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, BAD)
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.run(30, BAD)
    assert [pull.action for pull in situation.pulled] == [situation.pulled[0].action] * 2


def test_checks_know_all_that_the_step_writes() -> None:
    """`$canary_tag` in a check would be taken for the tag itself, and each step be unverified."""
    ladder = a_kv_ladder()
    lever = replace(ladder.lever, fields={"canary_tag": "B2a", "last_updated": "$now"})
    situation = a_situation(a_service(ladder=replace(ladder, lever=lever), verify=(READ_BACK,)), checks=None)
    situation.until(Phase.VALIDATING, BAD)
    checks = next(e for e in situation.state.outbox.values() if isinstance(e, RunChecks))
    assert checks.variables == {"canary_tag": "B2a", **ladder.safest.fields}


KEEPING = (Exhibit.SAMPLES, Exhibit.TELEMETRY)


def collects(situation: Situation) -> list[Collect]:
    return [effect for effect in situation.state.outbox.values() if isinstance(effect, Collect)]


def test_evidence_is_asked_for_once_and_after_the_lever() -> None:
    """Keeping logs would hold up the emergency stop; or each step would copy everything anew."""
    situation = a_situation(a_service(evidence=KEEPING), levers=None)
    situation.until(Phase.ACTING, BAD)
    assert [type(e).__name__ for e in situation.state.outbox.values()] == ["PullLever", "Collect"]
    (asked,) = collects(situation)
    incident = situation.state.incident
    assert incident is not None
    assert (asked.incident, asked.evidence, asked.since) == (incident.id, KEEPING, situation.at - 1800)
    situation.end_lever(situation.pulled[0], Outcome.FAILED)
    situation.run(60, BAD)
    assert len(situation.pulled) > 1
    assert len(collects(situation)) == 1


def test_evidence_is_kept_of_an_incident_that_began_as_an_order() -> None:
    """On the way back to normal a breach comes, and of the worst incident of the week nothing is kept."""
    restore = Restore((), (RampStep("reduced", 3600),))
    situation = a_situation(a_service(evidence=KEEPING, restore=restore), rung="disabled")
    situation.take(RestoreOrder(situation.at, "ann"))
    situation.run(120)
    assert collects(situation) == []
    situation.run(300, {"native.error_rate": 0.3})
    assert situation.rungs == ["reduced", "emergency"]
    assert len(collects(situation)) == 1


def test_where_the_evidence_lies_stands_on_the_page() -> None:
    """People would not know of it, nor of what is missing; told twice after a crash, it is one."""
    situation = a_situation(a_service(evidence=KEEPING), levers=None)
    situation.until(Phase.ACTING, BAD)
    (asked,) = collects(situation)
    ended = Collected(situation.at + 70, asked.id, Kept("var/incidents/x", 3, 999, ("2-telemetry.ndjson: refused",)))
    situation.take(ended)
    incident = situation.state.incident
    assert incident is not None
    said = "3 files, 999 bytes in var/incidents/x; missing: 2-telemetry.ndjson: refused"
    assert incident.facts["evidence kept"] == said
    situation.take(ended)
    assert [e.text for e in (situation.state.incident or incident).timeline].count(f"evidence kept: {said}") == 1
    assert collects(situation) == []


def test_without_a_word_about_evidence_none_is_kept() -> None:
    """A service would be read and copied that nobody asked it of."""
    situation = acting()
    assert collects(situation) == []


def test_where_nothing_was_kept_and_nothing_failed_the_page_says_nothing() -> None:
    """People would look for evidence in a place that has no name."""
    situation = a_situation(a_service(evidence=KEEPING), levers=None)
    situation.until(Phase.ACTING, BAD)
    (asked,) = collects(situation)
    situation.take(Collected(situation.at + 70, asked.id, Kept("", 0, 0)))
    assert "evidence kept" not in situation.incident.facts
    assert collects(situation) == []


def test_the_end_of_a_lever_that_a_later_step_has_overtaken_is_not_the_later_ones() -> None:
    """The step to the safest rung would count as done while its lever is still being pulled."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, MILD)
    situation.run(195, BAD)
    earlier, later = situation.pulled
    situation.end_lever(earlier)
    assert situation.phase is Phase.ACTING
    situation.end_lever(later)
    assert situation.phase is Phase.VALIDATING
