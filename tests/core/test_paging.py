"""Pages and notices: threads, contacts, words, and the command that does the same by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from notaus.core.effect import ChecksResult, Outcome, Send
from notaus.core.event import Answer, Close, SendFailing, Sent, Trigger
from notaus.core.incident import Phase
from notaus.core.ladder import KvLever
from notaus.core.page import Status
from notaus.core.paging import condition, duration, kv_command, spell
from notaus.core.rule import Severity
from notaus.core.sample import Sample
from notaus.core.service import Contact, Contacts, Mode
from notaus.core.signal import Shape, Unit
from notaus.core.verification import CheckResult, as_expected
from tests.builders import (
    CRITICAL,
    HIGHER,
    READ_BACK,
    TEAM,
    Situation,
    a_rate,
    a_rollback_service,
    a_rule,
    a_sample,
    a_service,
    a_situation,
)

BAD = {"native.error_rate": 0.05}
MILD = {"native.error_rate": 0.02}


def sends(situation: Situation) -> list[Send]:
    return [e for e in situation.state.outbox.values() if isinstance(e, Send)]


def test_a_page_raised_to_critical_rings_anew_and_goes_to_more_people() -> None:
    """The on-call would sleep through what began as a warning."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, MILD)
    assert situation.incident.contacts == (TEAM,)
    situation.run(195, BAD)
    raised = next(m for m in situation.said if m.severity is Severity.CRITICAL)
    assert raised.loud
    assert situation.incident.contacts == (TEAM, CRITICAL)
    assert [m.sequence for m in situation.said] == list(range(1, len(situation.said) + 1))
    assert {m.thread for m in situation.said} == {f"notaus/pix/{situation.incident.id}"}
    assert situation.said[0].status is Status.OPEN


def test_a_critical_rule_that_joins_a_warning_rings_anew() -> None:
    """No step is left to take for it, and so nobody would be woken."""
    rules = (
        a_rule("native.error_rate > 1.5%", 60, name="errors", severity=Severity.WARNING),
        a_rule("r2.failures > 5", 60, name="uploads failing"),
    )
    situation = a_situation(a_service(rules=rules))
    situation.until(Phase.VALIDATING, MILD)
    situation.run(90, {**MILD, "r2.failures": 9})
    joined = situation.told("uploads failing has joined")
    assert (joined.severity, joined.loud) == (Severity.CRITICAL, True)
    assert CRITICAL in situation.incident.contacts
    assert situation.rungs == ["emergency"]


def test_where_a_channel_fails_the_next_contact_is_told_and_it_ends() -> None:
    """Two channels that refuse for good would call each other for ever."""
    situation = a_situation(delivering=False)
    situation.until(Phase.VALIDATING, MILD)
    first = sends(situation)[0]
    situation.take(SendFailing(situation.at, first.id, "a timeout"))
    assert [e.contact for e in sends(situation)] == [TEAM, HIGHER]
    assert sends(situation)[1].message.lines[-1] == "slack: #team could not be reached: a timeout"
    situation.take(SendFailing(situation.at, "unknown", "a timeout"))
    refused = 0
    while sends(situation):
        refused += 1
        assert refused < 10
        situation.take(Sent(situation.at, sends(situation)[-1].id, "404"))
    assert refused <= 5


def test_a_notice_that_cannot_be_delivered_goes_to_the_next_contact_and_belongs_to_no_incident() -> None:
    """An incident open by then would write to somebody who was told of something else."""
    situation = a_situation(delivering=False)
    situation.run(60)
    situation.pending = frozenset(situation.service.signals)
    situation.run(600)
    assert sends(situation), "nobody was told of the blindness"
    before = len(sends(situation))
    situation.take(SendFailing(situation.at, sends(situation)[0].id, "a timeout"))
    assert [e.contact for e in sends(situation)[before:]] == [HIGHER]
    assert situation.state.incident is None


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59, "59s"), (90, "90s"), (300, "5m"), (7200, "2h")])
def test_durations_as_the_configuration_writes_them(seconds: int, text: str) -> None:
    """5m, not 300."""
    assert duration(seconds) == text
    assert condition(a_rule("a > 1", hold=0)) == "a > 1"
    assert condition(a_rule("a > 1", hold=90)) == "a > 1 for 90s"


