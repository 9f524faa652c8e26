"""What is written is read back, whole or not at all, the same on every kind of store."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from notaus.core.sample import Sample
from notaus.journal import Journal, LeaseLost

from .records import a_full_record, a_record, an_incident


def test_a_step_is_read_back_as_it_was_written(journal: Journal) -> None:
    """A restart would start from something else than what was journaled."""
    state = {"rung": "reduced", "exact": "1/3", "none": None, "odd": "\0 \ud800 ü", "nested": [1, 2.5, True]}
    event_id = journal.write(a_record(15, state=state, effects=[("e1", "PullLever", {"rung": "reduced"})], config="c1"))
    assert journal.state("pix-immo") == state
    (event,) = journal.events("pix-immo")
    assert (event.id, event.at, event.kind, event.body, event.config) == (event_id, 15, "Polled", {"now": 15}, "c1")
    (effect,) = journal.outbox("pix-immo")
    assert (effect.id, effect.kind, effect.body, effect.created_at) == ("e1", "PullLever", {"rung": "reduced"}, 15)


def test_an_unknown_service_has_neither_state_nor_effects(journal: Journal) -> None:
    """The first start would fail."""
    journal.write(a_record(service="other"))
    assert journal.state("pix-immo") is None
    assert journal.outbox("pix-immo") == []
    assert journal.events("pix-immo") == []
    assert journal.incident("none") is None
    assert journal.config("none") is None


def test_a_step_without_a_state_leaves_the_state_as_it_was(journal: Journal) -> None:
    """An event that changes nothing would wipe out where the service stands."""
    journal.write(a_record(15))
    journal.write(a_record(30, state=None))
    assert journal.state("pix-immo") == {"at": 15}
    assert [e.at for e in journal.events("pix-immo")] == [15, 30]


def test_a_settled_effect_leaves_the_outbox_and_the_others_keep_their_order(journal: Journal) -> None:
    """A page would be sent twice, or a lever pulled before the one that was asked for first."""
    journal.write(a_record(15, effects=[("b", "Send", 1), ("c", "Send", 2)]))
    journal.write(a_record(30, effects=[("a", "Send", 3)], settled=[("c", "done")]))
    assert [e.id for e in journal.outbox("pix-immo")] == ["b", "a"]


def test_an_effect_may_be_asked_for_and_settled_by_the_same_step(journal: Journal) -> None:
    """It would stay in the outbox for ever."""
    journal.write(a_record(15, effects=[("a", "Send", 1)], settled=[("a", "dropped")]))
    assert journal.outbox("pix-immo") == []


def test_an_effect_asked_for_again_is_unsettled_again(journal: Journal) -> None:
    """A restart that asks again for the same effect would fail on its id, and the service would stand still."""
    journal.write(a_record(15, effects=[("a", "Send", 1)]))
    journal.write(a_record(30, settled=[("a", "unknown")]))
    journal.write(a_record(45, effects=[("a", "Send", 2)]))
    (effect,) = journal.outbox("pix-immo")
    assert (effect.body, effect.created_at) == (2, 15)


def test_settling_another_services_effect_changes_nothing(journal: Journal) -> None:
    """One service's mistake would lose another's page."""
    journal.write(a_record(15, effects=[("a", "Send", 1)]))
    journal.write(a_record(30, service="other", settled=[("a", "done"), ("unheard-of", "done")]))
    assert [e.id for e in journal.outbox("pix-immo")] == ["a"]


def test_samples_come_back_exactly_and_an_unknown_one_is_not_a_missing_one(journal: Journal) -> None:
    """480 against 400 + 20 % would become a question of rounding; unknown would be taken for pending."""
    series = (
        Sample(15, Fraction(1, 3), Fraction(10**30), Fraction(3 * 10**30), Fraction(90)),
        Sample(30),
        Sample(45, Fraction(0), among=Fraction(-1, 7)),
    )
    journal.write(a_record(45, readings={"native.error_rate": series, "other": (Sample(15, Fraction(1)),)}))
    assert journal.samples("pix-immo", "native.error_rate", 0) == series
    assert journal.samples("pix-immo", "native.error_rate", 30) == series[1:]
    assert journal.samples("pix-immo", "none", 0) == ()


def test_a_later_reading_of_the_same_time_wins(journal: Journal) -> None:
    """Revised data would fail on its key, or be lost."""
    journal.write(a_record(15, readings={"a": (Sample(15, Fraction(1)), Sample(15, Fraction(2)))}))
    assert journal.samples("pix-immo", "a", 0) == (Sample(15, Fraction(2)),)
    journal.write(a_record(30, readings={"a": (Sample(15),)}))
    assert journal.samples("pix-immo", "a", 0) == (Sample(15),)


def test_pruning_takes_the_old_samples_in_batches_and_nothing_else(journal: Journal) -> None:
    """Retention would block the loop for seconds, or delete what an incident is explained by."""
    series = tuple(Sample(15 * n, Fraction(n)) for n in range(10))
    journal.write(a_record(150, readings={"a": series, "b": series}))
    assert [journal.prune(75, batch=4) for _ in range(4)] == [4, 4, 2, 0]
    assert journal.samples("pix-immo", "a", 0) == journal.samples("pix-immo", "b", 0) == series[5:]
    assert len(journal.events("pix-immo")) == 1


def test_the_newest_events_are_kept_when_there_are_too_many(journal: Journal) -> None:
    """The timeline would show how last year began instead of how the night ended."""
    for n in range(1, 6):
        journal.write(a_record(15 * n, service="other" if n == 3 else "pix-immo"))
    assert [e.at for e in journal.events("pix-immo", limit=2)] == [60, 75]
    assert [e.at for e in journal.events(since=30, until=60)] == [30, 45, 60]
    ids = [e.id for e in journal.events()]
    assert ids == sorted(ids)


def test_an_incident_is_written_again_as_it_goes_on(journal: Journal) -> None:
    """The list of incidents would show an open one for ever, or the same one many times."""
    journal.write(a_record(15, incidents=[an_incident(15), an_incident(20, id="inc-2", service="other")]))
    closed = an_incident(15, closed_at=90, severity="warning", summary="bad\0 \ud800text", body={"steps": [15, 90]})
    journal.write(a_record(90, incidents=[closed]))
    found = journal.incident("inc-1")
    assert found is not None
    assert (found.opened_at, found.closed_at, found.severity, found.body) == (15, 90, "warning", {"steps": [15, 90]})
    assert found.summary.startswith("bad")
    assert [i.id for i in journal.incidents()] == ["inc-2", "inc-1"]
    assert [i.id for i in journal.incidents("pix-immo")] == ["inc-1"]
    assert [i.id for i in journal.incidents(limit=1)] == ["inc-2"]


def test_a_configuration_is_kept_once(journal: Journal) -> None:
    """A reload to an earlier configuration would fail, and a decision could not be replayed against its own."""
    journal.keep_config("hash", "rules: []", 15)
    journal.keep_config("hash", "rules: [changed]", 30)
    assert journal.config("hash") == "rules: []"


@pytest.mark.parametrize("step", ["_write_effects", "_write_state", "_write_samples", "_write_incidents"])
def test_a_step_that_fails_in_the_middle_leaves_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """An effect without its state, or a state without its effect: a step done twice, or never."""
    journal.write(a_full_record(15))
    before = _everything(journal)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, step, _breaks)
        with pytest.raises(ZeroDivisionError):
            journal.write(a_full_record(30))
    assert _everything(journal) == before
    journal.write(a_full_record(30))
    assert journal.state("pix-immo") == {"at": 30}


def test_what_json_cannot_hold_leaves_nothing(journal: Journal) -> None:
    """A mistake in the code would leave half a step behind."""
    with pytest.raises(TypeError):
        journal.write(a_record(15, incidents=[an_incident(body=object())]))
    assert journal.events() == []


def test_a_journal_goes_on_where_it_was_closed(shared_url: str) -> None:
    """A restart would know nothing."""
    with Journal.open(shared_url) as journal:
        journal.write(a_full_record(15))
        before = _everything(journal)
    with Journal.open(shared_url) as journal:
        assert _everything(journal) == before
        assert journal.write(a_full_record(30)) > 1


def test_two_journals_on_one_store_see_each_others_steps(shared_url: str) -> None:
    """The command line, or a second replica, would look at a past."""
    with Journal.open(shared_url) as one, Journal.open(shared_url) as other:
        one.write(a_record(15))
        assert other.state("pix-immo") == {"at": 15}
        other.write(a_record(30))
        assert one.state("pix-immo") == {"at": 30}


def _breaks(*_: object) -> None:
    raise ZeroDivisionError


def _everything(journal: Journal) -> str:
    samples = journal.samples("pix-immo", "native.error_rate", 0)
    parts = (journal.events(), journal.state("pix-immo"), journal.outbox("pix-immo"), samples, journal.incidents())
    return json.dumps([repr(part) for part in parts])


def test_several_steps_are_written_together_or_not_at_all(journal: Journal) -> None:
    """Half a transaction would have levers pulled for steps of which the other half is unknown."""
    lease = journal.acquire("account", "owner", now=0.0)
    ids = journal.write_all([a_record(15), a_record(30)], lease)
    assert [event.id for event in journal.events()] == ids
    assert lease is not None
    with pytest.raises(LeaseLost):
        journal.write_all([a_record(45), a_record(60)], replace(lease, fence=lease.fence + 1))
    assert [event.id for event in journal.events()] == ids
    assert journal.state("pix-immo") == a_record(30).state


def test_a_step_without_an_event_keeps_its_samples_and_state(journal: Journal) -> None:
    """What a quiet poll brought would be read again after each restart, or judged twice."""
    journal.write(a_record(15))
    sample = Sample(30, Fraction(1, 3))
    quiet = replace(a_record(30), event=None, state={"tick": 30}, readings={"native.error_rate": (sample,)})
    assert journal.write(quiet) is None
    assert len(journal.events()) == 1
    assert journal.state("pix-immo") == {"tick": 30}
    assert journal.samples("pix-immo", "native.error_rate") == (sample,)
