"""Whatever Cloudflare, a Worker or a receiver of pages answers, at every place of every answer: no unforeseen end."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from notaus import body
from notaus.app import Outside
from notaus.backtest.virtual_time import run
from notaus.clock import SystemClock
from notaus.cloudflare.budget import Ledger
from notaus.cloudflare.tokens import verify
from notaus.config.sources import Database, Entry, Push
from notaus.core.effect import Deploy, LeverResult, Outcome, PullLever, RunChecks, WriteKv
from notaus.errors import NotausError
from notaus.metrics import Metrics
from notaus.sources import READERS
from tests.fuzz.garbage import BOMB, BOMB_IN_BOMB, GONE, KINDS, LIES, MEGABYTE, Stream, changed, positions, streamed
from tests.fuzz.house import START, a_box, configured

Question = Callable[[], Awaitable[Any]]
USUAL_CASES = 1500
PATIENCE = 60.0
"""No question takes longer, whatever is answered: the levers' twenty seconds and their last look among them."""


@dataclass
class Tape(httpx.AsyncBaseTransport):
    """Answers as recorded, but for one of them."""

    inner: httpx.AsyncBaseTransport
    recorded: dict[str, httpx.Response] = field(default_factory=dict)
    instead: tuple[str, Callable[[httpx.Response], httpx.Response]] | None = None
    asked: list[str] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        key = f"{request.method} {request.url.copy_remove_param('notaus')} {content.decode()}"
        if request.method == "PUT":
            key = f"PUT {request.url}"
        self.asked.append(key)
        if key not in self.recorded:
            response = await self.inner.handle_async_request(request)
            await response.aread()
            self.recorded[key] = response
        real = self.recorded[key]
        if self.instead is not None and self.instead[0] == key:
            return self.instead[1](real)
        headers = [(k, v) for k, v in real.headers.multi_items() if k != "content-length"]
        return httpx.Response(real.status_code, headers=headers, content=real.content)


def _time(entry: Entry) -> int:
    """A settled grid time; of a probe the present, for it cannot tell of the past."""
    return START - 240 if entry.settle else START


class Desk:
    """Everything that notaus asks anybody, once each, of the real adapters."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.box = a_box(lambda: START + loop.time())
        self.configuration = configured(self.box)
        self.tape = Tape(self.box.transport())
        self.http = httpx.AsyncClient(transport=self.tape, timeout=10.0)

    def outside(self) -> Outside:
        loop = asyncio.get_running_loop()
        clock = SystemClock(wall=lambda: START + loop.time(), monotonic=loop.time)
        return Outside(self.configuration, clock, Metrics(), self.http, Ledger())

    def questions(self) -> dict[str, Question]:
        """By name; each call builds the adapters anew, so that nothing is remembered from one to the next."""
        account = self.box.account.id
        pix, books = (self.configuration.service(name) for name in ("pix-immo", "bookstrack"))
        old = self.box.workers["api-worker"].versions[0].id
        over_http = (e for e in self.configuration.entries if not isinstance(e.source, Database | Push))
        entries = [e for e in over_http if type(e.source) in READERS]
        write = PullLever("pix-immo/1-pull", "pix-immo", WriteKv("emergency"), START)
        deploy = PullLever("bookstrack/1-pull", "bookstrack", Deploy(old, "v1.7.0", "notaus"), START)
        checks = RunChecks("pix-immo/1-check", "pix-immo", "emergency", START + 60, {"canary_percent": 0})
        found: dict[str, Question] = {
            f"source {e.service} {e.name}": lambda e=e: self.outside().reader(e).read(e, [_time(e)])  # type: ignore[misc]
            for e in entries
        }
        return found | {
            "token": lambda: verify(self.outside().clients[account]),
            "key": lambda: self.outside().worlds[account].read(pix),
            "deployments": lambda: self.outside().worlds[account].read(books),
            "write": lambda: self.outside().levers[account].pull(pix, write),
            "deploy": lambda: self.outside().levers[account].pull(books, deploy),
            "checks": lambda: self.outside().checks[account].check(pix, checks),
        }


async def outcome(question: Question) -> Any:
    """What came of it. Anything but an answer or an error of ours, in time, fails."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        found = await question()
    except NotausError as error:
        found = error
    assert loop.time() - began <= PATIENCE
    assert not isinstance(found, NotausError) or len(str(found)) < 3000, "nobody reads an error of that length"
    return found


def believable(found: Any) -> None:
    """Samples that could be true; a lever that says what it knows."""
    if isinstance(found, dict):
        for name, samples in found.items():
            for sample in samples:
                assert sample.at in (START - 240, START)
                assert sample.value is None or 0 <= sample.value < 10**16, name
                assert not name.endswith(("rate", "share")) or sample.value is None or sample.value <= 1, name
    if isinstance(found, LeverResult):
        assert found.outcome is not None


