"""The running daemon, reached through its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from notaus import log
from notaus.cli.desk import Answer, Body
from notaus.config import Settings
from notaus.errors import ConfigurationError, NotausError

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 35.0
"""A little longer than the daemon itself waits for the answer to an order."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Elsewhere(BaseSettings):
    """A daemon that runs somewhere else, in a container or on another host: its address and its API token.

    From the environment: `NOTAUS_URL`, and `NOTAUS_API_TOKEN` or `NOTAUS_API_TOKEN_FILE`.
    """

    model_config = SettingsConfigDict(env_prefix="NOTAUS_", extra="ignore")

    url: str | None = None
    api_token: SecretStr | None = None
    api_token_file: Path | None = None


def address(settings: Settings) -> str:
    """The base URL at which the daemon of these settings is reached from here."""
    elsewhere = Elsewhere().url
    if elsewhere:
        return elsewhere.rstrip("/")
    host = EVERYWHERE.get(settings.listen.address, settings.listen.address)
    return f"http://[{host}]:{settings.listen.port}" if ":" in host else f"http://{host}:{settings.listen.port}"


class Daemon:
    """A daemon that answers."""

    through = "daemon"

    def __init__(self, http: httpx.AsyncClient) -> None:
        """`http` knows the base URL and the token."""
        self._http = http

    @classmethod
    @asynccontextmanager
    async def found(cls, settings: Settings) -> AsyncIterator[Daemon | None]:
        """The daemon of these settings; None where nobody answers. Raises NotausError where somebody else does."""
        token = _token(settings)
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Authorization": f"Bearer {token or 'none'}"}
        async with httpx.AsyncClient(
            base_url=address(settings), headers=headers, timeout=timeout, trust_env=False
        ) as http:
            answers = bool(Elsewhere().url or settings.listen.port) and await _answers(http, settings)
            if not answers and Elsewhere().url:  # this process must not act in its place: it may well be running
                raise NotausError(f"no daemon answers at {http.base_url} (NOTAUS_URL)")
            yield cls(http) if answers else None

    async def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = _told(await self._get("/api/status"))
        return found

    async def incidents(self, limit: int) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = _told(await self._get(f"/api/incidents?limit={limit}"))
        return found

    async def incident(self, id: str) -> Mapping[str, Any] | None:
        response = await self._get(f"/api/incidents/{quote(id, safe='')}")
        if response.status_code == 404:
            return None
        found: Mapping[str, Any] = _told(response)
        return found

    async def order(self, service: str, name: str, body: Body) -> Answer:
        path = f"/api/services/{quote(service, safe='')}/{name}"
        try:
            response = await self._http.post(path, json=dict(body))
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise NotausError(
                f"no answer from the daemon ({reason}): the order may have been taken; see `notaus status`"
            ) from None
        told = response.json() if response.status_code == 409 else _told(response)
        return Answer(bool(told["accepted"]), str(told["text"]), told["incident"])

    async def _get(self, path: str) -> httpx.Response:
        try:
            return await self._http.get(path)
        except httpx.HTTPError as error:
            raise NotausError(f"no answer from the daemon at {self._http.base_url}: {type(error).__name__}") from None


def _token(settings: Settings) -> str:
    elsewhere = Elsewhere()
    if elsewhere.api_token is not None:
        log.redact(elsewhere.api_token.get_secret_value())
        return elsewhere.api_token.get_secret_value()
    try:
        token = (elsewhere.api_token_file or settings.token_file).read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise NotausError(
            f"the daemon's API token {settings.token_file} cannot be read: {error.strerror}; "
            "run this as the daemon's user"
        ) from None
    log.redact(token)
    return token


async def _answers(http: httpx.AsyncClient, settings: Settings) -> bool:
    try:
        response = await http.get("/api/status")
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return False
    except httpx.HTTPError as error:
        raise NotausError(
            f"what listens at {http.base_url} does not answer ({type(error).__name__}); look at the daemon's log"
        ) from None
    if response.status_code == 401:
        raise NotausError(
            f"the daemon at {http.base_url} does not accept the token in {settings.token_file}: "
            "it belongs to another configuration; name its own with --config DIR"
        )
    if not response.headers.get("content-type", "").startswith("application/json"):
        raise NotausError(f"what answers at {http.base_url} is not notaus; set `listen:` to the daemon's address")
    return True


def _told(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises ConfigurationError for a mistake of the person's, NotausError for others."""
    try:
        told = response.json()
    except ValueError:
        raise NotausError(f"the daemon answered {response.status_code} without JSON") from None
    if response.status_code < 400:
        return told
    text = "; ".join(str(told[key]) for key in ("error", "hint") if told.get(key))
    raise (ConfigurationError if response.status_code in (404, 422) else NotausError)(text)
