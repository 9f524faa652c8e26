"""Twenty accounts on three daemons, with PostgreSQL and the sandboxes: who asks, and what a killed one leaves behind.

`python -m benchmarks.load.processes [--accounts 20] [--minutes 10] [--speed 5] [--step 60]` takes twice the minutes
by the clock, whose speed is so many seconds a second, and a minute more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.daemon.processes import Process
from tests.postgresql import a_server, programs

from benchmarks.load.accounts import TOKENS, Asked, named, write
from notaus.cli.demo.stage import Clock, environment

WINDOW_SECONDS = 300
LIMITS = {"api": 1200, "graphql": 300}
"""Calls in five minutes of one user, whatever the token."""


@dataclass
class Trial:
    """Sandboxes, database and daemons, and what the journal says of its leases."""

    clock: Clock
    sandbox: Process
    store: str
    daemons: list[Process] = field(default_factory=list)

    def owners(self) -> dict[str, int]:
        """The process that owns each account."""
        with psycopg.connect(self.store) as connection:
            rows = connection.execute("SELECT account, owner FROM leases WHERE expires_at > extract(epoch FROM now())")
            return {account: int(owner.rsplit("-", 2)[1]) for account, owner in rows if owner}

    def shares(self) -> list[int]:
        """How many accounts each daemon has that lives."""
        counts = Counter(self.owners().values())
        return sorted(counts[one.pid] for one in self.daemons if one.process.poll() is None)

    def until(self, what: Callable[[], bool], seconds: float = 600.0) -> float:
        """Wait until it is so; seconds of the clock that it took."""
        begun = self.clock.now()
        while not what():
            if self.clock.now() - begun > seconds:
                raise TimeoutError(f"{self.owners()}")
            time.sleep(0.05)
        return self.clock.now() - begun

    def watched(self, seconds: float) -> Counter[int]:
        """For so many seconds of the clock: how many accounts had no owner, look by look."""
        seen: Counter[int] = Counter()
        end = self.clock.now() + seconds
        number = sum(self.shares())
        while self.clock.now() < end:
            seen[number - len(self.owners())] += 1
            time.sleep(0.2)
        return seen

    def asked(self) -> list[Asked]:
        """Every request to the API so far."""
        url = self.sandbox.first["pages"].removesuffix("pages") + "asked"
        return [Asked(**one) for one in httpx.get(url, timeout=60.0, trust_env=False).json()]


@contextmanager
def trial(accounts: list[str], speed: float, step: int) -> Iterator[Trial]:
    """Three daemons that have just started."""
    found = programs()
    assert found is not None, "PostgreSQL is not installed"
    clock = Clock(time.time(), time.time(), speed)
    processes = []
    with tempfile.TemporaryDirectory() as name, a_server(found) as database:
        directory = Path(name)
        config = write(accounts, directory / "config", step)
        spot = f"{clock.anchor!r},{clock.virtual!r},{speed!r}"
        served = ("--number", str(len(accounts)), "--step", str(step), "--clock", spot)
        try:
            processes.append(sandbox := Process(*served, module="benchmarks.load.accounts"))
            store = database.schema()
            env = environment(sandbox.first, clock, directory) | {
                "NOTAUS_STORE": store,
                # One user: a third of Cloudflare's limit each (docs/replicas.md).
                "NOTAUS_BUDGETS": json.dumps({kind: f"{limit // 3} per 5m" for kind, limit in LIMITS.items()}),
            }
            running = Trial(clock, sandbox, store)
            for token in TOKENS:
                own = directory / token
                own.mkdir()
                run = ("run", "--config", str(config), "--json")
                processes.append(one := Process(*run, env=env | {"CLOUDFLARE_API_TOKEN": token}, cwd=own))
                running.daemons.append(one)
            yield running
        finally:
            for process in processes:
                if process.process.poll() is None:
                    process.kill()


def most(times: Iterable[float]) -> int:
    """The largest number within any five minutes."""
    ordered = sorted(times)
    first = found = 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - WINDOW_SECONDS:
            first += 1
        found = max(found, last - first + 1)
    return found


def ticks(asked: list[Asked], accounts: list[str], step: int, begin: float, end: float) -> dict[str, Any]:
    """Which ticks between `begin` and `end` were taken, and how late: at each one the key is read."""
    expected = range(-(-int(begin) // step), int(end) // step)
    delays = {}
    for one in asked:
        if one.kind in ("kv", "kv bulk") and int(one.at) // step in expected:
            key = (one.account, int(one.at) // step)
            delays[key] = min(delays.get(key, step), one.at % step)
    return {
        "expected": len(expected) * len(accounts),
        "left out": len(expected) * len(accounts) - len(delays),
        "worst delay": round(max(delays.values(), default=0.0), 1),
    }


def measured(accounts: list[str], minutes: float, speed: float, step: int) -> dict[str, Any]:
    """Three replicas for so long, one killed, and as long again."""
    with trial(accounts, speed, step) as running:
        even = [len(accounts) // 3 + (n >= 3 - len(accounts) % 3) for n in range(3)]
        spread = running.until(lambda: running.shares() == even)
        begun = running.clock.now()
        before = running.watched(minutes * 60)
        owners = running.owners()
        victim = running.daemons[0]
        orphans = {account for account, owner in owners.items() if owner == victim.pid}
        killed = running.clock.now()
        victim.kill()
        taken = running.until(lambda: all(running.owners().get(a, victim.pid) != victim.pid for a in orphans))
        halves = [len(accounts) // 2, len(accounts) - len(accounts) // 2]
        balanced = taken + running.until(lambda: running.shares() == halves)
        after = running.watched(minutes * 60)
        ended, asked = running.clock.now(), running.asked()
        asked = [one for one in asked if one.kind != "other"]  # each looks at its token once, whoever leads
        alive = [one for one in running.daemons if one.process.poll() is None]
        pages = httpx.get(running.sandbox.first["pages"], trust_env=False).json()
        memory = [
            int(Path(f"/proc/{one.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") for one in alive
        ]
    hands = {a: [n for n, _ in groupby(o.replica for o in asked if o.account == a)] for a in accounts}
    budgets = {
        family: {
            "limit": limit,
            "all": most(o.at for o in asked if (o.kind == "graphql") == (family == "graphql")),
            "each": [
                most(o.at for o in asked if (o.kind == "graphql") == (family == "graphql") and o.replica == n)
                for n in range(3)
            ],
        }
        for family, limit in LIMITS.items()
    }
    return {
        "accounts a replica": [sum(owner == one.pid for owner in owners.values()) for one in running.daemons],
        "seconds until spread evenly": round(spread, 1),
        "of a killed one": len(orphans),
        "seconds until they were taken over": round(taken, 1),
        "seconds until spread evenly again": round(balanced, 1),
        "then": halves,
        "looks at which so many accounts had no owner": {"before": dict(before), "after": dict(after)},
        "accounts that two asked for in turns": sum(len(set(h)) < len(h) for h in hands.values()),
        "ticks until the kill": ticks(asked, accounts, step, begun, killed),
        "ticks from the kill on": ticks(asked, accounts, step, killed, ended),
        "requests by kind": dict(Counter(one.kind for one in asked)),
        "most requests in five minutes": budgets,
        "refused for a limit": sum(one.refused for one in asked),
        "pages": len(pages),
        "resident MB": [size // 10**6 for size in memory],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the clock, before and after the kill")
    parser.add_argument("--speed", type=float, default=5.0)
    parser.add_argument("--step", type=int, default=60, help="seconds")
    given = parser.parse_args()
    found = measured(named(given.accounts), given.minutes, given.speed, given.step)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
