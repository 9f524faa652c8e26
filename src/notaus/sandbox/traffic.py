"""The users of the example services: what they do each second, as rows, following what the edge runs at that second.

Driven lazily: nothing happens until somebody asks, then everything up to now. Errors are drawn one by one and get rows
of their own; successes are bundled into weighted rows, so that a minute of 10,000 requests is some 2,400 rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .deployments import Behaviour
from .services import Canary

if TYPE_CHECKING:
    from .box import Sandbox

Point = tuple[float, int, str, tuple[str, ...], tuple[float, ...]]

PIX_DATASET: Final = "pix_canary"
BOOKS_DATASET: Final = "books_api_performance"
BUCKET: Final = "piximmo-media"
HOST: Final = "api.oooefam.net"
STICKY_SECONDS: Final = 200.0  # after ten minutes 5 % of a cohort's former users are left
SPREAD: Final = 0.35  # of the logarithm of the latency
P90_Z: Final = 1.2816  # the 90 % point of the normal distribution
KEPT_SECONDS: Final = 7_200
PRUNE_EVERY_SECONDS: Final = 600
FINE_SECONDS: Final = 300  # up to here a gap is filled second by second, beyond in as many longer strides
HISTORY_STRIDE_SECONDS: Final = 10
ROWS_PER_COHORT: Final = 20
WEBSOCKET_SHARE: Final = 0.05
PROVIDER_SHARE: Final = 0.2
NOT_FOUND_SHARE: Final = 0.02
VISITORS: Final = (
    ("/api/images", "DE", "mobile"),
    ("/api/uploads", "DE", "desktop"),
    ("/api/images", "AT", "mobile"),
    ("/api/albums", "CH", "mobile"),
    ("/api/images", "DE", "desktop"),
)  # route, country, device


def binomial(rng: random.Random, n: int, p: float) -> int:
    """How many of ``n`` come up with probability ``p``: jumps from one to the next, so the cost is ``n * p``."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(rng, n, 1 - p)
    count, place, scale = 0, -1, math.log1p(-p)
    while (place := place + 1 + int(math.log(1 - rng.random()) / scale)) < n:
        count += 1
    return count


