"""What the daemon calls: small Protocols, implemented by `sources`, `levers`, `checks`, `notify` and `journal`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from notaus.config.sources import Entry
from notaus.core.effect import Collect, Kept, LeverResult, PullLever, RunChecks
from notaus.core.page import Message
from notaus.core.sample import Readings
from notaus.core.service import Contact, Service
from notaus.core.verification import CheckResult
from notaus.core.world import World


class Reader(Protocol):
    """Reads the signals of one entry of `signals:`."""

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """A sample, known or unknown, for each signal of `entry` at each of `times` (settled grid times).

        A time left out stays pending. Raises ReadFailed where nothing could be learned: that is never a zero.
        """
        ...


class WorldReader(Protocol):
    """Reads where a service stands: its KV key, or its deployments."""

    async def read(self, service: Service) -> World:
        """Raises ReadFailed."""
        ...


class LeverPuller(Protocol):
    """Looks, leaps, and looks again."""

    async def pull(self, service: Service, effect: PullLever) -> LeverResult:
        """Never raises for what Cloudflare does; safe to call again for the same effect."""
        ...


class Checker(Protocol):
    """Runs the checks of a step once."""

    async def check(self, service: Service, effect: RunChecks) -> tuple[CheckResult, ...]:
        """One result for each check that applies to the rung, signal checks left out."""
        ...


class Keeper(Protocol):
    """Keeps evidence."""

    async def collect(self, service: Service, effect: Collect) -> Kept:
        """Never raises for what Cloudflare or the disk does; safe to call again for the same effect."""
        ...


class Channel(Protocol):
    """Delivers messages to one kind of contact."""

    async def send(self, contact: Contact, message: Message, receipt: str | None = None) -> str | None:
        """The receipt for the next message of the thread, None where nothing is new; `receipt` is the last one's.

        Raises Undelivered, permanent or not.
        """
        ...
