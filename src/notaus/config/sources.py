"""What a service file says of its sources, one class per `source:` kind; carried out by `notaus.sources`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ratio:
    """`{of: CONDITION, among: CONDITION}` in Analytics Engine SQL; `among` None is every row."""

    of: str
    among: str | None = None


@dataclass(frozen=True, slots=True)
class AnalyticsEngine:
    """A Workers Analytics Engine dataset, over the SQL API."""

    dataset: str
    cohort_column: str | None = None
    cohorts: tuple[str, ...] = ()
    """With cohorts, signals are `COHORT.measure`; without, `ENTRY.measure`."""
    error: str | None = None
    """A condition on a row that makes it an error."""
    latency: str | None = None
    """An expression in milliseconds."""
    where: str | None = None
    ratios: Mapping[str, Ratio] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workers:
    """GraphQL `workersInvocationsAdaptive` of a script; `latency` picks the quantile's base (microseconds on the wire)."""

    script: str
    by_version: bool = False
    latency: str = "wallTime"


@dataclass(frozen=True, slots=True)
class Http:
    """GraphQL `httpRequestsAdaptiveGroups` of a zone and host."""

    zone: str
    host: str
    errors: tuple[tuple[int, int], ...] = ((500, 599), (400, 400), (408, 408), (422, 422))
    """Inclusive ranges of the statuses that count as errors."""


@dataclass(frozen=True, slots=True)
class R2:
    """GraphQL `r2OperationsAdaptiveGroups` of a bucket."""

    bucket: str
    actions: tuple[str, ...] = ("PutObject", "UploadPart", "CompleteMultipartUpload")


@dataclass(frozen=True, slots=True)
class Probe:
    """The daemon's own requests, one a step."""

    url: str
    websocket: bool = False
    status: int | None = None
    json: Mapping[str, bool | int | float | str | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 5.0
    """Seconds."""
    control: str | None = None
    """A URL that should answer while our own network works; None: the Cloudflare API."""


@dataclass(frozen=True, slots=True)
class Sql:
    """Any Analytics Engine SQL that returns `time` and `value`: one signal. `{from}`/`{to}` stand for the window's ends."""

    query: str
    percent: bool = False
    """The values are percentages: 3 is 3 %."""


@dataclass(frozen=True, slots=True)
class Database:
    """A scalar SQL query to the service's own database: one signal."""

    url: str
    query: str
    timeout: float = 5.0
    """Seconds, kept by us, and by the server where it can be asked to (`notaus.database`)."""
    percent: bool = False

    def __repr__(self) -> str:
        return f"Database(url=***, query={self.query!r})"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A PromQL query to the user's Prometheus: one signal."""

    url: str
    query: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each query: a login, a tenant."""
    percent: bool = False

    def __repr__(self) -> str:
        return f"Prometheus(url=***, query={self.query!r})"


@dataclass(frozen=True, slots=True)
class Push:
    """Values posted to the daemon: one signal."""

    percent: bool = False


@dataclass(frozen=True, slots=True)
class Observability:
    """Workers Observability telemetry queries."""

    script: str
    by_version: bool = True


Source = AnalyticsEngine | Workers | Http | R2 | Probe | Sql | Database | Prometheus | Push | Observability


@dataclass(frozen=True, slots=True)
class Get:
    """An answer as it comes, for the evidence of an incident."""

    url: str
    timeout: float = 5.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The newest objects of an R2 bucket, by their keys' beginning; `{date}` in it stands for a day, such as 20251115."""

    bucket: str
    prefix: str = ""
    newest: int = 10


@dataclass(frozen=True, slots=True)
class WriteTest:
    """Whether an R2 bucket takes a write: an object put and deleted again."""

    bucket: str
    key: str = "health-check.txt"


Question = Database | Sql | Get | Objects | WriteTest
"""What is asked once an incident has begun, and kept; a table, where it is SQL."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `signals:`: its name, what it reads, and the signals that some rule, check or share asks of it."""

    service: str
    account: str
    name: str
    source: Source
    signals: tuple[str, ...] = ()
    """Names of the signals wanted, such as `native.error_rate`; all of one window."""
    window: int = 60
    settle: int = 60
