"""The KV lever, against every way in which Cloudflare and other people get in between."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from notaus.cloudflare.budget import Budgets
from notaus.cloudflare.client import Client
from notaus.core.effect import LeverResult, Outcome, PullLever, WriteKv
from notaus.core.ladder import KvLever, Ladder, Rung
from notaus.core.service import Service
from notaus.errors import ReadFailed
from notaus.levers import Levers, SteeringKeys, Worlds

from .conftest import API, START, Account, a_deployment_service, a_kv_service

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the:pytest.PytestDeprecationWarning")


def stored(account: Account) -> dict[str, Any]:
    return json.loads(account.box.kv.read(account.box.kv_namespace, "config") or b"null")


def put_by_hand(account: Account, value: Any) -> None:
    account.box.kv.write(account.box.kv_namespace, "config", value, lag=0)
    account.box.kv.namespaces[account.box.kv_namespace].written.clear()


async def pull(account: Account, rung: str, levers: Levers | None = None, **how: Any) -> LeverResult:
    service = a_kv_service(account.box)
    effect = PullLever("1", service.name, WriteKv(rung, **how), int(account.clock.now()))
    return await (levers or Levers(account.client)).pull(service, effect)


def writes(account: Account) -> list[dict[str, Any]]:
    return [w.what["value"] for w in account.box.writes if w.by == "api"]


async def test_a_rung_is_written_over_the_fields_it_owns_and_no_others(account: Account) -> None:
    """A field of the team's would be lost with every emergency stop."""
    put_by_hand(account, {"canary_percent": 10, "emergency_proxy": False, "team": {"note": "ours", "list": [1, 2.5]}})
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.DONE
    assert stored(account) == {
        "canary_percent": 5,
        "emergency_proxy": False,
        "team": {"note": "ours", "list": [1, 2.5]},
        "canary_tag": "B2a",
        "last_updated": "2026-09-21T14:13:20Z",
    }
    assert result.found == {"canary_percent": 10, "emergency_proxy": False, "team": {"note": "ours", "list": [1, 2.5]}}
    assert result.written == stored(account)


async def test_a_key_already_at_the_rung_is_not_written(account: Account) -> None:
    """A restart between a write and its outcome would write twice."""
    put_by_hand(account, {"canary_percent": 5, "emergency_proxy": False})
    assert (await pull(account, "reduced")).outcome is Outcome.ALREADY
    assert writes(account) == []


async def test_a_safer_key_is_not_written_by_automation(account: Account) -> None:
    """notaus would undo a person's safer choice."""
    put_by_hand(account, {"canary_percent": 3, "emergency_proxy": False})
    result = await pull(account, "reduced")
    assert (result.outcome, writes(account)) == (Outcome.ALREADY, [])
    assert "safer than reduced" in result.detail


async def test_a_person_may_go_to_a_less_safe_rung(account: Account) -> None:
    """`notaus restore` could never return to normal."""
    put_by_hand(account, {"canary_percent": 5, "emergency_proxy": False})
    result = await pull(account, "normal", only_safer=False, expected={"canary_percent": 5, "emergency_proxy": False})
    assert result.outcome is Outcome.DONE
    assert stored(account)["canary_percent"] == 10


async def test_a_person_s_step_on_a_key_that_changed_meanwhile_is_foreign(account: Account) -> None:
    """A ramp would reopen the canary that somebody has just shut."""
    put_by_hand(account, {"canary_percent": 0, "emergency_proxy": True})
    result = await pull(account, "normal", only_safer=False, expected={"canary_percent": 5, "emergency_proxy": False})
    assert (result.outcome, writes(account)) == (Outcome.FOREIGN, [])
    assert "canary_percent is 0, expected 5" in result.detail


async def test_a_fixed_field_that_differs_is_kept_and_told(account: Account) -> None:
    """The team's move to another canary would be reverted by an emergency stop."""
    put_by_hand(account, {"canary_percent": 10, "emergency_proxy": False, "canary_tag": "B3"})
    result = await pull(account, "reduced")
    assert stored(account)["canary_tag"] == "B3"
    assert result.notes == ("canary_tag is 'B3', not 'B2a' as configured; kept",)


async def test_the_time_never_goes_back(account: Account) -> None:
    """Readers that keep the newest value would ignore the stop."""
    later = "2030-01-01T00:00:00.123Z"
    put_by_hand(account, {"canary_percent": 10, "emergency_proxy": False, "last_updated": later})
    await pull(account, "reduced")
    assert stored(account)["last_updated"] == later


