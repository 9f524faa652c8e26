"""Evidence kept of the emulated Cloudflare: everything, once, with a manifest, and whatever fails is told."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from notaus import config
from notaus.backtest.virtual_time import run
from notaus.cli.demo import stage
from notaus.clock import SystemClock
from notaus.cloudflare import r2
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.config.sources import Database, Get, Objects, Question, Sql, WriteTest
from notaus.core.effect import Collect, Kept
from notaus.core.sample import Sample
from notaus.core.service import Exhibit, Service
from notaus.custody import Collector, Questions, collector, folder, questions
from notaus.sandbox import Sandbox
from tests.builders import a_rollback_service

START = 1_790_000_000
API = "https://api.cloudflare.com/client/v4"
EVERYTHING = tuple(each.value for each in Exhibit)
T = TypeVar("T")


class Scene:
    """A sandbox with traffic, and a collector that keeps its evidence in a directory."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.box = Sandbox(self.now, seed=1, traffic=True)
        self.directory = directory
        http = httpx.AsyncClient(transport=self.box.transport())
        clock = SystemClock(wall=self.now, monotonic=self.loop.time)
        client = Client(http, API, self.box.account.id, self.box.token, clock)
        self.asked: dict[str, Question] = {}
        self.questions: dict[str, dict[str, Question]] = {"bookstrack": self.asked}
        edge = Edge(http)
        asks = Questions(client, edge, self.questions)
        self.collector = Collector(client, edge, clock, self.samples, asks, directory)
        self.service = Service(
            name="bookstrack",
            account=self.box.account.id,
            worker="api-worker",
            signals=a_rollback_service().signals,
            rules=(),
            ladder=a_rollback_service().ladder,
        )

    def now(self) -> float:
        return START + self.loop.time()

    async def samples(self, service: str, signal: str, since: int) -> list[Sample]:
        return [Sample(START, Fraction(1, 8), Fraction(1), Fraction(8))]

    def effect(self, **changes: Any) -> Collect:
        given = {"version": self.box.worker("bookstrack").tagged("v1.9.0").id, **changes}
        evidence = (*EVERYTHING, *self.asked)
        return Collect("e", "bookstrack", "incident-1", evidence, START, int(self.now()), **given)

    async def collect(self, **changes: Any) -> Kept:
        return await self.collector.collect(self.service, self.effect(**changes))

    def asked_for(self, **questions: Question) -> None:
        self.asked.update(questions)

    def requests(self, part: str) -> list[str]:
        return [r.path for r in self.box.journal.requests if part in r.path]

    def manifest(self) -> list[dict[str, Any]]:
        return json.loads((self.directory / "incident-1" / "manifest.json").read_text(encoding="utf-8"))["files"]


def on_stage(play: Callable[[Scene], Any], directory: Path) -> Any:
    """Play a scene on virtual time, with a minute of traffic behind it."""

    async def main(_: object) -> Any:
        scene = Scene(directory)
        for _ in range(60):
            await asyncio.sleep(1)
            scene.box.advance()
        return await play(scene)

    return run(main)


