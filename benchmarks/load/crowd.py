"""A crowd of services: their configuration, made from the two example services, and a sandbox in which they live."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from notaus.sandbox import Sandbox
from notaus.sandbox.box import ZONE, Lags
from notaus.sandbox.deployments import Worker

EXAMPLES = Path(__file__).parents[2] / "config"
HISTORY_SECONDS = 6000
"""Rows from before the start: as far back as the services look."""
LATENCIES = (250.0, 350.0)
REQUESTS = 100
"""Behind each row."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many services, half of them steered by a KV key, half by deployments, on one account."""

    count: int
    account: str
    step: int = 15

    @property
    def every(self) -> int:
        """Seconds: the rows of all services are of the multiples of this."""
        return max(15, self.step // 5)

    @property
    def pix(self) -> Sequence[str]:
        return [f"pix-{n:04}" for n in range(-(-self.count // 2))]

    @property
    def books(self) -> Sequence[str]:
        return [f"books-{n:04}" for n in range(self.count // 2)]

    def files(self) -> dict[str, str]:
        """The service files by name."""
        pix, books = _example("pix-immo"), _example("bookstrack")
        pix = re.sub(r"  orphaned_intents:\n(    .*\n)+", "", pix)  # there is no database of theirs
        pix = re.sub(r"  - \{name: orphaned intents.*\n", "", pix)
        files = {f"{name}.yaml": self._renamed(_pix(pix, name), "pix-immo", name) for name in self.pix}
        return files | {f"{name}.yaml": self._renamed(_books(books, name), "bookstrack", name) for name in self.books}

    def _renamed(self, text: str, old: str, new: str) -> str:
        text = text.replace("${CLOUDFLARE_ACCOUNT_ID}", self.account)
        grid = f"step: {self.step}s\nwindow: {max(self.step, 60)}s\n"
        return text.replace(f"name: {old}\n", f"name: {new}\n{grid}", 1)

    def write(self, directory: Path) -> Path:
        """A configuration directory with all of them."""
        services = directory / "services"
        services.mkdir(parents=True, exist_ok=True)
        (directory / "notaus.yaml").write_text((EXAMPLES / "notaus.yaml").read_text())
        for name, text in self.files().items():
            (services / name).write_text(text)
        return directory


def _example(name: str) -> str:
    return (EXAMPLES / "services" / f"{name}.yaml").read_text()


def _pix(text: str, name: str) -> str:
    text = text.replace("dataset: pix_canary\n", f"dataset: pix_canary\n    where: index1 = '{name}'\n")
    return text.replace("piximmo-media", f"media-{name}").replace("key: config\n", f"key: {name}\n")


def _books(text: str, name: str) -> str:
    text = text.replace(
        "dataset: books_api_performance\n", f"dataset: books_api_performance\n    where: index1 = '{name}'\n"
    )
    return text.replace("api.oooefam.net", f"{name}.oooefam.net").replace("api-worker", f"worker-{name}")


def sandbox(crowd: Crowd, now: Callable[[], float]) -> Sandbox:
    """An account in which the crowd lives, with its past."""
    box = Sandbox(now, account=crowd.account, lags=Lags((0.0, 0.0), 0.0))
    for name in crowd.pix:
        value = {"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": False}
        box.kv.write(box.kv_namespace, name, value, lag=0)
    for name in crowd.books:
        worker = Worker(f"worker-{name}", box.now, box.journal, random.Random(name), 0.0)
        box.workers[worker.name] = worker
        for tag, hours in (("v1.8.0", 116), ("v1.9.0", 26)):
            worker.deploy(worker.upload(tag, created=now() - hours * 3600).id, at=now() - hours * 3600)
    box.journal.writes.clear()
    box.traffic = Visitors(box, crowd)  # type: ignore[assignment]
    return box


class Visitors:
    """Rows of every service, healthy, a few a tick; what is older than the services look is dropped."""

    def __init__(self, box: Sandbox, crowd: Crowd) -> None:
        self._box, self._crowd = box, crowd
        self._next = (int(box.now()) - HISTORY_SECONDS) // crowd.every * crowd.every
        self.advance(box.now())

    def advance(self, at: float) -> None:
        """Let every moment before `at` happen."""
        while self._next < at:
            self._happen(self._next)
            self._next += self._crowd.every
            if self._next % 600 == 0:
                self._box.rows.prune(self._next - HISTORY_SECONDS)

    def _happen(self, at: int) -> None:
        rows = self._box.rows
        rows.write_points(
            "pix_canary",
            [
                (at, REQUESTS, name, (cohort, "B2a"), (latency, 200.0))
                for name in self._crowd.pix
                for cohort in ("native", "proxy")
                for latency in LATENCIES
            ],
        )
        rows.write_points(
            "books_api_performance",
            [
                (at, REQUESTS, name, ("search", "v1.9.0", "HIT", kind, "ok"), (200.0, 200.0))
                for name in self._crowd.books
                for kind in ("http", "ws", "provider")
            ],
        )
        rows.write_many(
            "httpRequestsAdaptiveGroups",
            [
                {"at": at, "weight": REQUESTS, "zoneTag": ZONE, "clientRequestHTTPHost": f"{name}.oooefam.net",
                 "edgeTimeToFirstByteMs": latency}
                for name in self._crowd.books
                for latency in LATENCIES
            ],
        )  # fmt: skip
        rows.write_many(
            "r2OperationsAdaptiveGroups",
            [{"at": at, "weight": 20, "bucketName": f"media-{name}"} for name in self._crowd.pix],
        )
