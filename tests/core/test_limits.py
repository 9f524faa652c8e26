"""What stands between a breach and its step, limit by limit; and the corners of the modules around it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from notaus.core import approval, decision, foreign, limits, orders, restore, watch
from notaus.core.breach import Breach
from notaus.core.deployment import OLD, Average, Standing
from notaus.core.effect import LeverResult, Outcome
from notaus.core.event import Answer, Close, LeverEnded, Polled, RollBack, SetRung, Started
from notaus.core.evidence import Evidence
from notaus.core.incident import Phase
from notaus.core.ladder import DeploymentLever, Ladder, Rung
from notaus.core.limits import Permit
from notaus.core.rule import Severity
from notaus.core.sample import History
from notaus.core.service import Mode
from notaus.core.state import Lock, Request, RuleState, State, Write
from notaus.core.turn import Turn
from notaus.core.verdict import Verdict, verdict
from notaus.core.world import DeploymentsView, KvView
from tests.builders import (
    T0,
    a_breach,
    a_deployment,
    a_history,
    a_kv_ladder,
    a_rate,
    a_registry,
    a_rollback_service,
    a_rule,
    a_run,
    a_service,
    a_signal,
    a_situation,
    a_state,
    a_step,
    a_turn,
    a_view,
    an_incident,
    signals_of,
)

SPIKE = "error spike"


def rolled(live: str = "v2", *stable: str, age: int = 600, state: dict[str, object] | None = None) -> Turn:
    """A rollback service whose `live` version was deployed `age` seconds ago, after a day of v1."""
    service = a_rollback_service()
    view = a_view(a_deployment(T0 - age, live), a_deployment(T0 - 86400, "v1"))
    registry = a_registry(view, *(stable or ("v1",)))
    standing = replace(registry.of("id-of-v1"), served_until=T0 - age)
    registry = replace(registry, versions={**registry.versions, "id-of-v1": standing})
    before = {"edge.error_rate": Average(Fraction(1, 300), Fraction(10), Fraction(3000))}
    fields = {"view": view, "registry": registry, "accepted": view.deployments[0].id, "before": before, **(state or {})}
    bad = a_history(start=T0 - 120, edge__error_rate=[0.2] * 9)
    return a_turn(service, a_state(service, **fields), bad)


def on_rollback(turn: Turn, name: str = SPIKE, start: int = T0 - 120) -> limits.Ruling:
    return limits.rule_on(turn, turn.service.rule(name), a_run(start, 120), "rolled_back")


def test_a_step_that_comes_late_asks_first() -> None:
    """After a downtime an automatic rollback would surprise everybody (spec 7)."""
    turn = rolled(age=4000)
    ruling = on_rollback(turn, start=T0 - 3000)
    assert ruling.permit is Permit.ASK
    assert "comes late" in ruling.reason


def test_of_two_unproven_live_versions_neither_is_blamed() -> None:
    """Which of two to leave is a person's decision (spec 6)."""
    turn = rolled()
    view = a_view(a_deployment(T0 - 600, ("v2", 50), ("v3", 50)), a_deployment(T0 - 86400, "v1"))
    turn.change(view=view, registry=a_registry(view, "v1"))
    ruling = on_rollback(turn)
    assert (ruling.permit, ruling.severity) == (Permit.ASK, Severity.CRITICAL)
    assert ruling.version == "id-of-v1"


def test_a_target_that_last_served_a_month_ago_asks_first() -> None:
    """Old code may not fit today's data (spec 6)."""
    turn = rolled()
    old = Standing(T0 - OLD - 7200, served_until=T0 - OLD - 3600, served=True)
    registry = turn.state.registry
    turn.change(registry=replace(registry, versions={**registry.versions, "id-of-v1": old}))
    ruling = on_rollback(turn)
    assert ruling.permit is Permit.ASK
    assert ruling.reason == "v1 last served 30 days ago"


def test_automation_deploys_one_target_in_an_incident() -> None:
    """A second one would be guessing (spec 6)."""
    turn = rolled(state={"incident": an_incident(deployed=("id-of-v0",))})
    ruling = on_rollback(turn)
    assert ruling.permit is Permit.ASK
    assert "another version" in ruling.reason


