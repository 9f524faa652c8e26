"""Pages and notices: threads, contacts, words, and the command that does the same by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from notaus.core.effect import ChecksResult, Send
from notaus.core.event import SendFailing, Sent
from notaus.core.incident import Phase
from notaus.core.ladder import KvLever
from notaus.core.page import Status
from notaus.core.paging import condition, duration, kv_command, spell
from notaus.core.rule import Severity
from notaus.core.sample import Sample
from notaus.core.service import Contact
from notaus.core.signal import Shape, Unit
from notaus.core.verification import CheckResult, as_expected
from tests.builders import CRITICAL, HIGHER, TEAM, Situation, a_rate, a_rule, a_sample, a_service, a_situation

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
