"""The executor: every effect ends in an event, and none is carried out twice at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from notaus.core.effect import LeverResult, Outcome, PullLever, RunChecks, Send, WriteKv
from notaus.core.event import ChecksEnded, Event, LeverEnded, LeverSlow, SendFailing, Sent
from notaus.core.page import Kind, Message, Status
from notaus.core.rule import Severity
from notaus.core.service import Contact
from notaus.daemon.executor import Executor
from notaus.errors import Undelivered
from notaus.journal import LeaseLost
from notaus.metrics import Metrics
from tests.builders import T0, a_service
from tests.daemon.stand_ins import Outside, a_clock, on_virtual_time, turns

ONCALL, LEAD = Contact("pagerduty", "oncall"), Contact("pagerduty", "lead")
SERVICE = a_service()


class Hands:
    """An executor, and the events it posted with the seconds they came after."""

    def __init__(self, **outside: Any) -> None:
        clock = a_clock()
        self.outside = Outside(clock, **outside)
        self.events: list[tuple[float, Event]] = []
        self.metrics = Metrics()
        self.clock = clock
        self.executor = Executor(self.outside, self.outside, self.outside, clock, self.metrics, self._post)

    def _post(self, service: str, event: Event) -> None:
        self.events.append((self.clock.now() - T0, event))

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def start(self, *effects: PullLever | RunChecks | Send) -> None:
        for effect in effects:
            self.executor.start(SERVICE, effect)


def a_pull(number: int = 1, asked_at: int = T0) -> PullLever:
    return PullLever(f"pix/{number}-pull", "pix", WriteKv("emergency"), asked_at)


def a_send(number: int, sequence: int = 1, contact: Contact = ONCALL, thread: str = "t") -> Send:
    message = Message(Kind.PAGE, thread, sequence, T0, "pix", Severity.CRITICAL, Status.OPEN, True, "title")
    return Send(f"pix/{number}-send", "pix", contact, message)


def after(seconds: float, result: LeverResult) -> Any:
    async def lever(effect: PullLever) -> LeverResult:
        await asyncio.sleep(seconds)
        return result

    return lever


@on_virtual_time
async def test_a_lever_ends_in_an_event_with_its_outcome() -> None:
    """Without it the incident would stand at `acting` for ever."""
    hands = Hands(lever=after(3, LeverResult(Outcome.FAILED, "429")))
    hands.start(a_pull())
    await asyncio.sleep(30)
    assert [(at, type(event)) for at, event in hands.events] == [(3, LeverEnded)]
    assert hands.of(LeverEnded)[0].result.outcome is Outcome.FAILED
    assert hands.executor.tasks == {}


@on_virtual_time
async def test_a_lever_that_raises_leaves_its_outcome_unknown() -> None:
    """A bug in a lever must not lose the step, nor claim that nothing was done."""

    async def lever(effect: PullLever) -> LeverResult:
        raise ValueError("surprise")

    hands = Hands(lever=lever)
    hands.start(a_pull())
    await turns()
    result = hands.of(LeverEnded)[0].result
    assert (result.outcome, "surprise" in result.detail) == (Outcome.UNKNOWN, True)


@on_virtual_time
async def test_people_are_told_ten_seconds_after_the_intent_also_across_a_restart() -> None:
    """Spec 10: the outcome or 10 s after the intent, whichever is first; a restart does not begin to count anew."""
    hands = Hands(lever=after(25, LeverResult(Outcome.DONE, "done")))
    hands.start(a_pull())
    await asyncio.sleep(30)
    assert [(at, type(event)) for at, event in hands.events] == [(10, LeverSlow), (25, LeverEnded)]
    late = Hands(lever=after(25, LeverResult(Outcome.DONE, "done")))
    late.start(a_pull(asked_at=T0 + 30 - 7))
    await asyncio.sleep(5)
    assert [(at, type(event)) for at, event in late.events] == [(33, LeverSlow)]


@on_virtual_time
async def test_checks_are_run_until_they_pass() -> None:
    """A KV write takes a minute to reach every edge: the first look is not the last."""
    hands = Hands(passes_at=T0 + 12)
    hands.start(RunChecks("pix/1-check", "pix", "emergency", T0 + 120))
    await asyncio.sleep(200)
    assert hands.outside.checked == [0, 5, 10, 15]
    assert hands.of(ChecksEnded)[0].result.passed
    assert 'notaus_verification_duration_seconds_sum{service="pix"} 15.0' in hands.metrics.render().decode()


@on_virtual_time
async def test_checks_end_at_their_deadline() -> None:
    """Unverified is a state of its own: it has to be reached."""
    hands = Hands(passes_at=T0 + 10_000)
    hands.start(RunChecks("pix/1-check", "pix", "emergency", T0 + 120))
    await asyncio.sleep(200)
    assert hands.outside.checked[-1] == 120
    assert not hands.of(ChecksEnded)[0].result.passed


@on_virtual_time
async def test_checks_whose_deadline_passed_while_the_daemon_was_down_are_run_once() -> None:
    """Neither verified nor unverified would be a lie told for ever."""
    hands = Hands()
    hands.start(RunChecks("pix/1-check", "pix", "emergency", T0 - 600))
    await turns()
    assert hands.of(ChecksEnded)[0].result.passed


@on_virtual_time
async def test_a_page_is_tried_again_with_growing_pauses_until_it_is_delivered() -> None:
    """A page lost because a channel was down for a minute."""
    hands = Hands()
    hands.outside.refuses = lambda contact, message: Undelivered("503") if hands.clock.now() < T0 + 100 else None
    hands.start(a_send(1))
    await asyncio.sleep(200)
    assert [at for at, _, _ in hands.outside.tried] == [0, 1, 3, 7, 15, 30, 60, 120]
    assert [event.failure for event in hands.of(Sent)] == [None]
    assert [at for at, event in hands.events if isinstance(event, SendFailing)] == [60]
    assert hands.of(SendFailing)[0].detail == "503"


@on_virtual_time
async def test_retry_after_is_honoured() -> None:
    """Slack limits by the minute: trying on after a second only prolongs it."""
    hands = Hands()
    errors = iter([Undelivered("429", retry_after=30)])
    hands.outside.refuses = lambda contact, message: next(errors, None)
    hands.start(a_send(1))
    await asyncio.sleep(100)
    assert [at for at, _, _ in hands.outside.tried] == [0, 30]


@on_virtual_time
async def test_a_page_refused_for_good_ends_with_the_reason() -> None:
    """The next contact is told instead; trying a wrong key for ever helps nobody."""
    hands = Hands()
    hands.outside.refuses = lambda contact, message: Undelivered("no such key", permanent=True)
    hands.start(a_send(1))
    await turns()
    assert [event.failure for event in hands.of(Sent)] == ["no such key"]


@on_virtual_time
async def test_messages_of_a_thread_arrive_in_order_and_threads_do_not_wait_for_each_other() -> None:
    """`resolved` before `open`, or one stuck incident silencing the next."""
    hands = Hands()
    hands.outside.refuses = lambda contact, message: (
        Undelivered("503") if (contact, message.thread) == (ONCALL, "t") and hands.clock.now() < T0 + 20 else None
    )
    hands.start(a_send(1, 1), a_send(2, 2), a_send(3, 3), a_send(4, 7, thread="other"), a_send(5, 9, LEAD))
    await turns()
    assert hands.outside.sent == [("oncall", 7), ("lead", 9)]
    await asyncio.sleep(100)
    assert hands.outside.sent[2:] == [("oncall", 1), ("oncall", 2), ("oncall", 3)]
    assert hands.executor._turns == {}  # nothing is left of threads that are done


@on_virtual_time
async def test_a_message_that_waits_behind_a_stuck_one_fails_over_as_well() -> None:
    """While a channel is down for an hour, "it did not help" would reach nobody."""
    hands = Hands()
    hands.outside.refuses = lambda contact, message: Undelivered("503")
    hands.start(a_send(1, 1))
    await asyncio.sleep(30)
    hands.start(a_send(2, 2))
    await asyncio.sleep(100)
    failing = [(at, event.effect) for at, event in hands.events if isinstance(event, SendFailing)]
    assert failing == [(60, "pix/1-send"), (90, "pix/2-send")]


@on_virtual_time
async def test_a_page_delays_no_lever() -> None:
    """Act first, then page."""
    hands = Hands()
    hands.outside.refuses = lambda contact, message: Undelivered("503")
    hands.start(a_send(1), a_pull(2))
    await turns()
    assert len(hands.of(LeverEnded)) == 1


@on_virtual_time
async def test_the_same_effect_is_never_carried_out_twice_at_once() -> None:
    """Asked for again by a restart of the account, or dropped and taken up again in the same moment."""

    async def stubborn(effect: PullLever) -> LeverResult:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.shield(asyncio.sleep(2))  # letting go takes a while
        return LeverResult(Outcome.DONE, "done")

    hands = Hands(lever=stubborn)
    hands.start(a_pull(), a_pull())
    await asyncio.sleep(1)
    assert hands.outside.pulls == ["pix/1-pull"]
    hands.executor.abandon(["pix"])
    hands.start(a_pull())  # it must not be forgotten either
    await asyncio.sleep(200)
    assert hands.outside.pulls == ["pix/1-pull", "pix/1-pull"]
    assert hands.outside.most_pulling == 1
    assert len(hands.of(LeverEnded)) == 1


@on_virtual_time
async def test_a_later_step_looks_only_once_the_earlier_one_has_let_go() -> None:
    """Looks and leaps of two hands side by side could come in any order, and leave the less safe of both."""

    async def stubborn(effect: PullLever) -> LeverResult:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.shield(asyncio.sleep(2))
        return LeverResult(Outcome.DONE, "done")

    hands = Hands(lever=stubborn)
    hands.start(a_pull(1))
    await asyncio.sleep(1)
    hands.start(a_pull(2))
    await asyncio.sleep(200)
    assert hands.outside.pulls == ["pix/1-pull", "pix/2-pull"]
    assert hands.outside.most_pulling == 1
    assert [e.result.outcome for e in hands.of(LeverEnded)] == [Outcome.UNKNOWN, Outcome.DONE]


@on_virtual_time
async def test_at_the_end_a_lever_may_come_to_its_end_and_the_rest_is_dropped() -> None:
    """SIGTERM in the middle of a rollback."""
    hands = Hands(lever=after(5, LeverResult(Outcome.DONE, "done")), passes_at=T0 + 9_999)
    hands.outside.refuses = lambda contact, message: Undelivered("503")
    hands.start(a_pull(1), a_send(2), RunChecks("pix/3-check", "pix", "emergency", T0 + 120))
    await hands.executor.finish(20)
    await turns()
    assert [type(event) for _, event in hands.events] == [LeverEnded]
    assert hands.executor.tasks == {}


@on_virtual_time
async def test_a_lever_that_hangs_is_left_to_the_next_start() -> None:
    """The daemon would never end."""
    hands = Hands(lever=after(500, LeverResult(Outcome.DONE, "done")))
    hands.start(a_pull())
    await hands.executor.finish(20)
    await turns()
    assert asyncio.get_running_loop().time() <= 21
    assert hands.of(LeverEnded) == []
    assert hands.executor.tasks == {}


@on_virtual_time
async def test_only_the_effects_of_the_services_named_are_dropped() -> None:
    """A lost account takes its own services along, not those whose name begins alike."""
    hands = Hands(lever=after(5, LeverResult(Outcome.DONE, "done")))
    other = PullLever("pix-two/1-pull", "pix-two", WriteKv("emergency"), T0)
    hands.start(a_pull(), other)
    await turns()
    hands.executor.abandon(["pix"])
    await asyncio.sleep(10)
    assert [event.effect for event in hands.of(LeverEnded)] == ["pix-two/1-pull"]


@on_virtual_time
async def test_without_the_lease_nothing_more_goes_out_and_nothing_is_reported() -> None:
    """A replica that was frozen, and thaws, would pull and page beside the one that has taken over."""
    lost = False

    def check_lease(service: str) -> None:
        if lost:
            raise LeaseLost(f"the account of {service} is another's")

    hands = Hands(refuses=lambda contact, message: Undelivered("busy"))
    hands.executor.check_lease = check_lease
    hands.start(a_send(1))
    await asyncio.sleep(5)
    tried = len(hands.outside.tried)
    assert tried > 1
    lost = True
    hands.start(a_pull(2), a_send(3))
    await asyncio.sleep(300)
    assert len(hands.outside.tried) == tried
    assert hands.outside.pulls == []
    assert hands.of(LeverEnded) == hands.of(Sent) == []
    assert hands.executor.tasks == {}


@on_virtual_time
async def test_a_lease_lost_in_the_middle_of_a_pull_leaves_its_end_to_the_next_owner() -> None:
    """Reported as unknown, the step would be settled by one who may not settle it, and read back by nobody."""

    async def lever(effect: PullLever) -> LeverResult:
        raise LeaseLost("it has run out")

    hands = Hands(lever=lever)
    hands.start(a_pull())
    await asyncio.sleep(60)
    assert hands.of(LeverEnded) == []
    assert hands.executor.tasks == {}


async def test_what_a_channel_answered_is_given_back_with_the_next_message_of_the_thread() -> None:
    """Every message would begin a thread of its own, also where it waited behind the first."""
    hands = Hands(
        answers=lambda contact, message: f"{message.thread}/{message.sequence}" if message.sequence < 3 else None
    )
    hands.start(a_send(1), a_send(2, sequence=2), a_send(3, sequence=3))
    await turns()
    hands.start(a_send(4, thread="other"))
    await turns()
    hands.start(a_send(5, sequence=4))
    await turns()
    assert hands.outside.receipts == [None, "t/1", "t/2", None, "t/2"]
    assert [e.receipt for e in hands.of(Sent)] == ["t/1", "t/2", "t/2", "other/1", "t/2"]


@on_virtual_time
async def test_after_a_restart_a_message_has_the_receipt_that_was_written_down() -> None:
    """The update of an incident would open a second one at Statuspage, or a second thread."""
    hands = Hands()
    hands.start(replace(a_send(1, sequence=2), receipt="kept"))
    await turns()
    assert hands.outside.receipts == ["kept"]


@on_virtual_time
async def test_the_end_of_a_thread_and_the_loss_of_an_account_forget_what_was_answered() -> None:
    """Memory would grow with every incident; and another replica may have gone on with the thread meanwhile."""
    hands = Hands(answers=lambda contact, message: "r")
    hands.start(a_send(1, thread="notaus/pix/1"), a_send(2, thread="notaus/books/1"))
    await turns()
    hands.executor.abandon(["pix"])
    end = a_send(3, sequence=2, thread="notaus/books/1")
    hands.start(replace(end, message=replace(end.message, status=Status.RESOLVED)))
    hands.start(a_send(4, sequence=2, thread="notaus/pix/1"))
    await turns()
    hands.start(a_send(5, sequence=3, thread="notaus/books/1"))
    await turns()
    assert hands.outside.receipts == [None, None, "r", None, None]