def test_the_page_about_something_pre_existing_names_what_is_not_counted_too() -> None:
    """A person judges by the numbers; a scalar has no interval, and what is unknown is said to be."""
    turn = rolled(state={"before": {"health.failed": Average(Fraction(1))}})
    turn.history = a_history(start=T0 - 60, health__failed=[1, 1, 1, 1, 1])
    ruling = on_rollback(turn, "outage", start=T0 - 60)
    assert (ruling.permit, ruling.reason) == (
        Permit.TELL,
        "pre-existing, not this deployment's doing: health.failed was 1, is 1",
    )
    turn.history = History()
    assert limits._intervals(turn, turn.service.rule("outage"), a_run()) == "health.failed was 1, is unknown"


def test_without_a_draining_rung_the_share_names_the_cohort_that_is_relieved() -> None:
    """Traffic would be sent to a cohort that is clearly worse (spec 5, 17.10)."""
    service = a_service(ladder=a_kv_ladder(drains={}))
    state = a_state(service, fields={"canary_percent": 10, "emergency_proxy": False}, world_at=T0)
    turn = a_turn(service, state)
    readings = {
        "native.error_rate": tuple(a_rate(T0 - i, 0.04) for i in range(180, -1, -15)),
        "proxy.error_rate": tuple(a_rate(T0 - i, 0.2, 9000) for i in range(180, -1, -15)),
    }
    turn.history = History().merged(readings, 0)
    ruling = limits.rule_on(turn, service.rule("errors high"), a_run(T0 - 180, 180), "emergency")
    assert (ruling.permit, ruling.severity) == (Permit.ASK, Severity.CRITICAL)
    assert "clearly worse" in ruling.reason


# Requests


def a_request(**changes: object) -> Request:
    fields: dict[str, object] = {"version": "id-of-v1", "deployment": "deployment--600"}
    return Request(
        "books-1", (SPIKE,), "rolled_back", T0, 1800, T0, "it asks", Severity.CRITICAL, **{**fields, **changes}
    )  # type: ignore[arg-type]


def asked(request: Request) -> Turn:
    turn = rolled(state={"request": request, "incident": an_incident(Phase.AWAITING_APPROVAL, rules=(SPIKE,))})
    turn.holds = {SPIKE: a_breach(T0 - 120, 120)}
    turn.history = a_history(start=T0, edge__error_rate=[0.2])
    return turn


def test_an_approval_for_another_deployment_is_refused() -> None:
    """What was approved is not what would be rolled back (spec 8)."""
    turn = asked(a_request(deployment="an-earlier-one"))
    approval.answer(turn, Answer(turn.now, "ann", True, "books-1"))
    assert turn.reply is not None
    assert turn.reply.text == "not done: another deployment is live by now"
    assert turn.effects == ()


def test_an_approval_for_another_target_is_refused() -> None:
    """The person has read another name (spec 8)."""
    turn = asked(a_request(version="id-of-v0"))
    approval.answer(turn, Answer(turn.now, "ann", True, "books-1"))
    assert turn.reply is not None
    assert turn.reply.text == "not done: the target is another one by now"


def test_a_request_is_not_withdrawn_on_data_that_was_never_read() -> None:
    """Missing data clears nothing (spec 3)."""
    turn = asked(a_request())
    turn.holds = {}
    approval.upkeep(turn)
    assert turn.state.request is not None


def test_a_rule_that_was_refused_asks_again_only_once_it_has_cleared() -> None:
    """People would be asked the same question every five minutes (spec 8)."""
    turn = asked(a_request())
    turn.change(request=None)
    turn.mark(SPIKE, refused="deployment--600")
    breach = Breach(turn.service.rule(SPIKE), a_run(T0 - 120, 120), Evidence(True, "enough"))
    proposal = decision.Proposal(breach, "rolled_back", limits.Ruling(Permit.ASK, "it asks", version="id-of-v1"))
    decision._ask(turn, proposal)
    assert turn.state.request is None
    calm = a_history(
        start=T0 - 600, edge__error_rate=[0.003] * 41, health__failed=[0] * 41, api__cache_hit_rate=[0.8] * 41
    )
    turn.history = calm
    turn.holds = watch.evaluate(turn)
    watch.notify(turn)
    assert turn.rule_state(SPIKE).refused is None


