"""A request as the sandbox sees it and an answer as it gives it, whatever carries the two."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from .account import Token

JSON_TYPE = "application/json; charset=UTF-8"
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``at`` is the sandbox's clock in seconds since the epoch; header names are lower case.

    ``segments`` is the path split at its slashes *before* decoding, so that a key with an encoded slash stays one.
    """

    at: float
    method: str
    host: str
    segments: tuple[str, ...]
    query_string: str
    headers: Mapping[str, str]
    body: bytes = b""
    websocket: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    token: Token | None = None

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; raises `Refused` (400) where it is none."""
        try:
            return json.loads(self.body or b"null")
        except ValueError as error:
            raise Refused(400, 6007, f"Malformed JSON in request body: {error}") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body, given ``delay`` sandbox seconds later."""

    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    delay: float = 0.0

    def with_headers(self, *more: tuple[str, str]) -> Answer:
        return Answer(self.status, self.body, self.headers + more, self.delay)


Handler = Callable[[Call], Answer]


class Refused(Exception):
    """The request is answered with an error in Cloudflare's envelope."""

    def __init__(self, status: int, code: int, message: str, *, chain: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.chain = status, code, message, chain


class Dropped(Exception):
    """The connection ends without an answer: ``refused`` before it stood, else after the request was sent."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__("connection refused" if refused else "connection dropped")
        self.refused = refused


def segments_of(raw_path: str) -> tuple[str, ...]:
    """``/a/b%2Fc`` as ``("a", "b/c")``."""
    return tuple(unquote(part) for part in raw_path.split("/")[1:] if part)


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Answer(status, body, (("Content-Type", JSON_TYPE), *headers))


def text_answer(text: str, status: int = 200, headers: Headers = ()) -> Answer:
    return Answer(status, text.encode(), (("Content-Type", "text/plain; charset=UTF-8"), *headers))


def envelope(result: Any, *, info: dict[str, Any] | None = None, messages: Any = (), errors: Any = ()) -> Answer:
    """A success in Cloudflare's v4 envelope; pass ``None`` for the lists that the live API leaves null."""
    value: dict[str, Any] = {
        "result": result,
        "success": True,
        "errors": None if errors is None else list(errors),
        "messages": None if messages is None else list(messages),
    }
    if info is not None:
        value["result_info"] = info
    return json_answer(value)


def failure(refused: Refused) -> Answer:
    """An error in Cloudflare's v4 envelope."""
    error: dict[str, Any] = {"code": refused.code, "message": refused.message}
    if refused.chain:
        error["error_chain"] = [{"code": code, "message": message} for code, message in refused.chain]
    value = {"success": False, "errors": [error], "messages": [], "result": None}
    return json_answer(value, refused.status)


def iso_micros(at: float) -> str:
    """``2026-09-29T06:57:41.141552Z``, as in versions and deployments."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso_seconds(at: float) -> str:
    """``2026-09-29T06:57:41Z``, as in GraphQL."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(at: float) -> str:
    """The value of a ``Date`` header."""
    return formatdate(int(at), usegmt=True)
