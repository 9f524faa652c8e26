"""Sources in the whole daemon, on virtual time: a database, pushed values, telemetry and what they lead to."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notaus.config import Configuration
from notaus.config.sources import Database
from notaus.errors import NotausError
from tests.test_app import CONFIG, START, House, in_a_house

COUNT = "SELECT count(*) FROM upload_intents"


def orphans(house: House, number: int) -> None:
    with sqlite3.connect(house.database.name) as database:
        database.execute("CREATE TABLE IF NOT EXISTS upload_intents (id int)")
        database.executemany("INSERT INTO upload_intents VALUES (?)", [(n,) for n in range(number)])


def asking(configuration: Configuration, query: str) -> Configuration:
    entries = tuple(
        replace(e, source=replace(e.source, query=query)) if isinstance(e.source, Database) else e
        for e in configuration.entries
    )
    return replace(configuration, entries=entries)


@in_a_house(traffic=True)
async def test_orphaned_intents_in_the_database_are_told(house: House) -> None:
    """The runbook's last row would never be seen: users whose uploads came to nothing."""
    orphans(house, 10)
    house.configuration = asking(house.configuration, COUNT)
    app = await house.app()
    await asyncio.sleep(60)
    state = app.engine.guarded["pix-immo"].state
    assert "investigate:orphaned intents" not in state.notices
    orphans(house, 1)
    await asyncio.sleep(30)
    state = app.engine.guarded["pix-immo"].state
    assert "investigate:orphaned intents" in state.notices
    assert house.box.writes == []


@in_a_house(traffic=True)
async def test_a_database_that_fails_makes_its_rule_blind_and_no_other(house: House) -> None:
    """A failed read would pass for no orphans, or stop the guard of everything else."""
    house.configuration = asking(house.configuration, "SELECT count(*) FROM nowhere")
    app = await house.app()
    await asyncio.sleep(420)
    state = app.engine.guarded["pix-immo"].state
    assert "blind:reads fail" in state.notices
    assert {name for name, rule in state.rules.items() if rule.blind} == {"orphaned intents"}


PUSHED = """
    source: push
    unit: /hour
    window: 2m"""


def pushing(house: House, tmp: Path) -> Configuration:
    """pix-immo, whose orphaned intents are posted."""
    (tmp / "services").mkdir(exist_ok=True)
    text = (CONFIG / "services/pix-immo.yaml").read_text()
    begin, end = text.index("    source: database"), text.index("ladder:")
    (tmp / "services/pix-immo.yaml").write_text(f"{text[:begin].rstrip()}{PUSHED}\n\n{text[end:]}")
    (tmp / "notaus.yaml").write_text("{}\n")
    return house.configured_from(tmp)


def at(app: Any, when: int) -> Any:
    sample = app.engine.guarded["pix-immo"].history.at("orphaned_intents", when)
    return None if sample is None else sample.value


@pytest.mark.parametrize("restart", [False, True])
def test_a_pushed_value_is_judged_and_survives_a_restart(tmp_path: Path, restart: bool) -> None:
    """It would be acknowledged and forgotten."""

    @in_a_house(traffic=True)
    async def play(house: House) -> None:
        house.configuration = pushing(house, tmp_path)
        app = await house.app()
        await asyncio.sleep(20)
        reply = await app.desk.push("pix-immo", "orphaned_intents", [(START + 20, 11)])
        assert (reply.accepted, reply.text) == (True, "taken")
        again = await app.desk.push("pix-immo", "orphaned_intents", [(START + 20, 11)])
        assert again.accepted
        if restart:
            await app.stop()
            app = await house.app()
        await asyncio.sleep(50)
        assert [at(app, START + n) for n in (15, 30, 60)] == [None, 11, 11]
        assert "investigate:orphaned intents" in app.engine.guarded["pix-immo"].state.notices
        await asyncio.sleep(120)
        assert at(app, START + 150) is None
        kept = house.journal.samples("pix-immo", "orphaned_intents", START)
        assert {s.at - START: s.value for s in kept if s.value is not None} == dict.fromkeys(range(30, 150 - 8, 15), 11)

    play()