@pytest.mark.parametrize(
    "odd", [b"not json", b"[1]", b'"text"', b"\xff\xfe", {"canary_percent": "5", "emergency_proxy": 1}]
)
async def test_a_value_that_cannot_be_ranked_is_left_alone(account: Account, odd: Any) -> None:
    """notaus would write over a state it does not understand."""
    put_by_hand(account, odd)
    result = await pull(account, "reduced")
    assert (result.outcome, writes(account)) == (Outcome.REFUSED, [])
    assert "cannot be ranked" in result.detail


@pytest.mark.parametrize("odd", [b"not json", {"canary_percent": "5", "extra": 1}])
async def test_the_safest_rung_is_written_over_anything(account: Account, odd: Any) -> None:
    """A broken value would make the emergency stop impossible."""
    put_by_hand(account, odd)
    result = await pull(account, "emergency", blind=True)
    assert result.outcome is Outcome.DONE
    assert stored(account).items() >= {"canary_percent": 0, "emergency_proxy": True}.items()
    assert stored(account).get("extra") == (1 if isinstance(odd, dict) else None)


async def test_a_missing_key_is_refused_to_automation_and_made_for_a_person(account: Account) -> None:
    """A step "down" to 5 % might open a canary that the missing key keeps shut."""
    account.box.kv.delete(account.box.kv_namespace, "config", lag=0)
    assert (await pull(account, "reduced")).outcome is Outcome.REFUSED
    assert (await pull(account, "reduced", only_safer=False)).outcome is Outcome.DONE
    assert stored(account)["canary_percent"] == 5


@pytest.mark.parametrize("fault", [500, 503, 429, "429:2", "timeout", "reset", "outage", 502, 408])
@pytest.mark.parametrize("target", ["kv.get", "kv.put"])
async def test_one_fault_delays_the_write_but_does_not_prevent_it(account: Account, target: str, fault: Any) -> None:
    """A single hiccup at Cloudflare would leave the service broken."""
    account.box.faults.add(target, [fault])
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.DONE
    assert stored(account)["canary_percent"] == 5
    assert result.found is not None
    assert result.found["canary_percent"] == 10


@pytest.mark.parametrize("fault", ["garbage", 504])
async def test_an_unclear_answer_to_a_write_is_settled_by_reading_back(account: Account, fault: Any) -> None:
    """A gateway's answer does not say whether the value was stored."""
    account.box.faults.add("kv.put", [fault])
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.DONE
    methods = [r.method for r in account.box.journal.requests if "/values/" in r.path]
    assert methods == ["GET", "PUT", "GET", "PUT", "GET"]


async def test_a_challenge_page_is_a_refusal_told_in_words(account: Account) -> None:
    """An HTML page instead of JSON would crash the lever, or be waited out."""
    account.box.faults.add("kv.put", ["html"])
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.REFUSED
    assert "Just a moment" in result.detail


async def test_a_lost_reply_is_settled_by_reading_back_and_not_written_twice(account: Account) -> None:
    """The same step would be done twice, over a person's write in between."""
    account.box.faults.add("kv.put", ["lost_reply"])
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.DONE
    assert len(writes(account)) == 1
    assert result.found is not None
    assert result.found["canary_percent"] == 10


async def test_a_hanging_write_is_given_up_after_five_seconds_and_tried_again(account: Account) -> None:
    """A hanging connection would hold up the emergency stop."""
    account.box.faults.add("kv.put", ["hang"])
    result = await pull(account, "emergency", blind=True)
    assert result.outcome is Outcome.DONE
    assert account.clock.now() - START < 7


async def test_a_refused_write_is_not_repeated(account: Account) -> None:
    """Twenty seconds of the reserve would be spent on a token that may not write."""
    account.box.faults.add("kv.put", [403])
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.REFUSED
    assert "Workers KV Storage Write" in result.detail
    assert len(account.calls("PUT")) == 1


async def test_patience_ends_as_failed_after_twenty_seconds(account: Account) -> None:
    """The daemon would wait for ever and page nobody."""
    account.box.faults.add("kv.put", [500], duration=3600)
    result = await pull(account, "reduced")
    assert (result.outcome, writes(account)) == (Outcome.FAILED, [])
    assert 10 < account.clock.now() - START <= 26


async def test_a_long_retry_after_is_not_waited_for(account: Account) -> None:
    """People would hear of a blocked account only after five minutes."""
    account.box.faults.add("kv.put", ["429:300"], duration=3600)
    result = await pull(account, "reduced")
    assert result.outcome is Outcome.FAILED
    assert account.clock.now() - START < 2
    assert len(account.calls("PUT")) == 1


