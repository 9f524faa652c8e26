"""The one place that talks to Cloudflare's API: auth, envelope, deadlines, budgets, retries, and what a failure means.

A failed call ends as one of three errors (`notaus.errors`): Refused (it would say no again), Busy (nothing was done,
later perhaps), Silent (it may have been done). Only safe calls are repeated here; a lever repeats itself, after a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from notaus import body as bodies
from notaus.clock import Clock
from notaus.cloudflare.budget import Budget, Budgets, Family, Ledger
from notaus.cloudflare.wire import Envelope, brief, excerpt
from notaus.errors import Busy, CallFailed, Refused, Silent

CONNECT_SECONDS = 2.0
CALL_SECONDS = 10.0
LEVER_SECONDS = 5.0
RETRIES = 2
PATIENCE_SECONDS = 5.0
"""The longest `Retry-After` that a read waits for; a longer one is left to the next poll."""
BODY_BYTES = 16 * 1024 * 1024
UNANSWERED_GATEWAY = frozenset({502, 504, *range(520, 528)})
"""Answers of a gateway that do not tell whether the service behind it did the work."""

S = TypeVar("S", bound=BaseModel)

RequestObserver = Callable[[str, str, int, float], None]
"""Called after each request with family, method, status (0: no answer) and seconds."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, relative to the API's base URL."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    files: Mapping[str, tuple[None, bytes]] | None = None
    content_type: str | None = None
    family: Family = Family.API
    lever: bool = False
    """Pulled by a lever: uses the reserve, the lever's token and the shorter deadline; not repeated here."""
    query: bool = False
    """A POST that changes nothing."""
    unhurried: bool = False
    """Can wait: goes out only while much of the budget is left."""
    permission: str | None = None
    """The permission group that it needs, named when it is refused for want of one."""

    @property
    def safe(self) -> bool:
        return self.query or self.method in ("GET", "HEAD")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer."""

    status: int
    headers: httpx.Headers
    body: bytes


class Client:
    """Calls Cloudflare with one token. Safe to share between accounts that the token may read."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        api_url: str,
        account: str,
        token: SecretStr | str,
        clock: Clock,
        *,
        lever_token: SecretStr | str | None = None,
        budgets: Budgets | None = None,
        ledger: Ledger | None = None,
        on_request: RequestObserver | None = None,
        before_write: Callable[[], None] = lambda: None,
        call_seconds: float = CALL_SECONDS,
        lever_seconds: float = LEVER_SECONDS,
        body_bytes: int = BODY_BYTES,
    ) -> None:
        """`account` is the default account; `api_url` includes `/client/v4`; `lever_token` has a budget of its own.

        `ledger` is shared by clients that may use the same token.
        `before_write` is called right before each request that changes something, and raises where it may not go out.
        """
        self.api_url = api_url.rstrip("/")
        self.account = account
        self.clock = clock
        self._http = http
        self._token = _secret(token)
        self._lever_token = _secret(lever_token) if lever_token is not None else None
        self._budgets = budgets or Budgets()
        self._ledger = ledger or Ledger()
        self._on_request, self.before_write = on_request, before_write
        self._seconds = {False: call_seconds, True: lever_seconds}
        self._body_bytes = body_bytes

    @property
    def token_hash(self) -> str:
        """SHA-256 of the token: with its id, the keys of R2's S3 API. As secret as the token."""
        return sha256(self._token.get_secret_value().encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Client({self.api_url!r}, account={self.account!r})"

    def budget_remaining(self, family: Family | str) -> float:
        """The share of the five-minute budget that is left, 0 to 1."""
        return self._budget(Family(family), lever=False).remaining(self.clock.now())

    def limit(self, family: Family) -> int:
        """Calls per five minutes."""
        return self._budgets.limit(family)

    def spare(self, family: Family, share: float) -> int:
        """How many calls may go out now, so that no more than this `share` of the five-minute budget is used."""
        return self._budget(family, lever=False).spare(self.clock.now(), share)

    async def envelope(self, call: Call) -> Envelope:
        """The envelope of a call that succeeded. Raises Refused, Busy or Silent."""
        answer = await self.send(call)
        try:
            envelope = Envelope.model_validate_json(answer.body)
        except ValidationError:
            raise Silent(
                f"{call}: answered {answer.status} with something other than Cloudflare's JSON: "
                f"{excerpt(answer.body) or 'nothing'}",
                status=answer.status,
            ) from None
        if not envelope.success:
            raise _refused(call, answer.status, envelope)
        return envelope

    async def send(self, call: Call) -> Answer:
        """The 2xx answer to `call`; safe calls are repeated twice. Raises Refused, Busy or Silent."""
        tries = 1 + (RETRIES if call.safe and not call.lever else 0)
        for number in range(1, tries + 1):
            try:
                return await self._once(call)
            except (Busy, Silent) as failure:
                pause = _pause(failure, number)
                if number == tries or pause is None:
                    raise
            await self.clock.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _once(self, call: Call) -> Answer:
        budget = self._budget(call.family, lever=call.lever)
        wait = budget.wait(self.clock.now(), lever=call.lever, unhurried=call.unhurried)
        if wait > 0:
            raise Busy(
                f"{call}: not sent, our own budget of {budget.limit} {call.family} calls per 5 minutes is used up",
                retry_after=wait,
            )
        if not call.safe:
            self.before_write()
        budget.spend(self.clock.now())
        started = asyncio.get_running_loop().time()
        status, headers, body = await self._exchange(call, started)
        try:
            return _judged(call, status, headers, body)
        except Busy as busy:
            if status == 429 and busy.retry_after is not None and not call.lever:
                budget.pause(self.clock.now(), busy.retry_after)
            raise

    async def _exchange(self, call: Call, started: float) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body; raises Busy where the request never left, Silent where no answer came."""
        seconds = self._seconds[call.lever]
        status = 0
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.send(self._request(call, seconds), stream=True)
                try:
                    status, body = response.status_code, await self._body(call, response)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Busy(f"{call}: could not connect to {self.api_url} ({type(error).__name__})") from None
        except (TimeoutError, httpx.TimeoutException):
            raise Silent(f"{call}: no answer within {seconds:g} s") from None
        except httpx.UnsupportedProtocol:
            raise Refused(f"{call}: {self.api_url!r} is no http(s) URL") from None
        except httpx.HTTPError as error:
            raise Silent(
                f"{call}: the connection broke before the answer was complete ({type(error).__name__})"
            ) from None
        finally:
            self._observe(call, status, asyncio.get_running_loop().time() - started)
        self._set_clock(response.headers, asyncio.get_running_loop().time() - started)
        return status, response.headers, body

    async def _body(self, call: Call, response: httpx.Response) -> bytes:
        body = await bodies.read(response, self._body_bytes)
        if len(body) > self._body_bytes:
            raise Silent(f"{call}: the answer is larger than {self._body_bytes} bytes", status=response.status_code)
        return body

    def _request(self, call: Call, seconds: float) -> httpx.Request:
        token = self._lever_token if call.lever and self._lever_token is not None else self._token
        headers = {"Authorization": f"Bearer {token.get_secret_value()}", "Accept-Encoding": bodies.ACCEPTED}
        if call.content_type is not None:
            headers["Content-Type"] = call.content_type
        return self._http.build_request(
            call.method,
            _url(self.api_url + call.path, tuple(call.params.items())),
            headers=headers,
            json=call.json,
            content=call.content,
            files=call.files,
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
        )

    def _budget(self, family: Family, *, lever: bool) -> Budget:
        limit = self._budgets.limit(family)
        if lever and self._lever_token is not None:
            return self._ledger.budget(self._lever_token, family, limit, 0.0)
        return self._ledger.budget(self._token, family, limit, self._budgets.reserve)

    def _observe(self, call: Call, status: int, seconds: float) -> None:
        if self._on_request is not None:
            self._on_request(call.family, call.method, status, seconds)

    def _set_clock(self, headers: httpx.Headers, round_trip: float) -> None:
        date = _http_date(headers.get("Date", ""))
        if date is not None:
            self.clock.observe(date.timestamp(), round_trip * self.clock.speed)


@lru_cache(4096)
def _url(address: str, params: tuple[tuple[str, str | int], ...]) -> httpx.URL:
    """Parsed once: a daemon asks for the same few addresses all its life."""
    return httpx.URL(address, params=params) if params else httpx.URL(address)


def account_path(account: str, *parts: str) -> str:
    """`/accounts/{account}/…`, each part percent-encoded as one segment."""
    return "/accounts/" + "/".join(quote(part, safe="") for part in (account, *parts))


def shaped(shape: type[S], result: object, call: Call) -> S:
    """`result` as a `shape`. Raises Silent, which names the place, where it is none."""
    try:
        return shape.model_validate(result)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise Silent(f"{call}: the answer is not shaped as expected at {where or 'its root'}") from None


def _secret(token: SecretStr | str) -> SecretStr:
    return token if isinstance(token, SecretStr) else SecretStr(token)


def _judged(call: Call, status: int, headers: httpx.Headers, body: bytes) -> Answer:
    """The answer, if it is a 2xx; else the error that it means."""
    if 200 <= status < 300:
        if headers.get("content-type", "").casefold().startswith("text/html"):
            raise Silent(f"{call}: answered {status} with a web page: {excerpt(body)}", status=status)
        return Answer(status, headers, body)
    reason = _reason(status, headers, body)
    code = _code(body)
    if status in UNANSWERED_GATEWAY and not call.safe:
        raise Silent(f"{call}: {reason}", status=status, code=code)
    if status in (408, 429) or status >= 500:
        raise Busy(f"{call}: {reason}", status=status, code=code, retry_after=_retry_after(headers))
    if 300 <= status < 400:
        raise Refused(f"{call}: answered a redirect ({status}); is the API's address right?", status=status)
    raise Refused(f"{call}: {reason}{_permission(call, status)}", status=status, code=code)


def _refused(call: Call, status: int, envelope: Envelope) -> Refused:
    reason = brief("; ".join(map(str, envelope.errors))) or "success is false, no reason given"
    return Refused(f"{call}: {reason}", status=status, code=envelope.errors[0].code if envelope.errors else None)


def _envelope(body: bytes) -> Envelope | None:
    try:
        return Envelope.model_validate_json(body)
    except ValidationError:
        return None


def _reason(status: int, headers: httpx.Headers, body: bytes) -> str:
    envelope = _envelope(body)
    if envelope is not None and envelope.errors:
        said = brief("; ".join(map(str, envelope.errors)))
    else:
        said = _graphql_message(body) or excerpt(body) or "no reason given"
    ray = f" [cf-ray {brief(headers['cf-ray'])}]" if "cf-ray" in headers else ""
    return f"answered {status}: {said}{ray}"


def _graphql_message(body: bytes) -> str | None:
    try:
        errors = bodies.as_json(body)["errors"]
        return brief("; ".join(str(e["message"]) for e in errors))
    except (ValueError, KeyError, TypeError):
        return None


def _code(body: bytes) -> int | None:
    envelope = _envelope(body)
    return envelope.errors[0].code if envelope is not None and envelope.errors else None


def _permission(call: Call, status: int) -> str:
    if status not in (401, 403):
        return ""
    needed = f" needs the permission {call.permission!r}," if call.permission else ""
    return f"; the token{needed} must be active and belong to this account"


def _pause(failure: CallFailed, number: int) -> float | None:
    """Seconds before the next try; None where the wait asked for is too long, or the request was never sent."""
    asked = failure.retry_after if isinstance(failure, Busy) else None
    if asked is None:
        return 0.5 * 3.0 ** (number - 1)
    return asked if asked <= PATIENCE_SECONDS else None


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds to wait: `Retry-After` is a number of seconds or an HTTP date, taken against the answer's own `Date`."""
    text = str(headers.get("Retry-After", "")).strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until, now = _http_date(text), _http_date(headers.get("Date", ""))
        return max(0.0, until.timestamp() - now.timestamp()) if until and now else None
    return seconds if 0 <= seconds < float("inf") else None


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
