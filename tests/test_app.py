"""The daemon as a whole, on virtual time against the in-process sandbox: real sources, real levers, real journal."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from structlog.testing import capture_logs

from notaus import config, web
from notaus.app import App, link_key, web_token
from notaus.backtest.runner import _Bells
from notaus.backtest.virtual_time import run
from notaus.clock import SystemClock
from notaus.config import Configuration
from notaus.config.settings import Channels, Hook
from notaus.config.sources import Database
from notaus.core.event import Close, Reply, SetRung, Trigger
from notaus.core.page import Message
from notaus.core.rule import Alert, Severity
from notaus.core.sample import Sample
from notaus.core.service import Contact, Service
from notaus.core.state import Request
from notaus.errors import ConfigurationError, JournalFailed, NotausError
from notaus.journal import Journal, Record
from notaus.sandbox import Sandbox
from notaus.sandbox.box import Lags
from tests.notify.messages import a_message

CONFIG = Path(__file__).parents[1] / "config"
START = 1_790_000_100


class Bells(_Bells):
    """Every bell rings on virtual time, polls too."""

    def every(self, seconds: float, ring: Callable[[], None], name: str) -> None:
        if name in self.rings:
            return
        self.rings[name] = ring
        self.tasks.append(asyncio.create_task(_ringing(seconds, ring)))


async def _ringing(seconds: float, ring: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        # Woken a nanosecond early, it would else sleep for the rest for ever: time passes only between turns.
        await asyncio.sleep(max(seconds - loop.time() % seconds, 1e-6))
        ring()


class House:
    """A sandbox and the daemons in it."""

    def __init__(self, *services: str, traffic: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.database = tempfile.NamedTemporaryFile(suffix=".sqlite")  # noqa: SIM115 (closed with the house)
        self.box = Sandbox(self.now, lags=Lags((0.0, 0.0), 0.0), traffic=traffic, history_seconds=5400)
        self.journal = Journal.open("sqlite://")
        self.services = services or ("pix-immo",)
        self.configuration = self.configured()
        self.apps: list[App] = []

    def now(self) -> float:
        return START + self.loop.time()

    def configured(self, change: Callable[[Service], Service] = lambda service: service) -> Configuration:
        return self.configured_from(CONFIG, change)

    def configured_from(
        self, directory: Path, change: Callable[[Service], Service] = lambda service: service
    ) -> Configuration:
        environ = {
            "CLOUDFLARE_ACCOUNT_ID": self.box.account.id,
            "PIX_KV_NAMESPACE": self.box.kv_namespace,
            "BOOKSTRACK_ZONE": self.box.zone,
            "PIX_DATABASE_URL": f"sqlite:///{self.database.name}",
        }
        found = config.load(directory, environ, lenient=True)
        services = tuple(change(s) for s in found.services if s.name in self.services)
        cloudflare = replace(found.settings.cloudflare, token=SecretStr(self.box.token))
        entries = [
            replace(e, source=replace(e.source, query="SELECT 0")) if isinstance(e.source, Database) else e
            for e in found.entries
            if e.service in self.services
        ]
        return replace(
            found,
            settings=replace(found.settings, cloudflare=cloudflare, channels=Channels()),
            services=services,
            entries=tuple(entries),
        )

    async def app(self, wrong_by: float = 0.0, **more: Any) -> App:
        """A daemon on a machine whose wall clock is wrong by so much, started."""
        app = App(
            self.configuration,
            more.pop("journal", self.journal),
            clock=SystemClock(wall=lambda: self.now() + wrong_by, monotonic=self.loop.time),
            http=httpx.AsyncClient(transport=self.box.transport(), timeout=10.0),
            bells=Bells(),
            owner=f"replica-{len(self.apps)}",
            **more,
        )
        self.apps.append(app)
        await app.start()
        return app

    async def close(self) -> None:
        for app in self.apps:
            await app.crash()
        self.database.close()


LONGEST = 86400.0
"""Virtual seconds for a test, after which it waits in vain: on virtual time it would do so for ever, and at full speed."""


def in_a_house(*services: str, traffic: bool = False) -> Any:
    """Run a test with a House, on virtual time."""

    def decorate(test: Callable[[House], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        async def main(_: Any) -> None:
            house = House(*services, traffic=traffic)
            try:
                async with asyncio.timeout(LONGEST):
                    await test(house)
            finally:
                await house.close()

        def wrapper() -> None:
            run(main)

        wrapper.__doc__, wrapper.__name__ = test.__doc__, test.__name__
        return wrapper

    return decorate


def requests(house: House) -> list[str]:
    return [f"{r.method} {r.path}" for r in house.box.journal.requests if "client/v4" in r.path]


@in_a_house(traffic=True)
async def test_at_rest_it_makes_ten_requests_a_minute_at_the_most(house: House) -> None:
    """The budgets are shared with the rest of the team's tools."""
    app = await house.app()
    await asyncio.sleep(120)
    house.box.journal.requests.clear()
    before = app.engine.guarded["pix-immo"].state.tick
    await asyncio.sleep(600)
    made = requests(house)
    assert 0 < len(made) <= 100, made[:20]
    state = app.engine.guarded["pix-immo"].state
    assert state.tick - before == 600  # and yet no tick was left out
    assert state.incident is None
    assert app.metrics.render().count(b"notaus_rule_blind{") == 7
    newest = app.engine.guarded["pix-immo"].history.newest("native.error_rate")
    assert newest is not None
    assert newest.known


