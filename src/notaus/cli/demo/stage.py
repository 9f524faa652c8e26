"""The stage of the demo: sandbox and daemon as processes of their own, real HTTP on loopback, one fast clock."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from notaus.cli.demo.teller import Teller
from notaus.cli.remote import Daemon
from notaus.errors import NotausError
from notaus.sandbox.workerd import Workerd, WorkerFiles, find

CONFIG = Path(__file__).parent / "config"
"""Equal to the project's config/, so that the demo works from an installed package."""
DATABASE = "pix.sqlite"
OF_SQLITE = {"now() - interval '1 hour'": "datetime('now', '-1 hour')", "now() - query_start": "query_start"}
"""PostgreSQL's ways to reckon with times, and SQLite's."""
ZONE = "3a1f0c5d9b7e4826a0d5c1e2f3b4a596"
DAY = 86_400.0
START_SECONDS = 40.0
END_SECONDS = 10.0
PAGERDUTY = ("pix-oncall", "platform", "engineering-lead")
STATUS = "/status/api/v2/summary.json"
SLACK = ("#incidents", "#bookstrack-alerts", "#engineering")
FOREIGN = ("NOTAUS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Variables of the surroundings that must not reach the demo's processes."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock that both processes share: virtual + (real - anchor) x speed."""

    anchor: float
    virtual: float
    speed: float

    def now(self) -> float:
        return self.virtual + (time.time() - self.anchor) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


class Stage:
    """The running demo: eyes and hands for its story."""

    def __init__(
        self, directory: Path, clock: Clock, sandbox: Mapping[str, Any], url: str, http: httpx.AsyncClient
    ) -> None:
        self.directory, self.clock, self.sandbox, self.url, self.http = directory, clock, sandbox, url, http
        self.worker: Workerd | None = None
        """The real Worker, in a demo with one."""
        token = (directory / "api-token").read_text().strip()
        self._api = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20.0, trust_env=False
        )
        self.daemon = Daemon(self._api)

    @classmethod
    @contextlib.asynccontextmanager
    async def built(
        cls, speed: float, seed: int, teller: Teller, *, keep: bool, real_worker: RealWorker | None = None
    ) -> AsyncIterator[Stage]:
        """Start the processes; whatever happens, they are ended. Raises NotausError where one does not start.

        With a real Worker, its visitors are the only traffic, and it is the only service.
        """
        directory = Path(tempfile.mkdtemp(prefix="notaus-demo-"))
        now = time.time()
        # workerd stamps its points with the machine's time; a day ahead, nobody takes that for the shared clock's.
        clock = Clock(now, now if real_worker is None else now + DAY, speed)
        try:
            async with contextlib.AsyncExitStack() as stack:
                spot = f"{clock.anchor!r},{clock.virtual!r},{speed!r}"
                users = () if real_worker is None else ("--no-traffic",)
                command = ("sandbox", "--port", "0", "--json", "--seed", str(seed), "--clock", spot, *users)
                sandbox = await stack.enter_async_context(_process(command, _surroundings(), directory))
                teller.tell("sandbox", f"an emulated Cloudflare account serves at {sandbox['admin'][:-6]}")
                variables, services = (
                    environment(sandbox, clock, directory),
                    () if real_worker is None else ("pix-immo",),
                )
                config, worker = config_in(directory, *services), None
                if real_worker is not None:
                    worker = stack.enter_context(real_worker.started(sandbox))
                    teller.tell("workerd", f"the example Worker runs in workerd at {worker.url}")
                    variables["NOTAUS_ORIGINS"] = json.dumps({"api.pix.immo": worker.url})
                run = ("run", "--config", str(config), "--json")
                ready = await stack.enter_async_context(_process(run, _surroundings() | variables, directory))
                teller.tell("daemon", f"the daemon guards {' and '.join(ready['services'])}, at {ready['url']}")
                port = ready["url"].rpartition(":")[2]
                _keep_environment(directory, variables | {"NOTAUS_LISTEN__PORT": port})
                http = await stack.enter_async_context(httpx.AsyncClient(timeout=20.0, trust_env=False))
                stage = cls(directory, clock, sandbox, ready["url"], http)
                stage.worker = worker
                await stack.enter_async_context(stage._api)
                yield stage
        finally:
            if not keep:
                shutil.rmtree(directory, ignore_errors=True)

    async def admin(self, what: str, **body: Any) -> Any:
        """Ask something of the sandbox's fault API."""
        response = await self.http.post(f"{self.sandbox['admin']}/{what}", json=body)
        if response.status_code != 200:
            raise NotausError(f"the sandbox refused {what}: {response.text[:300]}")
        return response.json()

    async def state(self) -> Any:
        """The sandbox's own state."""
        return (await self.http.get(f"{self.sandbox['admin']}/state")).json()

    async def pages(self) -> list[Mapping[str, Any]]:
        """Every message that its sinks received."""
        found: list[Mapping[str, Any]] = (await self.http.get(self.sandbox["pages"])).json()
        return found

    async def ask(self, service: str, path: str) -> httpx.Response:
        """Ask one of the guarded services, as a user would."""
        return await self.http.get(f"{self.sandbox['workers'][service]}{path}")


def environment(sandbox: Mapping[str, Any], clock: Clock, directory: Path) -> dict[str, str]:
    """What the daemon is told of its surroundings: all that `config_in` leaves as it is."""
    pages, workers = sandbox["pages"], sandbox["workers"]
    channels = {
        "pagerduty": {
            name: {"routing_key": name.ljust(32, "0"), "url": f"{pages}/pagerduty/v2/enqueue"} for name in PAGERDUTY
        },
        "slack": {name: {"webhook_url": f"{pages}/slack/{name.strip('#')}"} for name in SLACK},
        "statuspage": {
            "api": {"token": "statuspage-key", "page": "demo", "subject": "API", "url": f"{pages}/statuspage"}
        },
        "github": {"bookstrack/api": {"token": "github-token", "labels": ["incident"], "url": f"{pages}/github"}},
    }
    return {
        "CLOUDFLARE_API_TOKEN": sandbox["token"],
        "CLOUDFLARE_ACCOUNT_ID": sandbox["account"],
        "PIX_KV_NAMESPACE": sandbox["kv_namespace"],
        "PIX_DATABASE_URL": f"sqlite:///{directory / DATABASE}",
        "BOOKSTRACK_ZONE": ZONE,
        "NOTAUS_CLOUDFLARE__API_URL": sandbox["api"],
        "NOTAUS_CLOUDFLARE__STATUS_URL": sandbox["admin"].removesuffix("/admin") + STATUS,
        "NOTAUS_ORIGINS": json.dumps({"api.pix.immo": workers["pix-immo"], "api.oooefam.net": workers["bookstrack"]}),
        "NOTAUS_CHANNELS": json.dumps(channels),
        "NOTAUS_CLOCK": json.dumps({"speed": clock.speed, "anchor": [clock.anchor, clock.virtual]}),
        "NOTAUS_LISTEN__PORT": "0",
        "NOTAUS_STORE": str(directory / "notaus.sqlite"),
    }


@dataclass(frozen=True, slots=True)
class RealWorker:
    """The example Worker and the workerd that can run it. Both come with a checkout of the project, not with the package."""

    binary: Path
    files: WorkerFiles

    @classmethod
    def found(cls) -> RealWorker:
        """Raises NotausError where one of them is missing."""
        project = Path(__file__).parents[4]
        binary = find(project)
        if binary is None:
            raise NotausError(
                "workerd is not installed: `make judges` in a checkout installs it, or name it with NOTAUS_WORKERD"
            )
        try:
            return cls(binary, WorkerFiles.read(project / "examples/canary-worker"))
        except (OSError, ValueError) as error:
            raise NotausError(f"the example Worker comes with a checkout of the project: {error}") from None

    def started(self, sandbox: Mapping[str, Any]) -> Workerd:
        """The Worker, its bindings served by the sandbox; a context manager."""
        return Workerd(self.binary, self.files, sandbox["admin"].removesuffix("/admin"), {"UPLOAD_TOKEN": "demo"})


def config_in(directory: Path, *services: str) -> Path:
    """The configuration of `services` (none named: of all) in `directory`, beside the database that they ask.

    That is a SQLite file, which has its own way to write an interval; all else stays as it is.
    """
    config = directory / "config"
    (config / "services").mkdir(parents=True)
    shutil.copyfile(CONFIG / "notaus.yaml", config / "notaus.yaml")
    for file in (CONFIG / "services").glob("*.yaml"):
        if not services or file.stem in services:
            text = file.read_text(encoding="utf-8")
            for postgresql, sqlite in OF_SQLITE.items():
                text = text.replace(postgresql, sqlite)
            (config / "services" / file.name).write_text(text, encoding="utf-8")
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as database:
        database.execute("CREATE TABLE upload_intents (id INTEGER PRIMARY KEY, orphaned_at TEXT)")
        database.execute("CREATE TABLE pg_stat_activity (pid INTEGER, query_start TEXT, state TEXT, query TEXT)")
        database.commit()
    return config


def _surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}


