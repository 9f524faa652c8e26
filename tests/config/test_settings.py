"""The daemon's settings: from `notaus.yaml`, over it the environment, and never a secret shown."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from notaus.config import InvalidConfiguration, Settings, load, load_settings
from notaus.config.daemon_keys import ComponentStatus, LogFormat, LogLevel
from notaus.config.settings import Budgets, ClockSpeed, Listen, Log
from notaus.core.service import Mode

from .texts import DAEMON, ENVIRON, SECRET, changed, directory_problems, line_of


def settings_of(directory: Path, **variables: str) -> Settings:
    return load(directory, {**ENVIRON, **variables}).settings


def test_what_is_left_out_has_its_default(directory: Path) -> None:
    """The daemon would listen to the world, or keep its journal elsewhere."""
    found = settings_of(directory)
    assert found.store == "var/notaus.sqlite"
    assert found.listen == Listen("127.0.0.1", 9464)
    assert found.cloudflare.api_url == "https://api.cloudflare.com/client/v4"
    assert found.cloudflare.lever_token is None
    assert (found.origins, found.page_link, found.mode) == ({}, None, Mode.ACT)
    assert found.log == Log(LogLevel.INFO, None)
    assert found.clock == ClockSpeed(1.0, None)
    assert found.retention.samples == 30 * 86_400
    assert found.budgets == Budgets((1200, 300), (300, 300), Fraction(1, 5))


def test_the_file_is_read(directory: Path) -> None:
    """A key that is accepted but not used deceives."""
    more = (
        "origins: {api.pix.immo: 'http://127.0.0.1:8787/workers/pix-immo/'}\nmode: observe\n"
        "log: {format: json, level: warning}\nclock: {speed: 20, anchor: [100, 200.5]}\nretention: {samples: 7d}\n"
        "budgets: {api: 600 per 5m, graphql: 100/1m, reserve: 50%}\npage_link: https://notaus.example/\n"
    )
    text = changed(DAEMON, ("store: var/notaus.sqlite", "store: postgresql://db/x"), ("port: 9464", "port: 1234"))
    (directory / "notaus.yaml").write_text(text + more)
    found = settings_of(directory)
    assert (found.store, found.listen.port) == ("postgresql://db/x", 1234)
    assert found.origins == {"api.pix.immo": "http://127.0.0.1:8787/workers/pix-immo"}
    assert (found.mode, found.log) == (Mode.OBSERVE, Log(LogLevel.WARNING, LogFormat.JSON))
    assert found.clock == ClockSpeed(20.0, (100.0, 200.5))
    assert found.retention.samples == 7 * 86_400
    assert found.budgets == Budgets((600, 300), (500, 300), Fraction(1, 2))
    assert found.page_link == "https://notaus.example"


def test_every_key_can_be_set_in_the_environment(directory: Path) -> None:
    """A container or the demonstration has no file of its own."""
    found = settings_of(
        directory,
        NOTAUS_STORE="/var/lib/notaus.sqlite",
        NOTAUS_LISTEN__PORT="0",
        NOTAUS_CLOUDFLARE__API_URL="http://127.0.0.1:8787/client/v4/",
        NOTAUS_ORIGINS='{"api.pix.immo": "http://127.0.0.1:8787/workers/pix-immo"}',
        NOTAUS_CLOCK='{"speed": 20, "anchor": [1795000000.25, 1795000100]}',
        NOTAUS_MODE="observe",
        NOTAUS_LOG__FORMAT="terminal",
    )
    assert (found.store, found.listen.port, found.mode) == ("/var/lib/notaus.sqlite", 0, Mode.OBSERVE)
    assert found.cloudflare.api_url == "http://127.0.0.1:8787/client/v4"
    assert found.cloudflare.token.get_secret_value() == ENVIRON["CLOUDFLARE_API_TOKEN"]
    assert found.origins == {"api.pix.immo": "http://127.0.0.1:8787/workers/pix-immo"}
    assert found.clock == ClockSpeed(20.0, (1795000000.25, 1795000100.0))
    assert found.log.format is LogFormat.TERMINAL


def test_a_variable_is_taken_as_it_stands(directory: Path) -> None:
    """A password may contain `${`; filling it in again would change it, or ask for a variable of another's naming."""
    assert settings_of(directory, NOTAUS_STORE="postgresql://u:a${b}c@db/x").store == "postgresql://u:a${b}c@db/x"


