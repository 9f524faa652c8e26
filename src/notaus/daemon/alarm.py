"""The alarm: tells people when even the journal fails. Unrecorded, straight to the channels, at most now and then."""

from __future__ import annotations

import asyncio

import structlog

from notaus.clock import Clock
from notaus.core.page import Kind, Message, Status
from notaus.core.rule import Severity
from notaus.core.service import Contact, Service
from notaus.daemon.ports import Channel
from notaus.errors import Undelivered

AGAIN_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Siren:
    """Sends the alarm of a service to its critical contacts, and says when it is over."""

    def __init__(self, channels: Channel, clock: Clock) -> None:
        self.channels, self.clock = channels, clock
        self._raised: dict[str, tuple[float, Service]] = {}
        self._receipts: dict[tuple[str, Contact], str | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def raise_(self, service: Service, text: str) -> None:
        """Tell people, unless they were told within the last ten minutes."""
        now = self.clock.now()
        at, _ = self._raised.get(service.name, (-AGAIN_SECONDS, service))
        if now - at < AGAIN_SECONDS:
            return
        self._raised[service.name] = (now, service)
        self._tell(service, Status.OPEN, text, "No lever is pulled until the journal can be written again.")

    def calm(self) -> None:
        """Tell whoever was told that it is over."""
        raised, self._raised = self._raised, {}
        for _, service in raised.values():
            self._tell(service, Status.RESOLVED, "the journal can be written again", "Levers are pulled again.")

    async def finish(self, seconds: float) -> None:
        """Let what is being sent come to its end, but not for long."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)
        for task in list(self._tasks):
            task.cancel()

    def _tell(self, service: Service, status: Status, text: str, line: str) -> None:
        message = Message(
            Kind.NOTICE,
            f"notaus/{service.name}/journal",
            1 if status is Status.OPEN else 2,
            int(self.clock.now()),
            service.name,
            Severity.CRITICAL,
            status,
            status is Status.OPEN,
            f"{service.name}: {text}",
            (line,),
        )
        task = asyncio.create_task(self._send(service, message), name=f"alarm {service.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, service: Service, message: Message) -> None:
        """Once to everybody; where nobody could be reached, the next failure raises it anew."""
        reached = False
        for contact in filter(lambda contact: contact.person, service.contacts.critical):
            try:
                key = (service.name, contact)
                self._receipts[key] = await self.channels.send(contact, message, self._receipts.pop(key, None))
                reached = True
            except Undelivered as error:
                log.error("the alarm was not delivered", contact=str(contact), reason=str(error))
            except Exception:
                log.exception("a channel failed in an unforeseen way", contact=str(contact))
        if not reached and message.status is Status.OPEN:
            self._raised.pop(service.name, None)
