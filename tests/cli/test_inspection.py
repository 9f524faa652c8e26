"""`notaus check` against a sandbox in the same process: each thing that can be wrong, and the words it is told in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import dialect as sqlite_dialect

from notaus.cli import thresholds
from notaus.cli.demo.stage import Clock, config_in, environment
from notaus.cli.findings import Finding
from notaus.cli.inspection import CLOCK_PAUSE, Inspection
from notaus.cloudflare import r2
from notaus.config import InvalidConfiguration, load
from notaus.core.deployment import Doubt, Registry, Standing
from notaus.core.state import State
from notaus.journal import Journal
from notaus.sandbox import Sandbox, s3
from notaus.sandbox.account import GROUPS
from tests.cloudflare.conftest import FixedClock

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BASE = "http://sandbox"
EVERYTHING = frozenset(GROUPS) - {"tokens.read"}


class Still(FixedClock):
    """A clock that no answer casts into doubt."""

    in_doubt = False


class Set:
    """A sandbox, a configuration beside it, and what the inspection finds."""

    def __init__(self, box: Sandbox, directory: Path) -> None:
        self.clock, self.box = Still(), box
        addresses = self.box.urls(BASE)
        self.environ = environment(addresses, Clock(0, 0, 1.0), directory)
        del self.environ["NOTAUS_CLOCK"]
        self.directory = config_in(directory)

    def token(self, *permissions: str, kind: str = "account") -> None:
        """Use a token with these permissions alone."""
        value = f"cfat_{kind}-{'-'.join(sorted(permissions))}"
        self.box.account.add_token(value, permissions, kind)
        self.environ["CLOUDFLARE_API_TOKEN"] = value

    def change(self, old: str, new: str) -> None:
        """Change the service files."""
        for file in (self.directory / "services").glob("*.yaml"):
            text = file.read_text()
            file.write_text(text.replace(old, new))

    async def found(self, *services: str, states: Mapping[str, State] | None = None) -> dict[str, Finding]:
        """By name; of `services` alone, where some are named. `states` is what the journal says of them."""
        for file in (self.directory / "services").glob("*.yaml"):
            if services and file.stem not in services:
                file.unlink()
        configuration = load(self.directory, self.environ)
        async with httpx.AsyncClient(transport=self.box.transport()) as http:
            inspection = Inspection(configuration, http, self.clock)
            inspection.states.update(states or {})
            return {finding.named: finding async for finding in inspection.all(page=False)}


@pytest.fixture(scope="module")
def box() -> Sandbox:
    """One for all: nothing is changed in it, but for further tokens."""
    return Sandbox(Still().now, traffic=True, history_seconds=660)


@pytest.fixture(autouse=True)
def _a_short_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the sandbox remembers; a whole one is 1,440 windows of nothing."""
    monkeypatch.setattr(thresholds, "DAY", 1200)


@pytest.fixture
def site(box: Sandbox, tmp_path: Path) -> Set:
    return Set(box, tmp_path)


def told(found: Mapping[str, Finding], what: str) -> tuple[str, str]:
    return found[what].answer, found[what].why


async def test_what_is_right_is_ready(site: Set) -> None:
    """The other tests would show what is always so."""
    found = await site.found()
    assert {what for what, finding in found.items() if finding.answer == "no"} == set()
    answer, why = told(found, "pix-immo: signals.canary")
    assert answer == "yes"
    assert "native.error_rate" in why
    assert why.endswith("m old")
    assert told(found, "pix-immo: steering key")[1].startswith("normal: canary_percent=10, canary_tag=B2a")