async def test_a_short_retry_after_is_honoured(account: Account) -> None:
    """Hammering a limit keeps it shut."""
    account.box.faults.add("kv.put", ["429:7"])
    await pull(account, "reduced")
    puts = [r.at for r in account.box.journal.requests if r.method == "PUT"]
    assert puts[1] - puts[0] >= 7


async def test_no_answer_and_no_reading_is_unknown(account: Account) -> None:
    """A step that may have been done would be told as not done."""
    account.box.faults.add("kv.put", ["lost_reply"])
    answering = meddling(account, lambda n: account.box.faults.add("kv.get", [500], duration=3600))
    result = await pull(account, "reduced", Levers(answering))
    assert result.outcome is Outcome.UNKNOWN
    assert result.written == stored(account)  # so that notaus knows its own write when it sees it
    assert len(writes(account)) == 1


async def test_pulling_again_after_an_unknown_outcome_does_not_write_twice(account: Account) -> None:
    """A restart after an unclear write would repeat it."""
    account.box.faults.add("kv.put", ["lost_reply"])
    answering = meddling(account, lambda n: account.box.faults.add("kv.get", [500], duration=30))
    await pull(account, "reduced", Levers(answering))
    await account.clock.sleep(60)
    assert (await pull(account, "reduced")).outcome is Outcome.ALREADY
    assert len(writes(account)) == 1


async def test_reads_that_fail_for_ten_seconds_make_the_safest_rung_blind(account: Account) -> None:
    """An outage of reads alone would prevent the emergency stop."""
    account.box.faults.add("kv.get", [500], duration=3600)
    result = await pull(account, "emergency", blind=True)
    assert result.outcome is Outcome.DONE
    assert stored(account).items() >= {"canary_percent": 0, "emergency_proxy": True, "canary_tag": "B2a"}.items()
    assert any("without reading" in note for note in result.notes)
    (put,) = [r for r in account.box.journal.requests if r.method == "PUT"]
    assert 10 <= put.at - START < 11


async def test_reads_that_fail_hold_back_any_other_rung(account: Account) -> None:
    """A rung that is not the safest might make things less safe than they are."""
    account.box.faults.add("kv.get", [500], duration=3600)
    result = await pull(account, "reduced")
    assert (result.outcome, writes(account)) == (Outcome.FAILED, [])


async def test_a_blind_write_keeps_the_fields_last_seen(account: Account) -> None:
    """Fields that notaus does not own would be destroyed though it had seen them a moment ago."""
    put_by_hand(account, {"canary_percent": 10, "emergency_proxy": False, "team": "ours"})
    keys = SteeringKeys(account.client)
    await Worlds(account.client, keys).read(a_kv_service(account.box))
    account.box.faults.add("kv.get", ["hang"], duration=3600)
    result = await pull(account, "emergency", Levers(account.client, keys), blind=True)
    assert result.outcome is Outcome.DONE
    assert stored(account)["team"] == "ours"
    assert account.clock.now() - START < 20


async def test_a_foreign_write_over_an_unanswered_one_wins(account: Account) -> None:
    """notaus would fight the person who came in between."""
    account.box.faults.add("kv.put", ["lost_reply"])
    put_by_person = {"canary_percent": 25, "emergency_proxy": False}
    answering = meddling(account, lambda n: put_by_hand(account, put_by_person) if n == 1 else None)
    result = await pull(account, "reduced", Levers(answering))
    assert result.outcome is Outcome.FOREIGN
    assert stored(account) == put_by_person


async def test_a_foreign_write_right_after_ours_is_told(account: Account) -> None:
    """Nobody would know that the stop was undone at once."""
    answering = meddling(account, lambda n: put_by_hand(account, {"canary_percent": 25, "emergency_proxy": False}))
    result = await pull(account, "reduced", Levers(answering))
    assert result.outcome is Outcome.DONE
    assert result.notes == ("somebody else wrote the key right after: emergency_proxy=False, canary_percent=25",)


def meddling(account: Account, act: Any) -> Client:
    """A client of the sandbox; `act(n)` is called after its nth PUT, answered or not."""
    inner = account.box.transport()
    count = 0

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal count
            try:
                return await inner.handle_async_request(request)
            finally:
                if request.method == "PUT":
                    count += 1
                    act(count)

    http = httpx.AsyncClient(transport=Transport())
    return Client(http, API, account.box.account.id, account.box.token, account.clock)


