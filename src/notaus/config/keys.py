"""The language, declared: every key of a service file, level by level. Loader, schema and reference all read this."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from notaus.config import kinds as k
from notaus.config import measures as m
from notaus.config.containers import ListOf, MapOf, Pair
from notaus.config.table import ByKey, ByTag, Key, Keys, Nested, TextOr
from notaus.core.rule import NoData, Severity
from notaus.core.service import Exhibit, Mode, OverridePolicy, Requirement

NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
NAME_FORM = "letters, digits, `_` and `-`, beginning with a letter"


class Approval(StrEnum):
    REQUIRED = "required"


class ReadWhat(StrEnum):
    KV = "kv"
    DEPLOYMENT = "deployment"


class DeclaredUnit(StrEnum):
    RATIO = "%"
    MILLISECONDS = "ms"
    PER_MINUTE = "/min"
    PER_HOUR = "/hour"


# Keys that several levels share: daemon `defaults`, service, and where named signal, rule or ladder. The inner wins.

STEP = Key("step", m.Duration(1), "The grid: every signal has a sample at each UTC multiple of it.", "15s")
WINDOW = Key(
    "window", m.Duration(1), "A sample is computed over this much time before it; a multiple of `step`.", "60s"
)
SETTLE = Key(
    "settle",
    m.Duration(),
    "How long the source may go on filling in data; younger samples are pending.",
    default_words="by source: analytics_engine and sql 60s, observability 45s, workers, http and r2 180s, others 0s",
)
VALIDATE = Key("validate", m.Duration(1), "After `propagation`, how long a step is watched until its verdict.", "5m")
PROPAGATION = Key("propagation", m.Duration(), "After a step, how long until its effect counts.", "60s")
DEADLINE = Key("deadline", m.Duration(1), "By when the checks of a step must have passed.", "120s")
MAX_ACTIONS = Key(
    "max_actions", m.CountPer(), "Automatic steps within a sliding time; beyond it only pages.", "4 per hour"
)
OVERRIDE = Key(
    "override",
    k.Choice(OverridePolicy),
    "When a person undoes a step during an incident: `hold` leaves it to them; `enforce` takes the step again, within the "
    "limits of any other and while what called for it is not known to be over.",
    "hold",
)
OVERRIDE_FOR = Key("override_for", m.Duration(), "How long an override keeps automation away.", "30m")
TTL = Key("ttl", m.Duration(60), "When an unanswered approval request expires.", "30m")
MODE = Key("mode", k.Choice(Mode), "`observe` decides and tells, `act` pulls levers.", "observe")
RESOLVE_FOR = Key(
    "resolve_for", m.Duration(), "How long a condition must be known false to be cleared; at most `validate`.", "2m"
)
NO_DATA = Key(
    "no_data",
    k.Choice(NoData),
    "What an unknown sample does to a hold: `reset` breaks it, `ignore` passes over it, `breach` extends it.",
    "reset",
)
BLIND_AFTER = Key("blind_after", m.Duration(1), "A rule that could not be evaluated for this long pages.", "5m")
ON_BLIND = Key(
    "on_blind",
    k.Text("a rung"),
    "The rung to take, once and within the limits of any step, when a rule is blind.",
    default_words="none: only a page",
)
MIN_REQUESTS = Key(
    "min_requests",
    k.Integer(0, 10**9),
    "Requests that must stand behind a quantile's hold, of each cohort compared.",
    "100",
)
FALSE_ACTIONS = Key(
    "false_actions",
    m.FalseActions(),
    "How often a year chance alone may make a rate rule act; `any` turns the evidence gate off.",
    "1",
)
STABLE_AFTER = Key(
    "stable_after", m.Duration(1), "A version is known-stable after it served all traffic for this long.", "1h"
)

SIGNAL_LEVEL = (WINDOW, SETTLE)
LADDER_LEVEL = (PROPAGATION, VALIDATE, DEADLINE, MAX_ACTIONS)
RULE_LEVEL = (RESOLVE_FOR, NO_DATA, BLIND_AFTER, ON_BLIND, MIN_REQUESTS, FALSE_ACTIONS)
SERVICE_LEVEL = (MODE, STEP, *SIGNAL_LEVEL, *LADDER_LEVEL, OVERRIDE, OVERRIDE_FOR, TTL, *RULE_LEVEL, STABLE_AFTER)

DEFAULTS = Keys("defaults", SERVICE_LEVEL, "What holds for every service that does not say otherwise.")

# signals

SOURCE = Key("source", k.Text("a source"), "What is read; one of the sources below.", required=True)
UNIT = Key(
    "unit", k.Choice(DeclaredUnit), "The unit of the values; with `%`, 3 is 3 %.", default_words="none: a bare number"
)


def _source(name: str, meaning: str, *keys: Key[Any], only_one_of: tuple[Key[Any], ...] = ()) -> Keys:
    return Keys(f"signals.NAME (source: {name})", (SOURCE, *keys, *SIGNAL_LEVEL), meaning, only_one_of)


DATASET = Key("dataset", k.Text("a dataset", NAME, NAME_FORM), "The dataset's name.", required=True)
COHORT_COLUMN = Key(
    "column", k.Text("a column", NAME, NAME_FORM), "The column that says which cohort served.", required=True
)
COHORT_NAMES = Key(
    "names",
    ListOf(k.Text("a cohort", NAME, NAME_FORM), least=1),
    "Its values; each becomes the first part of signal names.",
    required=True,
)
COHORT_KEYS = Keys("signals.NAME.cohorts", (COHORT_COLUMN, COHORT_NAMES))
COHORTS = Key(
    "cohorts", Nested(COHORT_KEYS), "Slices of the traffic; without them, signals begin with the entry's name."
)
ERROR = Key("error", k.Text("an SQL condition"), "Which rows are errors; gives `errors` and `error_rate`.")
LATENCY = Key(
    "latency", k.Text("an SQL expression"), "The latency of a row in milliseconds; gives `latency_p50` to `p99`."
)
WHERE = Key("where", k.Text("an SQL condition"), "Which rows count at all.", default_words="every row")
OF = Key("of", k.Text("an SQL condition"), "The rows that count.", required=True)
AMONG = Key("among", k.Text("an SQL condition"), "The rows they are counted among.", default_words="every row")
RATIO_KEYS = Keys("signals.NAME.ratios.NAME", (OF, AMONG))
RATIOS = Key(
    "ratios", MapOf(TextOr(k.Text("an SQL condition"), RATIO_KEYS)), "Shares of rows, each a signal of its name."
)
ANALYTICS_ENGINE = _source(
    "analytics_engine",
    "A Workers Analytics Engine dataset. Gives `requests`, `share` (with cohorts), `errors`, `error_rate`, "
    "`latency_p50`, `_p90`, `_p95`, `_p99` and every ratio, per cohort where there are cohorts.",
    DATASET,
    COHORTS,
    ERROR,
    LATENCY,
    WHERE,
    RATIOS,
)

SCRIPT = Key("script", k.Text("a Worker's name"), "The Worker.", default_words="the service's `worker`")
VERSIONS = (
    "Counts each script version by itself, too: `suspect.…` of the live version to blame, `stable.…` of the known-stable "
    "one that is live (with a deployment lever)."
)
BY_VERSION = Key("by_version", k.Flag(), VERSIONS, "false")
ALWAYS_BY_VERSION = Key("by_version", k.Flag(), VERSIONS, "true")


class LatencyBase(StrEnum):
    WALL_TIME = "wallTime"
    CPU_TIME = "cpuTime"


WORKERS_LATENCY = Key("latency", k.Choice(LatencyBase), "What the latency is measured of.", "wallTime")
WORKERS = _source(
    "workers",
    "Invocations of a Worker. Gives `requests`, `errors` (uncaught only), `error_rate`, "
    "`latency_p50`, `_p90`, `_p95`, `_p99`.",
    SCRIPT,
    BY_VERSION,
    WORKERS_LATENCY,
)
OBSERVABILITY = _source(
    "observability",
    "The invocations that a Worker logs. Gives `requests`, `errors` (uncaught only), `error_rate`, "
    "`latency_p50`, `_p90`, `_p95`, `_p99`.",
    SCRIPT,
    ALWAYS_BY_VERSION,
)
ZONE = Key("zone", k.Text("a zone id"), "The zone's id.", required=True)
HOST = Key("host", k.Text("a host name"), "The host whose requests count.", required=True)
ERRORS = Key(
    "errors",
    ListOf(m.Status(), single=True, least=1),
    "The statuses that count as errors.",
    default_words="500-599, 400, 408, 422",
)
HTTP = _source(
    "http",
    "Requests to a zone and host. Gives `requests`, `error_rate`, `error_5xx_rate`, `latency_p50`, `_p95`, `_p99`.",
    ZONE,
    HOST,
    ERRORS,
)
BUCKET = Key("bucket", k.Text("a bucket"), "The bucket's name.", required=True)
ACTIONS = Key(
    "actions",
    ListOf(k.Text("an R2 action", NAME, NAME_FORM), least=1),
    "The actions that count.",
    default_words="PutObject, UploadPart, CompleteMultipartUpload",
)
R2 = _source("r2", "Operations on an R2 bucket. Gives `operations`, `failures`, `failure_rate`.", BUCKET, ACTIONS)

HTTP_URL = k.Url()
WS_URL = k.Url(("http", "https", "ws", "wss"), "a WebSocket URL")
GET = Key("get", HTTP_URL, "The URL to get.")
WEBSOCKET = Key("websocket", WS_URL, "The URL to shake hands with.")
STATUS = Key("status", k.Integer(100, 599), "The status that the answer must have.", default_words="any 2xx")
HEADER = Key("header", MapOf(k.Text("a header's value")), "Headers that the answer must have, by name.")
JSON = Key("json", MapOf(k.Value(null=True)), "Fields that the answer must have, by dotted path.")
TIMEOUT = Key("timeout", m.Timeout(), "When an answer comes too late.", "5s")
CONTROL = Key(
    "control", HTTP_URL, "A URL that answers while our own network works.", default_words="the Cloudflare API"
)
PROBE = _source(
    "probe",
    "The daemon's own requests, one a step. Gives `failed` (0 or 1), `failure_rate`, "
    "`latency_p50`, `_p90`, `_p95`, `_p99`.",
    GET,
    WEBSOCKET,
    STATUS,
    HEADER,
    JSON,
    TIMEOUT,
    CONTROL,
    only_one_of=(GET, WEBSOCKET),
)
QUERY = Key("query", k.Text("a query"), "The query; its one value is the signal.", required=True)
URL = Key(
    "url",
    k.Text("a URL", r"^[a-zA-Z][\w+.-]*://\S", "write scheme://…"),
    "Where to ask.",
    required=True,
    secret=True,
    in_part=True,
)
WINDOWED = Key(
    "query",
    k.Text(
        "a query with {from} and {to}",
        r"^(?=[\s\S]*\{from\})(?=[\s\S]*\{to\})(?![\s\S]*\bFORMAT\b)",
        "write `… WHERE timestamp > {from} AND timestamp <= {to}`, without FORMAT",
    ),
    "The query, with `{from}` and `{to}` where the ends of the window go. Its columns `time` and `value`: the newest row "
    "within the window gives the value.",
    required=True,
)
SQL = _source(
    "sql", "Any Analytics Engine SQL that gives a time and a value. The entry's name is the signal.", WINDOWED, UNIT
)
DATABASE_TIMEOUT = Key(
    "timeout",
    m.Timeout(),
    "When an answer comes too late. PostgreSQL, SQLite, MySQL (a SELECT) and MariaDB are also told to end the statement by "
    "then (for MySQL and MariaDB not tried on a server); elsewhere it goes on, and the account's own limits must end it.",
    "5s",
)
READ_ONLY = (
    "any database that SQLAlchemy knows, in a read-only transaction with PostgreSQL, SQLite, MySQL, MariaDB and Oracle; "
    "elsewhere it is rolled back, and should use an account that may only read"
)
DATABASE = _source(
    "database",
    f"A scalar SQL query to {READ_ONLY}. NULL is unknown. The entry's name is the signal.",
    URL,
    QUERY,
    UNIT,
    DATABASE_TIMEOUT,
)
HEADERS = Key(
    "headers",
    MapOf(k.Text("a header's value")),
    "Sent with each query, such as `Authorization` or `X-Scope-OrgID`; or a login in the URL.",
    secret=True,
)
PROMETHEUS = _source(
    "prometheus",
    "A PromQL query that gives one element; none, and NaN, are unknown. The entry's name is the signal.",
    URL,
    QUERY,
    HEADERS,
    UNIT,
)
PUSH = _source(
    "push",
    "Values posted to the daemon, each good for one `window`. The entry's name is the signal.",
    UNIT,
)

SOURCES: dict[str, Keys] = {
    "analytics_engine": ANALYTICS_ENGINE,
    "workers": WORKERS,
    "observability": OBSERVABILITY,
    "http": HTTP,
    "r2": R2,
    "probe": PROBE,
    "sql": SQL,
    "database": DATABASE,
    "prometheus": PROMETHEUS,
    "push": PUSH,
}

# ladder

NAMESPACE = Key("kv", k.Text("a KV namespace id"), "The Workers KV namespace that is written.", required=True)
KV_KEY = Key("key", k.Text("a KV key"), "The key that is written.", required=True)
FIELDS = Key(
    "fields", MapOf(k.Value()), "Fields written with every rung, where missing; `$now` is the time of the write."
)
KV_LEVER = Keys("ladder.lever (kv)", (NAMESPACE, KV_KEY, FIELDS), "A JSON object in Workers KV.")
DEPLOYMENT = Key(
    "deployment",
    k.Text("a Worker's name"),
    "The Worker whose last known-stable version is deployed.",
    required=True,
)
DEPLOYMENT_LEVER = Keys("ladder.lever (deployment)", (DEPLOYMENT, STABLE_AFTER), "The live version of a Worker.")
LEVERS: dict[str, Keys] = {"kv": KV_LEVER, "deployment": DEPLOYMENT_LEVER}

LEVER = Key("lever", ByKey(LEVERS, "a lever"), "What is moved.", required=True)
REPOSITORY = Key(
    "repository", k.Text("a repository", r"^[^/\s]+/[^/\s]+$", "owner/name"), "Where it is.", required=True
)
FILE = Key(
    "file",
    k.Text("a workflow's file", r"^[^/\s]+\.ya?ml$", "its name alone, such as `maintenance.yml`"),
    "Its file in `.github/workflows`.",
    required=True,
)
REF = Key("ref", k.Text("a branch or tag"), "The branch or tag it runs on.", "main")
INPUTS = Key(
    "inputs",
    MapOf(k.Value()),
    "What it is given. `$reason` (which begins with the key), `$key` (of the step, by which a run is known again), "
    "`$service`, `$rung` and `$incident` are filled in. Let the workflow's `run-name` show `$reason` or `$key`.",
)
UNDO_INPUTS = Key(
    "undo",
    MapOf(k.Value()),
    "The inputs with which the same workflow takes it back, when a person says so.",
    default_words="nothing is run; a person's word is taken for it",
)
RUN_WITHIN = Key("within", m.Duration(1), "By when a run must have come to its conclusion.", "15m")
DEPLOYS = Key(
    "deploys",
    k.Flag(),
    "It deploys a version, as a revert does: the rung ends with that, and the version is guarded like any other. Else the "
    "rung is in force until a person takes it back.",
    "false",
)
RUNG_APPROVAL = Key(
    "approval", k.Choice(Approval), "Automation asks a person before it steps here.", default_words="it need not ask"
)
WORKFLOW_KEYS = Keys("ladder.rungs.NAME.workflow", (REPOSITORY, FILE, REF, INPUTS, UNDO_INPUTS, RUN_WITHIN, DEPLOYS))
WORKFLOW = Key("workflow", Nested(WORKFLOW_KEYS), "The workflow that is dispatched.", required=True)
WORKFLOW_RUNG = Keys(
    "ladder.rungs.NAME (workflow)", (WORKFLOW, RUNG_APPROVAL), "A rung held by a GitHub Actions workflow."
)
ARGV = ListOf(k.Text("a program or an argument"), least=1)
COMMAND = Key("command", ARGV, "The program and its arguments, as they stand: there is no shell.", required=True)
COMMAND_TIMEOUT = Key("timeout", m.Duration(1), "After this it is ended, with all it has started.", "60s")
COMMAND_CHECK = Key(
    "check",
    ARGV,
    "Tells whether it is in force: exit status 0 is yes, 1 is no, any other says nothing.",
    default_words="nothing can tell; after a crash a person is asked",
)
COMMAND_UNDO = Key(
    "undo",
    ARGV,
    "What takes it back, when a person says so.",
    default_words="nothing is run; a person's word is taken for it",
)
COMMAND_RUNG = Keys(
    "ladder.rungs.NAME (command)",
    (COMMAND, COMMAND_TIMEOUT, COMMAND_CHECK, COMMAND_UNDO, RUNG_APPROVAL),
    "A rung held by a program of your own.",
)
OWN_RUNGS: dict[str, Keys] = {"workflow": WORKFLOW_RUNG, "command": COMMAND_RUNG}
OWN_RUNG = ByKey(OWN_RUNGS, "a rung with a lever of its own")

CURRENT, STABLE = "current", "last known stable"
RUNG_FORM: k.Schema = {"anyOf": [{"enum": [CURRENT, STABLE]}, *OWN_RUNG.schema()["oneOf"], MapOf(k.Value()).schema()]}
RUNGS = Key(
    "rungs",
    MapOf(k.Raw("a rung", RUNG_FORM)),
    "By name, each safer than the one before: the KV fields of the rung; with a deployment lever "
    f"`{CURRENT}` or `{STABLE}`. Then rungs with levers of their own: `{{workflow: …}}` or `{{command: […]}}`.",
    required=True,
)
ESCALATE_TO = Key(
    "escalate_to",
    k.Text("a rung"),
    "How far a step may go that no rule named.",
    default_words="no step beyond those that rules name",
)
DRAINS = Key(
    "drains", MapOf(k.Text("a cohort")), "Rung to cohort: the rung that takes all of the cohort's traffic away."
)
SHARE_SIGNAL = Key("signal", k.Text("a signal"), "The signal that shows the split.", required=True)
SHARE_FROM = Key("from", k.Text("a field of the rungs"), "The rung's field (a percentage) that sets it.", required=True)
SHARE_STICKY = Key(
    "sticky",
    m.Duration(),
    "For how long a visitor keeps the cohort it was given (the age of its cookie); in that time the split may lie between "
    "those of all rungs that were in force. A split that cannot be so over an hour is told.",
    "30d",
)
SHARE_KEYS = Keys("ladder.share", (SHARE_SIGNAL, SHARE_FROM, SHARE_STICKY))
SHARE = Key("share", Nested(SHARE_KEYS), "The split that a rung should lead to.")
LADDER = Keys("ladder", (LEVER, RUNGS, ESCALATE_TO, DRAINS, SHARE, *LADDER_LEVEL))

# rules

WHEN = Key(
    "when",
    ListOf(k.Written(), single=True, least=1),
    "`SIGNAL OP BOUND`, or a list of which all must be true at the same sample.",
)
BY_ALERTMANAGER = Key(
    "alertmanager",
    MapOf(k.Text("a label's value")),
    "Labels that the alert must have, such as `alertname: PixDatabase`.",
)
BY_CLOUDFLARE = Key(
    "cloudflare",
    MapOf(k.Text("a field's value")),
    "Fields that the notification must have, such as `alert_type` or `policy_name`; `data.NAME` for one of its data.",
)
TRIGGER_KEYS = Keys(
    "rules.trigger",
    (BY_ALERTMANAGER, BY_CLOUDFLARE),
    "What fires the trigger besides a person: an alert that comes by a hook of `notaus.yaml`.",
)
TRIGGER = Key(
    "trigger",
    TextOr(k.Flag(), TRIGGER_KEYS),
    "Instead of `when`: `true` is fired by a person's report alone, a mapping by alerts from outside, too.",
    "false",
)
FOR = Key("for", m.Hold(), "How long the condition must have been true; `3m of 5m` for M of N.", "0s")
SEVERITY = Key("severity", k.Choice(Severity), "How loud the page is.", required=True)
THEN = Key("then", k.Text("a rung, or `investigate`"), "The rung to take; `investigate` only tells.", required=True)
RULE_NAME = Key("name", k.Text(), "Unique within the service.", default_words="the text of `when`")
WITHIN = Key("within", m.OfDeploy(), "Acts only while the live deployment is no older than this; else it pages.")
APPROVAL = Key("approval", k.Choice(Approval), "Asks a person first.", default_words="acts by itself")
RULE = Keys("rules", (RULE_NAME, WHEN, TRIGGER, FOR, WITHIN, APPROVAL, SEVERITY, THEN, *RULE_LEVEL))

# verification and restore

AT = Key("at", k.Text("a rung"), "Only after a step to this rung.", default_words="every rung")
ADVISORY = Key("advisory", k.Flag(), "Its failure is told but fails no step.", "false")
READ = Key("read", k.Choice(ReadWhat), "Reads the KV key or the deployment back.", required=True)
CHECK_GET = Key("get", HTTP_URL, "Gets the URL.", required=True)
CHECK_WEBSOCKET = Key("websocket", WS_URL, "Shakes hands with the URL.", required=True)
CHECK_SIGNAL = Key("signal", k.Written(), "A condition that must hold after the step.", required=True)
CHECK_FOR = Key("for", m.Duration(), "How long it must hold.", default_words="`validate`")
CHECK_JSON = Key(
    "json",
    MapOf(k.Value(null=True)),
    "Fields that the answer must have, by dotted path; `$FIELD` is the rung's or the lever's, "
    "`$target.tag` and `$target.id` are the version's.",
)
CHECK_HEADER = Key(
    "header",
    MapOf(k.Text("a header's value")),
    "Headers that the answer must have; `$FIELD` and `$target.tag` as in `json`.",
)
CHECK_LATENCY = Key("latency", m.Below(), "How fast the answer must come, such as `< 1s`.")
CHECKS: dict[str, Keys] = {
    "read": Keys("verify (read)", (READ, AT, ADVISORY)),
    "get": Keys("verify (get)", (CHECK_GET, STATUS, CHECK_HEADER, CHECK_JSON, CHECK_LATENCY, AT, ADVISORY)),
    "websocket": Keys("verify (websocket)", (CHECK_WEBSOCKET, AT, ADVISORY)),
    "signal": Keys("verify (signal)", (CHECK_SIGNAL, CHECK_FOR, AT, ADVISORY)),
}
ATTEST = Key("attest", k.Text(), "What a named person must attest.", required=True)
ATTEST_KEYS = Keys("restore.require", (ATTEST,))
RESTORE_REQUIRE = Key(
    "require",
    ListOf(TextOr(k.Written(), ATTEST_KEYS)),
    "What must be so before a person may restore: conditions, and what a person attests.",
)
RAMP_RUNG = Key("rung", k.Text("a rung"), "The rung.", required=True)
RAMP_FOR = Key("for", m.Duration(), "How long it is watched before the next.", required=True)
RAMP_KEYS = Keys("restore.ramp", (RAMP_RUNG, RAMP_FOR))
RAMP = Key("ramp", ListOf(Nested(RAMP_KEYS)), "The rungs on the way back.")
RESTORE_KEYS = Keys("restore", (RESTORE_REQUIRE, RAMP))

# people

CONTACTS = ListOf(Pair())
CRITICAL = Key("critical", CONTACTS, "Who hears of critical pages.")
WARNING = Key("warning", CONTACTS, "Who hears of warnings.")
ESCALATE = Key("escalate", CONTACTS, "Whom to try next when nobody answers or a channel fails.")
PAGE_KEYS = Keys("page", (CRITICAL, WARNING, ESCALATE), "Lists of `CHANNEL: NAME`, the names as in `notaus.yaml`.")

SERVICE_NAME = Key("name", k.Text("a name", NAME, NAME_FORM), "The service's name.", required=True)
ACCOUNT = Key("account", k.Text("an account id"), "The Cloudflare account's id.", required=True)
WORKER = Key("worker", k.Text("a Worker's name"), "The guarded Worker.", required=True)
TITLE = Key(
    "title",
    k.Text(),
    "What people call it, in messages and on the status page: `BooksTrack API`.",
    default_words="`name`; on the status page `our service`",
)
SIGNALS = Key(
    "signals", MapOf(ByTag("source", SOURCES, "a source")), "What is measured, by name of your choice.", required=True
)
LADDER_KEY = Key("ladder", Nested(LADDER), "What can be done.", required=True)
RULES = Key("rules", ListOf(Nested(RULE), least=1), "The threshold table.", required=True)
REQUIRE = Key("require", ListOf(k.Choice(Requirement)), "The pre-rollback checklist, for every rule that rolls back.")
VERIFY = Key("verify", ListOf(ByKey(CHECKS, "a check")), "The checks that a step took effect.")
EVIDENCE_NAME = Key("name", k.Text("a name", NAME, NAME_FORM), "What the file of the answer is called.", required=True)
ASK_DATABASE = Key("database", URL.kind, "The database to ask, as a URL.", required=True, secret=True, in_part=True)
ASK_TABLE = Key("query", k.Text("a query"), "The query; all of its columns and its first rows are kept.", required=True)
ASK_SQL = Key(
    "sql",
    WINDOWED.kind,
    "Analytics Engine SQL, with `{from}` (half an hour before the action) and `{to}` (now); all of its columns.",
    required=True,
)
ASK_GET = Key("get", HTTP_URL, "The URL to get; status, headers and body are kept.", required=True)
ASK_OBJECTS = Key("objects", k.Text("a bucket"), "The R2 bucket.", required=True)
PREFIX = Key(
    "prefix",
    k.Text("the beginning of keys"),
    "How the keys begin; `{date}` stands for the day as Logpush writes it (UTC, 20251115): "
    'both that of half an hour before the action and the present one. In `{…}` quote it: `prefix: "logs/{date}"`.',
    default_words="any key",
)
NEWEST = Key("newest", k.Integer(1, 1000), "How many of the objects, by the time they were written.", "10")
ASK_WRITE = Key("test_write", k.Text("a bucket"), "The R2 bucket.", required=True)
WRITTEN_KEY = Key(
    "key",
    k.Text("a key"),
    "The object that is put and deleted again; one of that name that is somebody's is left alone.",
    "health-check.txt",
)
QUESTIONS: dict[str, Keys] = {
    "objects": Keys(
        "evidence (objects)",
        (EVIDENCE_NAME, ASK_OBJECTS, PREFIX, NEWEST),
        "The newest objects of an R2 bucket, such as Logpush's logs, in one tar file of 8 MiB at most. A listing comes in "
        "the order of keys: of more than 10,000 only the first are looked at, and the manifest says so. Asked over the S3 "
        "API with the keys of `cloudflare: {token: …}`, which needs Workers R2 Storage Read.",
    ),
    "test_write": Keys(
        "evidence (test_write)",
        (EVIDENCE_NAME, ASK_WRITE, WRITTEN_KEY),
        "Puts an object into an R2 bucket and deletes it again; the token needs Workers R2 Storage Write.",
    ),
    "database": Keys(
        "evidence (database)",
        (EVIDENCE_NAME, ASK_DATABASE, ASK_TABLE, DATABASE_TIMEOUT),
        f"A table out of {READ_ONLY}.",
    ),
    "sql": Keys("evidence (sql)", (EVIDENCE_NAME, ASK_SQL), "A table out of Workers Analytics Engine."),
    "get": Keys("evidence (get)", (EVIDENCE_NAME, ASK_GET, TIMEOUT), "An answer of the Worker, or of anything else."),
}
EVIDENCE = Key(
    "evidence",
    ListOf(TextOr(k.Choice(Exhibit), ByKey(QUESTIONS, "a question"))),
    "What is kept beside the journal when an incident's first lever is pulled, and again a minute later: samples, the "
    "lists of deployments and versions, the log events of the version in doubt (Workers Observability; where the Worker "
    "keeps no logs, a live tail of that minute, with the permission Workers Tail Read), and the answers to questions of "
    "your own.",
    default_words="nothing",
)
RESTORE = Key("restore", Nested(RESTORE_KEYS), "How a person returns the service to normal.")
PAGE = Key("page", Nested(PAGE_KEYS), "Who is told.")
APPROVERS = Key("approvers", CONTACTS, "Who gets approval requests, and may answer them.")
RECOVERY = Key(
    "recovery",
    MapOf(k.Text("a command")),
    "Commands for people, by name, never run: shown on the pages after a report, or where a step was refused or did not "
    "help. `$version` and `$bad_version` are the versions rolled back to and from, `$tag` the tag of the former, `$date` "
    "and `$yesterday` days as 20251115; also `$service`, `$worker`, `$account`, `$incident`.",
)

STAGING = Key("staging", k.Flag(), "Nobody is harmed by a drill here: `notaus drill` needs no further word.", "false")
CRON = Key("cron", k.Cron(), "When a drill is held by itself, in UTC; never during an incident.")
BAD = Key("bad", k.Text("a version"), "An uploaded version, by id or tag, that is deployed as the drill's test change.")
FAULT = Key("fault", ListOf(k.Text("an argument")), "The command, word by word, that injects a fault for `--fault`.")
HEAL = Key("heal", ListOf(k.Text("an argument")), "The command that takes it away again.")
DRILL_PAGE = Key(
    "page",
    k.Flag(),
    "A drill that is held by itself sends a test page, and its end, to each contact; `notaus drill` does with `--page`.",
    "false",
)
DRILL_KEYS = Keys("drill", (CRON, BAD, FAULT, HEAL, DRILL_PAGE), "The quarterly drill of a staging service.")
DRILL = Key(
    "drill", TextOr(k.Cron(), DRILL_KEYS), "The quarterly drill: when, and with what.", default_words="by hand only"
)

SERVICE = Keys(
    "service",
    (
        SERVICE_NAME,
        ACCOUNT,
        WORKER,
        TITLE,
        SIGNALS,
        LADDER_KEY,
        RULES,
        REQUIRE,
        VERIFY,
        EVIDENCE,
        RESTORE,
        PAGE,
        APPROVERS,
        RECOVERY,
        STAGING,
        DRILL,
        *SERVICE_LEVEL,
    ),
    "One guarded Worker.",
)
