"""The watch: notices without an incident, blindness, learning, and the end of an incident."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from notaus.core.deployment import Origin, origin
from notaus.core.event import Close, Pushed, Reconfigured, Started, Trigger
from notaus.core.fleet import halt
from notaus.core.foreign import missing_before
from notaus.core.incident import Phase
from notaus.core.page import Status
from notaus.core.rule import NoData, Severity
from notaus.core.sample import SLACK, History, Sample
from notaus.core.service import Mode
from notaus.core.state import Request, State
from notaus.journal.codec import decode, encode
from tests import builders
from tests.builders import (
    KV_RULES,
    STEP,
    T0,
    Situation,
    a_comparison,
    a_rate,
    a_rollback_service,
    a_rule,
    a_service,
    a_signal,
    a_situation,
)

BAD = {"native.error_rate": 0.05}
MILD = {"native.error_rate": 0.02}
SPIKE = {"edge.error_rate": 0.2}


def test_investigate_is_a_notice_and_over_when_it_clears() -> None:
    """A rule that only tells people, or tells them every 15 seconds."""
    situation = a_situation()
    situation.run(3000, {"native.latency_p90": 700, "proxy.latency_p90": 700})
    assert situation.notices() == ["pix: investigate: slow"]
    situation.run(1500, {"native.latency_p90": 700, "proxy.latency_p90": 700})
    assert situation.notices() == ["pix: investigate: slow"] * 2
    situation.run(150)
    assert situation.said[-1].status is Status.RESOLVED
    assert situation.phase is None


def test_a_notice_outlives_a_rule_of_which_nothing_is_known_yet() -> None:
    """A reload during an outage of the analytics API would tell people that it is over."""
    situation = a_situation()
    situation.run(630, {"native.latency_p90": 700, "proxy.latency_p90": 700})
    situation.pending = frozenset({"native.latency_p90"})
    situation.take(Reconfigured(situation.at + 1, "new", ("slow",)))
    situation.run(60)
    assert situation.notices() == ["pix: investigate: slow"]


def test_investigate_is_an_update_of_the_page_in_an_open_incident() -> None:
    """Two threads about one trouble."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    situation.run(660, {"native.latency_p90": 700, "proxy.latency_p90": 700})
    assert situation.told("investigate: slow").incident == situation.incident.id


def test_flapping_is_told_once_an_hour_and_never_acts() -> None:
    """Short breaches again and again, never for long enough (spec 5, 18)."""
    situation = a_situation()
    for _ in range(6):
        situation.run(150, BAD)
        situation.run(15)
    assert situation.notices().count("pix: flapping: errors high") == 1
    assert situation.pulled == []
    situation.run(900)
    assert situation.heard("over: flapping: errors high")


def test_it_takes_three_runs_to_flap_however_much_of_the_time_was_true() -> None:
    """Two long breaches, each short of its `for`, told as flapping; or the third one not told."""
    situation = a_situation(a_service(rules=(a_rule(hold=600, name="r"),)))
    for _ in range(2):
        situation.run(300, BAD)
        situation.run(15)
    assert situation.notices() == []
    situation.tick(BAD)
    assert situation.notices() == ["pix: flapping: r"]


@pytest.mark.parametrize(("calm", "told"), [(30, ["pix: flapping: r"]), (45, [])])
def test_runs_flap_within_fifteen_minutes(calm: int, told: list[str]) -> None:
    """A run that ended 15 minutes ago counted as one of three, or one that ended later left out."""
    situation = a_situation(a_service(rules=(a_rule(hold=1200, name="r"),)))
    situation.run(1125, BAD)
    situation.run(15)
    situation.run(825, BAD)
    situation.run(calm)
    situation.tick(BAD)  # the first run ended 870 s ago, and `calm`'s further 15 s make it 900
    assert situation.notices() == told


