"""`prometheus`: a PromQL query to the user's Prometheus, at the grid times themselves.

Read over the HTTP API: at one grid time as an instant query, over several as a range with the grid as its step, which
Prometheus evaluates alike. At each time there must be exactly one element; none, and NaN, are unknown.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from notaus import body
from notaus.config.sources import Entry, Prometheus
from notaus.core.sample import Readings, Sample
from notaus.errors import ReadFailed
from notaus.sources.context import Context
from notaus.sources.measure import stretches
from notaus.sources.scalar import scalar

SECONDS = 8.0
POINTS = 1000
"""Of one range query; Prometheus refuses more than 11,000."""
BODY_BYTES = 4 * 1024 * 1024
HARMLESS = "PromQL info"
"""How older releases begin what newer ones no longer list among the warnings."""

Points = Mapping[int, list[str]]
"""Grid time to the values of the elements there."""


class PrometheusReader:
    """Reads entries of this kind."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        """Samples at each of `times`. Raises ReadFailed."""
        ordered = sorted(set(times))
        step = min((b - a for a, b in itertools.pairwise(ordered)), default=1)
        ranges = [group for phase in _rows(ordered, step) for group in stretches(phase, step, POINTS)]
        return await self._context.gathered(entry, (self._read(entry, group, step) for group in ranges))

    async def _read(self, entry: Entry, times: Sequence[int], step: int) -> Readings:
        source = _source(entry)
        said = f"Prometheus ({entry.name})"
        try:
            points = _points(await self._ask(source, times, step), len(times) > 1)
        except ReadFailed as failed:
            raise ReadFailed(f"{said}: {failed}") from None
        samples = tuple(_sample(at, points.get(at, []), source, said) for at in times)
        return dict.fromkeys(entry.signals, samples)

    async def _ask(self, source: Prometheus, times: Sequence[int], step: int) -> Mapping[str, Any]:
        """The `data` of an answer. Raises ReadFailed, never with the address: it may hold a password."""
        several = len(times) > 1
        params: dict[str, str | int] = {"query": source.query, "timeout": f"{SECONDS:g}s"}
        params |= {"start": times[0], "end": times[-1], "step": step} if several else {"time": times[0]}
        url = source.url.rstrip("/") + ("/api/v1/query_range" if several else "/api/v1/query")
        headers = {**source.headers, "Accept-Encoding": body.ACCEPTED}
        http = self._context.edge.http
        try:
            async with (
                asyncio.timeout(SECONDS),
                http.stream("GET", url, params=params, headers=headers, timeout=SECONDS) as response,
            ):
                return _unpacked(response.status_code, await _body(response))
        except (TimeoutError, httpx.TimeoutException):
            raise ReadFailed(f"no answer within {SECONDS:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ReadFailed(f"no answer ({type(error).__name__})") from None


def _rows(ordered: Sequence[int], step: int) -> list[list[int]]:
    """Ascending times, cut where they are no longer `step` apart."""
    found: list[list[int]] = []
    for at in ordered:
        if found and at - found[-1][-1] == step:
            found[-1].append(at)
        else:
            found.append([at])
    return found


async def _body(response: httpx.Response) -> bytes:
    found = await body.read(response, BODY_BYTES)
    if len(found) > BODY_BYTES:
        raise ReadFailed(f"the answer is larger than {BODY_BYTES} bytes")
    return found


def _unpacked(status: int, content: bytes) -> Mapping[str, Any]:
    try:
        answer = body.as_json(content)
        good = answer["status"] == "success"
    except (ValueError, TypeError, KeyError):
        hint = {401: "; it wants a login: `headers: {Authorization: …}`", 403: "; the login may not query"}.get(
            status, ""
        )
        raise ReadFailed(f"answered {status} with something other than Prometheus' JSON{hint}") from None
    if not good:
        raise ReadFailed(f"answered {status}: {answer.get('error') or answer.get('errorType') or 'no reason given'}")
    partial = [str(said) for said in answer.get("warnings") or () if not str(said).startswith(HARMLESS)]
    if partial:  # a part of the data may be missing
        raise ReadFailed(f"the answer has warnings: {partial[0][:200]}")
    data = answer.get("data")
    if not isinstance(data, dict):
        raise ReadFailed("the answer lacks its data")
    return data


def _points(data: Mapping[str, Any], several: bool) -> Points:
    """The values at each time. Raises ReadFailed where the query gives no numbers."""
    found: dict[int, list[str]] = {}
    try:
        for at, value in _pairs(data["resultType"], data["result"], several):
            found.setdefault(round(float(at)), []).append(str(value))
    except (KeyError, TypeError, ValueError):
        raise ReadFailed("the answer is not shaped as expected") from None
    return found


def _pairs(kind: str, result: Any, several: bool) -> list[Any]:
    """Time and value of every element; at several times a matrix, at one that is a range vector and no number."""
    if kind not in (("matrix",) if several else ("vector", "scalar")):
        raise ReadFailed(f"the query gives a {kind}, and must give a number")
    if kind == "scalar":
        return [result]
    if any(each.keys() & {"histogram", "histograms"} for each in result):
        raise ReadFailed("the query gives a native histogram; histogram_quantile(…) makes a number of it")
    return [each["value"] for each in result] if kind == "vector" else [p for each in result for p in each["values"]]


def _sample(at: int, values: Sequence[str], source: Prometheus, said: str) -> Sample:
    if len(values) > 1:
        raise ReadFailed(
            f"{said}: the query gives {len(values)} elements, and must give one: sum(…) or max(…) make one of many"
        )
    return scalar(at, float(values[0]) if values else None, percent=source.percent, said=said)


def _source(entry: Entry) -> Prometheus:
    assert isinstance(entry.source, Prometheus)
    return entry.source