@in_a_house("pix-immo", "bookstrack")
async def test_wrong_by_an_hour_the_machine_still_names_cloudflares_ticks(house: House) -> None:
    """Leases, ticks and records would be of another hour, and after the next restart of this one."""
    app = await house.app(wrong_by=3600)
    await asyncio.sleep(31)
    assert app.engine.guarded["pix-immo"].state.tick == START + 30
    assert all(abs(event.at - house.now()) < 40 for event in house.journal.events())
    await app.crash()
    house.journal.release(app.leadership.leases[house.box.account.id])
    again = await house.app(wrong_by=-3600)
    await asyncio.sleep(31)
    assert again.engine.guarded["pix-immo"].state.tick == START + 60
    assert b"notaus_clock_skew_seconds 36" in again.metrics.render()


@in_a_house()
async def test_a_start_without_network_names_its_own_time_and_is_set_right_later(house: House) -> None:
    """An hour ahead and without answers at first, then set right: no hour of silence."""
    house.box.faults.add("all", "outage", 70)
    app = await house.app(wrong_by=3600)
    await asyncio.sleep(60)
    assert app.engine.guarded["pix-immo"].state.tick > START + 3600
    await asyncio.sleep(60)
    assert app.engine.guarded["pix-immo"].state.tick == (START + 120) // 15 * 15
    assert app.desk.ready()[0]


@in_a_house()
async def test_stop_ends_what_is_under_way_and_gives_the_lease_back(house: House) -> None:
    """The next start would wait for the lease, or find a step without its outcome."""
    app = await house.app()
    await asyncio.sleep(16)
    house.box.faults.add("kv.put", ["slow:4"])
    reply = await app.desk.order("pix-immo", SetRung(app.desk.now(), "anna", "reduced"))
    assert reply.accepted
    await app.stop()
    assert house.journal.holder(house.box.account.id, house.now()) is None
    assert "LeverEnded" in [e.kind for e in house.journal.events()]
    assert len(house.box.writes) == 1
    with pytest.raises(NotausError, match="not running"):
        await app.desk.order("pix-immo", SetRung(app.desk.now(), "anna", "normal"))


@in_a_house()
async def test_the_lease_is_kept_while_a_lever_comes_to_its_end_at_stop(house: House) -> None:
    """Run out meanwhile, another replica would pull the same lever at the same time."""
    app = await house.app()
    await asyncio.sleep(16)
    house.box.faults.add("kv.put", [503] * 40)
    await app.desk.order("pix-immo", SetRung(app.desk.now(), "anna", "reduced"))
    stopping = asyncio.create_task(app.stop())
    for _ in range(18):
        await asyncio.sleep(1)
        assert house.journal.holder(house.box.account.id, house.now()) is not None or stopping.done()
    await stopping
    assert house.journal.holder(house.box.account.id, house.now()) is None


@in_a_house()
async def test_health_tells_a_loop_that_has_ended_and_bells_that_are_silent(house: House) -> None:
    """A silent daemon is worse than none: the supervisor restarts what is not healthy."""
    app = await house.app()
    await asyncio.sleep(20)
    assert app.desk.healthy() == (True, "the loop turns")
    assert app.desk.ready()[0]
    app.bells.stop()
    await asyncio.sleep(200)
    assert not app.desk.healthy()[0]
    await app.crash()
    assert app.desk.healthy() == (False, "the loop has ended")


