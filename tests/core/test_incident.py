"""The incident's table: every move of every phase, and a way out of each."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from notaus.core.incident import TRANSITIONS, Cause, Entry, Override, Phase, Ramp
from tests.builders import T0, a_step, an_incident

P, C = Phase, Cause
TABLE = {
    (P.WATCHING, C.ASKED): P.AWAITING_APPROVAL,
    (P.WATCHING, C.ANSWERED): P.WATCHING,
    (P.WATCHING, C.MOVED): P.WATCHING,
    (P.AWAITING_APPROVAL, C.ANSWERED): P.WATCHING,
    (P.AWAITING_APPROVAL, C.MOVED): P.AWAITING_APPROVAL,
    (P.ACTING, C.ASKED): P.ACTING,
    (P.ACTING, C.ANSWERED): P.ACTING,
    (P.ACTING, C.PULLED): P.VALIDATING,
    (P.ACTING, C.NOT_PULLED): P.WATCHING,
    (P.VALIDATING, C.ASKED): P.VALIDATING,
    (P.VALIDATING, C.ANSWERED): P.VALIDATING,
    (P.VALIDATING, C.RESOLVED): P.MITIGATED,
    (P.VALIDATING, C.NOT_HELPED): P.UNRESOLVED,
    (P.VALIDATING, C.MOVED): P.WATCHING,
    (P.MITIGATED, C.ASKED): P.MITIGATED,
    (P.MITIGATED, C.ANSWERED): P.MITIGATED,
    (P.MITIGATED, C.MOVED): P.WATCHING,
    (P.UNRESOLVED, C.ASKED): P.UNRESOLVED,
    (P.UNRESOLVED, C.ANSWERED): P.UNRESOLVED,
    (P.UNRESOLVED, C.MOVED): P.WATCHING,
    (P.HELD, C.ASKED): P.HELD,
    (P.HELD, C.ANSWERED): P.HELD,
    (P.HELD, C.HANDED_BACK): P.WATCHING,
    (P.HELD, C.MOVED): P.WATCHING,
    (P.RAMPING, C.ASKED): P.RAMPING,
    (P.RAMPING, C.ANSWERED): P.RAMPING,
    (P.RAMPING, C.PULLED): P.RAMPING,
    (P.RAMPING, C.NOT_PULLED): P.WATCHING,
    (P.RAMPING, C.MOVED): P.WATCHING,
    **{
        (phase, cause): after
        for phase in P
        if phase is not P.CLOSED
        for cause, after in (
            (C.STEPPED, P.ACTING),
            (C.OVERRIDDEN, P.HELD),
            (C.CLOSED, P.CLOSED),
            (C.RESTORING, P.RAMPING),
        )
    },
}


@pytest.mark.parametrize(("phase", "cause"), list(product(Phase, Cause)))
def test_an_incident_moves_as_the_table_says_or_not_at_all(phase: Phase, cause: Cause) -> None:
    """A move that nobody thought of must stop the service from acting, not go on quietly."""
    incident = an_incident(phase)
    if (phase, cause) in TABLE:
        assert incident.moved(cause).phase is TABLE[phase, cause]
    else:
        with pytest.raises(AssertionError, match=f"incident pix-1: {cause} cannot happen while {phase}"):
            incident.moved(cause)


def test_what_belongs_to_a_phase_ends_with_it() -> None:
    """A ramp that goes on after a breach; a step tried again though a person has decided otherwise."""
    step = a_step(retry_at=T0)
    acting = an_incident(P.ACTING, step=step)
    assert acting.moved(C.ASKED).step == step
    assert acting.moved(C.OVERRIDDEN).step == replace(step, retry_at=None)
    held = an_incident(P.HELD, override=Override(T0, T0 + 60, "seen"))
    assert held.moved(C.ASKED).override == held.override
    assert held.moved(C.HANDED_BACK).override is None
    ramping = an_incident(P.RAMPING, ramp=Ramp("ann", 0))
    assert ramping.moved(C.PULLED).ramp == ramping.ramp
    assert ramping.moved(C.STEPPED).ramp is None


def test_the_table_has_every_phase() -> None:
    """A phase without a row would be a KeyError in the night."""
    assert set(TRANSITIONS) == set(Phase)


def test_closed_is_the_only_dead_end_and_every_phase_leads_there() -> None:
    """An incident that nobody can end."""
    reachable = {P.CLOSED}
    while more := {p for p in P if p not in reachable and reachable & set(TRANSITIONS[p].values())}:
        reachable |= more
    assert reachable == set(P)
    assert [p for p in P if not set(TRANSITIONS[p].values()) - {p}] == [P.CLOSED]


def test_every_phase_can_be_reached() -> None:
    """A phase that nothing leads to is one nobody tests."""
    found = {P.WATCHING}
    while more := {after for p in found for after in TRANSITIONS[p].values()} - found:
        found |= more
    assert found == set(P)


@pytest.mark.parametrize("phase", [P.WATCHING, P.AWAITING_APPROVAL, P.MITIGATED, P.UNRESOLVED, P.HELD])
def test_what_waits_for_a_person_lets_a_person_act_close_and_restore(phase: Phase) -> None:
    """Spec 7: a person's order is carried out at any time."""
    assert {C.STEPPED, C.CLOSED, C.RESTORING} <= set(TRANSITIONS[phase])


def test_an_incident_keeps_its_timeline() -> None:
    """The journal alone explains every state."""
    incident = an_incident().noted(T0, "one").noted(T0 + 1, "two")
    assert incident.timeline == (Entry(T0, "one"), Entry(T0 + 1, "two"))
    assert incident.open
    assert not an_incident(P.CLOSED).open
    assert not incident.acted
    assert an_incident(steps=1).acted