def test_what_ended_while_nobody_could_look_is_told_as_missed() -> None:
    """A breach during an outage of the analytics API would be lost."""
    situation = a_situation()
    situation.tick()
    history, poll = situation.history, None
    readings: dict[str, list[object]] = {}
    for i in range(40):
        situation.at += 15
        poll = situation.poll(BAD if i < 20 else {})
        for name, samples in poll.readings.items():
            readings.setdefault(name, []).extend(samples)
    assert poll is not None
    situation.take(replace(poll, readings={n: tuple(s) for n, s in readings.items()}))  # type: ignore[arg-type]
    assert history is not situation.history
    assert "pix: missed: errors high" in situation.notices()
    assert situation.pulled == []
    situation.run(30)
    assert situation.heard("over: missed: errors high")


def test_a_rule_that_cannot_be_evaluated_is_told_and_becomes_critical() -> None:
    """A silent daemon."""
    situation = a_situation(pending=frozenset())
    situation.pending = frozenset({"native.error_rate"})
    situation.run(300)
    assert situation.notices() == []
    situation.run(60)
    blind = situation.told("blind: reads fail")
    assert (blind.severity, blind.lines[-1]) == (Severity.WARNING, "a 500")
    situation.run(660)
    assert situation.told("blind: reads fail").severity is Severity.CRITICAL
    situation.pending = frozenset()
    situation.tick()
    assert situation.heard("over: blind: reads fail")
    assert situation.pulled == []


def test_blindness_is_told_at_the_very_tick_at_which_it_has_lasted() -> None:
    """`blind_after: 5m` told at 4:45, or at 5:15 (critical: 15:00)."""
    situation = a_situation()
    situation.pending = frozenset({"native.error_rate"})
    situation.tick()
    first = situation.at
    situation.run(1200)
    told = [(m.at - first, m.severity) for m in situation.said]
    assert told == [(300, Severity.WARNING), (900, Severity.CRITICAL)]


def test_traffic_that_is_gone_is_blindness_and_a_cohort_without_traffic_by_our_doing_is_not() -> None:
    """Spec 3, 18: at least 5 requests a window an hour ago."""
    situation = a_situation()
    situation.run(2100)
    situation.run(420, {"native.error_rate": None})
    assert situation.heard("blind: traffic is gone")
    disabled = a_situation(rung="disabled")
    disabled.run(2100)
    disabled.run(420, {"native.error_rate": None})
    assert disabled.said == []
    never = a_situation()
    never.run(900, {"native.error_rate": None})
    assert never.said == []


def test_one_hold_of_m_of_n_acts_once_however_long_it_flickers() -> None:
    """Under a new name at each tick, the same hold would step again after the verdict."""
    rule = a_rule("native.error_rate > 3%", 60, "reduced", name="r", hold_within=120)
    situation = a_situation(a_service(rules=(rule,)))
    starts = set()
    for i in range(200):
        situation.tick(BAD if i % 3 else {})
        hold = (situation.last.holds or {})["r"]  # type: ignore[union-attr]
        starts |= {hold.standing.start} if hold.standing else set()
    assert len(starts) == 1
    assert situation.rungs == ["reduced"]


def test_an_ignored_gap_at_the_edge_of_memory_keeps_the_holds_name() -> None:
    """The start of a long run slides out of what is at hand."""
    rule = a_rule("native.error_rate > 3%", 60, "emergency", name="r", no_data=NoData.IGNORE)
    situation = a_situation(a_service(rules=(rule,)))
    starts = set()
    for i in range(420):
        situation.tick(BAD if i % 3 else {"native.error_rate": None})
        hold = (situation.last.holds or {})["r"]  # type: ignore[union-attr]
        starts |= {hold.standing.start} if hold.standing else set()
    assert len(starts) == 1


def test_a_key_that_cannot_be_read_for_minutes_is_told() -> None:
    """Blind to what is in force."""
    situation = a_situation(unread=None)
    situation.unread = "a 500"
    situation.run(285)
    assert situation.said == []
    situation.run(30)
    assert situation.told("what is in force cannot be read").severity is Severity.WARNING
    situation.run(615)
    assert situation.told("what is in force cannot be read").severity is Severity.CRITICAL
    situation.unread = None
    situation.tick()
    assert situation.said[-1].status is Status.RESOLVED