def test_everything_is_kept_twice_with_a_manifest(tmp_path: Path) -> None:
    """The logs of the bad version would be gone within days, and nobody could tell whether a copy is whole."""

    async def play(scene: Scene) -> tuple[Kept, list[dict[str, Any]], float]:
        before = scene.now()
        return await scene.collect(), scene.manifest(), scene.now() - before

    kept, manifest, took = on_stage(play, tmp_path)
    assert kept.problems == ()
    assert kept.files == len(manifest) == 8
    assert 60 <= took < 70
    for entry in manifest:
        data = (tmp_path / "incident-1" / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert entry["complete"], entry
    assert "signal,at,value,of,among" in (tmp_path / "incident-1/1-samples.csv").read_text()


def test_logs_are_of_the_version_in_doubt_and_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the logs, or another version's, would be taken for all of them."""
    monkeypatch.setattr(collector, "EVENTS", 50)
    monkeypatch.setattr(collector, "MAX_PAGES", 3)

    async def play(scene: Scene) -> tuple[str, list[str], list[dict[str, Any]]]:
        await scene.collect()
        effect = scene.effect()
        return str(effect.version), scene.requests("telemetry"), scene.manifest()

    version, asked, manifest = on_stage(play, tmp_path)
    lines = (tmp_path / "incident-1/1-telemetry.ndjson").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert {e["$workers"]["scriptVersion"]["id"] for e in events} == {version}
    assert len({e["$metadata"]["id"] for e in events}) == len(events) == 150
    assert len(asked) == 6
    (entry,) = [e for e in manifest if e["file"] == "1-telemetry.ndjson"]
    assert not entry["complete"]  # there is more than three pages


def test_a_crash_repeats_nothing_that_is_kept(tmp_path: Path) -> None:
    """A restart would replace the first look by a later one, or leave two."""

    async def play(scene: Scene) -> tuple[str, str, int]:
        task = asyncio.create_task(scene.collect())
        await asyncio.sleep(30)
        task.cancel()
        path = tmp_path / "incident-1" / "1-telemetry.ndjson"
        first, asked = path.read_text(), len(scene.requests("telemetry"))
        await scene.collector.collect(scene.service, Collect("e", "b", "incident-1", EVERYTHING, START, START + 60))
        return first, path.read_text(), len(scene.requests("telemetry")) - asked

    before, after, asked_again = on_stage(play, tmp_path)
    assert before == after
    assert asked_again == 1  # the second pass alone
    assert len(list((tmp_path / "incident-1").iterdir())) == 9


@pytest.mark.parametrize("fault", [403, 500, "hang", "reset", "html", "garbage", "huge"])
def test_a_source_that_fails_is_told_and_the_others_are_kept(fault: int | str, tmp_path: Path) -> None:
    """One refusal (Workers Observability is not switched on) would cost all evidence."""

    async def play(scene: Scene) -> tuple[Kept, list[dict[str, Any]]]:
        scene.box.faults.add("telemetry", [fault], 600)
        return await scene.collect(), scene.manifest()

    kept, manifest = on_stage(play, tmp_path)
    assert kept.files == 6
    assert len(kept.problems) == 2
    assert all("telemetry" in problem for problem in kept.problems)
    assert [e["file"] for e in manifest if e["problem"]] == ["1-telemetry.ndjson", "2-telemetry.ndjson"]
    assert not any(e["complete"] for e in manifest if e["problem"])


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    """The effect would never end, and be tried for ever."""
    (tmp_path / "incident-1").write_text("in the way")

    async def play(scene: Scene) -> Kept:
        return await scene.collect()

    kept = on_stage(play, tmp_path)
    assert kept.files == 0
    assert "cannot be written" in kept.problems[0]


def test_what_is_too_much_is_cut_and_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence would fill the journal's disk."""
    monkeypatch.setattr(folder, "MOST_BYTES", 3000)

    async def play(scene: Scene) -> Kept:
        return await scene.collect()

    kept = on_stage(play, tmp_path)
    assert kept.bytes <= 3000
    assert any("cut at" in problem for problem in kept.problems)


def rows_in(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def test_questions_of_the_users_own_are_asked_and_kept_as_tables(tmp_path: Path) -> None:
    """Connections, long queries and affected routes are what the runbook looks at first, and they pass."""
    database = tmp_path / "service.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE pg_stat_activity (pid, query)")
        connection.executemany("INSERT INTO pg_stat_activity VALUES (?, ?)", [(7, "SELECT 1, 2"), (8, "COMMIT")])
        connection.commit()
    routes = (
        "SELECT blob1 AS route, sum(_sample_interval) AS requests FROM books_api_performance"
        " WHERE timestamp > {from} AND timestamp <= {to} GROUP BY route ORDER BY route LIMIT 9"
    )

    async def play(scene: Scene) -> tuple[Kept, list[dict[str, Any]]]:
        scene.asked_for(
            connections=Database(f"sqlite:///{database}", "SELECT pid, query FROM pg_stat_activity ORDER BY pid"),
            routes=Sql(routes),
            health=Get("https://api.oooefam.net/health"),
        )
        return await scene.collect(), scene.manifest()

    kept, manifest = on_stage(play, tmp_path / "kept")
    folder_ = tmp_path / "kept/incident-1"
    assert kept.problems == ()
    assert len(manifest) == 14
    assert rows_in(folder_ / "1-connections.csv") == [["pid", "query"], ["7", "SELECT 1, 2"], ["8", "COMMIT"]]
    header, *found = rows_in(folder_ / "2-routes.csv")
    assert header == ["route", "requests"]
    assert [row[0] for row in found] == ["lookup", "progress", "search"]
    assert all(int(row[1]) > 0 for row in found)
    health = json.loads((folder_ / "1-health.json").read_text(encoding="utf-8"))
    assert health["status"] == 200
    assert json.loads(health["body"])["data"]["status"] == "ok"
    (asked,) = [entry["query"]["sql"] for entry in manifest if entry["file"] == "1-routes.csv"]
    assert "timestamp > toDateTime('" in asked  # as it was asked, so that anybody can ask again


def test_a_question_that_has_no_answer_is_told_without_its_password(tmp_path: Path) -> None:
    """A database that is down is the likeliest of all incidents; it must not take the other evidence along."""

    async def play(scene: Scene) -> tuple[Kept, str]:
        scene.asked_for(
            gone=Database("sqlite:////nowhere/s3cr3t-name.sqlite", "SELECT 1"),
            wrong=Sql("SELECT nothing FROM nowhere WHERE timestamp > {from} AND timestamp <= {to}"),
            down=Get("https://unknown.invalid/health"),
        )
        effect = scene.effect()
        scene.asked.clear()  # a reload took one away
        scene.asked_for(gone=Database("sqlite:////nowhere/a.sqlite", "SELECT 1"), wrong=Sql("SELECT 1 FROM nowhere"))
        kept = await scene.collector.collect(scene.service, effect)
        return kept, str(scene.manifest())

    kept, _ = on_stage(play, tmp_path)
    assert kept.files == 8
    said = "\n".join(kept.problems)
    assert "1-gone.csv: the database: unable to open database file" in said
    assert "1-wrong.csv: Analytics Engine:" in said
    assert "1-down.csv: the service file no longer asks this" in said
    assert len(kept.problems) == 6


def test_a_question_that_writes_is_refused(tmp_path: Path) -> None:
    """A mistake in the service file would change the data in the middle of the incident."""
    database = tmp_path / "service.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE listings AS SELECT 1 AS id")
        connection.commit()

    async def play(scene: Scene) -> Kept:
        scene.asked_for(wrong=Database(f"sqlite:///{database}", "DELETE FROM listings"))
        return await scene.collect()

    kept = on_stage(play, tmp_path / "kept")
    assert "1-wrong.csv: the database: attempt to write a readonly database" in kept.problems[0]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT id FROM listings").fetchall() == [(1,)]


