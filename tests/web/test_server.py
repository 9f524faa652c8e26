"""The server: serves until told to stop, and says clearly why it cannot."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from notaus.errors import NotausError
from notaus.web import AddressUnusable, serve
from notaus.web.server import listener


def an_app(entered: asyncio.Event, go: asyncio.Event) -> Starlette:
    async def slow(request: Request) -> Response:
        entered.set()
        await go.wait()
        return PlainTextResponse("finished")

    async def quick(request: Request) -> Response:
        return PlainTextResponse("hello")

    return Starlette(routes=[Route("/slow", slow), Route("/", quick)])


async def test_it_serves_until_told_to_stop_and_finishes_what_is_under_way() -> None:
    """An order would be cut off by the daemon's shutdown, its answer lost."""
    entered, go, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    before = signal.getsignal(signal.SIGTERM)
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        serving = asyncio.create_task(serve(an_app(entered, go), "127.0.0.1", 0, stop=stop, ready=up.set_result))
        url = await up
        assert (await http.get(url)).text == "hello"
        assert signal.getsignal(signal.SIGTERM) is before
        answer = asyncio.create_task(http.get(f"{url}/slow"))
        await entered.wait()
        stop.set()
        await asyncio.sleep(0)
        go.set()
        assert (await answer).text == "finished"
        await serving
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


async def test_a_port_in_use_is_told_before_anything_is_served() -> None:
    """uvicorn would end the whole process, with a traceback or without a word."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            AddressUnusable, match=rf"cannot listen on 127\.0\.0\.1:{port}: another process does already"
        ):
            await serve(Starlette(), "127.0.0.1", port, stop=asyncio.Event())
    assert issubclass(AddressUnusable, NotausError)


@pytest.mark.parametrize(
    ("host", "told"), [("192.0.2.1", "does not have that address"), ("no such host", "no address")]
)
def test_an_address_that_cannot_be_had_is_told(host: str, told: str) -> None:
    """A wrong `listen:` would be a traceback."""
    with pytest.raises(AddressUnusable, match=told):
        listener(host, 0)


async def test_a_cancelled_server_leaves_its_port_free() -> None:
    """A restart in the same process would find its own port in use."""
    up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = an_app(asyncio.Event(), asyncio.Event())
    serving = asyncio.create_task(serve(app, "127.0.0.1", 0, stop=asyncio.Event(), ready=up.set_result))
    port = int((await asyncio.wait_for(up, 5)).rpartition(":")[2])
    serving.cancel()
    await asyncio.wait((serving,), timeout=5)
    assert serving.done()
    listener("127.0.0.1", port).close()
