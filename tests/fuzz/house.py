"""The sandbox and the two example services as the daemon is configured for them, pages and all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from notaus import config
from notaus.config import Configuration
from notaus.sandbox import Sandbox
from notaus.sandbox.box import Lags

CONFIG = Path(__file__).parents[2] / "config"
START = 1_790_000_100
API = "https://api.cloudflare.com"


def a_box(now: Callable[[], float], *, traffic: bool = True, history: float = 600.0) -> Sandbox:
    """An account whose edge follows at once, with few users, so that an hour takes seconds."""
    return Sandbox(now, lags=Lags((0.0, 0.0), 0.0), traffic=traffic, history_seconds=history)


def environ(box: Sandbox) -> dict[str, str]:
    """What `config/` needs, pointing at the sandbox's sinks."""
    sinks = f"{API}/pages"
    pagers = {name: {"routing_key": name.ljust(32, "0"), "url": f"{sinks}/pagerduty/v2/enqueue"} for name in PAGERS}
    chats = {name: {"webhook_url": f"{sinks}/slack/{name.strip('#')}"} for name in CHATS}
    return {
        "CLOUDFLARE_API_TOKEN": box.token,
        "CLOUDFLARE_ACCOUNT_ID": box.account.id,
        "PIX_KV_NAMESPACE": box.kv_namespace,
        "BOOKSTRACK_ZONE": box.zone,
        "PIX_DATABASE_URL": "postgresql://nowhere.invalid/",
        "NOTAUS_CHANNELS": json.dumps({"pagerduty": pagers, "slack": chats, **records(sinks)}),
    }


def records(sinks: str) -> dict[str, object]:
    """What others read of an incident."""
    return {
        "statuspage": {"api": {"token": "statuspage-key", "page": "page", "url": f"{sinks}/statuspage"}},
        "github": {"bookstrack/api": {"token": "github-token", "url": f"{sinks}/github"}},
    }


PAGERS = ("pix-oncall", "platform", "engineering-lead")
CHATS = ("#incidents", "#bookstrack-alerts", "#engineering")


def configured(box: Sandbox) -> Configuration:
    """The files of `config/` as they are."""
    found = config.load(CONFIG, environ(box))
    return replace(found, warnings=())
