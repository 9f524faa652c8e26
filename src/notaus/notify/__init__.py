"""Whom we tell: one file per channel. `Channels` finds the entry of a contact and delivers."""

from notaus.notify.apprise import Apprise
from notaus.notify.channels import NEEDS, ChannelEntry, Channels
from notaus.notify.github import GitHub
from notaus.notify.pagerduty import PagerDuty
from notaus.notify.slack import Slack
from notaus.notify.slack_app import SlackApp
from notaus.notify.statuspage import Statuspage
from notaus.notify.webhook import Webhook

__all__ = [
    "NEEDS",
    "Apprise",
    "ChannelEntry",
    "Channels",
    "GitHub",
    "PagerDuty",
    "Slack",
    "SlackApp",
    "Statuspage",
    "Webhook",
]
