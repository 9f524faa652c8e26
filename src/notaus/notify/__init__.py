"""Whom we tell: one file per channel. `Channels` finds the entry of a contact and delivers."""

from notaus.notify.channels import ChannelEntry, Channels
from notaus.notify.pagerduty import PagerDuty
from notaus.notify.slack import Slack
from notaus.notify.webhook import Webhook

__all__ = ["ChannelEntry", "Channels", "PagerDuty", "Slack", "Webhook"]
