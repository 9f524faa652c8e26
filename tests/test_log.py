"""Logs: no secret gets through, and the libraries' own logs come the same way, quietly."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from notaus import log

SECRET = 'planted/"secret"\\ü+token'


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is global: leave it as it was found."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    before = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr(log, "_known", set())
    monkeypatch.setattr(log, "_pattern", None)
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.configure(**before)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def assert_hidden(stream: io.StringIO) -> None:
    shown = stream.getvalue()
    assert shown
    for spelling in log._spellings(SECRET):
        assert spelling not in shown


@dataclass
class Holder:
    shown: str
    hidden: str = field(repr=False, default="never-shown-anyway")


EVENTS: list[dict[str, Any]] = [
    {"text": f"said {SECRET}!"},
    {"deep": {"list": [{"more": (SECRET, {SECRET})}], SECRET: "as a key"}},
    {"object": Holder(SECRET)},
    {"error": ValueError(SECRET)},
    {"raw": SECRET.encode()},
    {"url": "https://x.example/?q=planted%2F%22secret%22%5C%C3%BC%2Btoken"},
]


@pytest.mark.parametrize("form", ["json", "terminal"])
@pytest.mark.parametrize("event", EVENTS)
def test_a_known_secret_never_appears(form: log.Form, event: dict[str, Any], stream: io.StringIO) -> None:
    """A token would stand in the log for whoever may read it."""
    log.configure(form, "info", stream)
    log.redact(SECRET)
    structlog.get_logger("notaus").info(f"event {SECRET}", **event)
    assert_hidden(stream)
    assert "never-shown-anyway" not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "terminal"])
def test_a_traceback_shows_neither_a_secret_nor_local_variables(form: log.Form, stream: io.StringIO) -> None:
    """The error of a failed login would carry the token; a frame's locals would carry everything."""
    log.configure(form, "info", stream)
    log.redact(SECRET)
    local = "unregistered-" + "local"
    try:
        raise RuntimeError(f"refused {SECRET}") from ValueError(SECRET)
    except RuntimeError:
        structlog.get_logger("notaus").exception("failed")
        logging.getLogger("library").exception("failed too")
    assert_hidden(stream)
    assert stream.getvalue().count("RuntimeError: refused") == 2
    assert local not in stream.getvalue()


def test_an_unhandled_error_goes_through_the_log(stream: io.StringIO) -> None:
    """Python's own report would print the message with the secret."""
    log.configure("json", "info", stream)
    log.redact(SECRET)
    error = RuntimeError(SECRET)
    sys.excepthook(RuntimeError, error, None)
    assert_hidden(stream)
    assert lines(stream)[0]["level"] == "critical"


def test_a_library_cannot_log_a_secret_either(stream: io.StringIO) -> None:
    """httpx names the whole address of a webhook, which is a secret."""
    log.configure("json", "info", stream)
    log.redact(SECRET)
    logging.getLogger("httpx").warning("POST %s", SECRET)
    assert_hidden(stream)
    assert lines(stream)[0]["logger"] == "httpx"


def test_a_malformed_log_call_does_not_print_its_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """The standard library reports such a line with all its arguments, unredacted."""
    log.configure("json", "info", stream)
    log.redact(SECRET)
    logging.getLogger("library").error("%d", SECRET)
    assert SECRET not in stream.getvalue() + capsys.readouterr().err
    assert "could not be written" in stream.getvalue()


@pytest.mark.parametrize(
    "key", ["token", "Authorization", "routing_key", "webhook_url", "X-Auth-Token", "lever_token", "password"]
)
def test_a_key_that_names_a_secret_is_masked_whatever_its_value(key: str) -> None:
    """A secret that nobody registered would get through."""
    assert log.clean({"deep": [{key: "unregistered"}]}) == {"deep": [{key: log.MASK}]}
    assert log.clean({key: None}) == {key: None}


@pytest.mark.parametrize("form", ["json", "terminal"])
def test_masking_happens_on_the_way_to_the_log(form: log.Form, stream: io.StringIO) -> None:
    """Every rule about masking would hold in theory alone."""
    log.configure(form, "info", stream)
    log.redact("271828")
    structlog.get_logger("notaus").info("event", routing_key="unregistered", pin=271828)
    assert "unregistered" not in stream.getvalue()
    assert "271828" not in stream.getvalue()
    assert stream.getvalue().count(log.MASK) == 2


