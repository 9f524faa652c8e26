"""The engine: an event, a step, a record, and only then what follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from notaus.core import fleet
from notaus.core.effect import LeverResult, Outcome, PullLever
from notaus.core.event import LeverEnded, Polled, Reconfigured, SetRung
from notaus.core.sample import Sample
from notaus.core.service import Service
from notaus.core.state import State
from notaus.daemon import engine as module
from notaus.daemon.engine import joined, recovered
from notaus.errors import NotausError
from notaus.journal import decode
from tests.builders import T0, a_rate, a_service
from tests.daemon.stand_ins import ACCOUNT, Desk, on_virtual_time, sends, turns

BAD: dict[str, Any] = {"native_error_rate": 0.5}


async def breach(desk: Desk) -> None:
    """Three minutes of trouble: the lever is asked for at the last tick."""
    await desk.tick()
    for _ in range(13):
        await desk.tick(**BAD)


@on_virtual_time
async def test_an_effect_starts_once_its_record_is_written() -> None:
    """Otherwise a crash in between would leave an action that no journal explains."""
    desk = Desk()
    await breach(desk)
    assert [effect.action.rung for effect in desk.starter.pulled] == ["emergency"]  # the Starter checks the order


@on_virtual_time
async def test_while_the_journal_fails_no_lever_is_pulled_and_afterwards_one_is() -> None:
    """An action without a record, a lost step or a doubled one."""
    desk = Desk()
    await desk.tick()
    for _ in range(12):
        await desk.tick(**BAD)
    desk.journal.broken = True
    await desk.tick(**BAD)
    assert desk.starter.pulled == []
    assert "disk is full" in desk.alarm.raised[0][1]
    await asyncio.sleep(20)
    desk.journal.broken = False
    await asyncio.sleep(10)
    assert len(desk.starter.pulled) == 1
    assert desk.alarm.calmed == 1
    assert desk.engine.failing is None
    assert len([r for r in desk.journal.written if any(id.endswith("-pull") for id, _, _ in r.effects)]) == 1


@on_virtual_time
async def test_a_breach_that_ended_while_the_journal_failed_pulls_no_lever_afterwards() -> None:
    """A step decided on old samples would be taken late, though the condition has cleared."""
    desk = Desk()
    await desk.tick()
    for _ in range(12):
        await desk.tick(**BAD)
    desk.journal.broken = True
    await desk.tick(**BAD)
    for _ in range(20):
        await desk.tick()
    desk.journal.broken = False
    await asyncio.sleep(10)
    await desk.tick()
    assert desk.starter.pulled == []
    readings = desk.guarded.history.series["native.error_rate"]
    assert len(readings) == 35  # what the polls brought meanwhile is not lost
    assert desk.guarded.unjudged == {}


@on_virtual_time
async def test_a_step_that_was_never_written_leaves_nothing_behind() -> None:
    """Memory would hold an action, and the next record an incident, of which the journal knows no beginning."""
    desk = Desk()
    await desk.tick()
    for _ in range(12):
        await desk.tick(**BAD)
    state = desk.guarded.state
    desk.journal.broken = True
    await desk.tick(**BAD)
    await asyncio.sleep(90)  # by now the poll is too old to be written
    assert desk.guarded.state is state
    assert desk.starter.started == []


@on_virtual_time
async def test_an_order_during_a_failing_journal_is_answered_in_time_and_does_not_happen_later() -> None:
    """A person told "failed" acts by hand; the order must not be carried out an hour later on top."""
    desk = Desk()
    await desk.tick()
    desk.journal.broken = True
    with pytest.raises(NotausError, match="disk is full"):
        await desk.engine.order("pix", SetRung(T0, "anna", "emergency"))
    assert asyncio.get_running_loop().time() <= 50
    desk.journal.broken = False
    await asyncio.sleep(30)
    await desk.tick()
    assert desk.starter.pulled == []
    assert "SetRung" not in desk.journal.kinds


@on_virtual_time
async def test_an_order_behind_a_stuck_letter_is_dropped_as_well() -> None:
    """It waits in the inbox, not in the journal's hands: the same must hold."""
    desk = Desk()
    await desk.tick()
    desk.journal.broken = True
    desk.engine.post("pix", LeverEnded(T0, "pix/99-pull", LeverResult(Outcome.DONE, "done")))
    with pytest.raises(NotausError):
        await desk.engine.order("pix", SetRung(T0, "anna", "emergency"))
    desk.journal.broken = False
    await asyncio.sleep(30)
    assert "LeverEnded" in desk.journal.kinds
    assert "SetRung" not in desk.journal.kinds


