"""The channels of `notaus.yaml`, each from its settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from notaus.config import Settings
from notaus.config import settings as configured
from notaus.notify import Apprise, Channels, GitHub, PagerDuty, Slack, SlackApp, Statuspage, Webhook


def channels(
    settings: Settings, http: httpx.AsyncClient, cloudflare: Callable[[], Awaitable[str]] | None = None
) -> Channels:
    """The channels of `notaus.yaml`; `cloudflare` tells Cloudflare's own status."""
    kinds = settings.channels
    return Channels(
        http,
        {
            "pagerduty": {
                name: PagerDuty(each.routing_key.get_secret_value(), each.url) for name, each in kinds.pagerduty.items()
            },
            "slack": {name: _slack(each) for name, each in kinds.slack.items()},
            "statuspage": {
                name: Statuspage(
                    each.token.get_secret_value(),
                    each.page,
                    each.subject,
                    each.components,
                    each.component_status,
                    each.closing,
                    each.url,
                )
                for name, each in kinds.statuspage.items()
            },
            "github": {
                name: GitHub(
                    each.token.get_secret_value(), each.repository, each.labels, each.assignees, each.mentions, each.url
                )
                for name, each in kinds.github.items()
            },
            "apprise": {name: Apprise(each.url.get_secret_value()) for name, each in kinds.apprise.items()},
            "webhook": {
                name: Webhook(
                    each.url.get_secret_value(), each.secret.get_secret_value() if each.secret is not None else None
                )
                for name, each in kinds.webhook.items()
            },
        },
        settings.page_link,
        cloudflare,
    )


def _slack(each: configured.Slack) -> Slack | SlackApp:
    if each.token is not None:
        return SlackApp(each.token.get_secret_value(), each.channel, each.url)
    return Slack(each.webhook_url.get_secret_value() if each.webhook_url is not None else "")
