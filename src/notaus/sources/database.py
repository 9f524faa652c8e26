"""`database`: a scalar SQL query to the service's own database.

It only reads (a transaction, read-only where `notaus.database` knows how to ask for that, and rolled back at its end), off
the event loop, and with a deadline: notaus no longer waits, and most servers end the statement. One query of an entry is
under way at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from notaus.config.sources import Database, Entry
from notaus.core.sample import Readings, Sample
from notaus.database import GRACE, engine_of, reason, value_of
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.present import Present
from notaus.sources.scalar import scalar
from notaus.threads import Threads


class DatabaseReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._present: Present[object] = Present(context.client.clock)
        self._engines: dict[str, Engine] = {}
        self._running: set[tuple[str, str]] = set()
        self._threads = Threads()

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """One query, for the newest of `times`; older ones are as found then, or unknown. Raises ReadFailed."""
        source = _source(entry)
        found = await self._present.asked(entry, times, lambda: self._ask(entry, source))
        said = f"the database of {entry.name}"
        samples = [
            scalar(at, found[at], percent=source.percent, said=said) if at in found else Sample(at)
            for at in sorted(set(times))
        ]
        return {signal: tuple(samples) for signal in entry.signals}

    async def _ask(self, entry: Entry, source: Database) -> object:
        key = (entry.service, entry.name)
        if key in self._running:
            raise ReadFailed(f"the database of {entry.name}: the query before has not ended yet")
        engine = self._engine(entry, source)
        self._running.add(key)

        def work() -> object:
            try:
                return value_of(engine, source.query, source.timeout)
            finally:
                self._running.discard(key)

        try:
            async with asyncio.timeout(source.timeout + GRACE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise ReadFailed(f"the database of {entry.name}: no answer within {source.timeout:g} s") from None
        except SQLAlchemyError as error:
            raise ReadFailed(f"the database of {entry.name}: {reason(error, engine.url)}") from None

    def _engine(self, entry: Entry, source: Database) -> Engine:
        if source.url not in self._engines:
            try:
                self._engines[source.url] = engine_of(source.url, source.timeout)
            except ReadFailed as failed:
                raise ReadFailed(f"the database of {entry.name}: {failed}") from None
        return self._engines[source.url]


def _source(entry: Entry) -> Database:
    assert isinstance(entry.source, Database)
    return entry.source