def test_at_the_end_of_a_hold_people_hear_why_nothing_is_done() -> None:
    """The target has been blocked meanwhile: silence would look like all is well (spec 7)."""
    turn = asked(a_request())
    lock = Lock(T0 - 600, T0, "ann", "migration")
    turn.change(request=None, lock=lock, view=replace(turn.state.view, blocked={"id-of-v1": "a binding is gone"}))
    turn.mark(SPIKE, held_back=T0 - 120, told=T0 - 120)
    decision.lift(turn, lock)
    assert turn.state.request is None
    assert turn.rule_state(SPIKE).told is None


# The verdict, and what follows from it


def test_a_step_that_would_send_traffic_to_a_worse_cohort_asks_after_the_verdict_too() -> None:
    """The next rung is no better idea than the first one was (spec 5)."""
    situation = a_situation()
    mild = {"native.error_rate": 0.02}
    situation.until(Phase.VALIDATING, mild)
    situation.run(375, {**mild, "proxy.error_rate": 0.3})
    assert situation.rungs == ["reduced"]
    assert situation.state.request is not None
    assert situation.state.request.rung == "disabled"


def test_the_numbers_of_the_cohorts_leave_out_what_was_never_read() -> None:
    """A page must not fail for want of a number."""
    turn = a_turn()
    turn.history = a_history(native__error_rate=[0.02])
    assert decision.cohorts(turn) == "native.error_rate 0.02"


def test_a_cohort_without_the_signal_is_not_asked_about() -> None:
    """At a draining rung the rule is asked of the other cohort, where that has the signal (spec 5)."""
    service = a_service()
    signals = signals_of(*service.signals.values(), a_signal("native.queue"))
    rule = a_rule("native.queue > 5", name="queue")
    service = replace(service, signals=signals, rules=(*service.rules, rule))
    step = a_step("emergency", "queue", verified=True)
    times = 25
    readings = {
        "native.share": tuple(a_rate(T0 + 15 * i, 0, 10000) for i in range(times)),
        "native.queue": tuple(replace(a_rate(T0 + 15 * i, 0.0, 10), value=Fraction(9)) for i in range(times)),
    }
    found, _ = verdict(service, step, History().merged(readings, 0), T0 + 360, {})
    assert found is Verdict.RESOLVED


# Steps and the world


def test_what_a_lever_noticed_is_in_the_timeline() -> None:
    """A fixed field that differs is told, not corrected (spec 6)."""
    situation = a_situation(levers=None)
    situation.until(Phase.ACTING, {"native.error_rate": 0.06})
    result = LeverResult(Outcome.DONE, "written", notes=("canary_tag is B3, kept",))
    situation.take(LeverEnded(situation.at, situation.pulled[0].id, result))
    assert situation.state.incident is not None
    assert "canary_tag is B3, kept" in [entry.text for entry in situation.state.incident.timeline]


def test_a_triggered_step_that_did_not_get_through_is_wanted_still() -> None:
    """No sample can clear what a person has reported (spec 3)."""
    service = a_service()
    turn = a_turn(service, a_state(service, incident=an_incident(Phase.ACTING)))
    from notaus.core import action

    assert action.still_wanted(turn, a_step("emergency", "database errors"))


def test_a_ladder_may_call_its_first_rung_what_it_likes() -> None:
    """A service would stop at its first tick."""
    ladder = Ladder(DeploymentLever("api-worker"), (Rung("live"), Rung("rolled_back", stable=True)))
    situation = a_situation(replace(a_rollback_service(), ladder=ladder), live="v2")
    situation.state = State("books")
    situation.take(Started(situation.at, "config-1"))
    assert situation.state.rung == "live"


def test_a_tick_without_a_look_at_the_world_changes_nothing_about_it() -> None:
    """At rest the world is read less often than the signals (spec 2)."""
    situation = a_situation()
    situation.tick()
    fields, looked = situation.state.fields, situation.state.world_at
    situation.at += 15
    situation.take(Polled(situation.at, situation.at, {}))
    assert (situation.state.fields, situation.state.world_at) == (fields, looked)


