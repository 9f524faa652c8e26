"""The rows behind the analytics: one per request or per weighted sample, each visible only after its ingestion lag."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Column = tuple[str, Any]  # a name and the value it has where none is given

POINTS: Final = "points"
POINT_COLUMNS: Final = ("index1", *(f"blob{n}" for n in range(1, 21)), *(f"double{n}" for n in range(1, 21)))
GRAPHQL_COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "workersInvocationsAdaptive": (
        ("scriptName", ""), ("scriptVersion", ""), ("status", "success"), ("coloCode", "FRA"),
        ("environmentName", "production"), ("usageModel", "standard"), ("scriptTag", ""), ("errors", 0),
        ("clientDisconnects", 0), ("subrequests", 0), ("wallTime", 0.0), ("cpuTime", 0.0), ("requestDuration", 0.0),
        ("duration", 0.0), ("responseBodySize", 0),
    ),
    "httpRequestsAdaptiveGroups": (
        ("zoneTag", ""), ("clientRequestHTTPHost", ""), ("clientRequestPath", "/"),
        ("clientRequestHTTPMethodName", "GET"), ("edgeResponseStatus", 200), ("originResponseStatus", 200),
        ("cacheStatus", "dynamic"), ("requestSource", "eyeball"), ("coloCode", "FRA"),
        ("edgeTimeToFirstByteMs", 0.0), ("originResponseDurationMs", 0.0), ("edgeDnsResponseTimeMs", 0.0),
        ("edgeResponseBytes", 0), ("edgeRequestBytes", 0), ("visits", 0), ("crossZoneSubrequests", 0),
    ),
    "r2OperationsAdaptiveGroups": (
        ("bucketName", ""), ("actionType", "PutObject"), ("actionStatus", "success"), ("responseStatusCode", 200),
        ("storageClass", "Standard"), ("objectName", ""), ("eyeballRegion", "WEUR"), ("responseBytes", 0),
        ("responseObjectSize", 0),
    ),
}  # fmt: skip
DEFAULT_LAG_SECONDS: Final = {POINTS: 20.0, **dict.fromkeys(GRAPHQL_COLUMNS, 60.0)}


@dataclass(frozen=True, slots=True)
class Revision:
    """Rows that come late: ``share`` of them (0..1) appear only ``delay`` seconds after the usual lag."""

    share: float
    delay: float


@dataclass(slots=True)
class Rows:
    """SQLite in memory. ``lags`` are the seconds from a row's time until it can be queried, by dataset.

    A key of ``lags`` and ``revisions`` is an Analytics Engine dataset, "points" for all of those, or a GraphQL dataset.
    """

    now: Callable[[], float]
    rng: random.Random
    lags: dict[str, float] = field(default_factory=lambda: dict(DEFAULT_LAG_SECONDS))
    revisions: dict[str, Revision] = field(default_factory=dict)
    db: sqlite3.Connection = field(init=False)
    datasets: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        defaults = [(name, "''" if name.startswith(("blob", "index")) else "0") for name in POINT_COLUMNS]
        columns = ", ".join(f"{name} NOT NULL DEFAULT {value}" for name, value in defaults)
        self.db.execute(
            f"CREATE TABLE {POINTS} (dataset TEXT NOT NULL, timestamp INTEGER NOT NULL, visible REAL NOT NULL,"
            f" _sample_interval INTEGER NOT NULL, {columns})"
        )
        self.db.execute(f"CREATE INDEX points_by_time ON {POINTS} (dataset, timestamp)")
        for table, named in GRAPHQL_COLUMNS.items():
            columns = ", ".join(f"{name} NOT NULL DEFAULT {default!r}" for name, default in named)
            self.db.execute(
                f"CREATE TABLE {table} (t INTEGER NOT NULL, visible REAL NOT NULL, w INTEGER NOT NULL, {columns})"
            )
            self.db.execute(f"CREATE INDEX {table}_by_time ON {table} (t)")

    def write_point(
        self,
        dataset: str,
        at: float,
        blobs: Sequence[str] = (),
        doubles: Sequence[float] = (),
        index: str = "",
        weight: int = 1,
        visible: float | None = None,
    ) -> None:
        """One Analytics Engine point; missing blobs read '', missing doubles 0. ``visible`` overrides the lag."""
        self.write_points(dataset, [(at, weight, index, blobs, doubles)], visible)

    def write_points(
        self,
        dataset: str,
        points: Sequence[tuple[float, int, str, Sequence[str], Sequence[float]]],
        visible: float | None = None,
    ) -> None:
        """Many points at once: ``(at, weight, index, blobs, doubles)`` each, all with as many blobs and doubles."""
        if not points:
            return
        self.datasets.add(dataset)
        names = [f"blob{n + 1}" for n in range(len(points[0][3]))] + [
            f"double{n + 1}" for n in range(len(points[0][4]))
        ]
        marks = ",".join("?" * (5 + len(names)))
        columns = ",".join(("dataset", "timestamp", "visible", "_sample_interval", "index1", *names))
        self.db.executemany(
            f"INSERT INTO {POINTS} ({columns}) VALUES ({marks})",
            [
                (dataset, int(at), self._visible(dataset, at) if visible is None else visible, weight, index, *b, *d)
                for at, weight, index, b, d in points
            ],
        )

    def write(self, table: str, at: float, weight: int = 1, visible: float | None = None, **values: Any) -> None:
        """One row of a GraphQL dataset (a key of `GRAPHQL_COLUMNS`), its columns by name."""
        self.write_many(table, [{"at": at, "weight": weight, **values}], visible)

    def write_many(self, table: str, rows: Sequence[Mapping[str, Any]], visible: float | None = None) -> None:
        """Many rows of a GraphQL dataset, all with the same columns: ``{at, weight, column: value, …}``."""
        if not rows:
            return
        names = [name for name in rows[0] if name not in ("at", "weight")]
        known = {name for name, _ in GRAPHQL_COLUMNS[table]}
        if unknown := set(names) - known:
            raise ValueError(f"{table} has no columns {sorted(unknown)}: out of {sorted(known)}")
        columns, marks = ",".join(("t", "visible", "w", *names)), ",".join("?" * (3 + len(names)))
        self.db.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})",
            [
                (
                    int(row["at"]),
                    self._visible(table, row["at"]) if visible is None else visible,
                    row["weight"],
                    *(row[name] for name in names),
                )
                for row in rows
            ],
        )

    def _visible(self, dataset: str, at: float) -> float:
        """When a row of ``at`` can be queried."""
        key = POINTS if dataset not in GRAPHQL_COLUMNS else dataset
        revision = self.revisions.get(dataset) or self.revisions.get(key)
        late = revision.delay if revision is not None and self.rng.random() < revision.share else 0.0
        return at + self.lags.get(dataset, self.lags[key]) + late

    def prune(self, before: float) -> None:
        """Forget the rows older than a time."""
        for dataset in self.datasets:
            self.db.execute(f"DELETE FROM {POINTS} WHERE dataset = ? AND timestamp < ?", (dataset, before))
        for table in GRAPHQL_COLUMNS:
            self.db.execute(f"DELETE FROM {table} WHERE t < ?", (before,))

    def counted(self) -> dict[str, int]:
        """How many rows each table holds."""
        tables = (POINTS, *GRAPHQL_COLUMNS)
        return {table: self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
