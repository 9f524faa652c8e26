"""Answers as JSON, and what a person is told when there is none: what is wrong, and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from notaus import log

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Problem(Exception):
    """An answer of 4xx or 5xx: `error` says what is wrong, `hint` what would be right."""

    def __init__(self, status: int, error: str, hint: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint
        self.headers = dict(headers or {})


class Answer(JSONResponse):
    """JSON of the daemon's own values."""

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code, {**HEADERS, **(headers or {})})

    def render(self, content: Any) -> bytes:
        return json.dumps(as_json(content), ensure_ascii=False, allow_nan=False).encode(errors="replace")


def as_json(value: Any) -> Any:
    """A value as JSON has it: an exact number as a decimal one, a number that is none as null, a secret masked."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return log.scrub(value)
        case Fraction() | float():
            number = float(value)
            return number if math.isfinite(number) else None
        case Mapping():
            return {str(key): as_json(each) for key, each in value.items()}
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr}
        case set() | frozenset():
            return sorted((as_json(each) for each in value), key=str)
        case Iterable():
            return [as_json(each) for each in value]
        case _:
            return str(value)


def problem(request: Request, error: Exception) -> Response:
    """A Problem as it is answered."""
    assert isinstance(error, Problem)
    return Answer({"error": error.error, "hint": error.hint}, error.status, error.headers)


def http_problem(request: Request, error: Exception) -> Response:
    """What the router found wrong: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    told = {
        404: (f"there is nothing at {request.url.path}", "GET / says what is where"),
        405: (f"{request.method} is not for {request.url.path}", "orders are POST, everything else is GET"),
    }.get(error.status_code, (error.detail, "GET / says what is where"))
    return Answer({"error": told[0], "hint": told[1]}, error.status_code, error.headers)


def unexpected(request: Request, error: Exception) -> Response:
    """A mistake of ours: the details are for the log alone."""
    return Answer({"error": "notaus made a mistake while answering", "hint": "its log says more"}, 500)


def unknown(what: str, name: str, known: Iterable[str]) -> Problem:
    """404 for a name that is none, with the near misses, or else all that there are."""
    names = sorted(known)
    by_lower = {each.casefold(): each for each in names}
    near = [by_lower[each] for each in difflib.get_close_matches(name.casefold(), by_lower, n=3, cutoff=0.5)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"there are: {', '.join(names[:20])}"
    else:
        hint = f"no {what} is configured"
    return Problem(404, f"no {what} is called {name!r}", hint)