def test_of_a_long_table_the_first_rows_are_kept_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query without a limit would copy the users' database."""
    monkeypatch.setattr(questions, "MOST_ROWS", 3)
    database = tmp_path / "service.sqlite"
    sqlite3.connect(database).execute("CREATE TABLE a (b)").connection.close()
    four = "SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4"

    async def play(scene: Scene) -> list[dict[str, Any]]:
        scene.asked_for(
            four=Database(f"sqlite:///{database}", four), three=Database(f"sqlite:///{database}", four[:-15])
        )
        await scene.collect()
        return scene.manifest()

    complete = {entry["file"]: entry["complete"] for entry in on_stage(play, tmp_path / "kept")}
    assert len(rows_in(tmp_path / "kept/incident-1/1-four.csv")) == 4
    assert (complete["1-four.csv"], complete["1-three.csv"]) == (False, True)


def test_the_newest_objects_of_a_bucket_are_kept_as_they_are(tmp_path: Path) -> None:
    """Logpush's bucket has the logs of the failure, and its lifecycle deletes them."""

    async def play(scene: Scene) -> Kept:
        for number in range(1005):  # more than a page; the newest stands on the first
            key = f"b2a/{number:04}.gz"
            scene.box.bindings.store("logs-canary", key, b"\x1f\x8b" + key.encode(), START - abs(number - 7))
        scene.box.bindings.store("logs-canary", "other/9.gz", b"x", START)
        scene.asked_for(logs=Objects("logs-canary", "b2a/", 3))
        return await scene.collect()

    kept = on_stage(play, tmp_path)
    assert kept.problems == ()
    with tarfile.open(tmp_path / "incident-1/1-logs.tar") as tar:
        assert sorted(tar.getnames()) == ["b2a/0006.gz", "b2a/0007.gz", "b2a/0008.gz"]
        first = tar.extractfile("b2a/0007.gz")
        assert first is not None
        assert first.read() == b"\x1f\x8bb2a/0007.gz"


