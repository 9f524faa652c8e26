"""An emulated Cloudflare account: product code, a judge of the client, and the stage of the demo.

It imports nothing from the rest of notaus, so that two views of Cloudflare cannot share a mistake. Reading order:
``wire`` (a call, an answer) · ``account`` · ``kv`` · ``deployments`` and ``scripts`` · ``rows`` with
``analytics_engine`` (over ``sql``), ``graphql`` and ``telemetry`` · ``services`` and ``traffic`` · ``bindings`` ·
``sinks`` · ``faults`` · ``journal`` · ``admin`` · ``routes``, ``app``, ``transport``, ``server`` · ``box``, which
holds it all.
"""

from .account import Account, Token
from .box import ACCOUNT, KV_NAMESPACE, TOKEN, ZONE, Lags, Sandbox
from .deployments import Behaviour, Deployment, Version, Worker
from .journal import ServedRequest, Write
from .sinks import Page

__all__ = [
    "ACCOUNT",
    "Account",
    "Behaviour",
    "Deployment",
    "KV_NAMESPACE",
    "Lags",
    "Page",
    "Sandbox",
    "ServedRequest",
    "TOKEN",
    "Token",
    "Version",
    "Worker",
    "Write",
    "ZONE",
]