def test_the_environment_alone_is_enough_beside_an_empty_file(directory: Path) -> None:
    """The demonstration sets everything; what it replaces must not be asked for."""
    hook = {"webhook_url": "http://127.0.0.1:8787/slack"}
    names = ("pix-oncall", "platform", "engineering-lead")
    channels = {
        "pagerduty": {name: {"routing_key": "k", "url": "http://127.0.0.1:8787/pd"} for name in names},
        "slack": dict.fromkeys(("#incidents", "#bookstrack-alerts", "#engineering"), hook),
        "statuspage": {"api": {"token": "t", "page": "p"}},
        "github": {"bookstrack/api": {"token": "t"}},
    }
    kept = ("CLOUDFLARE_ACCOUNT_ID", "PIX_KV_NAMESPACE", "PIX_DATABASE_URL", "BOOKSTRACK_ZONE")
    environ = {name: ENVIRON[name] for name in kept}
    environ |= {"NOTAUS_CHANNELS": json.dumps(channels), "NOTAUS_CLOUDFLARE__TOKEN": "t"}
    assert load(directory, environ).settings.channels.pagerduty["platform"].url == "http://127.0.0.1:8787/pd"
    (directory / "notaus.yaml").write_text("")
    found = load(directory, environ).settings
    assert found.channels.slack["#incidents"].webhook_url.get_secret_value() == "http://127.0.0.1:8787/slack"


def test_secrets_can_be_kept_in_files(directory: Path, tmp_path: Path) -> None:
    """Container secrets are files; in the environment, every child process would see them."""
    secret = tmp_path / "token"
    secret.write_text("from-a-file\n")
    environ = {k: v for k, v in ENVIRON.items() if k != "CLOUDFLARE_API_TOKEN"}
    by_reference = load(directory, environ | {"CLOUDFLARE_API_TOKEN_FILE": str(secret)})
    by_name = load(directory, environ | {"NOTAUS_CLOUDFLARE__TOKEN_FILE": str(secret)})
    assert {c.settings.cloudflare.token.get_secret_value() for c in (by_reference, by_name)} == {"from-a-file"}


@pytest.mark.parametrize("name", ["CLOUDFLARE_API_TOKEN_FILE", "NOTAUS_CLOUDFLARE__TOKEN_FILE"])
def test_a_secret_file_that_is_not_there_is_told(directory: Path, name: str) -> None:
    """An empty token would be refused by Cloudflare much later."""
    environ = {k: v for k, v in ENVIRON.items() if k != "CLOUDFLARE_API_TOKEN"} | {name: "/nowhere/token"}
    found = "\n".join(map(str, directory_problems(directory, environ)))
    assert f"{name} names a file that cannot be read: No such file" in found


def test_no_secret_is_shown_in_any_form(directory: Path) -> None:
    """Settings end in logs and tracebacks."""
    configuration = load(directory, {**ENVIRON, "NOTAUS_STORE": f"postgresql://u:{SECRET}@db/x"})
    assert SECRET not in repr(configuration)
    assert SECRET not in str(configuration.settings)
    assert SECRET not in "".join(map(str, configuration.warnings))