async def test_metadata_beside_the_value_is_kept(account: Account) -> None:
    """A plain write drops what others stored beside the value."""
    value = {"canary_percent": 10, "emergency_proxy": False}
    account.box.kv.write(account.box.kv_namespace, "config", value, metadata={"by": "team"}, lag=0)
    await pull(account, "reduced")
    entry = account.box.kv.namespaces[account.box.kv_namespace].entries["config"]
    assert entry.metadata == {"by": "team"}
    assert json.loads(entry.value)["canary_percent"] == 5


async def test_two_writes_to_one_key_are_a_second_apart(account: Account) -> None:
    """The second step of a quick escalation would be refused with 429."""
    levers = Levers(account.client)
    await pull(account, "reduced", levers)
    await pull(account, "emergency", levers)
    puts = [r for r in account.box.journal.requests if r.method == "PUT"]
    assert [p.status for p in puts] == [200, 200]
    assert puts[1].at - puts[0].at >= 1


async def test_the_key_is_percent_encoded_as_one_segment(account: Account) -> None:
    """A key with a slash would name another route."""
    service = a_kv_service(account.box)
    lever = KvLever(account.box.kv_namespace, "canary/a b:c", {})
    account.box.kv.write(lever.namespace, lever.key, {"p": 10}, lag=0)
    odd = Service("odd", service.account, "w", {}, (), Ladder(lever, (Rung("a", {"p": 10}), Rung("b", {"p": 0}))))
    result = await Levers(account.client).pull(odd, PullLever("1", "odd", WriteKv("b"), START))
    assert result.outcome is Outcome.DONE
    assert account.box.kv.read(lever.namespace, lever.key) == b'{"p": 0}'


async def test_a_namespace_that_does_not_exist_is_refused_in_words(account: Account) -> None:
    """A typo in the service file would look like an outage of Cloudflare."""
    del account.box.kv.namespaces[account.box.kv_namespace]
    result = await pull(account, "emergency", blind=True)
    assert result.outcome is Outcome.REFUSED
    assert "namespace not found" in result.detail


async def test_keys_looked_at_together_come_in_one_request(account: Account) -> None:
    """Looks would grow with the number of services, until the API budget is gone; or one get another's key."""
    worlds, services = Worlds(account.client), []
    for n in range(101):
        account.box.kv.write(account.box.kv_namespace, f"key-{n}", {"canary_percent": n}, lag=0)
        service = a_kv_service(account.box)
        assert isinstance(service.ladder.lever, KvLever)
        lever = replace(service.ladder.lever, key=f"key-{n}")
        services.append(replace(service, name=f"pix-{n}", ladder=replace(service.ladder, lever=lever)))
    views = await asyncio.gather(*(worlds.read(service) for service in services[:100]))
    assert [view.value for view in views] == [{"canary_percent": n} for n in range(100)]  # type: ignore[union-attr]
    assert (len(account.calls("POST")), len(account.calls("GET"))) == (1, 0)
    account.box.kv.delete(account.box.kv_namespace, "key-7", lag=0)
    views = await asyncio.gather(*(worlds.read(service) for service in services))
    assert views[7].problem == "the key 'key-7' does not exist"  # type: ignore[union-attr]
    assert (len(account.calls("POST")), len(account.calls("GET"))) == (2, 1)


async def test_an_outage_fails_every_look_that_shared_a_request(account: Account) -> None:
    """A look that fails in silence would show a key as it once was."""
    account.box.faults.add("kv.get", [500])
    services = [a_kv_service(account.box)] * 3
    found = await asyncio.gather(*(Worlds(account.client).read(s) for s in services), return_exceptions=True)
    shared = Worlds(account.client)
    account.box.faults.add("kv.get", 500, 60)
    found = await asyncio.gather(*(shared.read(service) for service in services), return_exceptions=True)
    assert all(isinstance(failure, ReadFailed) for failure in found)


async def test_looks_go_as_far_as_the_budget_does(account: Account) -> None:
    """A thousand services at rest would use up the budget that their signals and levers need."""
    client = Client(account.client._http, API, account.box.account.id, account.box.token, account.clock,
                    budgets=Budgets(api=100, reserve=0.1))  # fmt: skip
    worlds, kv, books = Worlds(client), a_kv_service(account.box), a_deployment_service(account.box)
    assert worlds.affordable([books] * 50, every=15) == [books] * 2  # 60 calls in 300 s are 3 in 15 s
    assert worlds.affordable([*[books] * 50, *[kv] * 50], every=None)[:40] == [books] * 40
    assert len(worlds.affordable([kv] * 100, every=15)) == 100
    for _ in range(60):
        await worlds.read(kv)
    assert worlds.affordable([books] * 50, every=15) == []
    assert worlds.affordable([books] * 50, every=None) == [books] * 10
