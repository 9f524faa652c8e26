"""Recovery: whether a step that was under way when the daemon ended is done, and whether it comes too late."""

from __future__ import annotations

from notaus.core.effect import Invoke, PullLever, WriteKv
from notaus.core.world import KvView
from notaus.daemon.recovery import late, reached, resumed
from tests.builders import T0, a_service


def test_a_step_is_late_two_minutes_after_its_intent() -> None:
    """A lever pulled an hour later for trouble that is over."""
    pull = PullLever("pix/1-pull", "pix", WriteKv("emergency"), T0)
    assert not late(pull, T0 + 120)
    assert late(pull, T0 + 121)


def test_a_step_is_done_only_at_its_own_rung() -> None:
    """A step lost in a crash that passes for done."""
    service = a_service()
    found = {
        rung.name: reached(service, WriteKv("reduced"), KvView(T0, dict(rung.fields))) for rung in service.ladder.rungs
    }
    assert found == {"normal": False, "reduced": True, "disabled": False, "emergency": False}
    assert not reached(service, WriteKv("reduced"), KvView(T0, None, "missing"))


def test_what_a_lever_of_a_rungs_own_started_is_only_looked_for() -> None:
    """A workflow would be started a second time after each crash, however late."""
    pull = PullLever("pix/1-pull", "pix", Invoke("maintenance", "pix-1-1", "why", T0), T0)
    assert not late(pull, T0 + 7200)
    again = resumed(pull)
    assert isinstance(again, PullLever)
    assert isinstance(again.action, Invoke)
    assert again.action.look_only
    other = PullLever("pix/1-pull", "pix", WriteKv("emergency"), T0)
    assert resumed(other) is other
    assert not reached(a_service(), pull.action, KvView(T0, None))