@pytest.mark.parametrize("key", ["dedup_key", "kv_key", "key", "tokens_left", "url"])
def test_a_key_that_only_sounds_like_one_is_not(key: str) -> None:
    """The log would hide the KV key and the thread of a page, which one needs."""
    assert log.clean({key: "canary"}) == {key: "canary"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefgh12345678ijkl", "Authorization: Bearer [redacted]"),
        ("token cfat_abcdefghijklmnop1234 expired", "token [redacted] expired"),
        ("https://hooks.slack.com/services/T0/B0/x1y2", "https://hooks.slack.com/services/[redacted]"),
        ("postgresql://notaus:pa:ss@db/notaus", "postgresql://notaus:[redacted]@db/notaus"),
        ('GET "https://x.example/?token=abc&n=1"', 'GET "https://x.example/?token=[redacted]&n=1"'),
        ("bearer of bad news, authentication", "bearer of bad news, authentication"),
        ("https://api.example/a:b?keyword=1", "https://api.example/a:b?keyword=1"),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_nothing_else(text: str, expected: str) -> None:
    """A token that nobody registered would get through, or ordinary words be lost."""
    assert log.scrub(text) == expected


def test_a_line_stays_json_after_masking(stream: io.StringIO) -> None:
    """A mask that took a backslash with it would break the line for every reader."""
    log.configure("json", "info", stream)
    structlog.get_logger("notaus").info('GET "https://x.example/?key=abc" and "a://b:c@d"', quoted='?token=x"')
    assert lines(stream)[0]["event"] == 'GET "https://x.example/?key=[redacted]" and "a://b:[redacted]@d"'


def test_a_line_says_when_how_bad_and_what(stream: io.StringIO) -> None:
    """Nobody could put the lines of two machines in order."""
    log.configure("json", "info", stream)
    structlog.get_logger("notaus.poller").warning("poll failed", account="a1", at=1.5)
    line = lines(stream)[0]
    assert line["time"].endswith("Z")
    assert line["time"][10] == "T"
    rest = {key: value for key, value in line.items() if key != "time"}
    assert rest == {"level": "warning", "logger": "notaus.poller", "event": "poll failed", "account": "a1", "at": 1.5}


def test_libraries_are_quiet_and_ours_obeys_the_level(stream: io.StringIO) -> None:
    """Every request would be two lines, some with headers; and `debug` would show nothing of ours."""
    log.configure("json", "debug", stream)
    for name in ("uvicorn.access", "apscheduler.scheduler", "alembic.runtime.migration", "httpx", "httpcore.http11"):
        logging.getLogger(name).info("chatter")
    structlog.get_logger("notaus").debug("ours")
    assert [line["event"] for line in lines(stream)] == ["ours"]
    log.configure("json", "error", stream)
    structlog.get_logger("notaus").warning("not this")
    logging.getLogger("uvicorn.error").warning("nor this")
    assert len(lines(stream)) == 1


def test_configuring_twice_writes_each_line_once(stream: io.StringIO) -> None:
    """A reload would double every line."""
    log.configure("json", "info", stream)
    log.configure("json", "info", stream)
    logging.getLogger("library").warning("once")
    assert len(lines(stream)) == 1


def test_a_closed_stream_does_not_stop_the_daemon() -> None:
    """A full disk or a closed pipe would end the guard of every service."""
    closed = io.StringIO()
    log.configure("json", "info", closed)
    closed.close()
    structlog.get_logger("notaus").info("into the void")


def test_an_unknown_level_is_named() -> None:
    """A typing mistake would silence the log."""
    with pytest.raises(ValueError, match="log level 'loud': one of debug, info, warning, error"):
        log.configure("json", "loud")


def test_a_secret_too_short_to_be_one_does_not_spoil_the_log() -> None:
    """An empty or one-letter secret would mask every line to nothing."""
    for secret in ("", " ", "a", None):
        log.redact(secret)
    assert log.scrub("a plain line") == "a plain line"


@pytest.mark.parametrize(
    ("address", "hidden", "shown"),
    [
        (
            "postgresql://notaus:p%40ssword@db.example/pix?sslmode=require",
            ["p%40ssword", "p@ssword"],
            ["require", "pix"],
        ),
        ("https://x.example/hook?token=t0ken&to=ops", ["t0ken"], ["https://x.example/hook", "ops"]),
        ("https://[broken", [], ["https://[broken"]),
    ],
)
def test_of_an_address_its_password_and_its_tokens_are_secret(
    address: str, hidden: list[str], shown: list[str]
) -> None:
    """A library names a password alone, or an address without it; where the journal lies is no secret."""
    log.redact_address(address, whole=False)
    for each in hidden:
        assert each not in log.scrub(f"refused: {each}")
    for each in shown:
        assert log.scrub(f"at {each} now") == f"at {each} now"


def test_of_a_secret_address_everything_long_is_secret() -> None:
    """An error may name the path alone, or one part of it."""
    log.redact_address("https://x.example/hook/0123456789abcdefgh", whole=True)
    assert "0123456789abcdefgh" not in log.scrub("no such hook: 0123456789abcdefgh")
    assert "hook/0123" not in log.scrub("404 /hook/0123456789abcdefgh")