def test_a_key_that_could_never_be_read_is_told_as_well() -> None:
    """A wrong namespace or token would be silent for ever: from the first start nothing is known of the rung."""
    situation = a_situation(unread="a 404")  # half an hour of it
    assert situation.state.world_at is None
    first, last = (m for m in situation.said if "what is in force cannot be read" in m.title)
    assert (first.severity, last.severity) == (Severity.WARNING, Severity.CRITICAL)
    assert first.at == situation.at - 1485  # the first tick 300 s after the start


def test_a_rollback_without_known_deployments_waits_and_pages() -> None:
    """No target is no reason for silence."""
    situation = a_situation(a_rollback_service(), unread="a 500")
    situation.run(240, SPIKE)
    assert situation.told("the deployments are not known: a 500").severity is Severity.CRITICAL


def test_a_deployment_seen_late_is_judged_by_its_own_samples_and_rolled_back() -> None:
    """A hold that was told of as another version's would count as dealt with, and the bad version would stay."""
    for healthy_for in (0, 120):  # the trouble begins with the version, or when its samples count already
        situation = a_situation(live="v1")
        situation.unread = "a 500"
        situation.deploy("v2")
        situation.run(healthy_for)
        situation.run(300, SPIKE)
        assert situation.pulled == []
        assert situation.told("error spike")
        situation.unread = None
        situation.run(60, SPIKE)
        assert len(situation.pulled) == 1


def test_a_hold_does_not_reach_back_behind_a_deployment_that_is_seen_late() -> None:
    """A version would be rolled back for what the one before it did."""
    situation = a_situation(live="v1")
    situation.run(75, SPIKE)
    situation.unread = "a 500"
    situation.deploy("v2")
    situation.run(90, SPIKE)
    situation.unread = None
    situation.run(15, SPIKE)
    run = situation.state.rules["error spike"].run
    assert situation.pulled == []
    assert run is not None
    assert run.start >= situation.view.live.created + 60  # type: ignore[union-attr]


def test_the_baseline_learns_outside_incidents_only() -> None:
    """Trouble learned as usual excuses the next trouble."""
    situation = a_situation(a_service(baselines=None))
    situation.run(2400)
    windows = sum(tally.windows for tally in situation.state.baselines["native.error_rate"].hours.values())
    assert 35 <= windows <= 45
    assert "native.latency_p90" not in situation.state.baselines
    situation.run(420, BAD)
    situation.run(2400)
    usual = situation.state.baselines["native.error_rate"]
    assert usual.of / usual.among < 0.0031


def test_what_an_incident_brought_is_not_learned_after_its_end_either() -> None:
    """Windows are learned half an hour late: closed by then, the incident would be taken for the usual behaviour."""
    situation = a_situation(a_service(baselines=None))
    situation.run(2400)
    situation.until(Phase.VALIDATING, BAD)
    situation.run(60)
    situation.take(Close(situation.at, "ann", situation.incident.id, "mended"))
    situation.run(2400)
    usual = situation.state.baselines["native.error_rate"]
    assert usual.of / usual.among < 0.0031


@pytest.mark.parametrize(("lasts", "learned"), [(600, True), (5400, False)])
def test_a_breach_is_usual_once_it_has_ended_by_itself_within_half_an_hour(lasts: int, learned: bool) -> None:
    """What comes and goes is how the service is; left out, the usual looks better than it is. What goes on is trouble."""
    rule = a_rule("native.error_rate > 3%", hold=180, false_actions=Fraction(0))  # nothing is evidence
    situation = a_situation(a_service(baselines=None, rules=(rule,)))
    situation.run(7200)
    situation.run(lasts, {"native.error_rate": 0.04})
    usual = situation.state.baselines["native.error_rate"]
    assert usual.of / usual.among < 0.0031
    situation.run(2400)
    assert situation.pulled == []
    usual = situation.state.baselines["native.error_rate"]
    assert (usual.of / usual.among > 0.0045) is learned


