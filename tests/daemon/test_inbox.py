"""The inbox: what comes first, and what stays in order."""

from __future__ import annotations

import asyncio

import pytest

from notaus.daemon.inbox import Inbox


async def test_more_than_a_poll_comes_before_the_polls_of_other_services() -> None:
    """An emergency stop, or a lever's outcome, would wait behind a thousand polls."""
    inbox: Inbox[str] = Inbox(100)
    for n in range(50):
        inbox.put(f"svc-{n}", f"poll {n}", urgent=False)
    inbox.put("svc-40", "an order", urgent=True)
    assert await inbox.take(2) == ["poll 40"]
    assert await inbox.take(2) == ["an order"]
    assert await inbox.take(2) == ["poll 0", "poll 1"]


async def test_the_letters_of_one_service_stay_in_order_and_are_taken_one_at_a_time() -> None:
    """A step would be taken on a state that the one before it is about to change."""
    inbox: Inbox[str] = Inbox(100)
    for letter in ("one", "two", "three"):
        inbox.put("a", letter, urgent=letter == "two")
    inbox.put("b", "four", urgent=False)
    assert await inbox.take(10) == ["one"]
    assert await inbox.take(10) == ["two"]
    assert await inbox.take(10) == ["four", "three"]
    assert len(inbox) == 0


async def test_it_waits_for_a_letter_and_refuses_more_than_it_may_hold() -> None:
    """A loop that spins on an empty inbox, or a failing journal that fills the memory."""
    inbox: Inbox[str] = Inbox(1)
    waiting = asyncio.create_task(inbox.take(5))
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put("a", "one", urgent=False)
    with pytest.raises(asyncio.QueueFull):
        inbox.put("b", "two", urgent=False)
    assert await waiting == ["one"]
