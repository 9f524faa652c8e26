"""`evidence:` of a service file: what is kept of an incident, and the questions that are asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from notaus.config import keys as key
from notaus.config import sources
from notaus.config.problems import Report
from notaus.config.sources import Question
from notaus.config.table import Values
from notaus.core.service import Exhibit


def read_evidence(service: Values, report: Report) -> tuple[tuple[str, ...], Mapping[str, Question]]:
    """The names of all that is kept, in the file's order, and the questions among them."""
    names: list[str] = []
    questions: dict[str, Question] = {}
    for item in service.get(key.EVIDENCE) or ():
        if isinstance(item, Exhibit):
            names.append(item.value)
            continue
        kind, values = item
        name: str | None = values.get(key.EVIDENCE_NAME)
        if name in questions or name in list(Exhibit):
            report.problem(values.at(key.EVIDENCE_NAME), f"`{name}` is taken", "give each its own name")
        elif name is not None:
            names.append(name)
            questions[name] = _QUESTIONS[kind](values)
    return tuple(dict.fromkeys(names)), questions


def _database(values: Values) -> Question:
    url, query = values.get(key.ASK_DATABASE) or "", values.get(key.ASK_TABLE) or ""
    return sources.Database(url, query, values.of(key.DATABASE_TIMEOUT))


def _sql(values: Values) -> Question:
    return sources.Sql(values.get(key.ASK_SQL) or "")


def _get(values: Values) -> Question:
    return sources.Get(values.get(key.ASK_GET) or "", values.of(key.TIMEOUT))


def _objects(values: Values) -> Question:
    return sources.Objects(values.get(key.ASK_OBJECTS) or "", values.get(key.PREFIX) or "", values.of(key.NEWEST))


def _test_write(values: Values) -> Question:
    return sources.WriteTest(values.get(key.ASK_WRITE) or "", values.of(key.WRITTEN_KEY))


_QUESTIONS: Mapping[str, Callable[[Values], Question]] = {
    "database": _database,
    "sql": _sql,
    "get": _get,
    "objects": _objects,
    "test_write": _test_write,
}
