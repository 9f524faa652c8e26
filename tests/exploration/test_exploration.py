"""Every reachable state of the incident under every event, to a stated depth: `fleet.step` itself, not its table.

Each service of `services.py` is explored breadth first from its start; `checks.py` says what must hold on the way. A
failure names the shortest way there. `pytest tests/exploration --deeper N -s` goes N events further, and prints figures.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from notaus.core.incident import TRANSITIONS, Cause, Phase
from tests.exploration.exploration import Entry, Explored, explore
from tests.exploration.services import STARTS

DEPTHS = {
    "canary": 5,
    "canary, override: enforce, on_blind": 3,
    "canary, a maintenance page beyond": 3,
    "canary, mode: observe": 5,
    "canary, reloaded between its modes": 3,
    "rollback": 5,
    "rollback, mode: observe": 12,  # there is nothing beyond
}
UNUSED: dict[Entry, str] = {}
"""Entries of the table that no event leads to, each with the reason why it is there."""


def test_every_reachable_state_is_safe_and_has_a_way_out_and_every_entry_of_the_table_is_used(deeper: int) -> None:
    """A state nobody can leave, a step downward, an assertion at night; or a table that says more than the program does."""
    taken: Counter[Entry] = Counter()
    assert DEPTHS.keys() == STARTS.keys()
    for name, start in STARTS.items():
        found = explore(start, DEPTHS[name] + deeper)
        taken += found.taken
        sys.stdout.write(told(name, found))
    table = {(phase, cause) for phase, moves in TRANSITIONS.items() for cause in moves}
    assert taken.keys() <= table
    assert {named(entry) for entry in table - taken.keys()} == {named(entry) for entry in UNUSED}


def told(name: str, found: Explored) -> str:
    beyond = f"{found.open} not explored further" if found.open else "nothing beyond"
    return (
        f"{name}: depth {found.depth}, {found.states:,} states, {found.transitions:,} transitions, "
        f"{found.ends} ends, {beyond}\n"
    )


def named(entry: tuple[Phase, Cause]) -> str:
    return f"{entry[0]}: {entry[1]}"


@pytest.mark.parametrize("wrong", ["silent", "downward"])
def test_the_exploration_would_notice(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail: here the core forgets to tell, or lets automation write whatever it likes."""
    if wrong == "silent":
        monkeypatch.setattr("notaus.core.approval.tell", lambda *args, **more: None)
        expected = "an incident nobody was told of"
    else:
        monkeypatch.setattr("notaus.core.decision.safer", lambda turn, rung: True)
        expected = "no automatic step but to a safer rung"
    with pytest.raises(AssertionError, match=expected):
        explore(STARTS["canary"], 4)
