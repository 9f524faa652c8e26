"""The deployment lever and the view of deployments, against every way in which Cloudflare and others get in between."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from notaus.cloudflare.client import Client
from notaus.core.effect import Deploy, LeverResult, Outcome, PullLever
from notaus.core.world import DeploymentsView
from notaus.errors import ReadFailed
from notaus.levers import Levers, Worlds

from .conftest import API, START, Account, a_deployment_service

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the:pytest.PytestDeprecationWarning")

MESSAGE = "notaus: incident 7: edge.error_rate 12 % > 10 % for 2m"


def books(account: Account) -> Any:
    return account.box.worker("api-worker")


def a_bad_deployment(account: Account, **how: Any) -> str:
    """v2.0.0 goes live; the id of its deployment."""
    worker = books(account)
    return str(worker.deploy(worker.upload("v2.0.0", **how).id).id)


async def pull(account: Account, levers: Levers | None = None, **how: Any) -> LeverResult:
    tag = how.pop("tag", "v1.9.0")
    action = Deploy(how.pop("version", None) or books(account).tagged(tag).id, tag, MESSAGE, **how)
    effect = PullLever("1", "bookstrack", action, START)
    return await (levers or Levers(account.client)).pull(a_deployment_service(account.box), effect)


def posts(account: Account) -> list[Any]:
    return [r for r in account.box.journal.requests if r.method == "POST"]


def deployed(account: Account) -> list[str | None]:
    """The tags deployed over the API, in order."""
    return [w.what["tag"] for w in account.box.writes if w.by == "api"]


async def test_the_target_is_deployed_alone_and_at_once_for_durable_objects(account: Account) -> None:
    """Live Durable Objects would stay on the bad code for up to five minutes."""
    bad = a_bad_deployment(account)
    result = await pull(account, expected=bad)
    live = books(account).active
    assert (result.outcome, result.deployment, result.notes) == (Outcome.DONE, live.id, ())
    assert live.versions == ((books(account).tagged("v1.9.0").id, 100.0),)
    assert (live.message, live.code_update_strategy) == (MESSAGE, {"mode": "immediate"})


async def test_another_deployment_than_the_one_judged_is_foreign(account: Account) -> None:
    """A fix that the team has just deployed would be rolled back."""
    bad = a_bad_deployment(account)
    worker = books(account)
    worker.deploy(worker.upload("v2.0.1").id)
    result = await pull(account, expected=bad)
    assert (result.outcome, deployed(account)) == (Outcome.FOREIGN, [])
    assert "nothing was deployed" in result.detail


async def test_the_same_version_deployed_again_on_purpose_is_foreign(account: Account) -> None:
    """The precondition is the deployment, not the version: somebody redeployed knowingly."""
    bad = a_bad_deployment(account)
    worker = books(account)
    worker.deploy(worker.tagged("v2.0.0").id)
    assert (await pull(account, expected=bad)).outcome is Outcome.FOREIGN


async def test_a_target_that_is_live_already_is_not_deployed_again(account: Account) -> None:
    """A person was faster; a second deployment would reset every Durable Object for nothing."""
    bad = a_bad_deployment(account)
    worker = books(account)
    worker.deploy(worker.tagged("v1.9.0").id)
    result = await pull(account, expected=bad)
    assert (result.outcome, deployed(account)) == (Outcome.ALREADY, [])


async def test_pulling_again_after_a_crash_finds_its_own_deployment(account: Account) -> None:
    """A restart between the POST and its outcome would deploy twice."""
    bad = a_bad_deployment(account)
    first = await pull(account, expected=bad)
    again = await pull(account, expected=bad)
    assert (again.outcome, again.deployment) == (Outcome.DONE, first.deployment)
    assert len(posts(account)) == 1


async def test_pulling_again_does_not_redeploy_over_a_foreign_deployment(account: Account) -> None:
    """What a person deployed after the rollback would be overridden by a restart."""
    bad = a_bad_deployment(account)
    await pull(account, expected=bad)
    worker = books(account)
    worker.deploy(worker.tagged("v2.0.0").id)
    again = await pull(account, expected=bad)
    assert again.outcome is Outcome.DONE
    assert "right after; it was left alone" in again.notes[0]
    assert len(posts(account)) == 1


@pytest.mark.parametrize(
    "fault", [500, 503, 502, 429, "429:2", "timeout", "reset", "outage", "garbage", "lost_reply", "hang"]
)
@pytest.mark.parametrize("target", ["deployments.get", "deployments.post"])
async def test_one_fault_delays_the_rollback_and_never_doubles_it(account: Account, target: str, fault: Any) -> None:
    """A single hiccup would leave the bad version live, or deploy twice."""
    bad = a_bad_deployment(account)
    account.box.faults.add(target, [fault])
    result = await pull(account, expected=bad)
    assert result.outcome is Outcome.DONE
    assert deployed(account) == ["v1.9.0"]
    assert result.deployment == books(account).active.id
    assert account.clock.now() - START < 10


async def test_a_lost_reply_sends_no_second_post(account: Account) -> None:
    """POST is not idempotent: a repeat makes a second deployment."""
    bad = a_bad_deployment(account)
    account.box.faults.add("deployments.post", ["lost_reply"])
    await pull(account, expected=bad)
    assert len(posts(account)) == 1


async def test_an_unanswered_post_that_cannot_be_read_back_is_unknown(account: Account) -> None:
    """A rollback that may have happened would be told as not done."""
    bad = a_bad_deployment(account)
    account.box.faults.add("deployments.post", ["lost_reply"])
    client = meddling(account, lambda: account.box.faults.add("deployments.get", [500], duration=60))
    result = await pull(account, Levers(client), expected=bad)
    assert result.outcome is Outcome.UNKNOWN
    await account.clock.sleep(60)
    assert (await pull(account, expected=bad)).outcome is Outcome.DONE
    assert len(posts(account)) == 1


async def test_a_refused_look_after_an_unanswered_post_is_unknown(account: Account) -> None:
    """A rollback that may have happened would be told as refused."""
    bad = a_bad_deployment(account)
    account.box.faults.add("deployments.post", ["lost_reply"])
    client = meddling(account, lambda: account.box.faults.add("deployments.get", [403]))
    assert (await pull(account, Levers(client), expected=bad)).outcome is Outcome.UNKNOWN


async def test_patience_ends_as_failed(account: Account) -> None:
    """Nobody would be paged while notaus tries for ever."""
    bad = a_bad_deployment(account)
    account.box.faults.add("deployments.post", [500], duration=3600)
    assert (await pull(account, expected=bad)).outcome is Outcome.FAILED
    assert account.clock.now() - START <= 26


@pytest.mark.parametrize(
    ("blocked", "reason"),
    [("do_migration", "Durable Object migration"), ("secrets", "API_KEY, DB_URL"), ("binding", "gone")],
)
async def test_a_refused_rollback_is_told_in_words_and_never_forced(
    account: Account, blocked: str, reason: str
) -> None:
    """Old code with new secrets may break worse; a person decides."""
    worker = books(account)
    worker.deploy(worker.upload("v1.9.5", blocked=blocked).id)
    bad = a_bad_deployment(account)
    result = await pull(account, tag="v1.9.5", expected=bad)
    assert result.outcome is Outcome.REFUSED
    assert reason in result.detail
    assert [r.query for r in posts(account)] == [""]


async def test_changed_secrets_are_forced_on_a_person_s_word_alone(account: Account) -> None:
    """`notaus rollback --accept-changed-secrets` would do nothing."""
    worker = books(account)
    worker.deploy(worker.upload("v1.9.5", blocked="secrets").id)
    bad = a_bad_deployment(account)
    result = await pull(account, tag="v1.9.5", expected=bad, accept_changed_secrets=True)
    assert result.outcome is Outcome.DONE
    assert [r.query for r in posts(account)] == ["", "force=true"]
    assert "forced over changed secrets, as ordered" in result.notes


async def test_a_refusal_in_spite_of_force_is_final(account: Account) -> None:
    """The rollback would be forced again and again."""
    bad = a_bad_deployment(account)
    refusal = {"success": False, "errors": [{"code": 10220, "message": "still"}], "result": None}
    inner, tries = account.box.transport(), 0

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal tries
            if request.method == "GET":
                return await inner.handle_async_request(request)
            tries += 1
            assert tries < 5
            return httpx.Response(400, json=refusal)

    http = httpx.AsyncClient(transport=Transport())
    client = Client(http, API, account.box.account.id, account.box.token, account.clock)
    result = await pull(account, Levers(client), expected=bad, accept_changed_secrets=True)
    assert (result.outcome, tries) == (Outcome.REFUSED, 2)


async def test_a_version_that_does_not_exist_is_refused(account: Account) -> None:
    """A deleted version would be tried for ever."""
    result = await pull(account, version="00000000-0000-4000-8000-000000000000")
    assert result.outcome is Outcome.REFUSED
    assert "does not know that version" in result.detail


async def test_a_foreign_deployment_just_before_ours_is_told(account: Account) -> None:
    """Between the look and the POST somebody's fix went live, and ours went over it: people must know."""
    bad = a_bad_deployment(account)
    worker = books(account)
    client = meddling(account, lambda: worker.deploy(worker.upload("v2.0.1").id), before=True)
    result = await pull(account, Levers(client), expected=bad)
    assert result.outcome is Outcome.DONE
    assert "just before" in result.notes[0]
    assert worker.live is not None


