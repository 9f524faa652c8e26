"""The alarm: tells people when even the journal fails. Unrecorded, straight to the channels, at most now and then."""

from __future__ import annotations

import asyncio

import structlog

from notaus.clock import Clock
from notaus.core.page import Kind, Message, Status
from notaus.core.rule import Severity
from notaus.core.service import Service
from notaus.daemon.ports import Channel
from notaus.errors import Undelivered

AGAIN_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Siren:
    """Sends the alarm of a service to its critical contacts."""

    def __init__(self, channels: Channel, clock: Clock) -> None:
        self.channels, self.clock = channels, clock
        self._raised: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def raise_(self, service: Service, text: str) -> None:
        """Tell people, unless they were told within the last ten minutes."""
        now = self.clock.now()
        if now - self._raised.get(service.name, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        self._raised[service.name] = now
        message = Message(
            Kind.NOTICE,
            f"notaus/{service.name}/journal",
            1,
            int(now),
            service.name,
            Severity.CRITICAL,
            Status.OPEN,
            True,
            f"{service.name}: {text}",
            ("No lever is pulled until the journal can be written again.",),
        )
        task = asyncio.create_task(self._send(service, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, service: Service, message: Message) -> None:
        for contact in service.contacts.critical:
            try:
                await self.channels.send(contact, message)
            except Undelivered as error:
                log.error("the alarm was not delivered", contact=str(contact), reason=str(error))
