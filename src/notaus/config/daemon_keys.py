"""The keys of `notaus.yaml`, declared, level by level; each is also a `NOTAUS_…` variable."""

from __future__ import annotations

from enum import StrEnum

from notaus.config import kinds as k
from notaus.config import measures as m
from notaus.config.containers import ListOf, MapOf
from notaus.config.keys import DEFAULTS, HTTP_URL
from notaus.config.table import Key, Keys, Nested
from notaus.core.service import Mode


class LogFormat(StrEnum):
    JSON = "json"
    TERMINAL = "terminal"


class ComponentStatus(StrEnum):
    """What Statuspage may say of a component that is not well."""

    DEGRADED = "degraded_performance"
    PARTIAL_OUTAGE = "partial_outage"
    MAJOR_OUTAGE = "major_outage"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


STORE = Key(
    "store",
    k.Text("a file or a database URL"),
    "The journal: a SQLite file, or a database URL.",
    "var/notaus.sqlite",
    secret=True,
    in_part=True,
)
INCIDENTS = Key(
    "incidents",
    k.Text("a directory"),
    "Where each incident has a directory with its document, written when it ends.",
    default_words="`incidents` beside the journal",
)
ADDRESS = Key("address", k.Text("an address"), "The address the web server listens on.", "127.0.0.1")
PORT = Key("port", k.Integer(0, 65535), "Its port; 0 takes a free one.", "9464")
LISTEN_KEYS = Keys("listen", (ADDRESS, PORT))
LISTEN = Key("listen", Nested(LISTEN_KEYS), "Where metrics, health and the web page are served.")

API_URL = Key("api_url", HTTP_URL, "The Cloudflare API.", "https://api.cloudflare.com/client/v4")
TOKEN = Key(
    "token",
    k.Text("an API token"),
    "The token that reads, and pulls levers.",
    default_words="must be given",
    secret=True,
)
LEVER_TOKEN = Key(
    "lever_token",
    k.Text("an API token"),
    "A token of its own for levers.",
    default_words="`token`",
    secret=True,
)
STATUS_URL = Key(
    "status_url",
    HTTP_URL,
    "The summary of Cloudflare's own status page, told on every page.",
    "https://www.cloudflarestatus.com/api/v2/summary.json",
)
CLOUDFLARE_KEYS = Keys("cloudflare", (API_URL, TOKEN, LEVER_TOKEN, STATUS_URL))
CLOUDFLARE = Key("cloudflare", Nested(CLOUDFLARE_KEYS), "How Cloudflare is reached.")

ACTIONS_TOKEN = Key(
    "token",
    k.Text("a fine-grained token"),
    "A fine-grained token with `Actions: read and write` on the repositories of rungs' workflows.",
    required=True,
    secret=True,
)
ACTIONS_URL = Key("url", HTTP_URL, "The REST API.", "https://api.github.com")
ACTIONS_KEYS = Keys("github", (ACTIONS_TOKEN, ACTIONS_URL))
ACTIONS_ACCESS = Key("github", Nested(ACTIONS_KEYS), "How the workflows of rungs are started ([levers](levers.md)).")

ORIGINS = Key(
    "origins",
    MapOf(HTTP_URL),
    "Host to base URL: where probes and checks of that host go instead, for staging and the sandbox.",
)