async def test_a_long_message_is_cut_and_still_known_as_ours(account: Account) -> None:
    """A message that Cloudflare cuts would not be recognised, and the rollback be repeated."""
    bad = a_bad_deployment(account)
    action = Deploy(books(account).tagged("v1.9.0").id, "v1.9.0", "ü" * 900, expected=bad)
    account.box.faults.add("deployments.post", ["lost_reply"])
    service = a_deployment_service(account.box)
    result = await Levers(account.client).pull(service, PullLever("1", "bookstrack", action, START))
    assert result.outcome is Outcome.DONE
    assert len(posts(account)) == 1


def meddling(account: Account, act: Any, *, before: bool = False) -> Client:
    """A client of the sandbox; `act()` is called around each POST."""
    inner = account.box.transport()

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and before:
                act()
            try:
                return await inner.handle_async_request(request)
            finally:
                if request.method == "POST" and not before:
                    act()

    http = httpx.AsyncClient(transport=Transport())
    return Client(http, API, account.box.account.id, account.box.token, account.clock)


async def view(account: Account, worlds: Worlds | None = None) -> DeploymentsView:
    seen = await (worlds or Worlds(account.client)).read(a_deployment_service(account.box))
    assert isinstance(seen, DeploymentsView)
    return seen


async def test_the_view_shows_deployments_newest_first_with_their_versions(account: Account) -> None:
    """The wrong version would be taken for the live one."""
    bad = a_bad_deployment(account)
    seen = await view(account)
    assert seen.live is not None
    assert seen.live.id == bad
    assert [seen.version(d.alone or "").tag for d in seen.deployments] == ["v2.0.0", "v1.9.0", "v1.8.0", "v1.7.0"]
    assert all(seen.version(d.alone or "").etag for d in seen.deployments)
    assert (seen.at, seen.deployments[1].created) == (START, START - 26 * 3600)


