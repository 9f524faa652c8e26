"""Questions of the user's own, asked once an incident has begun: tables of a database or a dataset, answers of a URL."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from notaus.cloudflare.analytics_engine import AnalyticsEngine, windowed
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.r2 import R2, UNLISTED
from notaus.config.sources import Database, Get, Objects, Question, Sql, WriteTest
from notaus.core.effect import Collect
from notaus.core.service import Service
from notaus.database import GRACE, NO_DEADLINE, Rows, engine_of, keeps_deadline, reason, rows_of
from notaus.errors import ReadFailed
from notaus.log import clean
from notaus.threads import Threads

MOST_ROWS = 1000
"""Kept of a database's table; a dataset's rows are as many as its own LIMIT allows."""
TRIED_SECONDS = 3600
"""The window for which a dataset is asked where there is no incident."""

SUFFIXES: Mapping[type, str] = {Get: "json", WriteTest: "json", Objects: "tar"}
"""A table otherwise."""

Had = tuple[str | bytes, Mapping[str, Any], bool]
"""A text, or bytes as they came; the query it answers, and whether that is all of it."""


class Questions:
    """Asks the questions of one account's services."""

    def __init__(self, client: Client, edge: Edge, asked: Mapping[str, Mapping[str, Question]]) -> None:
        """`asked` has a service's questions by name."""
        self._engine, self._clock, self._edge, self._asked = AnalyticsEngine(client), client.clock, edge, asked
        self._threads, self._r2 = Threads(), R2(client, edge)

    def suffix(self, service: str, name: str) -> str:
        """Of the file that the answer is kept in."""
        return SUFFIXES.get(type(self._asked.get(service, {}).get(name)), "csv")

    async def ask(self, name: str, service: Service, effect: Collect) -> Had:
        """Raises NotausError where there is no answer, and where the configuration no longer has the question."""
        match self._asked.get(service.name, {}).get(name):
            case Database() as question:
                return await self._database(question)
            case Sql(query):
                until = int(self._clock.now())
                rows = await self._engine.query(service.account, text := windowed(query, effect.since, until))
                return _table(rows[0] if rows else (), [tuple(row.values()) for row in rows]), {"sql": text}, True
            case Get(url, timeout):
                answer = await self._edge.get(url, within=timeout)
                return _answer(answer.status, answer.headers, answer.body, answer.seconds), {"get": url}, True
            case Objects(bucket, prefix, newest):
                under = _dated(prefix, int(self._clock.now()), effect.since)
                tar, lacks = await self._r2.newest(service.account, bucket, under, newest)
                asked = {"objects": bucket, "prefix": under, "newest": newest}
                return tar, asked if lacks is None else {**asked, "lacks": lacks}, lacks is None
            case WriteTest(bucket, key):
                seconds = await self._r2.try_write(service.account, bucket, key)
                return json.dumps({"seconds": seconds}, indent=1), {"test_write": bucket, "key": key}, True
            case None:
                raise ReadFailed("the service file no longer asks this")

    async def ready(self, name: str, service: Service) -> tuple[str, str]:
        """Asks once what can be asked without writing, keeping nothing: `yes` or `?`, and what came.

        Raises NotausError where an incident would have no answer.
        """
        match self._asked[service.name][name]:
            case Database() as question:
                _, rows = await self._rows(question)
                said = _counted(len(rows), "row", all_=len(rows) <= MOST_ROWS)
                return ("yes", said) if keeps_deadline(question.url) else ("?", f"{said}. {NO_DEADLINE}")
            case Sql(query):
                now = int(self._clock.now())
                found = await self._engine.query(service.account, windowed(query, now - TRIED_SECONDS, now))
                return "yes" if found else "?", f"{_counted(len(found), 'row')} of the last hour"
            case Get(url, timeout):
                answer = await self._edge.get(url, within=timeout)
                said = f"answered {answer.status}, {len(answer.body)} bytes"
                return "yes" if answer.status < 400 else "?", said
            case Objects(bucket, prefix):
                (under,) = _dated(prefix, int(self._clock.now()))
                objects, all_ = await self._r2.listed(service.account, bucket, under)
                said = f"{_counted(len(objects), 'object', all_=all_)} under `{under}`"
                return "yes" if objects and all_ else "?", said if all_ else f"{said}; {UNLISTED}"
            case WriteTest(bucket, key):
                await self._r2.page(service.account, bucket, key)
                return "?", f"{bucket} is there; whether it takes a write only a write shows"

    async def _database(self, question: Database) -> Had:
        columns, rows = await self._rows(question)
        return _table(columns, rows[:MOST_ROWS]), {"query": question.query}, len(rows) <= MOST_ROWS

    async def _rows(self, question: Database) -> tuple[tuple[str, ...], Rows]:
        """The columns, and one row more than is kept. Off the loop, and not waited for longer than its time."""
        engine = engine_of(question.url, question.timeout)

        def work() -> tuple[tuple[str, ...], Rows]:
            return rows_of(engine, question.query, question.timeout, MOST_ROWS + 1)

        try:
            async with asyncio.timeout(question.timeout + GRACE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise ReadFailed(f"the database: no answer within {question.timeout:g} s") from None
        except SQLAlchemyError as error:
            raise ReadFailed(f"the database: {reason(error, engine.url)}") from None


def _dated(prefix: str, *times: int) -> list[str]:
    """The prefix for the days (UTC) of these times, as Logpush writes them."""
    days = (f"{datetime.fromtimestamp(at, UTC):%Y%m%d}" for at in times)
    return list(dict.fromkeys(prefix.replace("{date}", day) for day in days))


def _counted(number: int, what: str, *, all_: bool = True) -> str:
    return f"{number}{'' if all_ else ' or more'} {what}{'' if number == 1 else 's'}"


def _table(columns: Iterable[str], rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows((tuple(columns), *rows))
    return out.getvalue()


def _answer(status: int, headers: Mapping[str, str], body: bytes, seconds: float) -> str:
    text = body.decode(errors="replace")
    return json.dumps(
        {"status": status, "seconds": round(seconds, 3), "headers": clean(headers), "body": text}, indent=1
    )