WRONG = [
    ("listen: {address: 127.0.0.1, port: 9464}", "listen: {port: http}", "listen.port", "is `http`", "from 0 to 65535"),
    ("listen: {address: 127.0.0.1, port: 9464}", "listen: {port: 99999}", "listen.port", "out of range", "to 65535"),
    ("listen: {address", "lisen: {address", "lisen", "unknown key `lisen`", "did you mean `listen`?"),
    ("  token: ${CLOUDFLARE_API_TOKEN}", "  tokn: ${CLOUDFLARE_API_TOKEN}", "cloudflare.tokn", "unknown key", "`token`"),
    ("  token: ${CLOUDFLARE_API_TOKEN}", "  api_url: api.cloudflare.com", "cloudflare.api_url", "not an http(s)", "http"),
    ("{routing_key:", "{routing: ", "channels.pagerduty.pix-oncall.routing", "unknown key", "`routing_key`"),
    ("slack:", "slak:", "channels.slak", "unknown key `slak`", "did you mean `slack`?"),
    ("store: var", "defaults: {valdate: 5m}\nstore: var", "defaults.valdate", "unknown key", "did you mean `validate`"),
    ("store: var", "retention: {samples: 30}\nstore: var", "retention.samples", "no unit", "30s or 30m?"),
    ("store: var", "log: {level: verbose}\nstore: var", "log.level", "`verbose` is unknown", "known are"),
    ("store: var", "clock: {anchor: 5}\nstore: var", "clock.anchor", "is the number 5", "two numbers"),
    ("store: var", "clock: {speed: 0}\nstore: var", "clock.speed", "out of range", "above 0"),
    ("store: var", "budgets: {reserve: 20}\nstore: var", "budgets.reserve", "is the number 20", "20%"),
    ("store: var", "origins: [a]\nstore: var", "origins", "is a list", "a mapping"),
    ("store: var", "channels2:\nstore: var", "channels2", "unknown key", "did you mean `channels`?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "field", "wrong", "right"), WRONG, ids=[f"{w[2]}: {w[3]}" for w in WRONG])
def test_a_mistake_in_the_daemons_file_is_told(
    directory: Path, old: str, new: str, field: str, wrong: str, right: str
) -> None:
    """The daemon would run with a default that nobody wanted."""
    text = changed(DAEMON, (old, new))
    (directory / "notaus.yaml").write_text(text)
    found = next(p for p in directory_problems(directory) if p.field == field)
    assert (found.file, found.line) == (str(directory / "notaus.yaml"), line_of(text, new.splitlines()[0].strip()))
    assert wrong in found.wrong
    assert right in found.right


@pytest.mark.parametrize(
    ("name", "value", "field", "wrong"),
    [
        ("NOTAUS_LISTEN__PORT", "http", "listen.port", "the value of `$NOTAUS_LISTEN__PORT`"),
        ("NOTAUS_LISTEN", "9464", "listen", "is the value of `$NOTAUS_LISTEN`"),
        ("NOTAUS_CHANNELS", "{slack", "channels", "starts like JSON but is none"),
        ("NOTAUS_LISTEN__PRT", "1", "listen.prt", "unknown key `prt`"),
        (
            "NOTAUS_CHANNELS",
            '{"slack": {"#x": {"webhook": "y"}}}',
            "channels.slack.#x.webhook",
            "unknown key `webhook`",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    directory: Path, name: str, value: str, field: str, wrong: str
) -> None:
    """Nobody finds it in the files."""
    found = next(p for p in directory_problems(directory, {**ENVIRON, name: value}) if p.field == field)
    assert found.file == name
    assert wrong in found.wrong


def test_a_variable_that_is_no_setting_is_a_warning(directory: Path) -> None:
    """A typing error must show, but others may use the prefix."""
    warnings = load(directory, {**ENVIRON, "NOTAUS_LISTN__PORT": "1", "NOTAUS_CONFIG": "x"}).warnings
    (found,) = (w for w in warnings if w.file.startswith("NOTAUS_"))
    assert str(found) == "NOTAUS_LISTN__PORT: listn.port: no setting is called `listn`; did you mean `listen`?"


def test_settings_can_be_loaded_without_the_services(directory: Path) -> None:
    """A command that asks the running daemon needs no service file."""
    (directory / "services/pix-immo.yaml").write_text("broken: [")
    assert load_settings(directory, ENVIRON).listen.port == 9464
    (directory / "notaus.yaml").write_text("listen: 5")
    with pytest.raises(InvalidConfiguration, match=r"listen: is the number 5"):
        load_settings(directory, ENVIRON)


def test_a_token_must_be_there(directory: Path) -> None:
    """Every read would fail."""
    (directory / "notaus.yaml").write_text(changed(DAEMON, ("  token: ${CLOUDFLARE_API_TOKEN} ", "  lever_token: x")))
    (found,) = directory_problems(directory)
    assert (found.field, found.wrong) == ("cloudflare.token", "`token` is missing")
    assert "NOTAUS_CLOUDFLARE__TOKEN" in found.right


def channels_of(directory: Path, **channels: object) -> Settings:
    """The settings with the channels of `config/`, and these."""
    usual = {
        "pagerduty": {name: {"routing_key": "k"} for name in ("pix-oncall", "platform", "engineering-lead")},
        "slack": {name: {"webhook_url": "http://h/x"} for name in ("#incidents", "#bookstrack-alerts", "#engineering")},
        "statuspage": {"api": {"token": "t", "page": "p"}},
        "github": {"bookstrack/api": {"token": "t"}},
    }
    return settings_of(directory, NOTAUS_CHANNELS=json.dumps(usual | channels))


def test_channels_are_read_with_their_defaults(directory: Path) -> None:
    """A page would go to another address, or say something else of a component."""
    bots = {name: {"token": "xoxb"} for name in ("#bookstrack-alerts", "#engineering")}
    found = channels_of(
        directory,
        slack=bots | {"#incidents": {"token": "xoxb", "channel": "C1"}},
        apprise={"chat": {"url": "json://h/x"}},
    ).channels
    bot = found.slack["#incidents"]
    assert (bot.webhook_url, bot.channel, bot.url) == (None, "C1", "https://slack.com/api")
    assert found.slack["#engineering"].channel == "#engineering"
    page, issues = found.statuspage["api"], found.github["bookstrack/api"]
    assert (page.url, page.component_status, page.components) == (
        "https://api.statuspage.io",
        ComponentStatus.DEGRADED,
        (),
    )
    assert (issues.url, issues.repository) == ("https://api.github.com", "bookstrack/api")
    assert found.apprise["chat"].url.get_secret_value() == "json://h/x"


@pytest.mark.parametrize(
    ("channels", "wrong"),
    [
        ({"slack": {"x": {}}}, "slack channel `x`: neither `webhook_url` nor `token` is given"),
        ({"slack": {"x": {"token": "t", "webhook_url": "http://h"}}}, "slack channel `x`: both are given"),
        ({"github": {"issues": {"token": "t"}}}, "`issues` is no repository"),
        ({"github": {"a/b": {"token": "t", "repository": "b"}}}, "is not a repository"),
        ({"statuspage": {"api": {"token": "t"}}}, "`page` is missing"),
        ({"apprise": {"x": {"url": "nowhere"}}}, "is not an Apprise URL"),
    ],
)
def test_a_channel_that_cannot_work_is_told_at_load(directory: Path, channels: dict[str, object], wrong: str) -> None:
    """It would be told by the first page, which is lost."""
    with pytest.raises(InvalidConfiguration) as found:
        channels_of(directory, **channels)
    assert wrong in str(found.value)