def poisson(rng: random.Random, mean: float) -> int:
    """How many of something that happens ``mean`` times on average."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, product, bound = 0, rng.random(), math.exp(-mean)
    while product > bound:
        count, product = count + 1, product * rng.random()
    return count


def bundles(count: int, most: int) -> Iterator[int]:
    """``count`` split into at most ``most`` weights that add up to it."""
    rows = min(count, most)
    for row in range(rows):
        yield count * (row + 1) // rows - count * row // rows


class Traffic:
    """Generates the rows of both services from ``history_seconds`` before the start on."""

    def __init__(self, box: Sandbox, seed: int, history_seconds: float) -> None:
        self._box = box
        self._rng = random.Random(f"traffic {seed}")
        now = int(box.now())
        self._next = now - int(history_seconds)
        self._pruned = now
        self.native_share = self._canary(now).percent / 100
        self._fill(now, HISTORY_STRIDE_SECONDS)

    def advance(self, at: float) -> None:
        """Let every second before ``at`` happen. After a long gap only the last `KEPT_SECONDS` of it, more coarsely."""
        until = int(at)
        if until <= self._next:
            return
        self._next = max(self._next, until - KEPT_SECONDS)
        gap = until - self._next
        self._fill(until, 1 if gap <= FINE_SECONDS else -(-gap // FINE_SECONDS))
        if until - self._pruned >= PRUNE_EVERY_SECONDS:
            self._pruned = until
            self._box.rows.prune(until - KEPT_SECONDS)

    def _fill(self, until: int, stride: int) -> None:
        while self._next < until:
            seconds = min(stride, until - self._next)
            if "pix-immo" in self._box.services:
                self._pix_immo(self._next, seconds)
                self._r2(self._next, seconds)
            if "bookstrack" in self._box.services:
                self._bookstrack(self._next, seconds)
            self._next += seconds

    def _canary(self, at: float) -> Canary:
        return Canary.at_edge(self._box.kv, self._box.kv_namespace, at)

    def _latency(self, p90: float) -> float:
        return round(p90 * math.exp(SPREAD * (self._rng.gauss(0, 1) - P90_Z)), 1)

    def _when(self, at: int, seconds: int) -> int:
        return at + (self._rng.randrange(seconds) if seconds > 1 else 0)

    # -- pix-immo

    def _pix_immo(self, at: int, seconds: int) -> None:
        canary, pix = self._canary(at), self._box.pix_immo
        stay = math.exp(-seconds / STICKY_SECONDS)
        self.native_share = canary.percent / 100 + (self.native_share - canary.percent / 100) * stay
        share = 0.0 if canary.emergency else self.native_share
        total = poisson(self._rng, pix.requests_per_minute * seconds / 60)
        native = binomial(self._rng, total, share)
        points: list[Point] = []
        for cohort, requests in (("native", native), ("proxy", total - native)):
            points += self._cohort_points(at, seconds, cohort, requests, pix.cohorts[cohort], canary.tag)
        self._box.rows.write_points(PIX_DATASET, points)
        self._invocations(at, "pix-immo-api", [(total, 0, 400.0)])

    def _cohort_points(
        self, at: int, seconds: int, cohort: str, requests: int, behaviour: Behaviour, tag: str
    ) -> Iterator[Point]:
        errors = binomial(self._rng, requests, behaviour.error_rate or 0.0)
        for status, count in ((500.0, errors), (200.0, requests - errors)):
            for number, weight in enumerate(bundles(count, ROWS_PER_COHORT)):
                latency = self._latency(behaviour.latency_ms or 400.0)
                blobs = (cohort, tag, "roll", *VISITORS[(at + number) % len(VISITORS)])
                yield self._when(at, seconds), weight, f"pix:{cohort}", blobs, (latency, status)

    def _r2(self, at: int, seconds: int) -> None:
        pix, rows = self._box.pix_immo, []
        for status, code, rate in (
            ("success", 200, pix.r2_operations_per_minute),
            ("internalError", 500, pix.r2_failures_per_minute),
        ):
            for _ in range(poisson(self._rng, rate * seconds / 60)):
                action = self._rng.choice(("PutObject", "PutObject", "UploadPart", "CompleteMultipartUpload"))
                rows.append(
                    {"at": self._when(at, seconds), "weight": 1, "bucketName": BUCKET, "actionType": action,
                     "actionStatus": status, "responseStatusCode": code}
                )  # fmt: skip
        self._box.rows.write_many("r2OperationsAdaptiveGroups", rows)

    # -- bookstrack

    def _bookstrack(self, at: int, seconds: int) -> None:
        books = self._box.bookstrack
        deployment = books.worker.at_edge(at)
        if deployment is None:
            return
        left = poisson(self._rng, books.requests_per_minute * seconds / 60)
        remaining = 100.0
        for id, share in deployment.versions:
            requests = binomial(self._rng, left, share / remaining if remaining > 0 else 0.0)
            left, remaining = left - requests, remaining - share
            version = books.worker.version(id)
            self._version_rows(at, seconds, requests, id, version.tag or id, books.behaviour(version))

    def _version_rows(self, at: int, seconds: int, requests: int, id: str, tag: str, behaviour: Behaviour) -> None:
        error_rate = 1.0 if behaviour.outage else behaviour.error_rate or 0.0
        p90 = behaviour.latency_ms or 180.0
        errors = binomial(self._rng, requests, error_rate)
        unavailable = binomial(self._rng, errors, 1.0 if behaviour.outage else 0.2)
        missing = binomial(self._rng, requests - errors, NOT_FOUND_SHARE)
        counts = ((500, errors - unavailable), (503, unavailable), (404, missing), (200, requests - errors - missing))
        rows = [
            {"at": self._when(at, seconds), "weight": weight, "zoneTag": self._box.zone, "clientRequestHTTPHost": HOST,
             "clientRequestPath": "/v1/search/title", "edgeResponseStatus": status, "originResponseStatus": status,
             "edgeTimeToFirstByteMs": self._latency(p90)}
            for status, count in counts
            for weight in bundles(count, ROWS_PER_COHORT)
        ]  # fmt: skip
        self._box.rows.write_many("httpRequestsAdaptiveGroups", rows)
        points = [*self._http_points(at, seconds, requests, errors, tag, behaviour, p90)]
        points += self._other_points(at, seconds, requests, tag, behaviour, p90)
        self._box.rows.write_points(BOOKS_DATASET, points)
        self._invocations(at, "api-worker", [(requests - errors, 0, p90), (errors - unavailable, 1, p90)], id)

    def _http_points(
        self, at: int, seconds: int, requests: int, errors: int, tag: str, behaviour: Behaviour, p90: float
    ) -> Iterator[Point]:
        hits = binomial(self._rng, requests - errors, behaviour.cache_hit_rate or 0.0)
        for cache, outcome, status, count in (
            ("HIT", "ok", 200.0, hits),
            ("MISS", "ok", 200.0, requests - errors - hits),
            ("", "error", 500.0, errors),
        ):
            for weight in bundles(count, ROWS_PER_COHORT // 2):
                blobs = ("search", tag, cache, "http", outcome)
                yield self._when(at, seconds), weight, "api", blobs, (self._latency(p90), status)

    def _other_points(
        self, at: int, seconds: int, requests: int, tag: str, behaviour: Behaviour, p90: float
    ) -> Iterator[Point]:
        broken = 1.0 if behaviour.outage else behaviour.websocket_error_rate or 0.0
        late = behaviour.provider_timeout_rate or 0.0
        for kind, share, bad, rate, status in (
            ("ws", WEBSOCKET_SHARE, "error", broken, 500.0),
            ("provider", PROVIDER_SHARE, "timeout", late, 504.0),
        ):
            count = binomial(self._rng, requests, share)
            failed = binomial(self._rng, count, rate)
            for outcome, code, number in ((bad, status, failed), ("ok", 200.0, count - failed)):
                for weight in bundles(number, ROWS_PER_COHORT // 2):
                    blobs = ("progress" if kind == "ws" else "lookup", tag, "", kind, outcome)
                    yield self._when(at, seconds), weight, kind, blobs, (self._latency(p90), code)

    def _invocations(self, at: int, script: str, groups: list[tuple[int, int, float]], version: str = "") -> None:
        """A few rows of the Workers' own metrics; wall and CPU time are microseconds there."""
        if not version:
            live = self._box.workers[script].live(at)
            version = "" if live is None else live.id
        rows = []
        for count, thrown, p90 in groups:
            for weight in bundles(count, 5):
                wall = self._latency(p90) * 1_000
                status = "scriptThrewException" if thrown else "success"
                rows.append(
                    {"at": at, "weight": weight, "scriptName": script, "scriptVersion": version, "status": status,
                     "errors": thrown, "wallTime": round(wall), "cpuTime": round(wall / 40)}
                )  # fmt: skip
        self._box.rows.write_many("workersInvocationsAdaptive", rows)
