"""Blindness that calls for a step (`on_blind`): once a stretch, within the limits, by approval where a person is to decide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notaus.core.effect import Outcome
from notaus.core.event import Answer, Close, Hold
from notaus.core.incident import Phase
from notaus.core.rule import Rule, Severity
from tests.builders import STEP, Situation, a_rate, a_rule, a_service, a_situation

BAD = {"native.error_rate": 0.05}
FAILING = {"r2.failures": 9}
UNSEEN = frozenset({"native.error_rate"})
LONG = 420
"""Seconds after which a rule is blind and has acted."""


def on_blind(**given: object) -> Rule:
    return a_rule("native.error_rate > 3%", 180, "emergency", name="errors high", on_blind="disabled", **given)


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
    assert (request.rules, request.blind) == (("errors high",), ())
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
    assert [m.title for m in told] == ["pix: errors high is blind: nothing was done"]
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
    assert [(m.title, m.severity) for m in told] == [("pix: errors high is blind: nothing was done", Severity.CRITICAL)]
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