async def test_a_gradual_deployment_has_two_versions(account: Account) -> None:
    """The suspect of two could not be found."""
    worker = books(account)
    new = worker.upload("v2.0.0").id
    worker.deploy([(new, 10.0), (worker.tagged("v1.9.0").id, 90.0)])
    seen = await view(account)
    assert seen.live is not None
    assert seen.live.versions == ((new, 10.0), (worker.tagged("v1.9.0").id, 90.0))
    assert seen.live.alone is None


async def test_a_second_look_costs_one_call(account: Account) -> None:
    """A poll every 15 seconds would eat the budget that the rollback needs."""
    worlds = Worlds(account.client)
    await view(account, worlds)
    before = len(account.calls("GET"))
    await view(account, worlds)
    assert len(account.calls("GET")) == before + 1


async def test_the_history_is_read_to_its_end_and_joined(account: Account) -> None:
    """A known-stable version beyond the first page would not be found."""
    worker = books(account)
    for number in range(230):
        worker.deploy(worker.tagged("v1.9.0").id, at=START - 3600 + number)
    worlds = Worlds(account.client)
    assert len((await view(account, worlds)).deployments) == 233
    bad = a_bad_deployment(account)
    seen = await view(account, worlds)
    assert (len(seen.deployments), seen.deployments[0].id) == (234, bad)


@pytest.mark.parametrize("blocked", ["do_migration", "secrets", "binding"])
async def test_the_pre_flight_sees_what_would_be_refused(account: Account, blocked: str) -> None:
    """That no rollback is possible would be learned in the incident."""
    worker = books(account)
    stable = worker.upload("v1.9.5", blocked=blocked)
    worker.deploy(stable.id)
    if blocked == "secrets":  # a change of secrets makes a version of its own
        worker.upload("v1.9.5", etag=stable.etag, created=START + 1, triggered_by="secret")
    a_bad_deployment(account)
    seen = await view(account)
    assert stable.id in seen.blocked
    assert ("10220" in seen.blocked[stable.id]) is (blocked == "secrets")
    if blocked != "secrets":  # those of older versions have changed, too
        assert len(seen.blocked) == 1


async def test_the_pre_flight_lets_deployable_versions_pass(account: Account) -> None:
    """Every rollback would be held back."""
    a_bad_deployment(account)
    assert (await view(account)).blocked == {}


async def test_the_pre_flight_sees_a_version_beyond_the_last_hundred(account: Account) -> None:
    """The target has silently grown too old."""
    worker = books(account)
    for _ in range(101):
        worker.upload("noise")
    a_bad_deployment(account)
    seen = await view(account)
    assert "beyond the last 100" in seen.blocked[worker.tagged("v1.9.0").id]


async def test_the_pre_flight_sees_a_kv_namespace_that_is_gone(account: Account) -> None:
    """Cloudflare refuses a version whose bindings no longer exist."""
    worker = books(account)
    worker.kv_namespace = "deleted00000000000000000000000000"
    a_bad_deployment(account)
    seen = await view(account)
    assert "no longer exists" in seen.blocked[worker.tagged("v1.9.0").id]


@pytest.mark.parametrize("fault", [500, 403, "garbage", "html", "outage"])
async def test_a_view_that_cannot_be_read_fails(account: Account, fault: Any) -> None:
    """An outage of the API would look like a script without deployments."""
    account.box.faults.add("deployments.get", [fault] * 3)
    with pytest.raises(ReadFailed, match="deployments of api-worker"):
        await view(account)
