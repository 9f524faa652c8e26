"""The daemon's settings: what the keys of `notaus.yaml` become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from pydantic import SecretStr

from notaus.config.daemon_keys import (
    ADDRESS,
    ANCHOR,
    API_BUDGET,
    API_URL,
    BUDGETS,
    CHANNELS,
    CLOCK,
    CLOUDFLARE,
    DAEMON,
    DEFAULTS_KEY,
    FORMAT,
    GRAPHQL_BUDGET,
    HOOK_KINDS,
    HOOK_SECRET,
    HOOK_URL,
    HOOKS,
    LATER,
    LEVEL,
    LEVER_TOKEN,
    LISTEN,
    LOG,
    MODE_CAP,
    ORIGINS,
    PAGE_LINK,
    PAGERDUTY,
    PAGERDUTY_URL,
    PORT,
    RATE,
    RESERVE,
    RETENTION,
    ROUTING_KEY,
    SAMPLES,
    SENDER_SECRET,
    SLACK,
    SPEED,
    STORE,
    TOKEN,
    WEBHOOK,
    WEBHOOK_URL,
    LogFormat,
    LogLevel,
)
from notaus.config.document import Node
from notaus.config.problems import Misread, Report
from notaus.config.table import Key, Values, read_keys
from notaus.core.service import Mode


@dataclass(frozen=True, slots=True)
class Listen:
    address: str = "127.0.0.1"
    port: int = 9464


@dataclass(frozen=True, slots=True)
class Cloudflare:
    api_url: str
    """Without a slash at the end."""
    token: SecretStr
    lever_token: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class PagerDuty:
    routing_key: SecretStr
    url: str


@dataclass(frozen=True, slots=True)
class Slack:
    webhook_url: SecretStr


@dataclass(frozen=True, slots=True)
class Webhook:
    url: SecretStr
    secret: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Channels:
    """The configured channels, each by the name that contacts use."""

    pagerduty: Mapping[str, PagerDuty] = field(default_factory=dict)
    slack: Mapping[str, Slack] = field(default_factory=dict)
    webhook: Mapping[str, Webhook] = field(default_factory=dict)

    def has(self, kind: str, name: str) -> bool:
        return name in {"pagerduty": self.pagerduty, "slack": self.slack, "webhook": self.webhook}.get(kind, {})


@dataclass(frozen=True, slots=True)
class Hook:
    """What may be told from outside, and by whom."""

    secret: SecretStr
    rate: tuple[int, int]
    """(calls, seconds)."""


@dataclass(frozen=True, slots=True)
class Log:
    level: LogLevel = LogLevel.INFO
    format: LogFormat | None = None
    """None: as fits where it goes."""


@dataclass(frozen=True, slots=True)
class ClockSpeed:
    speed: float = 1.0
    anchor: tuple[float, float] | None = None
    """(real, virtual) epoch seconds that coincide; None: the start."""


@dataclass(frozen=True, slots=True)
class Retention:
    samples: int
    """Seconds."""


SQLITE = "sqlite:///"
BUDGET_PERIOD = 300
"""Seconds over which Cloudflare counts requests; limits per another time are converted to it."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """(requests, `BUDGET_PERIOD`) each."""

    api: tuple[int, int]
    graphql: tuple[int, int]
    reserve: Fraction
    """The part of the API budget, 0 to 1, that only levers may use."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything of the daemon that is not a service's. Secrets are `SecretStr`; `store` may hold one: never shown."""

    store: str = field(repr=False)
    listen: Listen
    cloudflare: Cloudflare
    origins: Mapping[str, str]
    """Host to base URL, without a slash at the end."""
    channels: Channels
    hooks: Mapping[str, Hook]
    """By the last part of their path; one that is not there is shut."""
    page_link: str | None
    mode: Mode
    """A cap: `observe` keeps every service from acting."""
    log: Log
    clock: ClockSpeed
    retention: Retention
    budgets: Budgets

    @property
    def store_url(self) -> str:
        """The journal's database URL: a plain path is a SQLite file. May hold a password."""
        return self.store if "://" in self.store else f"{SQLITE}{self.store}"

    @property
    def directory(self) -> Path:
        """Where the daemon keeps what lies beside its journal."""
        path = self.store_url.removeprefix(SQLITE) if self.store_url.startswith(SQLITE) else ""
        return Path(path).parent if path else Path("var")

    @property
    def token_file(self) -> Path:
        """The token of the daemon's API."""
        return self.directory / "api-token"

    @property
    def link_key_file(self) -> Path:
        """The key that signs links for approvers. Replicas that share a `page_link` need the same."""
        return self.directory / "link-key"


