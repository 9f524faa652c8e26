"""No secret anywhere: every setting that is one is planted, everybody echoes it, and all that comes out is searched."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import pytest
import structlog

from notaus import config, log, web
from notaus.app import App, open_journal, web_token
from notaus.backtest.virtual_time import run
from notaus.clock import SystemClock
from notaus.config import daemon_keys, keys
from notaus.config.table import Key, Keys
from tests.daemon.processes import Process
from tests.fuzz.house import API, CONFIG, START, a_box, environ
from tests.test_app import Bells

WORD = "Pl4nted/{}+s3cret"
"""Told apart by name; with what URLs, JSON and base64 write differently."""
PLANTED = {name: WORD.format(name) for name in ("token", "lever_token", "routing_key", "secret")}
PATHS = {name: f"p4th-of-the-{name}-s3cret" for name in ("webhook_url", "url")}
API_TOKEN = WORD.format("api_token")
PASSWORD = "p4ssw0rd-of-the-database"
QUERY = "qu3ry-tok3n-of-the-hook"
HEADER = WORD.format("headers")
"""Planted in a service file alone, where a source of its kind stands."""
EVERY = (*PLANTED.values(), *PATHS.values(), PASSWORD, QUERY)


def secret_keys() -> set[str]:
    """The name of every key, of the daemon's file and of service files, that is declared a secret."""
    tables = [v for module in (daemon_keys, keys) for v in vars(module).values() if isinstance(v, Keys)]
    alone = [v for module in (daemon_keys, keys) for v in vars(module).values() if isinstance(v, Key)]
    return {key.name for table in tables for key in table.keys if key.secret} | {k.name for k in alone if k.secret}


def spellings(secret: str) -> set[str]:
    """As it is, in a URL, in JSON, in base64."""
    plain = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], secret.replace("/", "\\/")}
    packed = {base64.b64encode(b"x" * shift + secret.encode()).decode()[4:-4] for shift in range(3)}
    return plain | packed


def assert_clean(where: str, text: str) -> None:
    assert text, f"{where}: nothing came out, so nothing was looked at"
    for secret in (*EVERY, HEADER):
        for spelling in spellings(secret):
            assert spelling not in text, f"{where} holds {secret}: …{text[max(0, text.index(spelling) - 200) :][:400]}"


def journal_bytes(directory: Path) -> str:
    """Every byte of the journal and what lies beside it."""
    return b"".join(path.read_bytes() for path in directory.glob("journal.sqlite*")).decode("latin-1")


def settings(box: Any) -> dict[str, str]:
    """The environment of `config/` with a secret at every place where one can be."""
    hook = f"https://hooks.invalid/{PATHS['url']}?token={QUERY}"
    slack = f"https://hooks.slack.com/services/{PATHS['webhook_url']}"
    channels = json.loads(environ(box)["NOTAUS_CHANNELS"])
    for pager in channels["pagerduty"].values():
        pager["routing_key"] = PLANTED["routing_key"]
    for chat in channels["slack"].values():
        chat["webhook_url"] = slack
    for record in (*channels["statuspage"].values(), *channels["github"].values()):
        record["token"] = PLANTED["token"]
    channels["slack"]["a bot"] = {"token": PLANTED["token"]}
    channels["apprise"] = {"any": {"url": f"json://hooks.invalid/{PATHS['url']}"}}
    channels["webhook"] = {"hook": {"url": hook, "secret": PLANTED["secret"]}}
    return environ(box) | {
        "CLOUDFLARE_API_TOKEN": PLANTED["token"],
        "NOTAUS_CLOUDFLARE__LEVER_TOKEN": PLANTED["lever_token"],
        "PIX_DATABASE_URL": f"postgresql://notaus:{PASSWORD}@db.invalid/pix",
        "NOTAUS_CHANNELS": json.dumps(channels),
    }


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log of this process from now on, at its most talkative; as it was afterwards."""
    root, hook, before = logging.getLogger(), sys.excepthook, structlog.get_config()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(log, "_known", set())
    monkeypatch.setattr(log, "_pattern", None)
    stream = io.StringIO()
    log.configure("json", "debug", stream)
    yield stream
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.configure(**before)


def test_every_key_that_is_declared_a_secret_is_planted() -> None:
    """A new secret would go unwatched."""
    assert secret_keys() == {*PLANTED, *PATHS, "store", "headers", "database"}


class Echo(httpx.AsyncBaseTransport):
    """Repeats what it was sent, headers and all, in every answer: refused, garbled, or an error with it in its text."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        heard = f"{request.url} {dict(request.headers)} {(await request.aread()).decode()} {' '.join(EVERY)}"
        match self.asked % 4:
            case 0:
                raise httpx.ConnectError(f"no way to {heard}", request=request)
            case 1:
                return httpx.Response(403, json={"success": False, "errors": [{"code": 1, "message": heard}]})
            case 2 if "/values/" not in request.url.path:  # there any JSON is what people keep in the key, and is kept
                return httpx.Response(200, json={"errors": [{"message": heard}], "success": False})
            case _:
                raise RuntimeError(f"unforeseen: {heard}")


