"""A journal that hangs stalls nothing but what waits for it; one that refuses a step stops one service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from notaus.core.event import SetRung
from notaus.daemon.calls import Threaded, inline
from notaus.errors import JournalRefused, JournalSilent
from notaus.journal import Lease, Record
from tests.builders import T0, a_service
from tests.daemon.stand_ins import ACCOUNT, Desk, on_virtual_time, sends, turns


async def test_what_hangs_in_a_thread_leaves_the_loop_turning() -> None:
    """A database that does not answer would stop /healthz, the metrics and the alarm to people."""
    gate = threading.Event()
    call = Threaded()
    waiting = asyncio.create_task(call(gate.wait, 30))
    turned = 0
    for _ in range(100):
        await asyncio.sleep(0)
        turned += 1
    assert not waiting.done()
    gate.set()
    assert await waiting
    assert turned == 100


async def test_failures_come_out_of_the_thread_as_they_are() -> None:
    """A lease that was lost would look like a bug, and the replica go on."""

    def fail(text: str) -> None:
        raise JournalSilent(text)

    with pytest.raises(JournalSilent, match="gone"):
        await Threaded()(fail, "gone")


async def test_what_is_called_inline_is_done_before_anything_else() -> None:
    """The order of a simulation, and so its digest, would hang on the loop."""
    seen = []
    other = asyncio.create_task(turns(0))
    assert await inline(lambda: seen.append(other.done()) or len(seen)) == 1
    assert seen == [False]
    await other


Fault = Callable[[Record, int], Exception | None]


def troubled(desk: Desk, fault: Fault, *, after: bool = False) -> list[Record]:
    """The journal's writes, each met by `fault` (given the record and its try), before or after it is written."""
    write_all, tried = desk.journal.write_all, list[Record]()

    def troubled_write(records: Sequence[Record], lease: Lease | None = None) -> None:
        tried.extend(records)
        faults = [fault(record, sum(each.key == record.key for each in tried)) for record in records]
        found = next((each for each in faults if each is not None), None)
        if found is not None and not after:
            raise found
        write_all(records, lease)
        if found is not None:
            raise found

    desk.journal.write_all = troubled_write  # type: ignore[method-assign]
    return tried


@on_virtual_time
async def test_a_step_whose_answer_was_lost_is_recognised_and_done_once() -> None:
    """Its effects would begin twice, or never."""
    desk = Desk()
    await turns()
    troubled(desk, lambda record, tries: JournalSilent("cut") if tries == 1 else None, after=True)
    for _ in range(20):
        await desk.tick(native_error_rate=0.5)
        await asyncio.sleep(1)
    ids = [effect.id for effect in desk.starter.pulled]
    assert len(ids) == 1
    events = desk.journal.events("pix", limit=10_000)
    ticks = [event.body["tick"] for event in events if event.kind == "Polled"]
    assert ticks == sorted(set(ticks))
    assert desk.lost == []


@on_virtual_time
async def test_a_step_that_may_be_written_is_not_given_up_but_read_anew() -> None:
    """A person is told that the order failed, and after the next restart it is carried out."""
    desk = Desk()
    await turns()
    troubled(desk, lambda record, tries: JournalSilent("no answer") if record.kind == "SetRung" else None)
    answer = asyncio.create_task(desk.engine.order("pix", SetRung(T0, "anna", "emergency")))
    await asyncio.sleep(120)
    with pytest.raises(Exception, match=r"no answer|did not take"):
        await answer
    assert desk.lost == [ACCOUNT]


@on_virtual_time
async def test_a_step_that_the_journal_refuses_stops_one_service_and_tells_people() -> None:
    """Tried for ever, it would hold up every other service without anybody knowing."""
    desk = Desk(a_service(), replace(a_service(), name="other"))
    await turns()
    first = ["poll"]

    def refuse(record: Record, tries: int) -> Exception | None:
        bad = record.service == "pix" and record.kind == "Polled" and "readings" in record.event
        return JournalRefused("the journal: it violates a constraint") if bad and first else None

    tried = troubled(desk, refuse)
    await desk.tick()
    first.clear()
    await desk.tick("other")
    assert desk.engine.guarded["pix"].state.stopped is not None
    assert "constraint" in str(desk.engine.guarded["pix"].state.stopped)
    assert desk.engine.guarded["other"].state.stopped is None
    assert desk.engine.guarded["other"].state.tick > 0
    assert [name for name, _ in desk.alarm.raised] == ["pix"]
    assert any("constraint" in repr(send.message) for send in sends(desk.starter.started))
    assert len([record for record in tried if record.service == "pix"]) == 2


@on_virtual_time
async def test_a_service_of_which_nothing_can_be_written_stops_in_memory() -> None:
    """The loop would try for ever what no database takes."""
    desk = Desk(a_service(), replace(a_service(), name="other"))
    await turns()
    troubled(desk, lambda record, tries: JournalRefused("a constraint") if record.service == "pix" else None)
    for _ in range(20):
        await desk.tick(native_error_rate=0.5)
        await desk.tick("other")
    assert desk.starter.pulled == []
    assert desk.engine.guarded["pix"].state.stopped is not None
    assert desk.engine.guarded["other"].state.tick > 0
    assert "pix" in [name for name, _ in desk.alarm.raised]


@on_virtual_time
async def test_what_is_noticed_without_a_lease_is_read_anew_from_the_journal() -> None:
    """A lever's outcome that comes while the lease has run out would be forgotten: the step pends for ever."""
    desk = Desk()
    await turns()
    desk.held = None
    await desk.tick()
    assert desk.lost == [ACCOUNT]