def read_settings(root: Node, report: Report, *, lenient: bool) -> tuple[Settings, Values]:
    """The settings, and the daemon's `defaults` for services."""
    try:
        values = read_keys(DAEMON, root, report)
    except Misread as error:
        report.misread(root.where, error)
        values = Values(root.where)
    settings = Settings(
        store=values.of(STORE),
        listen=_listen(_part(values, LISTEN)),
        cloudflare=_cloudflare(_part(values, CLOUDFLARE), report, lenient),
        origins={host: url.rstrip("/") for host, url in (values.get(ORIGINS) or {}).items()},
        channels=_channels(_part(values, CHANNELS), report),
        hooks=_hooks(_part(values, HOOKS)),
        page_link=(values.get(PAGE_LINK) or "").rstrip("/") or None,
        mode=values.of(MODE_CAP),
        log=_log(_part(values, LOG)),
        clock=_clock(_part(values, CLOCK)),
        retention=Retention(_part(values, RETENTION).of(SAMPLES)),
        budgets=_budgets(_part(values, BUDGETS)),
    )
    return settings, _part(values, DEFAULTS_KEY)


def _part(values: Values, key: Key[Values]) -> Values:
    return values.get(key) or Values(values.where.key(key.name))


def _listen(values: Values) -> Listen:
    return Listen(values.of(ADDRESS), values.of(PORT))


def _cloudflare(values: Values, report: Report, lenient: bool) -> Cloudflare:
    if not values.has(TOKEN) and not lenient:
        right = "token: ${CLOUDFLARE_API_TOKEN}, or NOTAUS_CLOUDFLARE__TOKEN in the environment"
        report.problem(values.at(TOKEN), "`token` is missing", right)
    lever = values.get(LEVER_TOKEN)
    return Cloudflare(
        values.of(API_URL).rstrip("/"),
        SecretStr(values.get(TOKEN) or "unset"),
        None if lever is None else SecretStr(lever),
    )


def _channels(values: Values, report: Report) -> Channels:
    for key in LATER:
        if values.has(key):
            report.warning(
                values.at(key), f"channels of kind `{key.name}` are not available yet", "nothing is sent there"
            )
    return Channels(
        {name: _pagerduty(v) for name, v in (values.get(PAGERDUTY) or {}).items()},
        {name: Slack(_secret(v, WEBHOOK_URL)) for name, v in (values.get(SLACK) or {}).items()},
        {name: _webhook(v) for name, v in (values.get(WEBHOOK) or {}).items()},
    )


def _secret(values: Values, key: Key[str]) -> SecretStr:
    return SecretStr(values.get(key) or "")


def _pagerduty(values: Values) -> PagerDuty:
    return PagerDuty(_secret(values, ROUTING_KEY), values.of(PAGERDUTY_URL))


def _webhook(values: Values) -> Webhook:
    secret = values.get(HOOK_SECRET)
    return Webhook(_secret(values, HOOK_URL), None if secret is None else SecretStr(secret))


def _hooks(values: Values) -> Mapping[str, Hook]:
    found = {key.name: values.get(key) for key in HOOK_KINDS}
    return {name: Hook(_secret(v, SENDER_SECRET), v.of(RATE)) for name, v in found.items() if v is not None}


def _log(values: Values) -> Log:
    return Log(values.of(LEVEL), values.get(FORMAT))


def _clock(values: Values) -> ClockSpeed:
    return ClockSpeed(float(values.of(SPEED)), values.get(ANCHOR))


def _budgets(values: Values) -> Budgets:
    return Budgets(_in_period(values.of(API_BUDGET)), _in_period(values.of(GRAPHQL_BUDGET)), values.of(RESERVE))


def _in_period(limit: tuple[int, int]) -> tuple[int, int]:
    count, seconds = limit
    return max(1, count * BUDGET_PERIOD // seconds), BUDGET_PERIOD
