"""Two and three daemons on one PostgreSQL: whatever befalls one of them, one action, one incident, and soon a new owner.

Everything runs on a clock 20 times as fast, the lease on the database's clock with it: 15 s are 0.75 s of the machine.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.daemon.processes import Process
from tests.daemon.replicas import Fault, Replicas, freeze, kill, nothing, some_replicas, thaw
from tests.postgresql import PostgreSQL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals")


def cut(town: Replicas, owner: Process) -> None:
    town.lines[owner.pid].cut()


def swallow(town: Replicas, owner: Process) -> None:
    town.lines[owner.pid].dead = True


def mend(town: Replicas, owner: Process) -> None:
    town.lines[owner.pid].mend()


def once_each(town: Replicas) -> None:
    """One write, and one incident at the pager."""
    time.sleep(60 / town.speed)
    assert [(w["canary_percent"], w["emergency_proxy"]) for w in town.writes] == [(0, True)]
    assert len(town.incidents("pix-oncall")) == 1


FAULTS: list[tuple[Fault, Fault, int]] = [
    (kill, nothing, 2),
    (kill, nothing, 3),
    (freeze, thaw, 2),
    (cut, mend, 2),
    (swallow, mend, 2),
]


@pytest.mark.parametrize(("befall", "heal", "replicas"), FAULTS)
def test_the_owner_is_lost_and_another_goes_on(
    befall: Fault,
    heal: Fault,
    replicas: int,
    tmp_path: Path,
    postgresql: PostgreSQL,
    record_property: Callable[[str, object], None],
) -> None:
    """Both would act, or neither; or two incidents ring for one trouble."""
    with some_replicas(tmp_path, postgresql, replicas) as town:
        town.all_is_well()
        town.trouble()
        time.sleep(random.Random(f"{befall.__name__} {replicas}").uniform(60, 180) / town.speed)
        owner = town.owned()
        begun = time.monotonic()
        befall(town, owner)
        took = town.taken_over(owner, begun)
        record_property("takeover", f"{took:.1f} s of the clock after {befall.__name__}")
        time.sleep(25 / town.speed)  # 40 s in all: longer than the lease
        heal(town, owner)
        town.until(town.handled, 120)
        once_each(town)


def test_the_database_restarts_in_the_middle(tmp_path: Path, postgresql: PostgreSQL) -> None:
    """A restart of PostgreSQL would need one of the daemons, or cost a step."""
    with some_replicas(tmp_path, postgresql, 2) as town:
        town.all_is_well()
        town.trouble()
        for pause in (5.0, 1.5, 1.5):
            time.sleep(pause)
            postgresql.restart()
        town.until(town.handled, 120)
        once_each(town)


def test_without_the_database_nothing_is_done_unrecorded_and_people_are_told(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    """A lever pulled without a record, a silent daemon, or one that hangs and cannot be stopped."""
    with some_replicas(tmp_path, postgresql, 2) as town:
        town.all_is_well()
        postgresql.stop()
        try:
            town.trouble()
            town.until(lambda: "journal" in town.pages and "cannot be written" in town.pages, 60)
            time.sleep(200 / town.speed)
            assert town.writes == []
            for replica in town.replicas:
                url = replica.first["url"]
                assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
                assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 503
            assert town.replicas.pop().end() == 0  # a stop comes to its end
        finally:
            postgresql.start()
        town.until(town.handled, 120)
        once_each(town)
        assert town.replicas.pop().end() == 0