def test_a_push_that_cannot_be_taken_says_why(tmp_path: Path) -> None:
    """Whoever sends would take silence for success."""

    @in_a_house(traffic=True)
    async def play(house: House) -> None:
        house.configuration = pushing(house, tmp_path)
        app = await house.app()
        await asyncio.sleep(20)
        other = await app.desk.push("pix-immo", "native.error_rate", [(START, 1)])
        assert (other.accepted, other.text) == (
            False,
            "pix-immo has no signal `native.error_rate` that takes values; those that do: orphaned_intents",
        )
        late = await app.desk.push("pix-immo", "orphaned_intents", [(START - 3600, 1)])
        assert (late.accepted, "too old" in late.text) == (False, True)
        with pytest.raises(NotausError, match="nosuch is not guarded here now"):
            await app.desk.push("nosuch", "orphaned_intents", [(START, 1)])

    play()


ROLLBACK = """
name: bookstrack
account: ${CLOUDFLARE_ACCOUNT_ID}
worker: api-worker
mode: act
signals:
  api: {source: SOURCE}
ladder:
  lever: {deployment: api-worker}
  rungs: {normal: current, rolled_back: last known stable}
rules:
  - {name: errors, when: api.error_rate > 10%, for: 2m, severity: critical, then: rolled_back}
"""


def seconds_to_roll_back(tmp: Path, source: str) -> float:
    """From a bad deployment to the rollback, with `source` as the only eye."""
    found: list[float] = []

    @in_a_house("bookstrack", traffic=True)
    async def play(house: House) -> None:
        (tmp / "services").mkdir(exist_ok=True)
        (tmp / "services/bookstrack.yaml").write_text(ROLLBACK.replace("SOURCE", source))
        (tmp / "notaus.yaml").write_text("{}\n")
        house.configuration = house.configured_from(tmp)
        await house.app()
        await asyncio.sleep(60)
        worker = house.box.worker("bookstrack")
        begun = house.now()
        worker.deploy(worker.upload("v2.0.0", faulty={"error_rate": 0.3}).id, lag=0)
        house.box.writes.clear()
        while not house.box.writes and house.now() < begun + 900:  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(5)
        assert worker.live().tag == "v1.9.0"
        found.append(house.now() - begun)

    play()
    return found[0]


def test_telemetry_sees_a_bad_deployment_two_minutes_before_the_metrics_do(tmp_path: Path) -> None:
    """The source with the least lag would be worth nothing."""
    sooner, later = (seconds_to_roll_back(tmp_path, source) for source in ("observability", "workers"))
    assert sooner < 60 + 120 + 45 + 45
    assert later - sooner >= 120


GRADUAL = ROLLBACK.replace("api: {source: SOURCE}", "api: {source: SOURCE, by_version: true}").replace(
    "api.error_rate", "suspect.error_rate"
)


@pytest.mark.parametrize("source", ["observability", "workers"])
def test_a_bad_version_at_ten_percent_is_rolled_back_by_its_own_numbers(tmp_path: Path, source: str) -> None:
    """It would be rolled out further: the whole stays at 3 %."""

    @in_a_house("bookstrack", traffic=True)
    async def play(house: House) -> None:
        (tmp_path / "services").mkdir()
        (tmp_path / "services/bookstrack.yaml").write_text(GRADUAL.replace("SOURCE", source))
        (tmp_path / "notaus.yaml").write_text("{}\n")
        house.configuration = house.configured_from(tmp_path)
        app = await house.app()
        await asyncio.sleep(60)
        worker = house.box.worker("bookstrack")
        bad = worker.upload("v2.0.0", faulty={"error_rate": 0.3})
        worker.deploy([(worker.live().id, 90.0), (bad.id, 10.0)], lag=0)
        house.box.writes.clear()
        begun = house.now()
        while not house.box.writes and house.now() < begun + 900:  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(5)
        await asyncio.sleep(30)
        assert [share for _, share in worker.active.versions] == [100.0]
        assert worker.live().tag == "v1.9.0"
        history, at = app.engine.guarded["bookstrack"].history, int(house.now()) // 15 * 15 - 195
        suspect, stable = (history.at(f"{cohort}.error_rate", at) for cohort in ("suspect", "stable"))
        assert 0.2 < suspect.value < 0.4
        assert stable.value < 0.05
        assert suspect.among * 5 < stable.among

    play()