@on_virtual_time
async def test_an_order_is_answered_once_it_is_written_down() -> None:
    """A reply before the record could be forgotten by a crash."""
    desk = Desk()
    await desk.tick()
    reply = await desk.engine.order("pix", SetRung(int(desk.clock.now()), "anna", "emergency"))
    assert reply.accepted
    assert desk.journal.kinds[-1] == "SetRung"
    assert [effect.action.rung for effect in desk.starter.pulled] == ["emergency"]


@on_virtual_time
async def test_a_failed_assertion_stops_one_service_pages_and_polling_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bug in the core must neither act, nor be silent, nor end the guard of the other services."""
    desk = Desk(a_service(), replace(a_service(), name="other"))
    await desk.tick()
    real = fleet.step

    def step(service: Any, *args: Any) -> Any:
        if service.name == "pix" and isinstance(args[2], Polled | SetRung):
            raise AssertionError("this cannot be")
        return real(service, *args)

    monkeypatch.setattr(module.fleet, "step", step)
    await breach(desk)
    pix, other = desk.engine.guarded["pix"], desk.engine.guarded["other"]
    assert "this cannot be" in str(pix.state.stopped)
    assert other.state.stopped is None
    assert desk.starter.pulled == []
    pages = [send.message.title for send in sends(desk.starter.started)]
    assert pages
    assert all("stopped acting" in title for title in pages)
    assert len(pix.history.series["native.error_rate"]) == 15  # readings are kept on
    await desk.tick("other")
    assert other.state.tick == desk.plays["other"].at
    reply = await desk.engine.order("pix", SetRung(int(desk.clock.now()), "anna", "emergency"))
    assert not reply.accepted
    assert "stopped acting" in reply.text


@on_virtual_time
async def test_what_cannot_be_written_at_all_ends_neither_the_loop_nor_the_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event that the codec refuses would have ended the guard of every service."""
    desk = Desk()
    await desk.tick()
    real = module.encode

    def encode(value: Any) -> Any:
        if isinstance(value, SetRung):
            raise TypeError("no such type")
        return real(value)

    monkeypatch.setattr(module, "encode", encode)
    reply = await desk.engine.order("pix", SetRung(int(desk.clock.now()), "anna", "emergency"))
    assert not reply.accepted
    assert desk.alarm.raised
    await desk.tick()
    assert desk.guarded.state.tick == desk.plays["pix"].at
    assert not desk.task.done()


@on_virtual_time
async def test_a_watcher_that_fails_is_no_harm() -> None:
    """A metric with a wrong label must not stop the emergency stop."""
    desk = Desk()

    def watcher(*_: Any) -> None:
        raise KeyError("label")

    desk.engine.watchers = (watcher,)
    await breach(desk)
    assert len(desk.starter.pulled) == 1
    assert not desk.task.done()


@on_virtual_time
async def test_a_lease_lost_while_writing_drops_the_step_and_is_told_at_once() -> None:
    """Two replicas would act; or this one would go on pulling levers until its next renewal."""
    desk = Desk()
    await desk.tick()
    for _ in range(12):
        await desk.tick(**BAD)
    assert desk.held is not None
    desk.journal.release(desk.held)
    desk.journal.acquire(ACCOUNT, "them", desk.clock.now())
    state = desk.guarded.state
    await desk.tick(**BAD)
    assert desk.starter.pulled == []
    assert desk.guarded.state == state
    assert desk.lost == [ACCOUNT]
    reply = await desk.engine.order("pix", SetRung(T0, "anna", "emergency"))
    assert not reply.accepted


@on_virtual_time
async def test_a_lease_that_runs_out_while_the_journal_fails_ends_the_writing() -> None:
    """Written without a fence, the step would be a second writer's as soon as the disk has room."""
    desk = Desk()
    await desk.tick()
    desk.journal.broken = True
    await desk.tick()
    desk.held = None
    await asyncio.sleep(10)
    desk.journal.broken = False
    written = len(desk.journal.written)
    await asyncio.sleep(10)
    assert len(desk.journal.written) == written
    assert desk.lost == [ACCOUNT]