@in_a_house()
async def test_a_replica_without_the_lease_is_not_ready_and_takes_no_order(house: House) -> None:
    """An order to the wrong replica must be answered, not acted on."""
    await house.app()
    second = await house.app()
    await asyncio.sleep(16)
    assert not second.desk.ready()[0]
    reply = await second.desk.order("pix-immo", SetRung(second.desk.now(), "anna", "emergency"))
    assert reply == Reply(False, "this replica does not own the account now")
    assert house.box.writes == []


class Brittle:
    """A journal whose disk fills up."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.full = journal, False

    def __getattr__(self, name: str) -> Any:
        if self.full:
            raise JournalFailed("the journal x: the disk is full: make room")
        return getattr(self.journal, name)

    def write_all(self, records: Any, lease: Any = None) -> None:
        self.__getattr__("write_all")(records, lease)


@in_a_house()
async def test_a_disk_that_fills_up_between_two_polls_is_told_as_well(house: House) -> None:
    """The lease runs out first, and nobody is polled any more: it must not go silent."""
    journal = Brittle(house.journal)
    app = await house.app(journal=journal)
    await asyncio.sleep(16)
    told: list[str] = []
    app.siren.raise_ = lambda service, text: told.append(text)  # type: ignore[method-assign]
    app.bells.rings.pop("poll")  # type: ignore[attr-defined]
    journal.full = True
    await asyncio.sleep(30)
    assert "disk is full" in told[0]
    assert "disk is full" in app.desk.ready()[1]
    assert app.engine.guarded == {}
    with pytest.raises(JournalFailed):
        await app.reload(house.configured(lambda service: replace(service, step=30)))
    assert app.configuration is house.configuration  # not half of the new one
    journal.full = False
    await asyncio.sleep(16)
    assert app.desk.ready()[0]
    assert "pix-immo" in app.engine.guarded


@in_a_house(traffic=True)
async def test_what_was_read_is_shown_as_metrics(house: House) -> None:
    """The panels that somebody watches during a rollout would stay empty."""
    app = await house.app()
    await asyncio.sleep(61)
    shown = {
        (sample.name, sample.labels.get("signal") or sample.labels.get("rung")): sample.value
        for family in text_string_to_metric_families(app.metrics.render().decode())
        for sample in family.samples
    }
    for cohort in ("native", "proxy"):
        assert 0 <= shown["notaus_signal_value", f"{cohort}.error_rate"] < 0.05
        assert 200 < shown["notaus_signal_value", f"{cohort}.latency_p90"] < 1000
    assert 0.05 < shown["notaus_signal_value", "native.share"] < 0.15
    assert (shown["notaus_rung", "normal"], shown["notaus_rung", "emergency"]) == (1, 0)


QUESTIONS = ("/graphql", "/analytics_engine/sql", "/telemetry/query", "/bulk/get")


@in_a_house("bookstrack", traffic=True)
async def test_a_rollback_changes_one_deployment_and_nothing_else(house: House) -> None:
    """Somebody would have to find out what else is not as it was."""
    app = await house.app()
    await asyncio.sleep(61)
    worker = house.box.workers["api-worker"]
    worker.deploy(worker.upload("v9.0.0").id, by="human")
    await asyncio.sleep(61)
    await app.desk.order("bookstrack", Trigger(app.desk.now(), "anna", "data loss", "books are gone"))
    await asyncio.sleep(600)
    changing = [r for r in requests(house) if not r.startswith("GET ") and not r.endswith(QUESTIONS)]
    assert changing == [f"POST /client/v4/accounts/{house.box.account.id}/workers/scripts/api-worker/deployments"]
    assert [write.kind for write in house.box.writes if write.by == "api"] == ["deployment"]


@in_a_house()
async def test_a_reload_exchanges_the_service_and_keeps_its_state(house: House) -> None:
    """SIGHUP is no restart."""
    app = await house.app()
    await asyncio.sleep(16)
    tick = app.engine.guarded["pix-immo"].state.tick
    await app.reload(house.configured(lambda service: replace(service, rules=service.rules[:3])))
    await asyncio.sleep(0)
    await asyncio.sleep(16)
    guarded = app.engine.guarded["pix-immo"]
    assert len(guarded.service.rules) == 3
    assert guarded.state.tick == tick + 15
    assert [e.kind for e in house.journal.events()].count("Reconfigured") == 1


@in_a_house("pix-immo", "bookstrack")
async def test_a_reload_may_bring_and_take_services(house: House) -> None:
    """A service added is guarded at once; one that is gone leaves no series that stand still."""
    app = await house.app()
    await asyncio.sleep(16)
    house.services = ("pix-immo",)
    await app.reload(house.configured())
    await asyncio.sleep(16)
    assert set(app.engine.guarded) == {"pix-immo"}
    assert b'service="bookstrack"' not in app.metrics.render()
    house.services = ("pix-immo", "bookstrack")
    await app.reload(house.configured())
    await asyncio.sleep(16)
    assert app.engine.guarded["bookstrack"].state.tick == START + 45


@in_a_house()
async def test_a_reload_that_takes_an_open_incident_its_ground_is_refused(house: House) -> None:
    """The rung in force would have no name, or the verdict no rule."""
    app = await house.app()
    await asyncio.sleep(16)
    await app.desk.order("pix-immo", SetRung(app.desk.now(), "anna", "emergency"))
    await asyncio.sleep(1)

    def without(service: Service) -> Service:
        return replace(service, ladder=replace(service.ladder, rungs=service.ladder.rungs[:3]))

    with pytest.raises(ConfigurationError, match="emergency"):
        await app.reload(house.configured(without))
    house.services = ()
    with pytest.raises(ConfigurationError, match="open incident"):
        await app.reload(house.configured())


@in_a_house()
async def test_a_reload_that_takes_a_question_its_rung_is_refused(house: House) -> None:
    """Nobody could say any more what would be approved."""
    app = await house.app()
    await asyncio.sleep(16)
    guarded = app.engine.guarded["pix-immo"]
    request = Request("pix-immo-1", (), "emergency", START, 1800, START, "it asks", Severity.CRITICAL)
    guarded.state = replace(guarded.state, request=request)

    def without(service: Service) -> Service:
        return replace(service, ladder=replace(service.ladder, rungs=service.ladder.rungs[:3]))

    with pytest.raises(ConfigurationError, match="the request pix-immo-1 of pix-immo asks for the rung emergency"):
        await app.reload(house.configured(without))


@in_a_house()
async def test_old_samples_are_dropped_however_many_there_are(house: House) -> None:
    """Twelve signals write more in an hour than one batch holds: the journal would grow for ever."""
    old = START - 40 * 86_400
    readings = {"a": tuple(Sample(old + 15 * i) for i in range(5_000)), "b": (Sample(START - 60),)}
    app = await house.app()
    lease = app.leadership.leases[house.box.account.id]
    state: dict[str, Any] = house.journal.state("pix-immo") or {}
    house.journal.write(Record("other", START, "Polled", {}, state, [], [], readings, [], ""), lease)
    await asyncio.sleep(3700)
    assert house.journal.samples("other", "a") == ()
    assert len(house.journal.samples("other", "b")) == 1


def test_the_api_token_is_made_once_whole_and_for_the_daemons_user_alone(tmp_path: Path) -> None:
    """An empty token, left behind by a full disk, would let in whoever gives none."""
    settings = replace(config.load(CONFIG, {}, lenient=True).settings, store=str(tmp_path / "notaus.sqlite"))
    token = web_token(settings)
    assert len(token) > 30
    assert web_token(settings) == token
    assert (tmp_path / "api-token").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["api-token"]
    (tmp_path / "api-token").write_text("\n")
    with pytest.raises(NotausError, match="is empty"):
        web_token(settings)
    key = link_key(settings)
    assert (len(key) > 30, link_key(settings), key.decode() == token) == (True, key, False)
    assert (tmp_path / "link-key").stat().st_mode & 0o777 == 0o600


@in_a_house()
async def test_a_reload_does_not_give_back_what_was_spent_of_the_budget(house: House) -> None:
    """Cloudflare does not forget at a reload: the daemon would run into a block of five minutes."""
    app = await house.app()
    await asyncio.sleep(16)
    (client,) = app.outside.clients.values()
    spent = client.budget_remaining("api")
    assert spent < 1
    await app.reload(house.configured())
    (client,) = app.outside.clients.values()
    assert client.budget_remaining("api") == spent
    assert f'api_budget_remaining_ratio{{family="api"}} {spent}'.encode() in app.metrics.render()


class Outsider:
    """Calls a daemon's hooks."""

    def __init__(self, app: App) -> None:
        page = web.create(app.desk, app.metrics, "planted-web-token")
        transport = httpx.ASGITransport(page, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://notaus.test")

    async def call(self, name: str, body: object) -> httpx.Response:
        return await self.http.post(f"/hooks/{name}", json=body, headers={"authorization": f"Bearer {HOOK_SECRET}"})


HOOK_SECRET = "planted-hook-secret"
POOL = {"alerts": [{"status": "firing", "labels": {"alertname": "PixDatabase"}, "fingerprint": "f1"}]}


def alerted(service: Service) -> Service:
    named = Alert("alertmanager", (("alertname", "PixDatabase"),))
    return replace(service, rules=tuple(replace(r, alerts=(named,)) if r.trigger else r for r in service.rules))


@in_a_house()
async def test_an_alert_acts_once_however_often_it_is_told_and_whatever_happens_in_between(house: House) -> None:
    """Alertmanager repeats itself, to a daemon that was restarted too: each time the service would be moved."""
    found = house.configured(alerted)
    hooks = {"alertmanager": Hook(SecretStr(HOOK_SECRET), (60, 60))}
    house.configuration = replace(found, settings=replace(found.settings, hooks=hooks))
    app = await house.app()
    await asyncio.sleep(16)
    told = (await Outsider(app).call("alertmanager", POOL)).json()["taken"]
    assert [(each["service"], each["rule"], each["accepted"]) for each in told] == [
        ("pix-immo", "database errors", True)
    ]
    await asyncio.sleep(20)
    assert len(house.box.writes) == 1
    assert app.engine.guarded["pix-immo"].state.fields == {"canary_percent": 0, "emergency_proxy": True}
    await app.crash()
    house.journal.release(app.leadership.leases[house.box.account.id])
    again = await house.app()
    await asyncio.sleep(16)
    (report,) = (await Outsider(again).call("alertmanager", POOL)).json()["taken"]
    assert report["text"] == "this was reported within the hour; it is one report"
    assert len(house.box.writes) == 1


@in_a_house("bookstrack")
async def test_after_an_announcement_the_deployments_are_looked_at_at_the_next_tick(house: House) -> None:
    """A rule would judge the new version by the old one's deployment for half a minute."""
    hooks = {"deploy": Hook(SecretStr(HOOK_SECRET), (60, 60))}
    house.configuration = replace(house.configuration, settings=replace(house.configuration.settings, hooks=hooks))
    app = await house.app()
    await asyncio.sleep(61)
    looked = []
    for announced in (False, True):
        house.box.journal.requests.clear()
        if announced:
            answer = await Outsider(app).call("deploy", {"service": "bookstrack", "by": "kim", "tag": "v2.0.0"})
            assert answer.status_code == 200, answer.text
        await asyncio.sleep(15)
        looked.append(any("/deployments" in request for request in requests(house)))
        await asyncio.sleep(15)
    assert looked == [False, True]
    assert app.engine.guarded["bookstrack"].state.releases[0].by == "kim"


@in_a_house("bookstrack")
async def test_only_an_approvers_message_about_an_open_request_has_links_and_each_its_own(house: House) -> None:
    """Whoever reads along would deploy; or the journal would name the wrong person."""
    house.configuration = replace(
        house.configuration, settings=replace(house.configuration.settings, page_link="https://notaus.example")
    )
    app = await house.app()
    guarded = app.engine.guarded["bookstrack"]
    second, stranger = Contact("slack", "#leads"), Contact("slack", "#engineering")
    contacts = replace(guarded.service.contacts, approvers=(*guarded.service.contacts.approvers, second))
    guarded.service = replace(guarded.service, contacts=contacts)
    request = Request(
        "bookstrack-7", ("errors",), "rolled_back", app.desk.now(), 900, app.desk.now(), "7 %", Severity.WARNING
    )
    message = a_message(service="bookstrack", request="bookstrack-7")
    sent: list[tuple[Contact, Message]] = []

    class Recorder:
        async def send(self, contact: Contact, message: Message, *more: object) -> None:
            sent.append((contact, message))

    app.outside.channels = Recorder()  # type: ignore[assignment]
    to = (*contacts.approvers, stranger)

    async def addresses() -> list[set[str]]:
        sent.clear()
        for contact in to:
            await app.send(contact, message)
        return [{text for text in each.facts.values() if "/approve/" in text} for _, each in sent]

    guarded.state = replace(guarded.state, request=request)
    assert await addresses() == [set(), set(), set()]  # without a key
    app.link_key = b"planted-link-key"
    first, other, none = await addresses()
    assert (len(first), len(other), len(none), len(first | other)) == (2, 2, 0, 4)
    read = {web.Links(app.link_key).read(address.rsplit("/", 1)[1]) for address in first | other}
    assert {link.contact for link in read if link} == set(contacts.approvers)
    assert {link.expires for link in read if link} == {app.desk.now() + 900}
    guarded.state = replace(guarded.state, request=replace(request, id="bookstrack-9"))
    assert await addresses() == [set(), set(), set()]


async def ended_incident(app: App) -> str:
    """The id of an incident that a person reported and closed."""
    now = app.desk.now()
    opened = await app.desk.order("pix-immo", Trigger(now, "anna", "database errors", "pool exhausted"))
    assert opened.incident is not None
    await asyncio.sleep(30)
    closed = await app.desk.order("pix-immo", Close(app.desk.now(), "anna", opened.incident, "fixed"))
    assert closed.accepted
    await asyncio.sleep(5)
    return opened.incident


@in_a_house("pix-immo")
async def test_an_incident_that_ends_gets_its_document(house: House) -> None:
    """People would begin the post-mortem with an empty page."""
    with TemporaryDirectory() as directory:
        app = await house.app(incidents=Path(directory))
        await asyncio.sleep(60)
        id = await ended_incident(app)
        (document,) = (Path(directory) / id).glob("*_b2a_incident.md")
        assert "pool exhausted" in document.read_text(encoding="utf-8")


@in_a_house("pix-immo")
async def test_a_document_missed_by_a_crash_is_made_at_the_next_start(house: House) -> None:
    """An incident that closed as the daemon died would never have one; one that a person has edited must stay."""
    with TemporaryDirectory() as directory:
        app = await house.app()
        await asyncio.sleep(60)
        id = await ended_incident(app)
        await app.stop()
        second = await house.app(incidents=Path(directory))
        await asyncio.sleep(5)
        (document,) = (Path(directory) / id).glob("*_b2a_incident.md")
        document.write_text("edited", encoding="utf-8")
        await second.stop()
        await house.app(incidents=Path(directory))
        await asyncio.sleep(5)
        assert document.read_text(encoding="utf-8") == "edited"


class WithoutIncidents:
    """A journal that answers everything but what incidents there were."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def incidents(self, service: str | None = None, limit: int = 50) -> Any:
        raise JournalFailed("the disk is full")


@in_a_house("pix-immo")
async def test_a_journal_that_fails_while_documents_are_looked_for_is_a_warning(house: House) -> None:
    """A start beside a failing disk would be told as a mistake in notaus, with a traceback."""
    with TemporaryDirectory() as directory, capture_logs() as logs:
        await house.app(incidents=Path(directory), journal=WithoutIncidents(house.journal))
        await asyncio.sleep(5)
    assert [entry["reason"] for entry in logs if "without a document" in entry["event"]] == ["the disk is full"]
    assert not [entry for entry in logs if "unforeseen" in entry["event"]]


@in_a_house("pix-immo")
async def test_a_document_that_cannot_be_written_stops_nothing(house: House) -> None:
    """A full disk would keep the daemon from guarding."""
    with TemporaryDirectory() as directory:
        blocked = Path(directory) / "file"
        blocked.write_text("")
        app = await house.app(incidents=blocked)
        await asyncio.sleep(60)
        await ended_incident(app)
        before = app.engine.guarded["pix-immo"].state.tick
        await asyncio.sleep(60)
        assert app.engine.guarded["pix-immo"].state.tick > before


@in_a_house("pix-immo")
async def test_evidence_survives_a_crash_between_the_lever_and_the_copy(house: House) -> None:
    """The logs of the one incident in which the daemon fell over would be missing."""
    with TemporaryDirectory() as directory:
        app = await house.app(incidents=Path(directory))
        await asyncio.sleep(60)
        opened = await app.desk.order("pix-immo", Trigger(app.desk.now(), "anna", "database errors", "pool exhausted"))
        await app.crash()
        house.apps.remove(app)
        app.leadership.journal.release(app.lease(house.box.account.id))  # as its end would
        second = await house.app(incidents=Path(directory))
        await asyncio.sleep(90)
        folder = Path(directory) / str(opened.incident)
        assert {"1-samples.csv", "2-telemetry.ndjson", "manifest.json"} <= {p.name for p in folder.iterdir()}
        incident = second.engine.guarded["pix-immo"].state.incident
        assert incident is not None
        assert "files" in incident.facts["evidence kept"]