def test_the_ten_minutes_before_a_deployment_are_remembered_and_only_they() -> None:
    """`new_since_deploy` needs what was so before, be it older than the samples at hand; which need not be kept for it."""
    situation = a_situation(live="v2")
    assert situation.state.before_end == T0 - 900
    assert missing_before(situation.service, situation.state) == frozenset()
    forgotten = replace(situation.state, before={})
    assert "edge.error_rate" in missing_before(situation.service, forgotten)
    assert missing_before(situation.service, replace(forgotten, before_end=None)) == frozenset(), "there is no before"
    situation.run(2 * situation.service.lookback)
    situation.state = replace(situation.state, before={})
    situation.at += STEP
    poll = situation.poll({})
    old = tuple(a_rate(at, 0.04, 1000) for at in range(T0 - 1500, T0 - 899, STEP))
    situation.take(replace(poll, readings={"edge.error_rate": (*old, *poll.readings["edge.error_rate"])}))
    before = situation.state.before["edge.error_rate"]
    assert before is not None
    assert before.mean == Fraction("0.04")
    assert situation.history.at("edge.error_rate", T0 - 900) is None


def test_the_ten_minutes_before_a_deployment_wait_for_a_signal_that_was_not_read() -> None:
    """A signal that comes later would count as unknown for good."""
    situation = a_situation(live="v2")
    situation.state = replace(situation.state, before={})
    situation.history = replace(situation.history, series={})
    situation.pending = frozenset({"edge.error_rate"})
    situation.run(60)
    assert "edge.error_rate" not in situation.state.before


def test_a_signal_whose_past_never_comes_makes_no_samples_pile_up() -> None:
    """Memory would grow from each deployment to the next; a probe cannot be made after the fact."""
    situation = a_situation(live="v2")
    situation.run(situation.service.lookback)
    kept = {}
    for hour in (1, 3):
        while situation.at < T0 + hour * 3600 + situation.service.lookback:
            situation.tick()
            situation.state = replace(situation.state, before={})
        kept[hour] = max(len(series) for series in situation.history.series.values())
    assert kept[3] - kept[1] <= SLACK // STEP
    assert "edge.error_rate" in missing_before(situation.service, situation.state)


def test_what_was_unknown_all_through_the_ten_minutes_before_is_not_asked_for_again() -> None:
    """Every five minutes until the next deployment it would be read anew, from as far back as the deployment is."""
    situation = a_situation(live="v2")
    situation.state = replace(situation.state, before={})
    series = situation.history.series["edge.error_rate"]
    before = {at: replace(sample, value=None) if at <= T0 - 900 else sample for at, sample in series.items()}
    gap = {at: sample for at, sample in before.items() if at != T0 - 1200}
    situation.history = History({"edge.error_rate": gap})
    situation.tick()
    assert "edge.error_rate" in missing_before(situation.service, situation.state)
    situation.history = History({"edge.error_rate": before})
    situation.tick()
    assert situation.state.before["edge.error_rate"] is None
    assert "edge.error_rate" not in missing_before(situation.service, situation.state)
    assert decode(State, json.loads(json.dumps(encode(situation.state)))) == situation.state
    when = (a_comparison("edge.error_rate > 5%"),)
    assert origin(when, situation.state.before, situation.history, T0 - 600, T0 - 300) is Origin.UNKNOWN


def test_pre_existing_trouble_is_told_and_rolls_nothing_back() -> None:
    """A rollback to a version younger than the trouble."""
    situation = a_situation(live="v2")
    average = situation.state.before["edge.error_rate"]
    for share, said in ((2, "pre-existing"), (11, "but less")):
        other = a_situation(live="v2")
        was = replace(average, mean=average.mean * 0 + share, of=average.among and average.among * share / 100)
        was = replace(was, mean=(was.of or 0) / (was.among or 1))  # type: ignore[arg-type]
        was = replace(
            was, mean=was.mean if share == 11 else was.mean * 10, of=(was.of or 0) * (10 if share == 2 else 1)
        )
        other.state = replace(other.state, before={**other.state.before, "edge.error_rate": was})
        other.run(240, SPIKE)
        assert other.pulled == []
        assert other.heard(said)