def cases(desk: Desk, used: dict[str, list[str]]) -> list[tuple[str, str, str, Callable[[httpx.Response], Any]]]:
    """(question, key of the answer, what is done to it, how): every place of every answer with every lie, every kind."""
    found = []
    for name, keys in used.items():
        for key in dict.fromkeys(keys):
            for kind, make in KINDS.items():
                found.append((name, key, kind, lambda real, make=make: make(random.Random(1), real)))
            try:
                document = json.loads(desk.tape.recorded[key].content)
            except ValueError:
                continue
            for path in positions(document):
                for lie in (*LIES, GONE):
                    said = f"{path} is {str(lie)[:30]!r}"
                    found.append((name, key, said, _lying(document, path, lie)))
    return found


def _lying(document: Any, path: Any, lie: Any) -> Callable[[httpx.Response], httpx.Response]:
    def made(real: httpx.Response) -> httpx.Response:
        content = json.dumps(changed(document, path, lie))
        return httpx.Response(real.status_code, headers={"content-type": "application/json"}, content=content)

    return made


def test_no_answer_whatever_ends_in_anything_unforeseen(rounds: int, begin: int) -> None:
    """A poll, a lever, a check or the start would fail in a way that nobody wrote down."""

    async def main(_: Any) -> int:
        desk = Desk()
        questions = desk.questions()
        used: dict[str, list[str]] = {}
        for name, question in questions.items():
            desk.tape.asked.clear()
            believable(await question())
            used[name] = list(desk.tape.asked)
            assert used[name], name
        every = cases(desk, used)
        chosen = random.Random(begin).sample(every, min(len(every), USUAL_CASES * rounds))
        for name, key, said, make in chosen:
            desk.tape.instead = (key, make)
            try:
                believable(await outcome(questions[name]))
            except Exception as error:
                error.add_note(f"{name}: {key[:150]}: {said}")
                raise
        return len(every)

    assert run(main) > 5000


UNCLEAR = sorted(set(KINDS) - {"lies", "headers", "begin of time", "end of time", "another year"})
"""Kinds that leave no word of success in an answer."""


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("kind", UNCLEAR)
def test_a_put_whose_answer_is_garbage_is_read_back(kind: str, stored: bool) -> None:
    """Believed, a stop that never happened would be reported as done; disbelieved, it would be done twice."""

    async def main(_: Any) -> None:
        loop = asyncio.get_running_loop()
        box = a_box(lambda: START + loop.time(), traffic=False)
        puts = 0

        class Wire(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                nonlocal puts
                if request.method != "PUT":
                    return await box.transport().handle_async_request(request)
                puts += 1
                real = httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": None})
                if stored:
                    real = await box.transport().handle_async_request(request)
                return KINDS[kind](random.Random(puts), real)

        configuration = configured(box)
        clock = SystemClock(wall=lambda: START + loop.time(), monotonic=loop.time)
        outside = Outside(configuration, clock, Metrics(), httpx.AsyncClient(transport=Wire(), timeout=10.0), Ledger())
        pull = PullLever("pix-immo/1-pull", "pix-immo", WriteKv("emergency"), START)
        result = await outside.levers[box.account.id].pull(configuration.service("pix-immo"), pull)
        key = json.loads(box.kv.read(box.kv_namespace, "config"))
        if stored:
            assert key["emergency_proxy"] is True
            assert len(box.writes) == 1
            assert result.outcome in (Outcome.DONE, Outcome.ALREADY, Outcome.REFUSED)
        else:
            assert key["emergency_proxy"] is False
            assert result.outcome is not Outcome.DONE

    run(main)


async def test_what_unpacks_to_anything_is_read_no_further_than_wanted() -> None:
    """Two packings around each other make gigabytes of some kilobytes: the daemon would be killed for its memory."""
    for bomb, packing in ((BOMB, "gzip"), (BOMB, "deflate"), (BOMB_IN_BOMB, "gzip, gzip"), (BOMB_IN_BOMB, "gzip")):
        tracemalloc.start()
        response = streamed(bomb, {"content-encoding": packing})
        response.request = httpx.Request("GET", "https://x.invalid")
        try:
            assert len(await body.read(response, 1_000_000)) <= 1_000_001
        except httpx.DecodingError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 8_000_000, packing


async def test_an_endless_answer_is_left_at_the_bound() -> None:
    """Fifty megabytes would be read before they are found too many."""
    stream = Stream(iter([MEGABYTE] * 50))
    read = await body.read(httpx.Response(200, stream=stream), 3_000_000)
    assert len(read) == 3_000_001
    assert stream.sent < 5_000_000


def test_what_is_nested_too_deeply_is_no_json() -> None:
    """Python's own parser gives up with an error of another kind."""
    with pytest.raises(ValueError, match="nested"):
        body.as_json(b"[" * 100_000)


async def test_a_web_page_is_no_answer_of_the_api() -> None:
    """A captive portal's page would be taken for the content of the steering key, and that for a person's hand."""
    loop = asyncio.get_running_loop()
    box = a_box(lambda: START, traffic=False)
    transport = httpx.MockTransport(lambda r: httpx.Response(200, html="<h1>Welcome</h1>"))
    clock = SystemClock(wall=lambda: START, monotonic=loop.time)
    configuration = configured(box)
    outside = Outside(configuration, clock, Metrics(), httpx.AsyncClient(transport=transport), Ledger())
    with pytest.raises(NotausError, match="with a web page: Welcome"):
        await outside.worlds[box.account.id].read(configuration.service("pix-immo"))