async def test_each_permission_that_is_missing_is_named_with_the_group_that_grants_it(site: Set) -> None:
    """`Authentication error` sends people through six pages of the dashboard."""
    for permission, group, what in (
        ("analytics.read", "Account Analytics Read", "account 023e105f4ecef8ad9ca31a8372d0c353 "
         "(for signals.canary, signals.r2, evidence: routes, evidence: places, evidence: devices)"),
        ("kv.read", "Workers KV Storage Read", "account 023e105f4ecef8ad9ca31a8372d0c353 (for the steering key)"),
        ("telemetry.write", "Workers Observability Write",
         "account 023e105f4ecef8ad9ca31a8372d0c353 (for evidence: telemetry)"),
        ("scripts.read", "Workers Scripts Read", "account 023e105f4ecef8ad9ca31a8372d0c353 "
         "(for evidence: deployments, evidence: versions, evidence: telemetry)"),
        ("r2.read", "Workers R2 Storage Read", "account 023e105f4ecef8ad9ca31a8372d0c353 (for evidence: logs)"),
    ):  # fmt: skip
        site.token(*(EVERYTHING - {permission, "r2.write"}))
        found = await site.found("pix-immo")
        assert told(found, f"pix-immo: {group}") == (
            "no",
            f"used once, and refused: add the permission group `{group}` for {what}",
        )
        others = [f for f in found.values() if f.what.startswith(("Account ", "Workers ")) and f.what != group]
        assert {f.answer for f in others} == {"yes", "?"}


async def test_permissions_for_a_zone_and_for_deployments(site: Set) -> None:
    """A token for the account alone cannot read a zone: the runbook's main signal would be missing."""
    site.token(*(EVERYTHING - {"zone.read", "scripts.read"}))
    found = await site.found("bookstrack")
    assert told(found, "bookstrack: Analytics Read")[1].endswith(
        "add the permission group `Analytics Read` for zone 3a1f0c5d9b7e4826a0d5c1e2f3b4a596 (for signals.edge)"
    )
    assert told(found, "bookstrack: Workers Scripts Read")[0] == "no"
    assert told(found, "bookstrack: rollback target")[0] == "no"


async def test_a_write_shows_in_the_policies_of_a_token_that_may_look_at_itself(site: Set) -> None:
    """Whether the lever can be pulled would show in the incident."""
    write = "pix-immo: Workers KV Storage Write"
    assert told(await site.found("pix-immo"), write) == (
        "?",
        "for steps; only a write shows it, or a token that may look at itself (`Account API Tokens Read`)",
    )
    site.token(*EVERYTHING, "tokens.read")
    assert told(await site.found("pix-immo"), write) == ("yes", "the token's own policies name it")
    site.token(*(EVERYTHING - {"kv.write"}), "tokens.read", kind="user")
    answer, why = told(await site.found("pix-immo"), write)
    assert answer == "no"
    assert why.startswith(
        "add the permission group `Workers KV Storage Write` for account 023e105f4ecef8ad9ca31a8372d0c353 (for "
    )


async def test_the_levers_own_token_is_asked_about_too(site: Set) -> None:
    """The token that reads would be praised, and the one that acts would be wrong."""
    site.environ["NOTAUS_CLOUDFLARE__LEVER_TOKEN"] = "cfat_nobody-knows-this-one-0123456789"
    found = await site.found("pix-immo")
    assert told(found, "account 023e105f4ecef8ad9ca31a8372d0c353: token")[0] == "yes"
    assert told(found, "account 023e105f4ecef8ad9ca31a8372d0c353: lever token")[0] == "no"
    assert told(found, "pix-immo: Workers KV Storage Write") == ("?", "for steps; the token itself is not accepted")


async def test_a_wrong_token_is_no_list_of_permissions(site: Set) -> None:
    """Six permissions would be added to a token that was copied wrongly."""
    site.environ["CLOUDFLARE_API_TOKEN"] = "cfat_wrong-0123456789-0123456789"
    found = await site.found("pix-immo")
    assert "Invalid API Token" in told(found, "account 023e105f4ecef8ad9ca31a8372d0c353: token")[1]
    assert (
        told(found, "pix-immo: Workers KV Storage Read")[1] == "for the steering key; the token itself is not accepted"
    )
    assert not any("add the permission group" in finding.why for finding in found.values())