@pytest.mark.parametrize(
    ("sample", "unit", "shape", "text"),
    [
        (None, Unit.RATIO, Shape.RATE, "unknown"),
        (Sample(0), Unit.RATIO, Shape.RATE, "unknown"),
        (a_rate(0, 0.04, 1000), Unit.RATIO, Shape.RATE, "4 % (40 of 1000)"),
        (a_sample(0, 400), Unit.MILLISECONDS, Shape.QUANTILE, "400 ms"),
        (a_sample(0, 7), Unit.COUNT, Shape.COUNT, "7"),
        (a_sample(0, 7), Unit.PER_HOUR, Shape.SCALAR, "7 /hour"),
        (a_sample(0, 7), Unit.PLAIN, Shape.SCALAR, "7"),
    ],
)
def test_values_in_words(sample: Sample | None, unit: Unit, shape: Shape, text: str) -> None:
    """Each page carries the values, with the counts behind them."""
    assert spell(sample, unit, shape) == text


def test_the_command_by_hand_survives_the_shell() -> None:
    """A quote in a value would end the command; `$now` is left to the shell."""
    command = kv_command(KvLever("n", "config"), {"by": "o'neill", "at": "$now"})
    assert command == (
        'npx wrangler kv key put config \'{"by":"o\'\\\'\'neill","at":"\'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"\'"}\' '
        "--namespace-id=n --remote"
    )


def test_small_values() -> None:
    """What people read, and what the checks compare."""
    assert str(Contact("slack", "#team")) == "slack: #team"
    assert ChecksResult((CheckResult("a", True, ""), CheckResult("b", False, "", advisory=True))).passed
    assert not ChecksResult((CheckResult("a", False, ""),)).passed
    assert [as_expected(v) for v in (Fraction(1, 2), None, True, 5, 5.5, "x")] == [0.5, None, True, 5, 5.5, "x"]
    with pytest.raises(TypeError, match="not a JSON scalar"):
        as_expected([])


def a_receipt(situation: Situation, number: int = 0) -> Send:
    """The message sent is delivered, and the channel answers with a receipt."""
    send = sends(situation)[number]
    situation.take(Sent(situation.at, send.id, receipt=f"receipt of {send.contact}"))
    return send


def test_a_receipt_is_kept_while_the_thread_lives_and_given_to_what_follows() -> None:
    """Every update would begin a thread of its own."""
    situation = a_situation(a_service(verify=(READ_BACK,)), delivering=False)
    situation.until(Phase.VALIDATING, MILD)
    waiting = [e for e in sends(situation) if e.message.sequence > 1]
    assert waiting, "the checks' message waits behind the first one"
    first = a_receipt(situation)
    thread = {"slack: #team": "receipt of slack: #team"}
    assert situation.state.receipts == {first.message.thread: thread}
    assert all(e.receipt == "receipt of slack: #team" for e in sends(situation))  # what waited already, too
    while sends(situation):
        situation.take(Sent(situation.at, sends(situation)[0].id))
    assert situation.state.receipts == {first.message.thread: thread}
    situation.until(Phase.MITIGATED)
    later = sends(situation)
    assert later
    assert all(e.receipt == "receipt of slack: #team" for e in later)


def test_a_receipt_is_forgotten_once_the_end_of_the_thread_is_delivered() -> None:
    """The state would grow with every incident there ever was."""
    situation = a_situation(delivering=False)
    situation.until(Phase.VALIDATING, MILD)
    while sends(situation):
        a_receipt(situation)
    situation.take(Close(situation.at, "alice", situation.incident.id, "mended"))
    (end,) = sends(situation)
    assert end.message.status is Status.RESOLVED
    assert end.message.timeline[-1].endswith("UTC - closed: by alice: mended") is False
    assert end.message.timeline[0].startswith("2026-")
    assert situation.state.receipts
    a_receipt(situation)
    assert situation.state.receipts == {}


def test_a_receipt_of_a_standing_notice_is_kept_for_its_end() -> None:
    """The end of a notice would stand somewhere else than its beginning."""
    situation = a_situation(delivering=False)
    situation.run(615, {"native.latency_p90": 700, "proxy.latency_p90": 700})
    a_receipt(situation)
    situation.run(150)
    (end,) = sends(situation)
    assert (end.message.status, end.receipt) == (Status.RESOLVED, "receipt of slack: #team")


