"""The daemon's settings: what the keys of `notaus.yaml` become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from pydantic import SecretStr

from notaus.config.daemon_keys import (
    ACTIONS_ACCESS,
    ACTIONS_TOKEN,
    ACTIONS_URL,
    ADDRESS,
    ANCHOR,
    API_BUDGET,
    API_URL,
    APPRISE,
    APPRISE_URL,
    ASSIGNEES,
    BOT_TOKEN,
    BUDGETS,
    CHANNEL,
    CHANNELS,
    CLOCK,
    CLOSING,
    CLOUDFLARE,
    COMPONENT_STATUS,
    COMPONENTS,
    DAEMON,
    DEFAULTS_KEY,
    FORMAT,
    GITHUB,
    GITHUB_URL,
    GRAPHQL_BUDGET,
    HOOK_KINDS,
    HOOK_SECRET,
    HOOK_URL,
    HOOKS,
    INCIDENTS,
    ISSUES_TOKEN,
    LABELS,
    LEVEL,
    LEVER_TOKEN,
    LISTEN,
    LOG,
    MENTIONS,
    MODE_CAP,
    ORIGINS,
    PAGE_ADDRESS,
    PAGE_ID,
    PAGE_LINK,
    PAGE_TOKEN,
    PAGERDUTY,
    PAGERDUTY_URL,
    PORT,
    RATE,
    REPOSITORY,
    RESERVE,
    RETENTION,
    ROUTING_KEY,
    SAMPLES,
    SENDER_SECRET,
    SLACK,
    SLACK_URL,
    SPEED,
    STATUS_URL,
    STATUSPAGE,
    STATUSPAGE_URL,
    STORE,
    SUBJECT,
    TOKEN,
    WEBHOOK,
    WEBHOOK_URL,
    ComponentStatus,
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
    status_url: str = ""
    """Cloudflare's own status; empty: not asked."""


@dataclass(frozen=True, slots=True)
class GitHubActions:
    token: SecretStr
    url: str
    """Without a slash at the end."""


@dataclass(frozen=True, slots=True)
class PagerDuty:
    routing_key: SecretStr
    url: str


@dataclass(frozen=True, slots=True)
class Slack:
    """A webhook, or a bot: exactly one of `webhook_url` and `token` is set."""

    webhook_url: SecretStr | None
    token: SecretStr | None = None
    channel: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    url: SecretStr
    secret: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Statuspage:
    token: SecretStr
    page: str
    address: str | None
    subject: str
    components: tuple[str, ...]
    component_status: ComponentStatus
    closing: str
    url: str


@dataclass(frozen=True, slots=True)
class GitHub:
    token: SecretStr
    repository: str
    labels: tuple[str, ...]
    assignees: tuple[str, ...]
    mentions: tuple[str, ...]
    url: str


@dataclass(frozen=True, slots=True)
class Apprise:
    url: SecretStr


@dataclass(frozen=True, slots=True)
class Channels:
    """The configured channels, each by the name that contacts use."""

    pagerduty: Mapping[str, PagerDuty] = field(default_factory=dict)
    slack: Mapping[str, Slack] = field(default_factory=dict)
    webhook: Mapping[str, Webhook] = field(default_factory=dict)
    statuspage: Mapping[str, Statuspage] = field(default_factory=dict)
    github: Mapping[str, GitHub] = field(default_factory=dict)
    apprise: Mapping[str, Apprise] = field(default_factory=dict)

    def has(self, kind: str, name: str) -> bool:
        """Whether the channel is configured; `kind` is the name of one of the fields."""
        return name in getattr(self, kind)


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
    incidents_directory: str | None = None
    """None: beside the journal."""
    github: GitHubActions | None = None
    """None: no workflow can be started."""

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
    def incidents(self) -> Path:
        """Where each incident has a directory of its own, with its document."""
        return Path(self.incidents_directory) if self.incidents_directory else self.directory / "incidents"

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
        incidents_directory=values.get(INCIDENTS),
        github=_actions(values.get(ACTIONS_ACCESS), lenient),
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
        values.of(STATUS_URL),
    )


def _actions(values: Values | None, lenient: bool) -> GitHubActions | None:
    if values is None:
        return GitHubActions(SecretStr("unset"), ACTIONS_URL.builtin) if lenient else None
    return GitHubActions(_secret(values, ACTIONS_TOKEN), values.of(ACTIONS_URL).rstrip("/"))


def _channels(values: Values, report: Report) -> Channels:
    return Channels(
        {name: _pagerduty(v) for name, v in (values.get(PAGERDUTY) or {}).items()},
        {name: _slack(name, v, report) for name, v in (values.get(SLACK) or {}).items()},
        {name: _webhook(v) for name, v in (values.get(WEBHOOK) or {}).items()},
        {name: _statuspage(v) for name, v in (values.get(STATUSPAGE) or {}).items()},
        {name: _github(name, v, report) for name, v in (values.get(GITHUB) or {}).items()},
        {name: Apprise(_secret(v, APPRISE_URL)) for name, v in (values.get(APPRISE) or {}).items()},
    )


def _secret(values: Values, key: Key[str]) -> SecretStr:
    return SecretStr(values.get(key) or "")


def _pagerduty(values: Values) -> PagerDuty:
    return PagerDuty(_secret(values, ROUTING_KEY), values.of(PAGERDUTY_URL))


def _slack(name: str, values: Values, report: Report) -> Slack:
    hook, token = values.get(WEBHOOK_URL), values.get(BOT_TOKEN)
    if (hook is None) is (token is None):
        wrong = "neither `webhook_url` nor `token` is given" if hook is None else "both are given"
        report.problem(values.where, f"slack channel `{name}`: {wrong}", "`webhook_url`, or `token` with `channel`")
    return Slack(
        None if hook is None else SecretStr(hook),
        None if token is None else SecretStr(token),
        values.get(CHANNEL) or name,
        values.of(SLACK_URL),
    )


def _statuspage(values: Values) -> Statuspage:
    return Statuspage(
        _secret(values, PAGE_TOKEN),
        values.get(PAGE_ID) or "",
        values.get(PAGE_ADDRESS),
        values.get(SUBJECT) or "",
        values.get(COMPONENTS) or (),
        values.of(COMPONENT_STATUS),
        values.get(CLOSING) or "",
        values.of(STATUSPAGE_URL),
    )


def _github(name: str, values: Values, report: Report) -> GitHub:
    repository = values.get(REPOSITORY)
    if repository is None and name.count("/") != 1:
        report.problem(values.where, f"`{name}` is no repository", "name the entry owner/name, or give `repository`")
    return GitHub(
        _secret(values, ISSUES_TOKEN),
        repository or name,
        values.get(LABELS) or (),
        values.get(ASSIGNEES) or (),
        values.get(MENTIONS) or (),
        values.of(GITHUB_URL),
    )


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