def test_a_prefix_may_have_the_day(tmp_path: Path) -> None:
    """A bucket that Logpush fills has more keys within days than can be listed; at midnight the day before counts, too."""

    async def play(scene: Scene) -> tuple[Kept, list[dict[str, Any]]]:
        for day, minutes in (("20260920", 20), ("20260921", 10), ("20260921", 5), ("20260922", 0)):
            key = f"b2a/{day}T{minutes:02}.gz"
            scene.box.bindings.store("logs-canary", key, b"x", START - minutes * 60)
        scene.asked_for(logs=Objects("logs-canary", "b2a/{date}", 10))
        kept = await scene.collector.collect(scene.service, replace(scene.effect(), since=START - 86_400))
        return kept, scene.manifest()

    kept, manifest = on_stage(play, tmp_path)
    assert kept.problems == ()
    with tarfile.open(tmp_path / "incident-1/1-logs.tar") as tar:
        assert tar.getnames() == ["b2a/20260921T05.gz", "b2a/20260921T10.gz", "b2a/20260920T20.gz"]
    (asked,) = [entry["query"] for entry in manifest if entry["file"] == "1-logs.tar"]
    assert asked == {"objects": "logs-canary", "prefix": ["b2a/20260921", "b2a/20260920"], "newest": 10}


def test_of_more_keys_than_can_be_listed_some_are_kept_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing at all would be kept of a bucket that has grown; or old logs would be taken for the newest."""
    monkeypatch.setattr(r2, "MAX_PAGES", 1)

    async def play(scene: Scene) -> tuple[Kept, list[dict[str, Any]]]:
        for number in range(1005):
            scene.box.bindings.store("logs-canary", f"b2a/{number:04}.gz", b"x", START - 2000 + number)
        scene.asked_for(logs=Objects("logs-canary", "b2a/", 2))
        return await scene.collect(), scene.manifest()

    kept, manifest = on_stage(play, tmp_path)
    assert kept.problems == ()
    with tarfile.open(tmp_path / "incident-1/1-logs.tar") as tar:
        assert tar.getnames() == ["b2a/0999.gz", "b2a/0998.gz"]
    (entry,) = [entry for entry in manifest if entry["file"] == "1-logs.tar"]
    assert not entry["complete"]
    assert "newer objects may be missing: name a longer `prefix`" in entry["query"]["lacks"]


def test_objects_that_are_too_much_are_left_out_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One log of a gigabyte would fill the memory, or the others be taken for all there were."""
    monkeypatch.setattr(r2, "MOST_BYTES", 500)

    async def play(scene: Scene) -> list[dict[str, Any]]:
        for number, size in enumerate((200, 400, 200)):
            scene.box.bindings.store("logs-canary", f"b2a/{number}.gz", b"x" * size, START - 10 - number)
        scene.asked_for(logs=Objects("logs-canary", "b2a/", 3))
        await scene.collect()
        return scene.manifest()

    (entry,) = [entry for entry in on_stage(play, tmp_path) if entry["file"] == "1-logs.tar"]
    with tarfile.open(tmp_path / "incident-1/1-logs.tar") as tar:
        assert tar.getnames() == ["b2a/0.gz", "b2a/2.gz"]
    assert not entry["complete"]
    assert entry["query"]["lacks"] == "what is beyond 500 bytes is left out"


