"""The daemon as a process: killed, stopped, without network, without disk, with a wrong token."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import httpx
import pytest

from notaus.journal import Journal
from tests.daemon.processes import SPEED, a_town, fill_disk, make_room

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit")


def test_killed_again_and_again_it_acts_once_and_then_ends_cleanly(tmp_path: Path) -> None:
    """`kill -9` at any moment changes neither what is done nor how often; SIGTERM gives the lease back."""
    moments = random.Random(7)
    with a_town(tmp_path) as town:
        daemon = town.daemon()
        town.trouble()
        for _ in range(3):
            time.sleep(moments.uniform(0.3, 2.0))
            daemon.kill()
            daemon = town.daemon()
        town.until(lambda: town.writes)
        time.sleep(moments.uniform(0.0, 0.5))
        daemon.kill()
        daemon = town.daemon()
        town.until(lambda: "is verified" in town.pages)
        assert [(w["canary_percent"], w["emergency_proxy"]) for w in town.writes] == [(0, True)]
        assert daemon.end() == 0
        assert daemon.said("stopped")
        with Journal.open(f"sqlite:///{tmp_path}/notaus.sqlite") as journal:
            assert journal.holder(town.sandbox.first["account"], 0) is None


def test_a_full_disk_is_told_and_nothing_is_done_until_there_is_room(tmp_path: Path) -> None:
    """A lever pulled without a record, a silent daemon, or one that needs a restart."""
    with a_town(tmp_path) as town:
        daemon = town.daemon()
        time.sleep(1.5)
        fill_disk(daemon)
        town.trouble()
        town.until(lambda: "journal cannot be written" in town.pages)
        assert daemon.said("the disk is full") or daemon.said("limit on file sizes")
        url = daemon.first["url"]
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 503
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        time.sleep(270 / SPEED)
        assert town.writes == []
        make_room(daemon)
        town.until(lambda: town.writes)
        town.until(lambda: "can be written again" in town.pages)
        assert len(town.writes) == 1
        assert daemon.end() == 0


def test_cloudflare_gone_and_back_is_told_and_survived(tmp_path: Path) -> None:
    """An outage must neither end the daemon nor look like health."""
    with a_town(tmp_path) as town:
        daemon = town.daemon()
        time.sleep(1.5)
        town.sandbox.kill()
        town.until(lambda: daemon.said("could not connect"))
        time.sleep(330 / SPEED)
        assert daemon.process.poll() is None
        town.found()
        town.until(lambda: "blind" in town.pages)
        before = town.requests
        time.sleep(1.5)
        assert town.requests > before + 1
        town.trouble()
        town.until(lambda: town.writes)
        assert daemon.end() == 0


def test_a_wrong_token_is_named(tmp_path: Path) -> None:
    """ "401" alone tells nobody what to do."""
    with a_town(tmp_path, token="wrong-token-0123456789-0123456789-0123") as town:
        daemon = town.daemon()
        town.until(lambda: daemon.said("the token") and daemon.said("permission"))
        time.sleep(1)
        assert daemon.process.poll() is None
        assert not daemon.said("wrong-token-0123456789")
        assert daemon.end() == 0
