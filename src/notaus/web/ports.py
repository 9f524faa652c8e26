"""What the web asks of the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from notaus.config import Settings
from notaus.core.event import Order, Reply
from notaus.core.service import Service
from notaus.core.state import State


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

    def settings(self) -> Settings:
        """What is in force; a reload exchanges it."""
        ...

    def configured(self) -> Sequence[Service]:
        """The services, as their files state them."""
        ...

    def state(self, service: str) -> State | None:
        """Where a service stands; None where another replica guards it."""
        ...

    def look(self, service: str) -> None:
        """Look at a service's deployments at the next tick: somebody says that they have changed."""
        ...

    async def push(self, service: str, signal: str, values: Sequence[tuple[int, int | float | Decimal]]) -> Reply:
        """Take in values (event time in epoch seconds, value) of a `push` source; answered once they are written down.

        Accepted: all were taken. Otherwise the text says why none was. Raises NotausError where it cannot be done now.
        """
        ...

    async def order(self, service: str, order: Order) -> Reply:
        """Carry an order to the service's state and wait until it is written down. Raises NotausError."""
        ...