ROUTING_KEY = Key("routing_key", k.Text("an integration key"), "The integration key.", required=True, secret=True)
PAGERDUTY_URL = Key("url", HTTP_URL, "The Events API.", "https://events.pagerduty.com/v2/enqueue")
WEBHOOK_URL = Key("webhook_url", HTTP_URL, "An incoming webhook: each message stands for itself.", secret=True)
BOT_TOKEN = Key(
    "token",
    k.Text("a bot token"),
    "Instead of a webhook, a bot's token (scope `chat:write`): one incident is one thread, and requests have buttons.",
    secret=True,
)
CHANNEL = Key("channel", k.Text("a channel"), "Where the bot posts; it has to be a member.", default_words="NAME")
SLACK_URL = Key("url", HTTP_URL, "The Web API, for a bot.", "https://slack.com/api")
PAGE_TOKEN = Key("token", k.Text("an API key"), "The organisation's API key.", required=True, secret=True)
PAGE_ID = Key("page", k.Text("a page id"), "The page's id.", required=True)
PAGE_ADDRESS = Key("address", HTTP_URL, "Where the public reads the page; told on pages.", default_words="not told")
SUBJECT = Key(
    "subject", k.Text(), "What is affected, for titles such as `API Error Rate Elevated`.", default_words="left out"
)
COMPONENTS = Key("components", ListOf(k.Text("a component's id")), "Ids of the components affected.")
COMPONENT_STATUS = Key(
    "component_status",
    k.Choice(ComponentStatus),
    "What the components are said to be until the incident is resolved.",
    "degraded_performance",
)
CLOSING = Key("closing", k.Text(), "A sentence of your own that ends the last update.", default_words="none")
STATUSPAGE_URL = Key("url", HTTP_URL, "The API.", "https://api.statuspage.io")
ISSUES_TOKEN = Key(
    "token",
    k.Text("a fine-grained token"),
    "A fine-grained token that may write the repository's issues.",
    required=True,
    secret=True,
)
REPOSITORY = Key(
    "repository", k.Text("a repository", r"^[^/\s]+/[^/\s]+$", "owner/name"), "The repository.", default_words="NAME"
)
LABELS = Key("labels", ListOf(k.Text("a label")), "Labels of the issue.")
ASSIGNEES = Key("assignees", ListOf(k.Text("a user")), "Users it is assigned to.")
MENTIONS = Key("mentions", ListOf(k.Text("a user or a team")), "Users and teams (`owner/team`) it calls.")
GITHUB_URL = Key("url", HTTP_URL, "The REST API.", "https://api.github.com")
APPRISE_URL = Key(
    "url",
    k.Text("an Apprise URL", r"^[A-Za-z0-9]+://", "service://credentials"),
    "Apprise's URL for the service.",
    required=True,
    secret=True,
)
HOOK_URL = Key("url", HTTP_URL, "Where messages are posted.", required=True, secret=True)
HOOK_SECRET = Key("secret", k.Text("a secret"), "Signs each message.", default_words="unsigned", secret=True)
PAGERDUTY_KEYS = Keys("channels.pagerduty.NAME", (ROUTING_KEY, PAGERDUTY_URL))
SLACK_KEYS = Keys("channels.slack.NAME", (WEBHOOK_URL, BOT_TOKEN, CHANNEL, SLACK_URL))
STATUSPAGE_KEYS = Keys(
    "channels.statuspage.NAME",
    (PAGE_TOKEN, PAGE_ID, PAGE_ADDRESS, SUBJECT, COMPONENTS, COMPONENT_STATUS, CLOSING, STATUSPAGE_URL),
)
GITHUB_KEYS = Keys("channels.github.NAME", (ISSUES_TOKEN, REPOSITORY, LABELS, ASSIGNEES, MENTIONS, GITHUB_URL))
APPRISE_KEYS = Keys("channels.apprise.NAME", (APPRISE_URL,))
WEBHOOK_KEYS = Keys("channels.webhook.NAME", (HOOK_URL, HOOK_SECRET))
PAGERDUTY = Key("pagerduty", MapOf(Nested(PAGERDUTY_KEYS)), "PagerDuty services, by name.")
SLACK = Key("slack", MapOf(Nested(SLACK_KEYS)), "Slack channels, by name.")
WEBHOOK = Key("webhook", MapOf(Nested(WEBHOOK_KEYS)), "Webhooks, by name.")
STATUSPAGE = Key(
    "statuspage", MapOf(Nested(STATUSPAGE_KEYS)), "Statuspage, by name: the public reads of critical incidents alone."
)
GITHUB = Key("github", MapOf(Nested(GITHUB_KEYS)), "GitHub repositories, by name: an issue for the root cause.")
APPRISE = Key(
    "apprise", MapOf(Nested(APPRISE_KEYS)), "Any other channel that Apprise knows, by name; needs `notaus[apprise]`."
)
CHANNEL_KINDS = (PAGERDUTY, SLACK, WEBHOOK, STATUSPAGE, GITHUB, APPRISE)
CHANNELS_KEYS = Keys("channels", CHANNEL_KINDS, "Kind, then the name that service files use.")
CHANNELS = Key("channels", Nested(CHANNELS_KEYS), "Where pages can go.")