async def test_a_token_of_another_account_names_its_own(site: Set) -> None:
    """Refused is refused; which of the two is wrong would be guessed."""
    site.environ["CLOUDFLARE_ACCOUNT_ID"] = "f" * 32
    answer, why = told(await site.found("pix-immo"), f"account {'f' * 32}: token")
    assert answer == "no"
    assert why.endswith("the token's own account is Sandbox (023e105f4ecef8ad9ca31a8372d0c353): is `account:` right?")


WRONG = {
    "namespace": ("pix-immo", "steering key", "no", "answered 404: get: 'namespace not found' (code 10013)"),
    "key": ("pix-immo", "steering key", "no", "the key 'confg' does not exist"),
    "dataset": ("pix-immo", "signals.canary", "no", "unable to find type of table pix_canari: no such dataset"),
    "condition": ("pix-immo", "signals.canary", "no", "unable to parse query"),
    "bucket": ("pix-immo", "signals.r2", "?", "Nothing at all was counted in a day; is the bucket called piximo?"),
    "cohort": (
        "pix-immo",
        "signals.canary",
        "?",
        "nativ.error_rate, nativ.latency_p90: no data in a day; is the dataset",
    ),
    "host": ("bookstrack", "signals.edge", "no", "no data in a day; does the zone serve the host api.oofam.net?"),
    "zone": ("bookstrack", "signals.edge", "no", "zone ffffffffffffffffffffffffffffffff is not authorized"),
    "script": (
        "bookstrack",
        "rollback target",
        "no",
        "answered 404: This Worker does not exist on your account. (code 10007)",
    ),
}
CHANGES = {
    "key": ("key: config", "key: confg"),
    "dataset": ("pix_canary", "pix_canari"),
    "condition": ("double2 >= 500", "double2 >== 500"),
    "bucket": ("piximmo-media", "piximo"),
    "cohort": ("native", "nativ"),
    "host": ("host: api.oooefam.net", "host: api.oofam.net"),
    "script": ("deployment: api-worker", "deployment: api-wroker"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_misspelled_is_told_where_it_is_used(name: str, site: Set) -> None:
    """It looks like a quiet service until the night on which it should have acted."""
    service, what, answer, words = WRONG[name]
    if name in CHANGES:
        site.change(*CHANGES[name])
    site.environ |= {"namespace": {"PIX_KV_NAMESPACE": "f" * 32}, "zone": {"BOOKSTRACK_ZONE": "f" * 32}}.get(name, {})
    found = await site.found(service)
    assert told(found, f"{service}: {what}")[0] == answer
    assert words in told(found, f"{service}: {what}")[1]


async def test_thresholds_are_held_against_a_day_of_the_service(site: Set) -> None:
    """A bound that this very service crosses by chance each week would be found out by being woken."""
    site.change("native.error_rate > 1.5%,                     for: 5m,", "native.error_rate > 0.4%, for: 1m,")
    answer, why = told(await site.found("pix-immo"), "pix-immo: rule native errors")
    assert answer == "?"
    assert "would hold by chance" in why
    assert "the evidence gate makes that notices; right would be `for: " in why


async def test_a_journal_is_tried_and_left_as_it_is(site: Set, empty_postgresql: str) -> None:
    """`notaus run` would be the first to find out that it may not make its tables."""
    site.environ["NOTAUS_STORE"] = empty_postgresql
    for _ in range(2):  # nothing is kept of it
        assert told(await site.found("pix-immo"), "journal")[1].endswith("empty; its tables can be made")
    Journal.open(empty_postgresql).close()
    assert told(await site.found("pix-immo"), "journal")[1].endswith("its tables are this release's")
    site.environ["NOTAUS_STORE"] = "postgresql://nobody@127.0.0.1:9/notaus"
    assert told(await site.found("pix-immo"), "journal")[0] == "no"


async def test_a_wrong_clock_is_believed_once_two_answers_agree(site: Set) -> None:
    """Thirty seconds of skew would be made of one stale answer of a proxy, or missed."""
    site.clock.skew, site.clock.in_doubt = -95.0, True
    answer, why = told(await site.found("pix-immo"), "clock")
    assert (answer, why) == ("no", "95.0 s ahead of Cloudflare's; set this machine's clock, by NTP for instance")
    assert CLOCK_PAUSE in site.clock.slept


async def test_the_rollback_target_is_the_one_that_the_journal_knows(site: Set, box: Sandbox) -> None:
    """A version that was rolled back from last week would be named as the way out of the next incident."""
    answer, why = told(await site.found("bookstrack"), "bookstrack: rollback target")
    assert answer == "yes"
    assert why.endswith("it would go to v1.8.0, presumed from the history")
    now, worker = int(site.clock.now()), box.worker("bookstrack")
    versions = {
        worker.tagged("v1.8.0").id: Standing(stable_since=now - 9000, doubt=Doubt.FLAGGED),
        worker.tagged("v1.7.0").id: Standing(stable_since=now - 90000, served_until=now - 9000),
    }
    known = State("bookstrack", registry=Registry(versions), clean_since=now)
    answer, why = told(await site.found("bookstrack", states={"bookstrack": known}), "bookstrack: rollback target")
    assert (answer, why) == ("yes", "live: v1.9.0; it would go to v1.7.0, by its standing in the journal")


async def test_what_the_plan_allows_is_held_against_what_is_asked(site: Set, box: Sandbox) -> None:
    """Each poll would be refused, on the first day or on the day of the longest rule."""
    limits, what = box.graphql.limits, "limits of httpRequestsAdaptiveGroups"
    answer = told(await site.found("bookstrack"), f"bookstrack: {what}")
    assert answer == ("yes", "data of the last 90d, at most 31d a query")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(limits, "maxDuration", 30)
        answer, why = told(await site.found("bookstrack"), f"bookstrack: {what}")
        assert (answer, why.partition("; ")[2]) == ("no", "signals.edge has a window of 1m: shorten it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(limits, "notOlderThan", 3600)
        answer, why = told(await site.found("bookstrack"), f"bookstrack: {what}")
        assert answer == "no"
        assert "shorten its `for` or `window`" in why


EVIDENCE = {
    "connections": ("yes", "1 row"),
    "long_queries": ("yes", " row"),
    "routes": ("yes", "rows of the last hour"),
    "qa": ("yes", "answered 200, "),
    "logs": ("?", "0 objects under `b2a/`"),
    "upload": ("?", "piximmo-media is there; whether it takes a write only a write shows"),
    "deployments": ("yes", "pix-immo-api is there"),
    "versions": ("yes", "pix-immo-api is there"),
    "telemetry": ("yes", "pix-immo-api logs 100 % of its invocations"),
}


async def test_evidence_is_asked_for_once_and_nothing_is_written(site: Set, box: Sandbox) -> None:
    """Whether a question has an answer would show in the incident; a bucket of the users would be written to by a check."""
    found, objects = await site.found("pix-immo"), len(box.bindings.objects)
    for name, (answer, words) in EVIDENCE.items():
        assert told(found, f"pix-immo: evidence.{name}")[0] == answer, found[f"pix-immo: evidence.{name}"]
        assert words in told(found, f"pix-immo: evidence.{name}")[1]
    assert "pix-immo: evidence.samples" not in found
    assert {r.method for r in box.journal.requests if "r2/" in r.path} == {"GET"}
    assert len(box.bindings.objects) == objects == 0
    assert not list(site.directory.parent.rglob("manifest.json"))


UNANSWERABLE = {
    "table": ("FROM pg_stat_activity}", "FROM pg_stat_activty}", "connections", "the database: no such table"),
    "column": ("SELECT pid,", "SELECT pidd,", "long_queries", "the database: no such column: pidd"),
    "dataset": ("AS failed FROM pix_canary", "AS failed FROM pix_canari", "devices", "no such dataset"),
    "function": ("SELECT blob5, sum(", "SELECT blob5, summe(", "places", "Analytics Engine: "),
    "bucket": ("objects: logs-canary", "objects: logs-canari", "logs", "R2: GET logs-canari: 404 NoSuchBucket"),
    "written": ("test_write: piximmo-media", "test_write: piximo", "upload", "R2: GET piximo: 404 NoSuchBucket"),
    "worker": ("worker: pix-immo-api", "worker: pix-imo-api", "deployments", "answered 404: This Worker does not exist"),
    "logs": ("worker: pix-immo-api", "worker: pix-imo-api", "telemetry", "answered 404: This Worker does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNANSWERABLE)
async def test_a_question_without_an_answer_is_not_ready(name: str, site: Set) -> None:
    """A misspelled table would be found out when the connections of that minute are gone."""
    old, new, question, words = UNANSWERABLE[name]
    site.change(old, new)
    answer, why = told(await site.found("pix-immo"), f"pix-immo: evidence.{question}")
    assert answer == "no"
    assert words in why


class OfNoDeadline(sqlite_dialect):
    """A database of which nobody knows how to give it a deadline."""

    name, supports_statement_cache = "fourth", True


async def test_a_database_that_is_given_no_deadline_is_told(site: Set, tmp_path: Path) -> None:
    """Queries that hang would pile up in the service's own database, in an incident of all times."""
    registry.register("fourth", __name__, OfNoDeadline.__name__)
    site.environ["PIX_DATABASE_URL"] = site.environ["PIX_DATABASE_URL"].replace("sqlite:", "fourth:")
    found = await site.found("pix-immo")
    for what, words in (("signals.orphaned_intents", "orphaned_intents 0"), ("evidence.connections", "1 row. ")):
        answer, why = told(found, f"pix-immo: {what}")
        assert answer == "?"
        assert why.startswith(words)
        assert "Only PostgreSQL, SQLite, MySQL and MariaDB are given a deadline that the server keeps" in why


async def test_an_answer_that_says_nothing_is_told(site: Set) -> None:
    """A condition that no row meets would be kept as an empty table each time."""
    where = "WHERE blob1 = 'native' AND timestamp > {from} AND timestamp <= {to} GROUP BY blob4"
    site.change(where, where.replace("native", "nativ"))
    assert told(await site.found("pix-immo"), "pix-immo: evidence.routes") == ("?", "0 rows of the last hour")


async def test_a_bucket_with_too_many_keys_is_told(site: Set, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest logs are not among the first keys: the incident's would be missing, in a bucket that has grown."""
    monkeypatch.setattr(s3, "PAGE", 2)
    monkeypatch.setattr(r2, "MAX_PAGES", 2)
    day, what = f"{datetime.fromtimestamp(site.clock.now(), UTC):%Y%m%d}", "pix-immo: evidence.logs"
    for key in (*(f"b2a/20200101T{n}" for n in range(4)), f"b2a/{day}T0"):
        box.bindings.store("logs-canary", key, b"x", site.clock.now())
    try:
        answer, why = told(await site.found("pix-immo"), what)
        site.change("prefix: b2a/, newest", 'prefix: "b2a/{date}", newest')
        dated = told(await site.found("pix-immo"), what)
    finally:
        box.bindings.objects.clear()
    assert answer == "?"
    assert why.startswith("4 or more objects under `b2a/`; of more than 10000 keys only the first")
    assert dated == ("yes", f"1 object under `b2a/{day}`")


async def test_an_address_tells_what_it_answered(site: Set, box: Sandbox) -> None:
    """The page of an address that is not there, or nothing, would be kept of each incident."""
    what, address = "bookstrack: evidence.health", f"{BASE}/status/api/v2/summary.json"
    site.change("{name: health, get: https://api.oooefam.net/health}", f"{{name: health, get: {address}}}")
    answers = []
    for fault in ([], [404], ["reset"]):
        if fault:
            box.faults.add("status", fault)
        answer, why = told(await site.found("bookstrack"), what)
        answers.append((answer, why.partition(",")[0]))
    assert answers == [
        ("yes", "answered 200"), ("?", "answered 404"), ("no", f"no answer from {address}: ReadError"),
    ]  # fmt: skip


async def test_a_worker_that_keeps_no_logs_is_told_and_must_be_open_to_a_tail(site: Set, box: Sandbox) -> None:
    """Neither its logs nor the tail that stands in for them would be there, and check would have said ready."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(box.worker("pix-immo").settings, "observability", {"enabled": False})
        found = await site.found("pix-immo")
        answer, why = told(found, "pix-immo: evidence.telemetry")
        assert answer == "?"
        assert why.startswith("telemetry: pix-immo-api logs no invocations; turn on `observability`")
        assert "a live tail of the minute after the action" in why
        assert told(found, "pix-immo: Workers Tail Read") == ("yes", "used once, for evidence: telemetry, a live tail")
        site.token(*(EVERYTHING - {"tail.read"}))
        answer, why = told(await site.found("pix-immo"), "pix-immo: Workers Tail Read")
        assert answer == "no"
        assert "add the permission group `Workers Tail Read` for account 023e105f4ecef8ad9ca31a8372d0c353" in why
        assert not box.tails.of("pix-immo-api")
    assert "pix-immo: Workers Tail Read" not in await site.found("pix-immo")


LADDER = "rungs: {normal: current, rolled_back: last known stable}"
BEYOND = """rungs:
    normal: current
    rolled_back: last known stable
    maintenance: {lever: {LEVER}}
"""
OWN = {
    "workflow": ("workflow: {repository: bookstrack/api, file: maintenance.yml}", "yes", "maintenance.yml is active"),
    "disabled": ("workflow: {repository: bookstrack/api, file: disabled.yml}", "no", "is disabled_manually"),
    "missing": ("workflow: {repository: bookstrack/api, file: missing.yml}", "no", "is the repository, the workflow"),
    "command": ("command: [/bin/sh, -c, 'exit 9']", "yes", "/bin/sh is there; it is not run"),
    "no program": ("command: [/nowhere/page-on]", "no", "/nowhere/page-on is no program that can be run here"),
    "check": ("command: [/bin/true], check: [/bin/false]", "yes", "its check says that it is not in force"),
    "unclear": ("command: [/bin/true], check: [/bin/sh, -c, 'exit 7']", "?", "says neither yes (0) nor no (1)"),
}


@pytest.mark.parametrize("name", OWN)
async def test_a_rungs_own_lever_is_looked_at_and_not_pulled(name: str, site: Set, box: Sandbox) -> None:
    """That the maintenance page cannot be had would be found out when nothing else is left."""
    lever, answer, words = OWN[name]
    site.change(LADDER, BEYOND.replace("{lever: {LEVER}}", f"{{{lever}}}"))
    site.environ["NOTAUS_GITHUB"] = json.dumps({"token": "github-token", "url": f"{BASE}/pages/github"})
    found = told(await site.found("bookstrack"), "bookstrack: rung maintenance")
    assert found[0] == answer, found
    assert words in found[1]
    assert not box.actions.runs


async def test_a_workflow_without_a_token_is_told(site: Set) -> None:
    """As in the example, where both stand behind a comment mark, and one of them is easily forgotten."""
    site.change(LADDER, BEYOND.replace("{lever: {LEVER}}", f"{{{OWN['workflow'][0]}}}"))
    with pytest.raises(InvalidConfiguration, match="github"):
        await site.found("bookstrack")
