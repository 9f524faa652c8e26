"""Messages as the core writes them, for the tests of the channels."""

from __future__ import annotations

from typing import Any

from notaus.core.page import Kind, Message, Status
from notaus.core.rule import Severity

AT = 1_795_396_800
"""2026-11-23 01:20:00 UTC."""

COMMAND = "npx wrangler kv key put --remote --binding=KV_CANARY_CONFIG config '{\"canary_percent\":0}'"


def a_message(**changes: Any) -> Message:
    """A critical page of pix-immo, the first of its incident."""
    standard: dict[str, Any] = {
        "kind": Kind.PAGE,
        "thread": "pix-immo/7",
        "sequence": 1,
        "at": AT,
        "service": "pix-immo",
        "severity": Severity.CRITICAL,
        "status": Status.OPEN,
        "loud": True,
        "title": "NOT-AUS: all traffic to proxy",
        "lines": ("native.error_rate has been above 3% for 3 minutes.", "KV was set to `emergency`."),
        "facts": {
            "rule": "native.error_rate > 3% for 3m",
            "values": "native 5.1%, proxy 0.3%",
            "command": COMMAND,
            "dashboard": "https://dash.example/pix",
        },
        "incident": "7",
    }
    return Message(**(standard | changes))