def test_everybody_repeats_the_secrets_and_none_comes_out(logged: io.StringIO, tmp_path: Path) -> None:
    """A token in an error text would travel through problems, notices, journal, status and log."""

    async def main(_: Any) -> None:
        loop = asyncio.get_running_loop()
        box = a_box(lambda: START + loop.time(), traffic=False)
        store = tmp_path / "journal.sqlite"
        configuration = config.load(CONFIG, settings(box) | {"NOTAUS_STORE": str(store)})
        assert_clean("repr of the configuration", repr(configuration))
        assert_clean("repr of the settings", repr(configuration.settings))
        with open_journal(configuration.settings) as journal:
            app = App(
                configuration,
                journal,
                clock=SystemClock(wall=lambda: START + loop.time(), monotonic=loop.time),
                http=httpx.AsyncClient(transport=Echo(), timeout=10.0),
                bells=Bells(),
            )
            assert_clean("repr of what reaches outside", repr(vars(app.outside)))
            token = web_token(configuration.settings)
            page = web.create(app.desk, app.metrics, token)
            await app.start()
            await asyncio.sleep(600)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(page), base_url="http://x", headers={"Authorization": f"Bearer {token}"}
            ) as client:
                for path in (
                    "/",
                    "/metrics",
                    "/healthz",
                    "/readyz",
                    "/api/status",
                    "/api/incidents",
                    "/api/openapi.json",
                ):
                    assert_clean(path, (await client.get(path)).text)
                    assert token not in (await client.get(path)).text
            await app.crash()
        kept = journal_bytes(tmp_path)
        assert_clean("the journal", kept)
        assert token not in kept

    run(main)
    assert "unforeseen" in logged.getvalue(), "nothing unforeseen was provoked"
    assert_clean("the log", logged.getvalue())


def test_secrets_written_in_the_files_stay_there(tmp_path: Path, logged: io.StringIO) -> None:
    """The text of the files is kept in the journal, and a mistake in a line is told with what stands there."""
    box = a_box(lambda: START, traffic=False)
    shutil.copytree(CONFIG, tmp_path / "config")
    at = tmp_path / "config" / "notaus.yaml"
    text = at.read_text().replace("${CLOUDFLARE_API_TOKEN}", PLANTED["token"])
    at.write_text(text)
    pix = tmp_path / "config" / "services" / "pix-immo.yaml"
    queue = f"source: prometheus, url: http://prometheus.invalid, query: queue, headers: {{Authorization: '{HEADER}'}}"
    given = pix.read_text().replace("${PIX_DATABASE_URL}", f"postgresql://notaus:{PASSWORD}@db.invalid/pix")
    pix.write_text(given.replace("signals:\n", f"signals:\n  queue: {{{queue}}}\n", 1))
    environment = settings(box) | {"NOTAUS_STORE": str(tmp_path / "journal.sqlite")}
    configuration = config.load(tmp_path / "config", environment)
    assert_clean("repr of the configuration", repr(configuration))

    async def main(_: Any) -> None:
        loop = asyncio.get_running_loop()
        clock = SystemClock(wall=lambda: START + loop.time(), monotonic=loop.time)
        with open_journal(configuration.settings) as journal:
            http = httpx.AsyncClient(transport=box.transport())
            app = App(configuration, journal, clock=clock, http=http, bells=Bells())
            await app.start()
            await app.crash()
        assert_clean("the journal", journal_bytes(tmp_path))

    run(main)
    at.write_text(
        text.replace("token:", "toke:").replace("cloudflare:", f"cloudflare: {{lever_token: [{PLANTED['token']}]}}\nx:")
    )
    pix.write_text(pix.read_text().replace("postgresql://notaus:", "no url, but "))
    with pytest.raises(config.InvalidConfiguration) as wrong:
        config.load(tmp_path / "config", environment)
    assert_clean("what is wrong with the files", str(wrong.value))


COMMANDS = (
    ["check"],
    ["set", "pix-immo", "nowhere"],
    ["stop", "pix-immo"],
    ["status"],
    ["incidents"],
)
SAID = "the other side has heard"
SPEED = 20


