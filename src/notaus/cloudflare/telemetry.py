"""Workers Observability: calculations over the invocations that the Workers of an account have logged.

Askers that want the same calculation over the same time share a query, grouped by Worker. What a Worker logs of its
invocations, and how large a part of them, is one of its settings, looked up now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from notaus.cloudflare.client import Call, Client, account_path
from notaus.cloudflare.wire import Calculations, ScriptSettings
from notaus.errors import Busy, NotausError, ReadFailed, Refused, Silent
from notaus.together import Asked, Together

PERMISSION = "Workers Observability Write"
SETTINGS_PERMISSION = "Workers Scripts Read"
LIMIT = 2000
"""Groups in one answer; more than that are refused as `too_big`."""
AT_ONCE = 4
SETTINGS_SECONDS = 600
SCRIPT, VERSION, OUTCOME = "$workers.scriptName", "$workers.scriptVersion.id", "$workers.outcome"
INVOCATIONS = {"key": "$metadata.type", "operation": "eq", "type": "string", "value": "cf-worker-event"}
"""Beside them lie the lines that Workers log themselves: those are no requests."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an answer."""

    of: Mapping[str, str]
    """Field to value."""
    value: float | None
    seen: float
    """Events behind the value that were really counted."""


@dataclass(frozen=True, slots=True)
class Question:
    """What several askers can ask together: events with `after` < time <= `until` (epoch seconds)."""

    account: str
    after: int
    until: int
    operators: tuple[str, ...]
    """`count`, or quantiles of the wall time in milliseconds."""
    by: tuple[str, ...] = ()
    """The fields to group by, beside the Worker."""


Answers = Mapping[str, tuple[Group, ...]]
"""Operator to groups."""


class NotLogged(ReadFailed):
    """The Worker keeps no logs."""


class Telemetry:
    """Asks; share one instance, so that askers can share queries."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._together: Together[tuple[Question, str], Answers] = Together(self._answer)
        self._logged: dict[tuple[str, str], tuple[float, Fraction]] = {}

    async def groups(self, question: Question, script: str) -> Answers:
        """The groups of one Worker. Raises ReadFailed, or CallFailed where trying again may help."""
        return await self._together.ask((question, script))

    async def alive(self, account: str, after: int, until: int) -> bool:
        """Whether any Worker of the account has logged an invocation then: only so are no rows none."""
        answers = await self._ask(Question(account, after, until, ("count",)), ())
        return bool(answers["count"])

    async def logged(self, account: str, script: str) -> Fraction:
        """The part of its invocations that a Worker logs (head sampling). Raises NotLogged where it logs none."""
        now = self._client.clock.now()
        known = self._logged.get((account, script))
        if known is None or now - known[0] >= SETTINGS_SECONDS:
            known = now, await self._settings(account, script)
            self._logged[account, script] = known
        return known[1]

    async def _settings(self, account: str, script: str) -> Fraction:
        call = Call(
            "GET",
            account_path(account, "workers", "scripts", script, "script-settings"),
            permission=SETTINGS_PERMISSION,
        )
        try:
            settings = ScriptSettings.model_validate((await self._client.envelope(call)).result)
        except Refused as refused:
            raise ReadFailed(f"telemetry: whether {script} logs its invocations cannot be read: {refused}") from None
        except ValidationError:
            raise Silent(f"{call}: the answer is not shaped as expected") from None
        part = settings.observability.logged if settings.observability is not None else Fraction(0)
        if part <= 0:
            raise NotLogged(
                f"telemetry: {script} logs no invocations; turn on `observability` (with `invocation_logs`) "
                "in its Wrangler configuration"
            )
        return part

    async def _answer(self, asked: Sequence[Asked[tuple[Question, str], Answers]]) -> None:
        questions: dict[Question, list[Asked[tuple[Question, str], Answers]]] = {}
        for each in asked:
            questions.setdefault(each.question[0], []).append(each)
        await asyncio.gather(*(self._answer_one(question, askers) for question, askers in questions.items()))

    async def _answer_one(self, question: Question, askers: Sequence[Asked[tuple[Question, str], Answers]]) -> None:
        try:
            answers = await self._ask(question, sorted({each.question[1] for each in askers}))
        except NotausError as error:  # it is this question's alone
            for each in askers:
                each.fail(error)
            return
        for each in askers:
            script = each.question[1]
            each.answer(
                {name: tuple(g for g in groups if g.of.get(SCRIPT) == script) for name, groups in answers.items()}
            )

    async def _ask(self, question: Question, scripts: Sequence[str]) -> Answers:
        call = Call(
            "POST",
            account_path(question.account, "workers", "observability", "telemetry", "query"),
            json=body(question, scripts),
            query=True,
            permission=PERMISSION,
        )
        try:
            async with self._turns:
                result = (await self._client.envelope(call)).result
        except Refused as refused:
            raise ReadFailed(f"telemetry: {refused}") from None
        return _answers(result, question)


def body(question: Question, scripts: Sequence[str]) -> dict[str, Any]:
    """The query: about `scripts`, or all of the account where none are named."""
    which = {"key": SCRIPT, "operation": "in", "type": "string", "value": ",".join(scripts)}
    one = {"key": SCRIPT, "operation": "eq", "type": "string", "value": "".join(scripts)}
    filters = [INVOCATIONS, *([one] if len(scripts) == 1 else [which] if scripts else [])]
    return {
        "queryId": "notaus",
        "view": "calculations",
        "dry": True,
        "ignoreSeries": True,
        "limit": LIMIT,
        # Both ends count, to the millisecond.
        "timeframe": {"from": question.after * 1000 + 1, "to": question.until * 1000},
        "parameters": {
            "datasets": [],
            "filterCombination": "and",
            "filters": filters,
            "calculations": [_calculation(operator) for operator in question.operators],
            "groupBys": [{"type": "string", "value": each} for each in (SCRIPT, *question.by)] if scripts else [],
            "havings": [],
            "limit": LIMIT,
        },
    }


def _calculation(operator: str) -> dict[str, str]:
    if operator == "count":
        return {"operator": "count", "alias": "count"}
    return {"operator": operator, "key": "$workers.wallTimeMs", "keyType": "number", "alias": operator}


def _answers(result: Any, question: Question) -> Answers:
    try:
        found = Calculations.model_validate(result)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise Busy(f"telemetry: the answer is not shaped as expected at {where or 'its root'}") from None
    if found.run.status != "COMPLETED":
        raise Busy(f"telemetry: the query is {found.run.status}, not completed")
    by_name = {each.alias or each.calculation: each for each in found.calculations}
    missing = [operator for operator in question.operators if operator not in by_name]
    if missing:
        raise Busy(f"telemetry: the answer lacks {', '.join(missing)}")
    answers: dict[str, tuple[Group, ...]] = {}
    for operator in question.operators:
        aggregates = by_name[operator].aggregates
        if len(aggregates) >= LIMIT:
            raise ReadFailed(f"telemetry: truncated at {LIMIT} groups, so the rest is unknown")
        answers[operator] = tuple(
            Group({g.key: str(g.value) for g in each.groups}, each.value, each.count / max(each.sampleInterval, 1))
            for each in aggregates
        )
    return answers