@on_virtual_time
async def test_a_full_inbox_says_so_and_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unbounded, a failing journal would eat the memory; silent, events would be lost unseen."""
    monkeypatch.setattr(module, "INBOX", 2)
    desk = Desk()
    desk.journal.broken = True
    await turns()
    for _ in range(2):
        desk.engine.post("pix", desk.poll())
    with pytest.raises(NotausError, match="inbox is full"):
        desk.engine.post("pix", desk.poll())
    with pytest.raises(NotausError, match="inbox is full"):
        await desk.engine.order("pix", SetRung(T0, "anna", "emergency"))


@on_virtual_time
async def test_a_reload_takes_effect_between_two_events() -> None:
    """Polls on their way were judged by the old rules, those after it by the new."""
    desk = Desk()
    await desk.tick()
    new = replace(desk.guarded.service, rules=desk.guarded.service.rules[:1])
    desk.engine.post("pix", desk.poll())
    event = Reconfigured(int(desk.clock.now()), "new", ())
    desk.engine.post("pix", event, new)
    await turns()
    assert desk.guarded.service is new
    assert desk.guarded.state.config == "new"
    assert set(desk.guarded.state.rules) == {"errors"}
    assert desk.journal.kinds == ["Started", "Polled", "Polled", "Reconfigured"]


@on_virtual_time
async def test_an_idle_tick_is_a_small_record() -> None:
    """The journal keeps events for ever: a year of idle ticks must fit on a disk."""
    desk = Desk()
    for _ in range(240):
        await desk.tick()
    sizes = [len(str(record.event)) for record in desk.journal.written[2:]]
    assert max(sizes) < 200
    assert len(str(desk.journal.written[-1].state)) < 8_000
    assert all(len(readings) == 1 for readings in desk.journal.written[-1].readings.values())


@on_virtual_time
async def test_what_is_in_memory_is_what_the_journal_has() -> None:
    """A restart would stand elsewhere than the daemon did."""
    desk = Desk()
    await breach(desk)
    body = desk.journal.state("pix")
    assert decode(State, body) == desk.guarded.state
    again = recovered(desk.journal, desk.guarded.service, int(desk.clock.now()))  # type: ignore[arg-type]
    assert again.state == desk.guarded.state
    assert again.history.series == desk.guarded.history.series
    assert any(isinstance(effect, PullLever) for effect in again.state.outbox.values())


def test_joined_readings_keep_every_time_once_and_the_newer_of_two() -> None:
    """Readings of stale polls go in with the next poll's."""
    old = {"a": (a_rate(0, 0.1), a_rate(15, 0.2))}
    new = {"a": (a_rate(15, 0.3),), "b": (Sample(30),)}
    assert joined(old, new) == {"a": (a_rate(0, 0.1), a_rate(15, 0.3)), "b": (Sample(30),)}


def many(number: int) -> tuple[Service, ...]:
    return tuple(replace(a_service(), name=f"pix-{n}") for n in range(number))


@on_virtual_time
async def test_the_polls_of_a_tick_share_their_transactions() -> None:
    """A thousand polls would wait a thousand times for the disk, and the tick would not be kept."""
    desk = Desk(*many(100))
    await turns(100)
    desk.journal.tries = 0
    await asyncio.sleep(15)
    for name in desk.plays:
        desk.engine.post(name, desk.poll(name))
    await turns(100)
    assert all(guarded.state.tick for guarded in desk.engine.guarded.values())
    assert desk.journal.tries == 5


@on_virtual_time
async def test_an_order_does_not_wait_behind_the_polls_of_a_tick() -> None:
    """An emergency stop would come seconds late, in the very seconds in which everything is polled."""
    desk = Desk(*many(100))
    await turns(100)
    await asyncio.sleep(15)
    desk.journal.written.clear()
    for name in desk.plays:
        desk.engine.post(name, desk.poll(name))
    order = asyncio.create_task(desk.engine.order("pix-99", SetRung(int(desk.clock.now()), "anna", "emergency")))
    await turns(100)
    assert order.done()
    assert desk.journal.kinds.index("SetRung") == 21  # after the polls that were begun, and that of its own service
    assert len(desk.starter.pulled) == 1


@on_virtual_time
async def test_a_poll_at_which_nothing_was_going_on_is_kept_as_its_samples() -> None:
    """A thousand services would fill the disk with millions of rows a day that say: nothing."""
    desk = Desk()
    for _ in range(25):
        await desk.tick()
    events, state = len(desk.journal.real.events()), desk.journal.real.state("pix")
    await desk.tick()
    assert desk.journal.kinds[-1] == "Polled"
    assert len(desk.journal.real.events()) == events
    assert desk.journal.real.state("pix") != state
    newest = max(s.at for s in desk.journal.real.samples("pix", "native.error_rate"))
    assert newest == max(desk.guarded.history.series["native.error_rate"])
    for _ in range(3):
        await desk.tick(**BAD)
    for _ in range(8):
        await desk.tick()
    # Three at which the condition holds, and the one at which it has just ended.
    assert [e.kind for e in desk.journal.real.events()][events:] == ["Polled"] * 4