def test_before_unknown_asks_and_too_old_a_deployment_is_not_to_blame() -> None:
    """Spec 7."""
    situation = a_situation(live="v2")
    situation.state = replace(situation.state, before={}, before_end=T0 - 900)
    situation.history = replace(situation.history, series={})
    situation.run(240, SPIKE)
    assert situation.state.request is not None
    assert "is not known" in situation.state.request.reason
    old = a_situation(live="v2")
    old.run(1800)
    old.run(240, SPIKE)
    assert old.pulled == []
    assert old.heard("more than 30m after the deployment")


def test_evidence_for_a_rollback_is_cut_at_the_deployment() -> None:
    """Samples of the version before would speak for, or against, the one judged."""
    situation = a_situation(live="v1")
    situation.deploy("v2")
    situation.run(240, SPIKE)
    assert "of 20000 requests failed" in situation.incident.facts["evidence"]


def test_an_incident_that_only_paged_closes_after_half_an_hour_clear() -> None:
    """Incidents that nobody closes."""
    situation = a_situation(live="v1")
    situation.run(180, SPIKE)
    assert situation.phase is Phase.WATCHING
    assert situation.heard("is itself known-stable")
    start = situation.at
    situation.until(None)
    assert 1800 <= situation.at - start <= 1830
    assert situation.closed[0].closed_at == situation.at


def test_an_incident_closes_when_a_later_version_has_become_known_stable() -> None:
    """Spec 12."""
    situation = a_situation(live="v2")
    situation.until(Phase.VALIDATING, SPIKE)
    situation.run(420)
    situation.deploy("v3")
    situation.until(None, within=4000)
    assert situation.heard("v3 has become known-stable")


def test_a_condition_across_deployments_blames_none_of_them() -> None:
    """Spec 7: pages critical."""
    situation = a_situation(live="v1")
    for tag in ("v2", "v3", "v4"):
        situation.run(75, SPIKE)
        situation.deploy(tag)
    situation.run(90, SPIKE)
    assert situation.told("no single deployment is to blame").severity is Severity.CRITICAL


@pytest.mark.parametrize(("healthy_at", "told"), [((15, 30, 45), True), ((60,), False), ((75,), False)])
def test_samples_that_straddle_a_deployment_speak_neither_for_nor_against_it(
    healthy_at: tuple[int, ...], told: bool
) -> None:
    """A window of both versions ends the trouble of one; or one that lies wholly before or after a start is left out."""
    situation = a_situation(live="v1")
    for tag in ("v2", "v3", "v4"):
        for since in (15, 30, 45, 60, 75):  # the last ends as the next version starts
            situation.tick({} if since in healthy_at else SPIKE)
        situation.deploy(tag)
    for since in (15, 30, 45, 60, 75, 90):
        situation.tick({} if since in healthy_at else SPIKE)
    assert situation.heard("no single deployment is to blame") is told


def test_a_hold_of_a_rollback_rule_begins_with_the_first_window_that_is_wholly_the_versions_own() -> None:
    """A version rolled back for what the one before it served."""
    situation = a_situation(live="v1")
    situation.deploy("v2")
    start = situation.at
    situation.tick(SPIKE)
    while (hold := (situation.last.holds or {})["error spike"]).standing is None:  # type: ignore[union-attr]
        situation.tick(SPIKE)
        assert situation.at - start <= 300
    assert hold.standing.start - start == 60


def test_a_changed_rule_counts_samples_afresh_and_a_shadow_incident_ends_when_the_service_acts() -> None:
    """A hold counts only samples since the rule came into force."""
    situation = a_situation(a_service(mode=Mode.OBSERVE))
    situation.until(Phase.VALIDATING, MILD)
    situation.service = replace(situation.service, mode=Mode.ACT)
    situation.take(Reconfigured(situation.at, "new", tuple(r.name for r in KV_RULES)))
    assert (situation.phase, situation.state.config) == (None, "new")
    situation.run(285, MILD)
    assert situation.pulled == []
    situation.run(45, MILD)
    assert situation.rungs == ["reduced"]


