"""What the web asks of the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from notaus.core.event import Order, Reply


class DaemonView(Protocol):
    """The daemon as people see it over HTTP. Nothing here blocks the loop."""

    def now(self) -> int:
        """The daemon's time, epoch seconds: every order carries it."""
        ...

    def healthy(self) -> tuple[bool, str]:
        """Whether the loop turns, and a sentence about it."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether the journal can be written and the lease is held, and a sentence about it."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Every service: rung, rules, incident, hold."""
        ...

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """The newest `limit` incidents, newest first. Raises NotausError."""
        ...

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        """One incident with its timeline; None where there is none of that id. Raises NotausError."""
        ...

    def services(self) -> Sequence[str]:
        """The names of the services that are guarded."""
        ...

    async def order(self, service: str, order: Order) -> Reply:
        """Carry an order to the service's state and wait until it is written down. Raises NotausError."""
        ...
