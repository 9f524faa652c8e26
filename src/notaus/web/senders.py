"""Who may call a hook: proof of the shared secret, in the form that each sender has. Comparisons take constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping

Headers = Mapping[str, str]
Proof = Callable[[str, Headers, bytes, int], bool]
"""Whether (secret, headers, body, now) prove that the sender knows the secret."""

SIGNED_SECONDS = 300
"""A signature is good for so long, before and after its own time: what was overheard is soon worth nothing."""


def bearer(secret: str, headers: Headers, body: bytes, now: int) -> bool:
    """`Authorization: Bearer SECRET`, as Alertmanager's `http_config` sends it."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    return _same(shown.strip(), secret) and scheme.casefold() == "bearer"


def cloudflare(secret: str, headers: Headers, body: bytes, now: int) -> bool:
    """`cf-webhook-auth: SECRET`, as Cloudflare Notifications send it."""
    return _same(headers.get("cf-webhook-auth", ""), secret)


def signed(secret: str, headers: Headers, body: bytes, now: int) -> bool:
    """`X-Notaus-Timestamp: SECONDS` and `X-Notaus-Signature: sha256=` with the HMAC of `SECONDS.BODY`; or a bearer."""
    if "x-notaus-signature" not in headers:
        return bearer(secret, headers, body, now)
    at = headers.get("x-notaus-timestamp", "")
    expected = "sha256=" + _digest(secret, f"{at}.".encode() + body)
    return _same(headers["x-notaus-signature"], expected) and _is_recent(at, now)


def slack(secret: str, headers: Headers, body: bytes, now: int) -> bool:
    """Slack's `v0` signature. Source: https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    at = headers.get("x-slack-request-timestamp", "")
    expected = "v0=" + _digest(secret, f"v0:{at}:".encode() + body)
    return _same(headers.get("x-slack-signature", ""), expected) and _is_recent(at, now)


def _digest(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _same(shown: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(shown.encode(errors="replace"), expected.encode())


def _is_recent(at: str, now: int) -> bool:
    return at.isascii() and at.isdigit() and abs(now - int(at[:18])) <= SIGNED_SECONDS