class Parrot(BaseHTTPRequestHandler):
    """Everybody whom a real daemon reaches: repeats what it was sent, and every secret, in refusals, failures and redirects."""

    heard: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        self.heard.append(self.path)
        known = " ".join(each for secret in EVERY for each in (secret, quote(secret, safe="")))
        said = f"{SAID} {self.path} {dict(self.headers)} {body} {known}"
        match len(self.heard) % 4:
            case 0:
                self._answer(403, json.dumps({"success": False, "errors": [{"code": 1, "message": said}]}))
            case 1:
                self._answer(302, said, location=f"/{quote(said)[:4000]}")
            case 2:
                self._answer(500, said)
            case 3:
                self._answer(400, json.dumps({"errors": [{"message": said}], "message": said, "status": said}))

    do_POST = do_PUT = do_PATCH = do_GET

    def _answer(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status, "OK")
        for name, value in (
            {"content-type": "application/json", "content-length": str(len(body.encode()))} | headers
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Not to the screen."""


@pytest.fixture
def parrot() -> Iterator[str]:
    """Where everybody is."""
    Parrot.heard.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def outfitted(directory: Path, everybody: str) -> dict[str, str]:
    """The environment of a real daemon with every secret in it, in which all others are `everybody`."""
    box = a_box(lambda: START, traffic=False)
    planted = settings(box)
    for variable in ("CLOUDFLARE_API_TOKEN", "NOTAUS_CLOUDFLARE__LEVER_TOKEN"):
        (directory / variable).write_text(planted.pop(variable) + "\n")
        planted[f"{variable}_FILE"] = str(directory / variable)
    for host in ("https://hooks.invalid", "https://hooks.slack.com", API):
        planted["NOTAUS_CHANNELS"] = planted["NOTAUS_CHANNELS"].replace(host, everybody)
    now = time.time()
    return planted | {
        "PIX_DATABASE_URL": f"postgresql://notaus:{PASSWORD}@127.0.0.1:9/pix",
        "NOTAUS_CLOUDFLARE__API_URL": f"{everybody}/client/v4",
        "NOTAUS_CLOUDFLARE__STATUS_URL": f"{everybody}/status",
        "NOTAUS_ORIGINS": json.dumps({"api.pix.immo": everybody, "api.oooefam.net": everybody}),
        "NOTAUS_CLOCK": json.dumps({"speed": SPEED, "anchor": [now, now]}),
        "NOTAUS_STORE": str(directory / "journal.sqlite"),
        "NOTAUS_LISTEN__PORT": "0",
        "NOTAUS_LOG__LEVEL": "debug",
    }


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def test_a_real_daemon_and_every_command_say_no_secret(tmp_path: Path, parrot: str) -> None:
    """What a person pastes into a ticket: the log, the answers, the output of a command that failed."""
    environment = outfitted(tmp_path, parrot)
    daemon = Process("run", "--config", str(CONFIG), "--json", env=environment)
    try:
        url = daemon.first["url"]
        token = (tmp_path / "api-token").read_text().strip()
        reached = environment | {"NOTAUS_URL": url}
        said = [ask(command, reached | {"NOTAUS_API_TOKEN": token}, CONFIG) for command in COMMANDS]
        said.append(ask(["status"], reached | {"NOTAUS_API_TOKEN": API_TOKEN}, CONFIG))
        until(lambda: daemon.said("page not delivered") and daemon.said("read failed"))
        with httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as client:
            until(lambda: SAID in client.get("/api/status").text)
            shown = {path: client.get(path).text for path in ("/metrics", "/api/status", "/api/incidents")}
    finally:
        daemon.end()
    log, kept = "".join(daemon.log), journal_bytes(tmp_path)
    for where, text in {"the commands": "".join(said), "the log": log, "the journal": kept, **shown}.items():
        assert_clean(where, text)
        assert token not in text
        assert API_TOKEN not in text
    for where, text in {"the log": log, "the journal": kept}.items():
        assert SAID in text, f"{where}: nobody was quoted, so nothing was masked"
    wrong = environment | {"NOTAUS_STORE": f"postgresql://notaus:{PASSWORD}@127.0.0.1:9/journal?password={QUERY}"}
    ended = ask(["run"], wrong, CONFIG)
    assert_clean("a journal that cannot be had", ended)


def ask(command: list[str], environment: dict[str, str], directory: Path) -> str:
    """Everything that a command says, as JSON and otherwise."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NOTAUS_")} | {"NO_PROXY": "*"} | environment
    ended = subprocess.run(
        [sys.executable, "-m", "notaus", *command, "--config", str(directory), "--json"],
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout + ended.stderr
