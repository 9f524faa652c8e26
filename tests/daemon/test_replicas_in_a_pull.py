"""A replica is lost with a hand on both levers: one deployment and one write, whoever ends it, and one incident each.

The clock is that of `test_replicas`; a request to Cloudflare has its ten seconds by the machine's, 200 s here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.replicas import Fault, Replicas, freeze, kill, nothing, some_replicas, thaw
from tests.postgresql import PostgreSQL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals")

NOT_ARRIVED, DONE, REFUSED = "slow:150", "late_reply:150", "429:15"
"""What the owner waits for when it is lost: that its request arrives, the answer to one that has, its next try."""


def in_a_pull(town: Replicas) -> None:
    """Both services are in trouble, and the owner has begun to do something about each."""
    town.trouble()
    time.sleep(30 / town.speed)  # the probe is faster than settled analytics: the write comes first by little
    town.bad_deployment()
    town.until(town.hindered)


def both_handled(town: Replicas) -> bool:
    return town.pages.count("is verified") > 1 and bool(town.writes) and bool(town.deployments)


def once_each(town: Replicas) -> None:
    time.sleep(60 / town.speed)
    assert town.deployments == ["v1.9.0"]
    assert [(w["canary_percent"], w["emergency_proxy"]) for w in town.writes] == [(0, True)]
    for contact in ("platform", "pix-oncall"):
        # At this speed a busy machine looks away for a minute: that may be told as missed, in a notice of its own.
        assert len([key for key in town.incidents(contact) if "/missed:" not in key]) == 1


@pytest.mark.parametrize(("befall", "heal", "post", "put", "replicas"), [
    (kill, nothing, NOT_ARRIVED, DONE, 2),
    (kill, nothing, DONE, NOT_ARRIVED, 3),
    (freeze, thaw, REFUSED, DONE, 2),
])  # fmt: skip
def test_the_owner_is_lost_in_the_middle_of_a_pull(
    befall: Fault,
    heal: Fault,
    post: str,
    put: str,
    replicas: int,
    tmp_path: Path,
    postgresql: PostgreSQL,
    record_property: Callable[[str, object], None],
) -> None:
    """A version deployed twice, or not at all; a second incident for the same trouble."""
    with some_replicas(tmp_path, postgresql, replicas, "pix-immo", "bookstrack") as town:
        town.all_is_well()
        town.hinder("deployments.post", post)
        town.hinder("kv.put", put)
        in_a_pull(town)
        owner = town.owned()
        begun = time.monotonic()
        befall(town, owner)
        took = town.taken_over(owner, begun)
        record_property("takeover", f"{took:.1f} s of the clock after {befall.__name__}")
        time.sleep(25 / town.speed)  # 40 s in all: longer than the lease
        heal(town, owner)
        town.until(lambda: both_handled(town), 120)
        once_each(town)
