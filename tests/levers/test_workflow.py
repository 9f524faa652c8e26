"""The workflow lever of a rung against the sandbox's Actions API: started once, found again, followed to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from notaus.core.effect import Invoke, LeverResult, Outcome, PullLever
from notaus.core.ladder import Rung, WorkflowLever
from notaus.core.service import Service
from notaus.levers import Actions, Levers
from notaus.sandbox import Sandbox

from .conftest import START, Account, a_deployment_service

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the:pytest.PytestDeprecationWarning")

LEVER = WorkflowLever(
    "bookstrack/api", "maintenance.yml", inputs={"mode": "on", "reason": "$reason"}, undo={"mode": "off", "key": "$key"}
)
KEY = "bookstrack-20260921-160600-2"


def a_service(box: Sandbox, lever: WorkflowLever = LEVER) -> Service:
    service = a_deployment_service(box)
    rungs = (*service.ladder.rungs, Rung("maintenance", lever=lever))
    return replace(service, ladder=replace(service.ladder, rungs=rungs))


@pytest.fixture
async def http(account: Account) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=account.box.transport()) as client:
        yield client


async def pull(
    account: Account, http: httpx.AsyncClient, *, lever: WorkflowLever = LEVER, token: str = "token", **how: Any
) -> LeverResult:
    action = Invoke(**{"rung": "maintenance", "key": KEY, "reason": "health.failed >= 1", "since": START, **how})
    actions = Actions(http, SecretStr(token), "https://api.github.com")
    levers = Levers(account.client, actions=actions)
    return await levers.pull(a_service(account.box, lever), PullLever("1", "bookstrack", action, START))


def started(account: Account) -> list[dict[str, Any]]:
    """The inputs of every run, in order."""
    return [run.inputs for run in account.box.actions.runs]


async def test_a_run_that_succeeds_is_done_once_it_has(account: Account, http: httpx.AsyncClient) -> None:
    """A maintenance page would count as in force before it is."""
    result = await pull(account, http)
    assert result.outcome is Outcome.DONE
    assert "https://github.com/bookstrack/api/actions/runs/9000000" in result.detail
    assert started(account) == [{"mode": "on", "reason": f"notaus {KEY}: health.failed >= 1"}]
    assert 30 <= account.clock.now() - START < 40


async def test_taking_it_back_is_the_same_workflow_with_its_own_inputs(
    account: Account, http: httpx.AsyncClient
) -> None:
    """The page would be switched on a second time."""
    result = await pull(account, http, undo=True)
    assert (result.outcome, started(account)) == (Outcome.DONE, [{"mode": "off", "key": KEY}])


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out"])
async def test_a_run_that_ends_otherwise_is_refused_with_its_address(
    account: Account, http: httpx.AsyncClient, conclusion: str
) -> None:
    """Nobody would look at why the page is not there."""
    account.box.actions.conclusions.append(conclusion)
    result = await pull(account, http)
    assert result.outcome is Outcome.REFUSED
    assert f"ended as {conclusion}: https://github.com/bookstrack/api/actions/runs/" in result.detail


async def test_a_run_that_takes_longer_than_its_time_is_unknown_and_found_again(
    account: Account, http: httpx.AsyncClient
) -> None:
    """The workflow would be started a second time beside the first."""
    account.box.actions.takes = 300
    lever = replace(LEVER, within=60)
    first = await pull(account, http, lever=lever)
    assert first.outcome is Outcome.UNKNOWN
    assert "within 60 s: https://github.com/" in first.detail
    again = await pull(account, http, lever=replace(LEVER, within=600), again=True)
    assert (again.outcome, len(started(account))) == (Outcome.DONE, 1)


@pytest.mark.parametrize("fault", ["lost_reply", "timeout", "hang", "reset", 502, 504, 500, 503, "429:2", "outage"])
async def test_one_fault_at_the_dispatch_delays_it_and_never_doubles_it(
    account: Account, http: httpx.AsyncClient, fault: Any
) -> None:
    """One hiccup would leave the page off, or start the workflow twice."""
    account.box.faults.add("workflow", [fault])
    result = await pull(account, http)
    assert (result.outcome, len(started(account))) == (Outcome.DONE, 1)


@pytest.mark.parametrize("fault", ["lost_reply", "timeout", "reset", 500, 502, "garbage"])
async def test_one_fault_at_a_look_changes_nothing(account: Account, http: httpx.AsyncClient, fault: Any) -> None:
    """A look that failed would be taken for a run that is not there."""
    account.box.faults.add("workflow.get", [fault])
    result = await pull(account, http)
    assert (result.outcome, len(started(account))) == (Outcome.DONE, 1)


async def test_an_answer_without_the_run_waits_for_it_in_the_list(account: Account, http: httpx.AsyncClient) -> None:
    """An older GitHub answers 204 alone."""
    account.box.actions.tells_run = False
    account.box.actions.shows_after = 12
    result = await pull(account, http)
    assert (result.outcome, len(started(account))) == (Outcome.DONE, 1)


async def test_a_dispatch_that_never_shows_is_not_sent_again_at_once(account: Account, http: httpx.AsyncClient) -> None:
    """A list that lags would start the workflow a second time."""
    account.box.actions.tells_run = False
    account.box.actions.shows_after = 60
    result = await pull(account, http)
    assert (result.outcome, len(started(account))) == (Outcome.UNKNOWN, 1)
    await account.clock.sleep(30)
    result = await pull(account, http, again=True)
    assert (result.outcome, len(started(account))) == (Outcome.DONE, 1)


async def test_a_later_try_that_is_refused_says_so(account: Account, http: httpx.AsyncClient) -> None:
    """A token that was taken away would keep it trying for ever, and no other rung be asked for."""
    assert (await pull(account, http, again=True, lever=replace(LEVER, ref="missing"))).outcome is Outcome.REFUSED


async def test_a_lost_reply_without_a_title_adopts_the_first_run_since(
    account: Account, http: httpx.AsyncClient
) -> None:
    """Where `run-name` says nothing of the inputs, a second dispatch would follow every lost reply."""
    account.box.actions.titled = False
    account.box.faults.add("workflow", ["lost_reply"])
    result = await pull(account, http)
    assert (result.outcome, len(started(account))) == (Outcome.DONE, 1)


async def test_somebody_elses_run_is_not_taken_for_ours(account: Account, http: httpx.AsyncClient) -> None:
    """A person who switches the page off at the same time would have switched it on, as far as notaus knows."""
    account.box.actions.shows_after = 0
    url = "https://api.github.com/repos/bookstrack/api/actions/workflows/maintenance.yml/dispatches"
    theirs = {"ref": "main", "inputs": {"mode": "off", "reason": f"like {KEY}1"}}
    answer = await http.post(url, json=theirs, headers={"authorization": "Bearer x", "user-agent": "person"})
    assert answer.status_code == 204
    account.box.faults.add("workflow", ["lost_reply"])
    result = await pull(account, http)
    assert [inputs["mode"] for inputs in started(account)] == ["off", "on"]
    assert result.outcome is Outcome.DONE
    assert "runs/9000001" in result.detail


async def test_a_look_without_an_answer_makes_nobodys_run_ours(account: Account, http: httpx.AsyncClient) -> None:
    """Titles say nothing, one look is lost: the page that a person switched off would count as switched on."""
    account.box.actions.titled = False
    account.box.actions.shows_after = 0
    url = "https://api.github.com/repos/bookstrack/api/actions/workflows/maintenance.yml/dispatches"
    theirs = {"ref": "main", "inputs": {"mode": "off", "reason": "theirs"}}
    answer = await http.post(url, json=theirs, headers={"authorization": "Bearer x", "user-agent": "person"})
    assert answer.status_code == 204
    account.box.faults.add("workflow.get", ["timeout"])
    await pull(account, http)
    assert [inputs["mode"] for inputs in started(account)] == ["off", "on"]


async def test_a_service_whose_name_ends_alike_is_not_taken_for_ours(account: Account, http: httpx.AsyncClient) -> None:
    """Two services with one workflow, hit at the same tick: the one's page would count as the other's."""
    await pull(account, http, key=f"staging-{KEY}")
    await pull(account, http, key=f"{KEY}-1")
    result = await pull(account, http)
    assert (result.outcome, len(started(account))) == (Outcome.DONE, 3)


async def test_after_a_crash_nothing_is_started(account: Account, http: httpx.AsyncClient) -> None:
    """A restart would start what nobody may want any more, or a second run."""
    result = await pull(account, http, look_only=True)
    assert (result.outcome, started(account)) == (Outcome.FAILED, [])
    await pull(account, http)
    assert (await pull(account, http, look_only=True)).outcome is Outcome.DONE
    assert len(started(account)) == 1


@pytest.mark.parametrize(
    ("lever", "token", "said"),
    [
        (LEVER, "wrong", "answered 401: Bad credentials; the token"),
        (replace(LEVER, file="missing.yml"), "token", "answered 404: Not Found; is the repository"),
        (replace(LEVER, ref="missing"), "token", "answered 422: No ref found for: missing"),
        (replace(LEVER, inputs={"unexpected": "x"}), "token", "Unexpected inputs provided"),
    ],
)
async def test_what_github_refuses_is_said_with_what_would_be_right(
    account: Account, http: httpx.AsyncClient, lever: WorkflowLever, token: str, said: str
) -> None:
    """A wrong file name or token would be tried for ever, and nobody told why."""
    result = await pull(account, http, lever=lever, token=token)
    assert (result.outcome, started(account)) == (Outcome.REFUSED, [])
    assert said in result.detail
    assert account.clock.now() - START < 5


async def test_an_outage_of_github_comes_to_an_end(account: Account, http: httpx.AsyncClient) -> None:
    """The lever would hang, and no other rung be tried."""
    account.box.faults.add("workflow", ["outage"], 600)
    result = await pull(account, http)
    assert (result.outcome, started(account)) == (Outcome.FAILED, [])
    account.box.faults.clear()
    account.box.faults.add("workflow", ["timeout"], 6000)
    result = await pull(account, http)
    assert (result.outcome, started(account)) == (Outcome.UNKNOWN, [])


async def test_nothing_is_dispatched_once_another_owns_the_account(account: Account, http: httpx.AsyncClient) -> None:
    """Two replicas would both start it."""

    class Lost(Exception):
        pass

    def refuse() -> None:
        raise Lost

    actions = Actions(http, SecretStr("token"), "https://api.github.com", refuse)
    with pytest.raises(Lost):
        await actions.dispatch(LEVER, {})
    assert started(account) == []


async def test_without_a_token_a_workflow_is_refused(account: Account) -> None:
    """An assertion would stop the service instead."""
    action = Invoke("maintenance", KEY, "why", START)
    result = await Levers(account.client).pull(a_service(account.box), PullLever("1", "bookstrack", action, START))
    assert result.outcome is Outcome.REFUSED
    assert "github" in result.detail
