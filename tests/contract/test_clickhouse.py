"""The sandbox's SQL against a real ClickHouse over the same rows: what notaus sends, 200 generated statements, refusals."""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from notaus import config
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.config import sources
from notaus.sandbox import Sandbox
from notaus.sandbox.rows import POINT_COLUMNS
from notaus.sources import Context, build

from .judges import PROJECT, PYTHON, bare_environment, needs_python
from .queries import REFUSED, generated

NOW = 1_795_396_800  # 2026-11-23 01:20:00 UTC
SECONDS = 120
ROWS = 1_500
VARIATIONS = 200
SESSION = Path(__file__).parent / "clickhouse_session.py"
ENVIRONMENT = {
    "CLOUDFLARE_API_TOKEN": "t", "CLOUDFLARE_ACCOUNT_ID": "", "PIX_KV_NAMESPACE": "0f2ac74b498b48028cb68387c421e279",
    "PIX_DATABASE_URL": "postgresql://127.0.0.1:9/none", "BOOKSTRACK_ZONE": "",
}  # fmt: skip
COLUMNS = {
    "dataset": "String", "timestamp": "DateTime", "_sample_interval": "UInt32",
    **{name: "Float64" if name.startswith("double") else "String" for name in POINT_COLUMNS},
}  # fmt: skip


class Standing:
    """A clock that stands."""

    speed, skew = 1.0, 0.0

    def now(self) -> float:
        return float(NOW)

    async def sleep(self, seconds: float) -> None: ...

    def observe(self, remote: float, uncertainty: float) -> None: ...


def filled() -> Sandbox:
    """Rows with ties, gaps, weights, odd names and no latency at all, for each dataset of the service files."""
    box, rng = Sandbox(lambda: float(NOW)), random.Random(11)
    box.rows.lags["points"], box.account.api_limit = 0.0, None
    for dataset, blobs in (
        ("made", (("native", "proxy", "it's", ""), ("B2a", "b2a", "v1", ""), ("", "HIT", "MISS"))),
        ("pix_canary", (("native", "proxy", "other"), ("B2a",), ("sticky", "roll"))),
        ("books_api_performance", (("search",), ("v1",), ("", "HIT", "MISS"), ("http", "ws", "provider"), ("ok", "timeout"))),
    ):  # fmt: skip
        for number in range(ROWS):
            at = NOW - rng.choice((rng.randrange(1_200), rng.randrange(240)))
            values = [rng.choice(choices) for choices in blobs]
            latency = rng.choice((0.0, 120.0, round(rng.lognormvariate(5.5, 0.6), 1)))
            doubles = (
                latency,
                rng.choice((200.0, 200.0, 200.0, 404.0, 500.0, 503.0)),
                rng.uniform(-3, 3),
                float(number),
            )
            box.rows.write_point(dataset, at, values, doubles, "pix", rng.choice((1, 1, 1, 2, 7, 50)))
    return box


def tables(box: Sandbox) -> dict[str, Any]:
    names = ", ".join(COLUMNS)
    found = {}
    for dataset in sorted(box.rows.datasets):
        rows = box.rows.db.execute(f"SELECT {names} FROM points WHERE dataset = ?", (dataset,)).fetchall()
        found[dataset] = {"columns": COLUMNS, "rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows]}
    return found


def clickhouse(box: Sandbox, statements: list[str]) -> list[dict[str, Any]]:
    """What ClickHouse gives over the sandbox's rows."""
    done = subprocess.run(
        [str(PYTHON), str(SESSION)], input=json.dumps({"tables": tables(box), "queries": statements}),
        capture_output=True, text=True, timeout=SECONDS, env=bare_environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout)["answers"]
    return answers


def asked(box: Sandbox, statement: str) -> httpx.Response:
    """What the sandbox answers over its API."""

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=box.transport()) as http:
            url = f"{box.urls()['api']}/accounts/{box.account.id}/analytics_engine/sql"
            return await http.post(url, content=statement, headers={"Authorization": f"Bearer {box.token}"})

    return asyncio.run(once())


