"""A GET whose answer must be as expected: status, headers, JSON fields, latency."""

from __future__ import annotations

from notaus.checks.expectation import Unfilled, Variables, filled, filled_text
from notaus.cloudflare.edge import Edge, EdgeAnswer, mismatches
from notaus.core.verification import HttpCheck
from notaus.errors import CallFailed

ANSWER_SECONDS = 5.0
MARGIN_SECONDS = 1.0
"""How long beyond its latency bound an answer is waited for, so that the check can say how slow it was."""


async def check_http(edge: Edge, check: HttpCheck, variables: Variables) -> tuple[bool, str]:
    """Whether the answer is as expected, and how it was."""
    bound = (check.latency_below or 0) / 1000
    try:
        headers = {name: filled_text(value, variables) for name, value in check.headers.items()}
        fields = {path: filled(value, variables) for path, value in check.json.items()}
        answer = await edge.get(check.url, within=max(ANSWER_SECONDS, bound + MARGIN_SECONDS))
    except (CallFailed, Unfilled) as problem:
        return False, str(problem)
    wrong = [
        *_wrong_status(answer, check.status),
        *_wrong_headers(answer, headers),
        *mismatches(answer.body, fields),
        *_wrong_latency(answer, check.latency_below),
    ]
    return not wrong, "; ".join(wrong) or f"status {answer.status} in {_milliseconds(answer)} ms, as expected"


def _wrong_status(answer: EdgeAnswer, expected: int | None) -> list[str]:
    if answer.status == expected or (expected is None and 200 <= answer.status < 300):
        return []
    return [f"status is {answer.status}, expected {expected or '2xx'}"]


def _wrong_headers(answer: EdgeAnswer, expected: dict[str, str]) -> list[str]:
    return [
        f"header {name} is {answer.headers.get(name, 'missing')}, expected {value}"
        for name, value in expected.items()
        if answer.headers.get(name) != value
    ]


def _wrong_latency(answer: EdgeAnswer, below: int | None) -> list[str]:
    if below is None or answer.seconds * 1000 < below:
        return []
    return [f"took {_milliseconds(answer)} ms, expected less than {below} ms"]


def _milliseconds(answer: EdgeAnswer) -> int:
    return round(answer.seconds * 1000)
