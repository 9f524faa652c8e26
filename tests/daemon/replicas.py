"""Replicas as processes of their own on one PostgreSQL, each by way of a line that a test can cut or let go dead."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from notaus.journal import TTL
from tests.daemon.processes import Process, Town
from tests.postgresql import PostgreSQL

TICK = 15.0
MARGIN = 5.0
"""Seconds of the machine that a busy one may need beside what the clock says."""


BOOKSTRACK = """
name: bookstrack
account: ${CLOUDFLARE_ACCOUNT_ID}
worker: api-worker
mode: act
signals:
  health: {source: probe, get: https://api.oooefam.net/health, json: {data.status: ok}}
ladder:
  lever: {deployment: api-worker, stable_after: 1h}
  rungs: {normal: current, rolled_back: last known stable}
rules:
  - {name: outage, when: health.failed >= 1, for: 1m, within: 30m of deploy, severity: critical, then: rolled_back}
require: [new_since_deploy, no_hold, target]
verify:
  - {read: deployment}
  - {get: https://api.oooefam.net/health, json: {data.status: ok, data.version: $target.tag}}
page:
  critical: [pagerduty: platform]
"""
"""Watched by its health alone: all that its other signals ask is work for the sandbox of a fast clock."""


class Line:
    """A TCP proxy in front of the database."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.dead = False
        """A black hole: everything is taken, nothing passes, nobody is told."""
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer), return_exceptions=True)
        for each in (writer, back):
            each.close()
        self._open -= {writer, back}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.dead:
                    writer.write(data)
                    await writer.drain()
        finally:
            if not self.dead:
                writer.close()

    def cut(self) -> None:
        """Every connection is reset, and no new one is taken."""
        self._do(self._cut())

    async def _cut(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        self.dead = False
        self._do(self._mend())

    async def _mend(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        if not self._server.is_serving():
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def leave(self) -> None:
        self._do(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _leave(self) -> None:
        await self._cut()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


class Replicas(Town):
    """A sandbox, and daemons that guard services in it, all with one journal."""

    speed = 20.0
    """A lease lasts 15 s of this clock on the database's, too: 0.75 s of the machine."""

    def __init__(self, directory: Path, database: PostgreSQL, *services: str) -> None:
        super().__init__(directory, *services)
        self.database = database
        # A session whose client is gone must let go within the lease, which is shorter here by the clock's speed.
        self.store = f"{database.schema()}%20-c%20idle_in_transaction_session_timeout%3D300"
        self.lines: dict[int, Line] = {}
        self.replicas: list[Process] = []
        files = directory / "config" / "services"
        for path in files.glob("*.yaml"):
            path.write_text(path.read_text().replace("for: 3m", "for: 1m"))
        if "bookstrack" in services:
            (files / "bookstrack.yaml").write_text(BOOKSTRACK)

    def join(self) -> Process:
        """One more replica, by a line of its own."""
        line = Line(self.database.port)
        store = self.store.replace(f":{self.database.port}/", f":{line.port}/")
        config = str(self.directory / "config")
        replica = self._keep(
            Process("run", "--config", config, "--json", env=self._env() | {"NOTAUS_STORE": store}, cwd=self.directory)
        )
        self.lines[replica.pid] = line
        self.replicas.append(replica)
        return replica

    def owner(self) -> tuple[Process, int] | None:
        """The replica that the journal says owns the account, and its fence."""
        found = self._leases()
        if found is None or not found[0]:
            return None
        pid = int(found[0].rsplit("-", 2)[1])
        return next((each for each in self.replicas if each.pid == pid), None), found[1]  # type: ignore[return-value]

    def _leases(self) -> tuple[str, int] | None:
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self.store, connect_timeout=2) as connection,
        ):
            return connection.execute("SELECT owner, fence FROM leases").fetchone()
        return None

    def owned(self) -> Process:
        self.until(lambda: (found := self.owner()) is not None and found[0] is not None)
        found = self.owner()
        assert found is not None
        return found[0]

    def all_is_well(self) -> None:
        """Every service has been polled, and nothing is wrong."""
        self.until(lambda: sum(each.said("owner of the account") for each in self.replicas) > 0)
        time.sleep(60 / self.speed)

    def taken_over(self, former: Process, begun: float) -> float:
        """Seconds of the clock from `begun` (of the machine) until another replica owns the account."""

        def other() -> bool:
            found = self.owner()
            return found is not None and found[0] is not former and found[0] is not None

        self.until(other, (TTL + TICK) / self.speed + MARGIN)
        return (time.monotonic() - begun) * self.speed

    def incidents(self, routing_key: str) -> dict[str, list[str]]:
        """PagerDuty's incidents of a contact: the critical summaries of each, in their order."""
        found: dict[str, list[str]] = {}
        for page in self.http.get(self.sandbox.first["pages"]).json():
            event = page["payload"]
            taken = page["channel"] == "pagerduty" and page["accepted"]  # one cut off in its middle was not
            if (
                taken
                and event["routing_key"].rstrip("0") == routing_key
                and "dedup_key" in event  # what is quiet is a change event, and has none
                and "/journal" not in event["dedup_key"]
                and "payload" in event
            ):
                found.setdefault(event["dedup_key"], []).append(event["payload"]["summary"])
        return found

    def bad_deployment(self) -> None:
        """bookstrack answers nothing any more."""
        self.admin("deploy", service="bookstrack", tag="v2.0.0", faulty={"outage": True})

    def hinder(self, target: str, kind: str) -> None:
        """The next call of the sandbox to `target` fails like this."""
        self.admin("faults", target=target, **{"with": [kind]})

    def hindered(self) -> bool:
        """Every fault has been met."""
        found = self.http.get(f"{self.sandbox.first['admin']}/faults").json()
        return all(fault["taken"] for fault in found)

    def handled(self) -> bool:
        return bool(self.writes) and "is verified" in self.pages

    def leave(self) -> None:
        for replica in self.replicas:
            if replica.process.poll() is None:
                os.kill(replica.pid, signal.SIGCONT)
        super().leave()
        for line in self.lines.values():
            line.leave()


@contextlib.contextmanager
def some_replicas(directory: Path, database: PostgreSQL, number: int, *services: str) -> Iterator[Replicas]:
    town = Replicas(directory, database, *services)
    try:
        for _ in range(number):
            town.join()
        yield town
    finally:
        town.leave()


Fault = Callable[[Replicas, Process], None]


def freeze(town: Replicas, owner: Process) -> None:
    os.kill(owner.pid, signal.SIGSTOP)


def thaw(town: Replicas, owner: Process) -> None:
    os.kill(owner.pid, signal.SIGCONT)


def kill(town: Replicas, owner: Process) -> None:
    owner.kill()


def nothing(town: Replicas, owner: Process) -> None:
    """What was killed stays so."""
