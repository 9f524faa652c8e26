"""Each incident that ends gets its document."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from notaus import report
from notaus.core.event import Event
from notaus.core.fleet import Stepped
from notaus.core.service import Service
from notaus.daemon.calls import Calls
from notaus.daemon.engine import Guarded
from notaus.errors import NotausError
from notaus.journal import Journal

NEWEST, LATELY_SECONDS = 10, 86_400
"""At the start so many of a service's newest incidents, closed so lately, get the document they have not."""

log = structlog.get_logger(__name__)


class Documents:
    """Writes them to `directory`, a folder an incident; None: none is written."""

    def __init__(
        self,
        journal: Journal,
        call: Calls,
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
        directory: Path | None,
    ) -> None:
        self._journal, self._call, self._spawn, self._directory = journal, call, spawn, directory

    def ended(self, guarded: Guarded, event: Event, stepped: Stepped) -> None:
        """The engine's word of each step: an incident may have closed."""
        for incident in stepped.closed:
            if not incident.quiet and not incident.shadow:
                self._spawn(self._write(guarded.service, incident.id), f"document {incident.id}")

    def look_back(self, service: Service, now: int) -> None:
        """Write those of incidents that ended when the daemon did, or while none could be written."""
        if self._directory is not None:
            self._spawn(self._missing(service, now), f"documents of {service.name}")

    async def _missing(self, service: Service, now: int) -> None:
        try:
            rows = await self._call(self._journal.incidents, service.name, NEWEST)
        except NotausError as error:
            log.warning("incidents without a document were not looked for", service=service.name, reason=str(error))
            return
        for row in rows:
            kept = isinstance(row.body, dict) and not row.body.get("quiet") and not row.body.get("shadow")
            if kept and row.closed_at is not None and row.closed_at > now - LATELY_SECONDS:
                await self._write(service, row.id)

    async def _write(self, service: Service, id: str) -> None:
        """The document of an incident that has ended; one that is there already stays as people have edited it."""
        if self._directory is None:
            return
        try:
            directory = self._directory / id
            found = await self._call(report.find, self._journal, service, id, directory)
            path = report.kept(report.render(found), directory)
        except NotausError as error:
            log.warning("the document of an incident is missing", incident=id, reason=str(error))
        else:
            if path is not None:
                log.info("the incident has its document", incident=id, path=str(path))