def test_a_test_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """The runbook's own test leaves health-check.txt in the bucket of the users' pictures."""

    async def play(scene: Scene) -> tuple[Kept, list[str], int]:
        scene.asked_for(upload=WriteTest("piximmo-media"))
        kept = await scene.collect()
        methods = [r.method for r in scene.box.journal.requests if "health-check" in r.path]
        return kept, methods, len(scene.box.bindings.objects)

    kept, methods, left = on_stage(play, tmp_path)
    assert kept.problems == ()
    assert (methods, left) == (["PUT", "DELETE"] * 2, 0)
    assert set(json.loads((tmp_path / "incident-1/1-upload.json").read_text())["seconds"]) == {"put", "delete"}


def test_a_test_write_leaves_somebodys_object_alone(tmp_path: Path) -> None:
    """A file of the users that happens to have the name would be overwritten, and deleted."""

    async def play(scene: Scene) -> tuple[Kept, list[bytes]]:
        scene.asked_for(upload=WriteTest("piximmo-media"))
        scene.box.bindings.store("piximmo-media", "health-check.txt", b"theirs", START)
        kept = await scene.collect()
        return kept, [content for content, _ in scene.box.bindings.objects.values()]

    kept, left = on_stage(play, tmp_path)
    assert "is somebody's object, and was not written over" in kept.problems[0]
    assert left == [b"theirs"]


def test_what_a_test_write_left_behind_at_a_crash_is_removed(tmp_path: Path) -> None:
    """After one crash each later test would take its own object for somebody's."""

    async def play(scene: Scene) -> tuple[Kept, int]:
        scene.asked_for(upload=WriteTest("piximmo-media"))
        scene.box.bindings.store("piximmo-media", "health-check.txt", b"test\n", START)
        return await scene.collect(), len(scene.box.bindings.objects)

    kept, left = on_stage(play, tmp_path)
    assert (kept.problems, left) == ((), 0)


@pytest.mark.parametrize(("fault", "said"), [(500, "R2: GET piximmo-media: 500"), ("reset", "no answer")])
def test_a_bucket_that_takes_no_write_is_told_on_the_page(fault: int | str, said: str, tmp_path: Path) -> None:
    """People would take the bucket for healthy."""

    async def play(scene: Scene) -> Kept:
        scene.asked_for(upload=WriteTest("piximmo-media"))
        scene.box.faults.add("r2", [fault], 600)
        return await scene.collect()

    kept = on_stage(play, tmp_path)
    assert len(kept.problems) == 2
    assert said in kept.problems[0]


@pytest.mark.parametrize("name", ["pix-immo", "bookstrack"])
def test_everything_that_the_example_services_ask_is_answered(name: str, tmp_path: Path) -> None:
    """People copy these files; a query that never worked would be found out in an incident."""

    async def play(scene: Scene) -> tuple[Kept, tuple[str, ...]]:
        box = scene.box
        given = {
            "CLOUDFLARE_ACCOUNT_ID": box.account.id,
            "PIX_KV_NAMESPACE": box.kv_namespace,
            "BOOKSTRACK_ZONE": box.zone,
            "PIX_DATABASE_URL": f"sqlite:///{tmp_path / stage.DATABASE}",
        }
        configuration = config.load(stage.config_in(tmp_path, name), given, lenient=True)
        service = configuration.service(name)
        scene.questions["bookstrack"] = {}
        scene.questions[name] = dict(configuration.questions[name])
        effect = Collect("e", name, "incident-1", service.evidence, START, int(scene.now()))
        return await scene.collector.collect(service, effect), service.evidence

    kept, evidence = on_stage(play, tmp_path / "kept")
    assert kept.problems == ()
    assert kept.files == 2 * len(evidence)
    tables = [rows_in(path) for path in (tmp_path / "kept/incident-1").glob("1-*.csv")]
    assert all(table[0] for table in tables)