def _keep_environment(directory: Path, variables: Mapping[str, str]) -> None:
    """For `--keep`: other commands find this daemon, and the configuration it runs with, by `. DIRECTORY/env`."""
    variables = {**variables, "NOTAUS_CONFIG": str(directory / "config")}
    quoted = {name: value.replace("'", "'\\''") for name, value in variables.items()}
    (directory / "env").write_text("".join(f"export {name}='{value}'\n" for name, value in quoted.items()))


@contextlib.asynccontextmanager
async def _process(command: tuple[str, ...], env: Mapping[str, str], directory: Path) -> AsyncIterator[Any]:
    """A notaus process; gives the JSON of its first line, and ends it in every case."""
    logged = directory / f"{command[0]}.log"
    with logged.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "notaus", *command,
            env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip
        try:
            yield await _first_line(process, command[0], logged)
        finally:
            await asyncio.shield(_end(process))


async def _first_line(process: asyncio.subprocess.Process, name: str, logged: Path) -> Any:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    except TimeoutError:
        line = b""
    try:
        first = json.loads(line)
    except ValueError:
        first = {"error": "it did not come up"}
    if "error" in first:
        raise NotausError(f"`notaus {name}` did not start: {first['error']}: {_last_words(logged)}")
    return first


def _last_words(logged: Path) -> str:
    return " ".join(logged.read_text(errors="replace").strip().splitlines()[-3:])


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to stop, and see that it does."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _die_with_parent() -> None:
    """On Linux a process can be told to end when the one that started it dies, however that dies."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