@dataclass(frozen=True)
class Compared:
    """One statement's two answers."""

    statement: str
    ours: dict[str, Any]
    theirs: dict[str, Any]

    def difference(self) -> str | None:
        if "error" in self.theirs:
            return f"ClickHouse refuses it: {self.theirs['error']}"
        names = [column["name"] for column in self.ours["meta"]]
        if names != [column["name"] for column in self.theirs["meta"]]:
            return f"columns {names} against {self.theirs['meta']}"
        if len(self.ours["data"]) != len(self.theirs["data"]):
            return f"{len(self.ours['data'])} rows against {len(self.theirs['data'])}"
        for number, (a, b) in enumerate(zip(self.ours["data"], self.theirs["data"], strict=True)):
            for name in names:
                if not same(a[name], b[name]):
                    return f"row {number}, {name}: {a[name]!r} against {b[name]!r}"
        types = [
            f"{a['name']}: {a['type']} against {b['type']}"
            for a, b in zip(self.ours["meta"], self.theirs["meta"], strict=True)
            if a["type"] != b["type"]
        ]
        return "; ".join(types) or None


def same(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return type(a) is type(b) and a == b


def judged(box: Sandbox, statements: list[str]) -> list[str]:
    """The differences, each with its statement."""
    found = []
    for statement, theirs in zip(statements, clickhouse(box, statements), strict=True):
        answer = asked(box, statement)
        if answer.status_code != 200:
            found.append(f"{statement}\n    the sandbox refuses it: {answer.text}")
            continue
        difference = Compared(statement, answer.json(), theirs).difference()
        if difference:
            found.append(f"{statement}\n    {difference}")
    return found


async def sent_by_notaus(box: Sandbox) -> list[str]:
    """Every SQL text that the readers send for the two service files: one grid time, a backfill, an outage's worth."""
    environment = {**ENVIRONMENT, "CLOUDFLARE_ACCOUNT_ID": box.account.id, "BOOKSTRACK_ZONE": box.zone}
    configuration = config.load(PROJECT / "config", environment, lenient=True)
    entries = [e for e in configuration.entries if isinstance(e.source, sources.AnalyticsEngine)]
    assert {e.service for e in entries} == {"pix-immo", "bookstrack"}
    async with httpx.AsyncClient(transport=box.transport()) as http:
        client = Client(http, str(box.urls()["api"]), box.account.id, box.token, Standing())
        reader = build(sources.AnalyticsEngine, Context(client, Edge(http, {})))
        for entry in entries:
            for times in ([NOW - 60], list(range(NOW - 600, NOW - 59, 15)), [NOW - 900, NOW - 120]):
                readings = await reader.read(entry, times)
                assert any(sample.known for samples in readings.values() for sample in samples)
    texts = [r.body for r in box.journal.requests if r.path.endswith("analytics_engine/sql")]
    assert all(text.endswith("FORMAT JSON") for text in texts), "a text was cut in the sandbox's journal"
    return list(dict.fromkeys(texts))


@needs_python
async def test_what_notaus_sends_gives_the_same_in_clickhouse() -> None:
    """Rates and quantiles, and with them every decision, would be the sandbox's invention."""
    box = filled()
    statements = await sent_by_notaus(box)
    assert len(statements) >= 12
    plain = [statement.removesuffix(" FORMAT JSON") for statement in statements]
    assert await asyncio.to_thread(judged, box, plain) == []


@needs_python
def test_generated_statements_give_the_same_in_clickhouse() -> None:
    """A team's own `error:`, `latency:` and `where:` may use anything that Analytics Engine has."""
    differences = judged(filled(), generated(VARIATIONS))
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences[:12])


@pytest.mark.parametrize("word", REFUSED)
def test_what_analytics_engine_lacks_is_refused(word: str) -> None:
    """It would work in the sandbox and fail in the field."""
    answer = asked(filled_small(), REFUSED[word])
    assert answer.status_code == 422, answer.text
    if " " not in word or word.isupper():
        assert word.lower() in answer.text.lower()


def filled_small() -> Sandbox:
    box = Sandbox(lambda: float(NOW))
    for dataset in ("made", "other"):
        box.rows.write_point(dataset, NOW - 100, ("native",), (1.0,), visible=0)
    return box


@needs_python
def test_what_is_refused_for_its_kind_is_good_clickhouse() -> None:
    """A refusal of nonsense shows nothing: all but a few of these are refused because Analytics Engine lacks them."""
    nor_there = {"an unknown column", "an unknown dataset", "two statements", "an ISO time", "FINAL", "PREWHERE"}
    box = filled_small()
    statements = {word: text for word, text in REFUSED.items() if text.startswith(("SELECT", "WITH"))}
    answers = dict(zip(statements, clickhouse(box, list(statements.values())), strict=True))
    assert {word for word, answer in answers.items() if "error" in answer} <= nor_there