def test_a_restart_in_the_middle_of_a_hold_begins_nothing_anew() -> None:
    """A daemon that is started again every few minutes would never act, or act twice for one hold."""
    situation = a_situation()
    situation.run(285, MILD)
    before = situation.state.rules
    situation.take(Started(situation.at, "config-1"))
    assert situation.state.rules == before
    situation.run(45, MILD)
    assert situation.rungs == ["reduced"]


def test_something_is_going_on_while_a_condition_holds_or_an_incident_or_a_request_is_open() -> None:
    """What is at rest is looked at in turn, and its polls are kept as samples alone: an emergency must not be."""
    situation = a_situation()
    assert not situation.state.going_on
    situation.tick(BAD)
    assert situation.state.going_on
    situation.tick()
    assert not situation.state.going_on
    situation.until(Phase.VALIDATING, BAD)
    situation.run(60)
    assert situation.state.going_on
    asking = a_situation()
    request = Request("pix-1", (), "reduced", T0, 1800, T0, "why", Severity.WARNING)
    assert replace(asking.state, request=request).going_on


def test_a_service_whose_assertion_failed_stops_acting_and_says_so() -> None:
    """It must neither act on nonsense nor be silent."""
    situation = a_situation()
    stopped = halt(situation.service, situation.state, situation.history, situation.at, "it cannot be")
    situation.state = stopped.state
    assert stopped.effects
    assert stopped.state.incident is not None
    situation.run(600, BAD)
    assert situation.pulled == []


def test_a_trigger_of_an_incident_that_only_told_does_not_keep_it_open() -> None:
    """A report has no samples that could clear."""
    situation = a_situation(rung="emergency")
    situation.take(Trigger(situation.at, "ann", "database errors", "seen"))
    assert situation.phase is Phase.WATCHING
    situation.until(None)


def test_what_is_pushed_is_judged_at_the_next_tick_and_nothing_else_happens() -> None:
    """Values that somebody posts would move the grid, or be lost until a poll brings them again."""
    situation = a_situation()
    situation.tick()
    before = situation.state
    pushed = {"r2.failures": (Sample(situation.at + STEP, Fraction(99)),)}
    stepped = situation.take(Pushed(situation.at + 3, pushed))
    assert (stepped.effects, situation.state) == ((), before)
    assert situation.history.at("r2.failures", situation.at + STEP) == pushed["r2.failures"][0]


def with_a_queue(monkeypatch: pytest.MonkeyPatch) -> Situation:
    """A service with a value that is pushed, and has no requests behind it."""
    monkeypatch.setitem(builders.REQUESTS, "", None)
    monkeypatch.setitem(builders.HEALTHY, "queue.depth", 5)
    queue = {"queue.depth": a_signal("queue.depth")}
    rule = a_rule("queue.depth > 100", 180, "emergency")
    return a_situation(a_service(signals={**a_service().signals, **queue}, rules=(rule,)))


def test_values_that_came_regularly_and_stop_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that pushes its queue's length would die, and the rule would say nothing for ever."""
    situation = with_a_queue(monkeypatch)
    situation.run(7200, {"queue.depth": 5})
    situation.run(4200, {"queue.depth": None})
    assert situation.heard("blind: no values come any more")
    situation.run(3600, {"queue.depth": None})
    situation.run(120, {"queue.depth": 5})
    assert situation.heard("over: blind")


def test_values_that_come_now_and_then_are_missed_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is pushed with each deployment would page an hour after each."""
    situation = with_a_queue(monkeypatch)
    for _ in range(8):  # until the hour is over in which they came regularly
        situation.tick({"queue.depth": 5})
        situation.run(900, {"queue.depth": None})
    before = len(situation.said)
    for _ in range(8):
        situation.tick({"queue.depth": 5})
        situation.run(900, {"queue.depth": None})
    assert situation.said[before:] == []
