"""Signed links by which one approver gives one answer to one request. Whoever holds a link may use it until it expires."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from notaus.core.service import Contact

LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says, and who was given it."""

    service: str
    request: str
    contact: Contact
    approved: bool
    expires: int
    """Epoch seconds."""


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links and reads them, by the key of this daemon."""

    key: bytes = field(repr=False)
    """An empty one makes and reads none."""
    base: str | None = None
    """Where people reach the daemon; None: no links are made."""

    def address(self, link: Link) -> str | None:
        return f"{self.base}/approve/{self.token(link)}" if self.base and self.key else None

    def token(self, link: Link) -> str:
        said = [link.service, link.request, link.contact.channel, link.contact.name, link.approved, link.expires]
        text = _packed(json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode())
        return f"{text}.{self._signature(text)}"

    def read(self, token: str) -> Link | None:
        """What `token` says; None where it was not made with this key."""
        text, _, signature = token.partition(".")
        genuine = hmac.compare_digest(signature.encode(errors="replace"), self._signature(text).encode())
        if not self.key or len(token) > LONGEST or not genuine:
            return None
        try:
            service, request, channel, name, approved, expires = json.loads(base64.urlsafe_b64decode(text + "=="))
        except (binascii.Error, ValueError):  # of another release
            return None
        return Link(service, request, Contact(channel, name), approved, expires)

    def _signature(self, text: str) -> str:
        signed = b"notaus approve 1\n" + text.encode(errors="replace")
        return _packed(hmac.new(self.key, signed, hashlib.sha256).digest())


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
