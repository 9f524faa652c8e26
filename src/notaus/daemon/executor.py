"""The executor: carries effects out, each in a task of its own that ends in an event. Paging never delays acting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, assert_never

import structlog

from notaus.clock import Clock
from notaus.core.effect import ChecksResult, Collect, Effect, Kept, LeverResult, Outcome, PullLever, RunChecks, Send
from notaus.core.event import ChecksEnded, Collected, Event, LeverEnded, LeverSlow, SendFailing, Sent
from notaus.core.page import Status
from notaus.core.service import Contact, Service
from notaus.core.verification import CheckResult
from notaus.daemon.ports import Channel, Checker, Keeper, LeverPuller
from notaus.errors import Undelivered
from notaus.journal import LeaseLost
from notaus.log import scrub
from notaus.metrics import Metrics

SLOW_SECONDS = 10.0
"""After this long without an outcome people are told what was begun (spec 10)."""
CHECK_EVERY = 5.0
FAILING_SECONDS = 60.0
"""A channel that fails this long sends us to the next contact."""
BACKOFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

log = structlog.get_logger(__name__)

Post = Callable[[str, Event], None]


class Executor:
    """Starts effects, and lets no two tasks work on the same one."""

    def __init__(
        self,
        levers: LeverPuller,
        checks: Checker,
        channels: Channel,
        clock: Clock,
        metrics: Metrics,
        post: Post,
        check_lease: Callable[[str], None] = lambda service: None,
        keeper: Keeper | None = None,
    ) -> None:
        """`check_lease` is asked before anything leaves for a service, and raises LeaseLost where another acts for it."""
        self.levers, self.checks, self.channels = levers, checks, channels
        self.clock, self.metrics, self.post = clock, metrics, post
        self.check_lease, self.keeper = check_lease, keeper
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[tuple[Contact, str], _Turn] = {}
        self._receipts: dict[tuple[Contact, str], str] = {}
        """What channels answered in this process, by contact and thread: newer than what waiting messages know."""
        self._pulling: dict[str, asyncio.Task[None]] = {}
        """Who has a hand on the lever of each service."""
        self._overtaken: set[str] = set()

    def start(self, service: Service, effect: Effect) -> None:
        """Carry out `effect`, unless it is being carried out already."""
        before = self.tasks.get(effect.id)
        if before is not None and not before.cancelling():
            return
        task = asyncio.create_task(self._after(before, service, effect), name=effect.id)
        self.tasks[effect.id] = task
        task.add_done_callback(self._ended)

    async def _after(self, before: asyncio.Task[None] | None, service: Service, effect: Effect) -> None:
        """Never two at once: one that was dropped may still be letting go."""
        if before is not None:
            await asyncio.wait([before])
        await self._carry_out(service, effect)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.tasks.get(task.get_name()) is task:
            del self.tasks[task.get_name()]
        if not task.cancelled() and isinstance(task.exception(), LeaseLost):
            log.warning("an effect is left to the next owner", effect=task.get_name(), reason=str(task.exception()))
        elif not task.cancelled() and task.exception() is not None:
            log.error("an effect ended in an unforeseen way", effect=task.get_name(), exc_info=task.exception())

    def _carry_out(self, service: Service, effect: Effect) -> Coroutine[Any, Any, None]:
        match effect:
            case PullLever():
                return self._pull(service, effect)
            case RunChecks():
                return self._check(service, effect)
            case Send():
                return self._send(effect)
            case Collect():
                return self._collect(service, effect)
            case _:
                assert_never(effect)

    async def _pull(self, service: Service, effect: PullLever) -> None:
        slow = asyncio.create_task(self._call_slow(effect))
        started = self.clock.now()
        try:
            await self._overtake(effect)
            self.check_lease(effect.service)
            result = await self.levers.pull(service, effect)
        except asyncio.CancelledError:
            if effect.id not in self._overtaken:
                raise
            self._overtaken.discard(effect.id)
            result = LeverResult(Outcome.UNKNOWN, "overtaken by a later step")
        except LeaseLost:
            raise
        except Exception as error:  # a lever never raises; if one does, whether it acted is unknown
            log.exception("a lever failed in an unforeseen way", effect=effect.id)
            result = LeverResult(Outcome.UNKNOWN, scrub(f"{type(error).__name__}: {error}"))
        finally:
            slow.cancel()
        kind = type(effect.action).__name__
        rung = getattr(effect.action, "rung", "rolled_back")
        self.metrics.actions_total.labels(
            service=service.name, lever=kind, rung=rung, outcome=str(result.outcome)
        ).inc()
        took = self.clock.now() - started
        self.metrics.action_duration_seconds.labels(service=service.name, lever=kind).observe(took)
        log.info("lever", service=service.name, effect=effect.id, outcome=str(result.outcome), detail=result.detail)
        self.post(effect.service, LeverEnded(int(self.clock.now()), effect.id, result))

    async def _overtake(self, effect: PullLever) -> None:
        """One hand on a lever: a later step makes an earlier one let go, and looks only once that has.

        Looks and leaps of two that run side by side could come in any order, and leave the less safe of both.
        """
        earlier = self._pulling.get(effect.service)
        mine = asyncio.current_task()
        assert mine is not None
        self._pulling[effect.service] = mine
        mine.add_done_callback(lambda task: self._let_go(effect.service, task))
        if earlier is not None and not earlier.done():
            self._overtaken.add(earlier.get_name())
            earlier.cancel()
            await asyncio.wait([earlier])

    def _let_go(self, service: str, task: asyncio.Task[None]) -> None:
        if self._pulling.get(service) is task:
            del self._pulling[service]

    async def _call_slow(self, effect: PullLever) -> None:
        """Counted from the intent: a restart in between does not put people off."""
        await self.clock.sleep(effect.asked_at + SLOW_SECONDS - self.clock.now())
        self.post(effect.service, LeverSlow(int(self.clock.now()), effect.id))

    async def _check(self, service: Service, effect: RunChecks) -> None:
        """Until every check passes, or the deadline does."""
        started = self.clock.now()
        while True:
            try:
                results = await self.checks.check(service, effect)
            except Exception as error:
                log.exception("the checks failed in an unforeseen way", effect=effect.id)
                results = (CheckResult("checks", False, scrub(f"{type(error).__name__}: {error}")),)
            passed = ChecksResult(results)
            if passed.passed or self.clock.now() + CHECK_EVERY > effect.deadline:
                break
            await self.clock.sleep(CHECK_EVERY)
        self.metrics.verification_duration_seconds.labels(service=service.name).observe(self.clock.now() - started)
        log.info("checks", service=service.name, effect=effect.id, passed=passed.passed)
        self.post(effect.service, ChecksEnded(int(self.clock.now()), effect.id, passed))

    async def _collect(self, service: Service, effect: Collect) -> None:
        try:
            kept = Kept("", 0, 0) if self.keeper is None else await self.keeper.collect(service, effect)
        except Exception as error:
            log.exception("keeping evidence failed in an unforeseen way", effect=effect.id)
            kept = Kept("", 0, 0, (scrub(f"{type(error).__name__}: {error}"),))
        log.info("evidence", service=service.name, effect=effect.id, files=kept.files, problems=kept.problems)
        self.post(effect.service, Collected(int(self.clock.now()), effect.id, kept))

    async def _send(self, effect: Send) -> None:
        """Deliver, for as long as it takes; messages of one thread to one contact stay in order."""
        key = (effect.contact, effect.message.thread)
        turn = self._turns.setdefault(key, _Turn())
        turn.waiting += 1
        failing = asyncio.create_task(self._call_failing(effect, turn))
        try:
            async with turn.lock:
                failure = await self._deliver(effect, turn)
        finally:
            failing.cancel()
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(key, None)
        receipt = self._receipts.get(key)
        if effect.message.status is Status.RESOLVED and not turn.waiting:
            self._receipts.pop(key, None)
        self.post(effect.service, Sent(int(self.clock.now()), effect.id, failure, receipt))

    async def _call_failing(self, effect: Send, turn: _Turn) -> None:
        """Also for a message that waits behind another that does not get through."""
        await self.clock.sleep(FAILING_SECONDS)
        self.post(effect.service, SendFailing(int(self.clock.now()), effect.id, turn.failure))

    async def _deliver(self, effect: Send, turn: _Turn) -> str | None:
        """None once delivered, or why it never will be."""
        tries, channel, key = 0, effect.contact.channel, (effect.contact, effect.message.thread)
        while True:
            self.check_lease(effect.service)
            try:
                receipt = await self.channels.send(
                    effect.contact, effect.message, self._receipts.get(key, effect.receipt)
                )
            except Undelivered as error:
                outcome = "refused" if error.permanent else "failed"
                self.metrics.pages_total.labels(channel=channel, outcome=outcome).inc()
                log.warning("page not delivered", contact=str(effect.contact), reason=str(error), final=error.permanent)
                if error.permanent:
                    return str(error)
                turn.failure = str(error)
                await self.clock.sleep(max(error.retry_after or 0.0, BACKOFF[min(tries, len(BACKOFF) - 1)]))
                tries += 1
            except Exception as error:
                log.exception("a channel failed in an unforeseen way", contact=str(effect.contact))
                return scrub(f"{type(error).__name__}: {error}")
            else:
                if receipt is not None:
                    self._receipts[key] = receipt
                self.metrics.pages_total.labels(channel=channel, outcome="sent").inc()
                return None

    async def finish(self, seconds: float) -> None:
        """Let levers that are being pulled come to their end, and leave the rest to the next start."""
        pulling = [task for id, task in self.tasks.items() if id.endswith("-pull")]
        if pulling:
            await asyncio.wait(pulling, timeout=seconds)
        self.abandon()

    def abandon(self, services: Iterable[str] | None = None) -> None:
        """Drop the tasks (of `services`) as they stand: the outbox asks again."""
        prefixes = None if services is None else tuple(f"{name}/" for name in services)
        lost = () if prefixes is None else tuple(f"notaus/{prefix}" for prefix in prefixes)
        for key in [key for key in self._receipts if key[1].startswith(lost)]:  # others may write to those threads now
            del self._receipts[key]
        for id, task in list(self.tasks.items()):
            if prefixes is None or id.startswith(prefixes):
                task.cancel()


@dataclass(slots=True)
class _Turn:
    """Who may send to one contact about one thread, and why the last try failed."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    failure: str = "no answer yet"
