"""Secrets the daemon makes for itself at first use: the token of its API, and the key that signs links."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from notaus import log
from notaus.config import Settings
from notaus.errors import NotausError


def web_token(settings: Settings) -> str:
    """The token of the daemon's API, made at first use; readable by the daemon's user alone."""
    return _kept(settings.token_file, "API token")


def link_key(settings: Settings) -> bytes:
    """The key that signs links for approvers, kept as the token is."""
    return _kept(settings.link_key_file, "link key").encode()


def _kept(path: Path, what: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_secret(path)
        secret = path.read_text().strip()
    except OSError as error:
        raise NotausError(f"the {what} {path} cannot be kept: {error.strerror}") from None
    if not secret:  # it would let in whoever gives none
        raise NotausError(f"the {what} {path} is empty: delete the file, and a new one is made")
    log.redact(secret)
    return secret


def _write_secret(path: Path) -> None:
    """Whole or not at all: a full disk must not leave an empty one behind."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)