def test_for_a_minute_after_a_write_the_value_it_replaced_is_merely_stale() -> None:
    """An echo would pass for a person's override (spec 7)."""
    service = a_service()
    normal = {"canary_percent": 10, "emergency_proxy": False}
    reduced = {"canary_percent": 5, "emergency_proxy": False}
    write = Write(T0, reduced, normal)
    incident = an_incident(Phase.VALIDATING, steps=1, step=a_step())
    turn = a_turn(service, a_state(service, fields=reduced, write=write, incident=incident), at=T0 + 30)
    foreign.look(turn, KvView(T0 + 30, dict(normal)))
    assert turn.state.fields == reduced
    assert turn.open_incident.phase is Phase.VALIDATING


def test_our_own_write_seen_at_last_is_nobody_elses() -> None:
    """A lagging look would make an override of our own step (spec 7)."""
    service = a_service()
    reduced = {"canary_percent": 5, "emergency_proxy": False}
    incident = an_incident(Phase.VALIDATING, steps=1, step=a_step())
    turn = a_turn(service, a_state(service, write=Write(T0, reduced, None), incident=incident), at=T0 + 90)
    foreign.look(turn, KvView(T0 + 90, dict(reduced)))
    assert turn.state.fields == reduced
    assert turn.open_incident.phase is Phase.VALIDATING


def test_a_script_without_deployments_has_nothing_to_account_for() -> None:
    """A Worker that was never deployed must not stop the poll."""
    turn = rolled()
    foreign.look(turn, DeploymentsView(T0, ()))
    assert turn.state.accepted == "deployment--600"
    assert turn.state.view is not None
    assert turn.state.view.live is None


def test_flapping_of_a_rollback_rule_is_judged_within_the_deployment() -> None:
    """What another version did says nothing about this one (spec 7)."""
    situation = a_situation(live="v2")
    for _ in range(12):
        situation.run(90, {"edge.error_rate": 0.2})
        situation.run(15)
    assert "books: flapping: error spike" in situation.notices()


# Orders


def test_in_observe_mode_a_persons_order_is_refused_with_the_command() -> None:
    """ "has begun" would be a lie: no lever is pulled."""
    observing = a_turn(a_service(mode=Mode.OBSERVE))
    orders.obey(observing, SetRung(T0, "ann", "emergency"))
    assert observing.reply is not None
    assert not observing.reply.accepted
    assert "wrangler kv key put" in observing.reply.text
    turn = rolled()
    turn.service = replace(turn.service, mode=Mode.OBSERVE)
    orders.obey(turn, RollBack(T0, "ann"))
    assert turn.reply is not None
    assert "observe mode" in turn.reply.text


def test_a_restore_waits_for_the_look_after_the_rollback() -> None:
    """The view is still that of the bad version, and the answer would be wrong."""
    turn = rolled(state={"incident": an_incident(Phase.VALIDATING), "accepted": "the-new-one"})
    restore.start(turn, "ann", ())
    assert turn.reply is not None
    assert turn.reply.text == "the deployments are being read; try again in a moment"


def test_a_service_without_anything_going_on_is_idle() -> None:
    """`notaus status` needs a word for it."""
    assert State("pix").words == {"idle"}
    assert State("pix", rules={"r": RuleState(T0, held_back=T0)}).words == {"held_back"}


def test_a_budget_of_a_day_counts_the_whole_day() -> None:
    """`2 per day` would be two an hour."""
    rules = (a_rule("native.error_rate > 1.5%", 300, "reduced", name="errors"),)
    situation = a_situation(a_service(max_actions=2, max_actions_per=86400, rules=rules))
    for _ in range(3):
        situation.run(600, {"native.error_rate": 0.02})
        if situation.phase is Phase.VALIDATING:
            situation.until(Phase.MITIGATED)
        if situation.phase is not None:
            situation.take(Close(situation.at, "ann", situation.incident.id, "well again"))
        situation.run(3700)
        situation.key = {"canary_percent": 10, "emergency_proxy": False}
        situation.run(120)
    assert situation.rungs == ["reduced", "reduced"]
    assert "the limit of 2 actions in 24h is reached" in situation.told("errors: nothing was done").lines[0]
