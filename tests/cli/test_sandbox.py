"""`notaus sandbox`: one JSON object to start with, and clear words where it cannot start."""

from __future__ import annotations

import signal
import socket

import httpx

from tests.cli.conftest import call, first_line, process

KEYS = {"api", "token", "account", "kv_namespace", "workers", "admin", "pages"}


def test_the_first_line_says_where_everything_is_and_it_serves_until_stopped() -> None:
    """A program that starts it could not find it, or would never get rid of it."""
    with process("sandbox", "--port", 0, "--json", "--no-traffic") as started:
        told = first_line(started)
        assert set(told) == KEYS
        answer = httpx.get(
            f"{told['api']}/accounts/{told['account']}/tokens/verify",
            headers={"Authorization": f"Bearer {told['token']}"},
            trust_env=False,
        )
        assert answer.json()["success"] is True
        started.send_signal(signal.SIGTERM)
        assert started.wait(15) == 0


def test_a_port_in_use_is_told() -> None:
    """uvicorn would end with a log line, or a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = call("sandbox", "--port", port)
    assert found.code == 1
    assert f"cannot listen on 127.0.0.1:{port}: another process listens there" in found.err
    assert "Traceback" not in found.err


def test_a_clock_that_is_none_is_a_mistake_of_usage() -> None:
    """The sandbox would run at a speed that nobody meant."""
    found = call("sandbox", "--port", 0, "--clock", "1,2")
    assert found.code == 2
    assert "ANCHOR_REAL,ANCHOR_VIRTUAL,SPEED" in found.err
    assert call("sandbox", "--port", 0, "--speed", "0").code == 2