SENDER_SECRET = Key(
    "secret",
    k.Text("a secret", r"^\S{16,}$", "at least 16 characters, such as `openssl rand -hex 32` makes"),
    "What the sender shows, or signs with.",
    required=True,
    secret=True,
)
RATE = Key("rate", m.CountPer(), "How often it may be called; what is more is answered with 429.", "60 per 1m")
HOOK_KEYS = Keys("hooks.NAME", (SENDER_SECRET, RATE), "One hook; one that is not there is shut.")
ALERTMANAGER_HOOK = Key("alertmanager", Nested(HOOK_KEYS), "`/hooks/alertmanager`: alerts that fire triggers.")
CLOUDFLARE_HOOK = Key("cloudflare", Nested(HOOK_KEYS), "`/hooks/cloudflare`: Cloudflare's own notifications.")
DEPLOY_HOOK = Key("deploy", Nested(HOOK_KEYS), "`/hooks/deploy`: who deployed what, for pages.")
PUSH_HOOK = Key("push", Nested(HOOK_KEYS), "`/hooks/push`: values of `push` sources.")
SLACK_HOOK = Key(
    "slack", Nested(HOOK_KEYS), "`/hooks/slack`: buttons in Slack; the secret is the app's signing secret."
)
HOOK_KINDS = (ALERTMANAGER_HOOK, CLOUDFLARE_HOOK, DEPLOY_HOOK, PUSH_HOOK, SLACK_HOOK)
HOOKS_KEYS = Keys("hooks", HOOK_KINDS)
HOOKS = Key("hooks", Nested(HOOKS_KEYS), "What others may tell the daemon; [hooks](hooks.md) has examples.")

PAGE_LINK = Key("page_link", HTTP_URL, "The base URL of the web page, for links in pages.", default_words="no links")
MODE_CAP = Key(
    "mode", k.Choice(Mode), "`observe` keeps every service from acting; `act` leaves it to the services.", "act"
)
FORMAT = Key("format", k.Choice(LogFormat), "How lines are written.", default_words="terminal on a terminal, else json")
LEVEL = Key("level", k.Choice(LogLevel), "What is written.", "info")
LOG_KEYS = Keys("log", (FORMAT, LEVEL))
LOG = Key("log", Nested(LOG_KEYS), "The daemon's log.")
SPEED = Key("speed", k.Number(), "Seconds of the daemon's clock per second.", "1")
ANCHOR = Key("anchor", m.Anchor(), "A real and a virtual time that coincide.", default_words="the start")
CLOCK_KEYS = Keys("clock", (SPEED, ANCHOR))
CLOCK = Key("clock", Nested(CLOCK_KEYS), "Only for demonstrations: a clock that runs fast.")
SAMPLES = Key("samples", m.Duration(86_400), "How long samples are kept; incidents are kept for ever.", "30d")
RETENTION_KEYS = Keys("retention", (SAMPLES,))
RETENTION = Key("retention", Nested(RETENTION_KEYS), "What is kept how long.")
API_BUDGET = Key("api", m.CountPer(), "Requests to the Cloudflare API.", "1200 per 5m")
GRAPHQL_BUDGET = Key("graphql", m.CountPer(), "GraphQL queries.", "300 per 5m")
RESERVE = Key("reserve", m.Percent(), "The part of the API budget that only levers may use.", "20%")
BUDGETS_KEYS = Keys("budgets", (API_BUDGET, GRAPHQL_BUDGET, RESERVE))
BUDGETS = Key("budgets", Nested(BUDGETS_KEYS), "How much of the API's limits the daemon allows itself.")
DEFAULTS_KEY = Key(
    "defaults", Nested(DEFAULTS), "Any key of the service level: holds where a service does not say otherwise."
)

DAEMON = Keys(
    "daemon",
    (
        STORE,
        INCIDENTS,
        LISTEN,
        CLOUDFLARE,
        ACTIONS_ACCESS,
        ORIGINS,
        CHANNELS,
        HOOKS,
        PAGE_LINK,
        MODE_CAP,
        LOG,
        CLOCK,
        RETENTION,
        BUDGETS,
        DEFAULTS_KEY,
    ),
    "The daemon.",
)