def test_the_public_hears_of_pages_alone_and_stands_in_for_nobody() -> None:
    """A notice would be published, or a status page be asked to wake somebody."""
    page, issue = Contact("statuspage", "api"), Contact("github", "books/api")
    contacts = Contacts((CRITICAL, page, issue), (TEAM,), (HIGHER,))
    situation = a_situation(a_service(contacts=contacts, mode=Mode.OBSERVE), delivering=False)
    situation.run(600, BAD)
    assert {e.contact for e in sends(situation)} == {CRITICAL}
    acting = a_situation(a_service(contacts=contacts), delivering=False)
    acting.until(Phase.VALIDATING, BAD)
    assert {e.contact for e in sends(acting)} == {CRITICAL, page, issue}
    for delivered in [e for e in sends(acting) if not e.contact.person]:
        acting.take(Sent(acting.at, delivered.id))
    for number in range(12):
        acting.take(SendFailing(acting.at + number, sends(acting)[-1].id, "a timeout"))
    assert [e.contact for e in sends(acting) if e.instead_of] == [HIGHER, TEAM]


def test_a_step_that_did_not_help_goes_to_those_who_are_escalated_to() -> None:
    """The runbook's recovery plan begins with: escalate immediately."""
    situation = a_situation()
    situation.until(Phase.VALIDATING, BAD)
    assert HIGHER not in situation.incident.contacts
    situation.until(Phase.UNRESOLVED, {**BAD, "native.share": 0.5})
    assert HIGHER in situation.incident.contacts


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FAILED])
def test_a_step_that_is_refused_or_does_not_get_through_goes_there_too(outcome: Outcome) -> None:
    """Those who can do what notaus could not would sleep on."""
    situation = a_situation(levers=outcome)
    situation.run(720, BAD)
    assert HIGHER in situation.incident.contacts


def test_an_answer_is_told_in_place_of_the_question() -> None:
    """The command to approve would stay on the page of a request that is over."""
    situation = a_situation(live="v2")
    situation.run(1000)
    situation.until(Phase.AWAITING_APPROVAL, {"edge.error_rate": 0.07})
    asked = situation.said[-1]
    request = situation.state.request
    assert request is not None
    assert (asked.request, asked.facts["approve"]) == (request.id, f"notaus approve {request.id}")
    situation.take(Answer(situation.at, "alice", True))
    told = situation.said[-1]
    assert told.request is None
    assert "approve" not in told.facts
    assert told.facts["approval"] == "approved by alice: rolling back to v1"


def test_a_delivery_that_was_settled_before_changes_nothing() -> None:
    """After a crash the same message is delivered twice, and its end comes twice."""
    situation = a_situation(delivering=False)
    situation.until(Phase.VALIDATING, MILD)
    sent = a_receipt(situation)
    before = situation.state
    situation.take(Sent(situation.at, sent.id, receipt="another"))
    assert situation.state == before


COMMANDS = {"backup": "get $worker/backup-$yesterday.json $HOME $nosuch", "hotfix": "deploy $tag over $bad_version"}


def recovery_facts(situation: Situation) -> dict[str, str]:
    """The recovery commands on the newest page."""
    return {name: text for name, text in situation.said[-1].facts.items() if name.startswith("recovery: ")}


def test_recovery_commands_are_filled_in_where_data_was_lost() -> None:
    """Somebody would look up yesterday's date and a version's id at 3 a.m.; what the shell knows is left to it."""
    service = a_rollback_service(recovery=COMMANDS)
    rule = next(r.name for r in service.rules if r.trigger)
    situation = a_situation(service, live="v2")
    situation.take(Trigger(situation.at, "anna", rule, "books are gone"))
    yesterday = datetime.fromtimestamp(situation.at - 86400, UTC).strftime("%Y%m%d")
    assert recovery_facts(situation) == {
        "recovery: backup": f"get {service.worker}/backup-{yesterday}.json $HOME $nosuch",
        "recovery: hotfix": f"deploy v1 over {situation.incident.step.away_from}",
    }


def test_a_page_that_all_went_well_has_no_recovery_commands() -> None:
    """Somebody would restore a backup over good data."""
    situation = a_situation(a_service(recovery=COMMANDS))
    situation.until(Phase.VALIDATING, BAD)
    assert recovery_facts(situation) == {}


def test_recovery_commands_are_shown_where_a_step_was_refused() -> None:
    """A rollback that fails would leave people without the other ways out."""
    situation = a_situation(a_service(recovery=COMMANDS), levers=None)
    situation.until(Phase.ACTING, BAD)
    situation.end_lever(situation.pulled[0], Outcome.REFUSED)
    assert set(recovery_facts(situation)) == {"recovery: backup", "recovery: hotfix"}


def test_recovery_commands_are_shown_where_nothing_helped() -> None:
    """The page that asks for people would not say what they can do."""
    situation = a_situation(a_service(recovery=COMMANDS))
    situation.run(360 * 4, MILD)
    page = situation.told("the action did not help: disabled")
    assert {"recovery: backup", "recovery: hotfix"} <= page.facts.keys()
