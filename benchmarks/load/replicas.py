"""Twenty accounts on three replicas in one process, on virtual time: who owns what, and what a killed one leaves behind.

`python -m benchmarks.load.replicas [--accounts 20] [--minutes 10]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import structlog

from benchmarks.load.crowd import Crowd, sandbox
from benchmarks.load.virtual import EPOCH, GridBells, Watch, configuration
from notaus.app import App
from notaus.backtest.virtual_time import VirtualTimeLoop, run
from notaus.clock import SystemClock
from notaus.config import Configuration
from notaus.journal import Journal
from notaus.sandbox import Sandbox

ACCOUNT = re.compile(r"/accounts/([0-9a-f]{32})/|accountTag: .{0,2}\"([0-9a-f]{32})")


class Accounts(httpx.AsyncBaseTransport):
    """Several sandboxes, an account each; a request goes to the one that it names (a zone's goes to any)."""

    def __init__(self, boxes: dict[str, Sandbox]) -> None:
        self._inner = {account: box.transport() for account, box in boxes.items()}
        self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        found = ACCOUNT.search(request.url.path + "/ " + request.content.decode("utf-8", "replace"))
        account = (found[1] or found[2]) if found else next(iter(self._inner))
        if request.url.host.endswith(".oooefam.net"):
            request.url = request.url.copy_with(host="api.oooefam.net")
            request.headers["host"] = "api.oooefam.net"
        response = await self._inner[account].handle_async_request(request)
        self.refused += response.status_code == 429 or b"rate limiter budget depleted" in response.content
        return response


def fleet(accounts: list[str], directory: Path) -> Configuration:
    """A KV-steered service on each account."""
    found = [configuration(Crowd(1, account), directory / account) for account in accounts]
    services = tuple(replace(c.services[0], name=f"svc-{n}") for n, c in enumerate(found))
    entries = tuple(replace(e, service=f"svc-{n}") for n, c in enumerate(found) for e in c.entries)
    return replace(found[0], services=services, entries=entries, resting=frozenset())


async def spread(number: int, minutes: float, loop: VirtualTimeLoop) -> dict[str, Any]:
    """Three replicas for so long, one killed, and as long again."""
    true_time = lambda: EPOCH + loop.time()  # noqa: E731
    accounts = [f"a{n:031x}" for n in range(1, number + 1)]
    boxes = {account: sandbox(Crowd(1, account), true_time) for account in accounts}
    with tempfile.TemporaryDirectory() as name, Journal.open("sqlite://") as journal:
        settings, transport = fleet(accounts, Path(name)), Accounts(boxes)
        apps, watches = [], []
        for n in range(3):
            clock = SystemClock(wall=true_time, monotonic=loop.time)
            watches.append(Watch(15, clock))
            apps.append(
                App(
                    settings,
                    journal,
                    clock=clock,
                    http=httpx.AsyncClient(transport=transport, timeout=10.0),
                    bells=GridBells(clock),
                    owner=f"replica-{n}",
                    watchers=(watches[n],),
                )
            )
            await apps[n].start()
        await asyncio.sleep(minutes * 60)
        before = [len(app.leadership.leases) for app in apps]
        await apps[0].crash()
        killed, orphans = loop.time(), set(apps[0].leadership.leases)
        while orphans - {a for app in apps[1:] for a in app.leadership.leases}:  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(1)
        taken = loop.time() - killed
        await asyncio.sleep(minutes * 60)
        owners = Counter(account for app in apps[1:] for account in app.leadership.leases)
        result = {
            "accounts a replica": before,
            "seconds until a killed one's were taken over": taken,
            "after": [len(app.leadership.leases) for app in apps[1:]],
            "owned by exactly one": sum(count == 1 for count in owners.values()),
            "ticks": sum(watch.ticks for watch in watches),
            "late": sum(watch.late for watch in watches),
            "worst delay": max(watch.worst for watch in watches),
            "requests by account": sorted(
                {sum(r.path.startswith("/client/v4") for r in b.journal.requests) for b in boxes.values()}
            ),
            "refused for a limit": transport.refused,
            "problems": dict(sum((watch.problems for watch in watches), Counter())),
        }
        for app in apps[1:]:
            await app.crash()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated, before and after the kill")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = run(lambda loop: spread(given.accounts, given.minutes, loop))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
