"""Collects an incident's evidence twice: at once, and again when what happened around the action has been ingested.

Every source is bounded in calls and bytes, and one that fails is written down and leaves the others alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from notaus.clock import Clock
from notaus.cloudflare.client import Call, Client, account_path
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.tail import LiveTail
from notaus.cloudflare.telemetry import NotLogged, Telemetry
from notaus.core.effect import Collect, Kept
from notaus.core.sample import Sample
from notaus.core.service import Exhibit, Service
from notaus.custody.folder import Folder
from notaus.custody.questions import Had, Questions
from notaus.errors import NotausError
from notaus.log import scrub

AGAIN_SECONDS = 60
"""The second pass comes so long after the action: telemetry lags by 15 to 30 s."""
EVENTS = 2000
"""Of a page; Cloudflare refuses more as `too_big`."""
MAX_PAGES = 5

Samples = Callable[[str, str, int], Awaitable[Sequence[Sample]]]
"""The journal's samples of a service's signal since a time."""


class Collector:
    """Keeps evidence of the services of one account."""

    def __init__(
        self, client: Client, edge: Edge, clock: Clock, samples: Samples, questions: Questions, directory: Path
    ) -> None:
        self._client, self._clock, self._samples, self._directory = client, clock, samples, directory
        self._questions, self._logs, self._tail = questions, Telemetry(client), LiveTail(client, edge)

    async def collect(self, service: Service, effect: Collect) -> Kept:
        """Keep all that `effect` asks for; safe to repeat. Never raises for what Cloudflare or the disk does."""
        folder = Folder.of(self._directory / effect.incident)
        try:
            for number in (1, 2):
                if number == 2:
                    await self._until_again(folder, service, effect)
                for evidence in effect.evidence:
                    file = _FILES.get(evidence) or f"{evidence}.{self._questions.suffix(service.name, evidence)}"
                    await self._take(folder, f"{number}-{file}", evidence, service, effect)
        except OSError as error:
            return Kept(str(folder.path), 0, 0, (f"it cannot be written: {error.strerror}",))
        problems = tuple(f"{e.file}: {e.problem}" for e in folder.exhibits.values() if e.problem is not None)
        kept = [e for e in folder.exhibits.values() if e.bytes]
        return Kept(str(folder.path), len(kept), folder.bytes, problems)

    async def _until_again(self, folder: Folder, service: Service, effect: Collect) -> None:
        """Wait for the second pass; meanwhile listen to a Worker whose logs nobody keeps."""
        until = effect.asked_at + AGAIN_SECONDS
        unlogged = folder.exhibits.get(f"1-{_FILES[Exhibit.TELEMETRY]}")
        if unlogged is not None and unlogged.query.get("logged") is False and self._clock.now() < until:
            await self._take(folder, "tail.ndjson", _TAIL, service, effect)
        await self._clock.sleep(max(0.0, until - self._clock.now()))

    async def _take(self, folder: Folder, file: str, evidence: str, service: Service, effect: Collect) -> None:
        if folder.has(file):
            return
        sources: dict[str, Callable[[Service, Collect], Awaitable[Had]]] = {
            Exhibit.SAMPLES: self._signals,
            Exhibit.DEPLOYMENTS: self._deployments,
            Exhibit.VERSIONS: self._versions,
            Exhibit.TELEMETRY: self._telemetry,
            _TAIL: self._listen,
        }
        source = sources.get(evidence) or partial(self._questions.ask, evidence)
        try:
            text, query, complete = await source(service, effect)
        except NotLogged as error:
            folder.miss(file, evidence, {"logged": False}, int(self._clock.now()), str(error))
        except NotausError as error:
            folder.miss(file, evidence, {}, int(self._clock.now()), str(error))
        except Exception as error:  # a source that breaks must not take the others along
            folder.miss(file, evidence, {}, int(self._clock.now()), scrub(f"{type(error).__name__}: {error}"))
        else:
            folder.keep(file, text, evidence, query, int(self._clock.now()), complete=complete)

    async def _signals(self, service: Service, effect: Collect) -> Had:
        """Every sample around the action, as CSV."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(("signal", "at", "value", "of", "among"))
        for name in service.signals:
            for s in await self._samples(service.name, name, effect.since):
                numbers = (None if n is None else float(n) for n in (s.value, s.of, s.among))
                rows.writerow((name, s.at, *numbers))
        return out.getvalue(), {"since": effect.since}, True

    async def _deployments(self, service: Service, effect: Collect) -> Had:
        return await self._read(account_path(service.account, "workers", "scripts", service.worker, "deployments"))

    async def _versions(self, service: Service, effect: Collect) -> Had:
        return await self._read(account_path(service.account, "workers", "scripts", service.worker, "versions"))

    async def _read(self, path: str) -> Had:
        call = Call("GET", path, permission="Workers Scripts Read")
        envelope = await self._client.envelope(call)
        return json.dumps(envelope.result, indent=1), {"get": path}, True

    async def _telemetry(self, service: Service, effect: Collect) -> Had:
        """The log events of the bad version (else of the Worker), newest first, one a line. Raises NotLogged."""
        try:
            await self._logs.logged(service.account, service.worker)
        except NotLogged:
            raise
        except NotausError:
            pass  # it may all the same
        filters = [_equals("$metadata.service", service.worker)]
        if effect.version is not None:
            filters.append(_equals("$workers.scriptVersion.id", effect.version))
        body: dict[str, Any] = {
            "queryId": effect.incident,
            "view": "events",
            "dry": True,
            "limit": EVENTS,
            "timeframe": {"from": effect.since * 1000, "to": int(self._clock.now()) * 1000},
            "parameters": {"datasets": [], "filterCombination": "and", "filters": filters},
        }
        lines: list[str] = []
        for _ in range(MAX_PAGES):
            events = await self._page(service, body)
            lines += [json.dumps(event, separators=(",", ":")) for event in events]
            if len(events) < EVENTS:
                return "\n".join(lines) + "\n", body, True
            body = {**body, "offset": events[-1]["$metadata"]["id"], "offsetDirection": "next"}
        return "\n".join(lines) + "\n", body, False

    async def _listen(self, service: Service, effect: Collect) -> Had:
        """What the Worker logs, of whatever version, until the second pass."""
        seconds = max(0.0, effect.asked_at + AGAIN_SECONDS - self._clock.now())
        events, complete = await self._tail.listen(service.account, service.worker, seconds)
        return "".join(f"{event}\n" for event in events), {"tail": service.worker, "seconds": seconds}, complete

    async def _page(self, service: Service, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        path = account_path(service.account, "workers", "observability", "telemetry", "query")
        call = Call("POST", path, json=body, query=True, permission="Workers Observability Write")
        result = (await self._client.envelope(call)).result
        events = result.get("events", {}).get("events") if isinstance(result, dict) else None
        if not isinstance(events, list):
            raise NotausError(f"{call}: the answer holds no events")
        return events


_TAIL = "live tail"
_FILES: Mapping[str, str] = {
    Exhibit.SAMPLES: "samples.csv",
    Exhibit.DEPLOYMENTS: "deployments.json",
    Exhibit.VERSIONS: "versions.json",
    Exhibit.TELEMETRY: "telemetry.ndjson",
}


def _equals(key: str, value: str) -> dict[str, str]:
    return {"key": key, "operation": "eq", "type": "string", "value": value}
