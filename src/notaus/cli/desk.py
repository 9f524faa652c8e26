"""The desk: where orders are given and the state is read. Either the running daemon, or this process in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from notaus.errors import ConfigurationError

if TYPE_CHECKING:
    from notaus.config import Settings

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an order is answered with."""

    accepted: bool
    text: str
    incident: str | None = None


class Reading(Protocol):
    """What is going on, and what was: as the daemon's API shows it."""

    through: str
    """Where it comes from: `daemon` or `journal`."""

    async def status(self) -> Mapping[str, Any]: ...

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]: ...

    async def incident(self, id: str) -> Mapping[str, Any] | None: ...


class Desk(Reading, Protocol):
    """Reading, and orders."""

    async def order(self, service: str, name: str, body: Body) -> Answer:
        """Raises ConfigurationError for an order that makes no sense, NotausError where nobody can take it."""
        ...


def settings_of(directory: Path) -> Settings:
    """Where the daemon of a configuration is found: secrets need not be there. Raises ConfigurationError."""
    from notaus.config import load_settings

    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: there is no such directory; name it with --config DIR")
    return load_settings(directory, lenient=True)


@asynccontextmanager
async def reading(directory: Path) -> AsyncIterator[Reading]:
    """The running daemon, or else its journal. Raises NotausError where there is neither."""
    from notaus.cli.remote import Daemon

    settings = settings_of(directory)
    async with Daemon.found(settings) as daemon:
        if daemon is not None:
            yield daemon
            return
    from notaus.cli.records import Records

    with Records.opened(directory, settings) as records:
        yield records


@asynccontextmanager
async def desk(directory: Path, service: str) -> AsyncIterator[Desk]:
    """The running daemon; where none runs and nobody holds the lease, this process takes its place for a while."""
    from notaus.cli.remote import Daemon

    settings = settings_of(directory)
    async with Daemon.found(settings) as daemon:
        if daemon is not None:
            yield daemon
            return
    from notaus.cli.deputy import Deputy

    async with Deputy.in_office(directory, service) as deputy:
        yield deputy
