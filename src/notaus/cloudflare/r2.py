"""R2 over its S3 API: the newest objects of a bucket, and a test write. Signed as AWS Signature Version 4 has it.

The keys are the API token's own: its id, and the SHA-256 of its value. The signature is a page of hashing for which
the known libraries bring a client of their own; here the requests go out through ours, with its bounds.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote

import httpx

from notaus import log
from notaus.cloudflare import tokens
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge, EdgeAnswer
from notaus.cloudflare.tokens import Probe
from notaus.errors import ReadFailed

LIVE = "api.cloudflare.com"
READ, WRITE = "Workers R2 Storage Read", "Workers R2 Storage Write"
SECONDS = 10.0
TEST = b"test\n"
"""What a test write writes."""
MAX_PAGES = 10
"""Of a thousand keys each: the listing is in the order of keys, so that the newest may stand anywhere."""
UNLISTED = (
    f"of more than {MAX_PAGES * 1000} keys only the first, by name, are looked at, and newer objects may be missing: "
    "name a longer `prefix`, with `{date}` where the keys have the day"
)
MOST_BYTES = 8 * 1024 * 1024
"""Of all objects together."""
DENIED = ("AccessDenied", "Unauthorized")


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key; the secret is never shown."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Keys({self.id!r})"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of a listing."""

    key: str
    at: str
    """ISO 8601, UTC."""
    size: int


class R2:
    """The buckets of the accounts that a token may see."""

    def __init__(self, client: Client, edge: Edge) -> None:
        self._client, self._edge = client, edge
        self._keys: Keys | None = None

    async def newest(self, account: str, bucket: str, prefixes: Iterable[str], most: int) -> tuple[bytes, str | None]:
        """The newest objects as a tar file, and what it lacks of all `most`, if anything. Raises ReadFailed, CallFailed."""
        listings = [await self.listed(account, bucket, prefix) for prefix in prefixes]
        lacks = None if all(whole for _, whole in listings) else UNLISTED
        every = (each for listing, _ in listings for each in listing)
        found = sorted(every, key=lambda each: each.at, reverse=True)[:most]
        out, room = io.BytesIO(), MOST_BYTES
        with tarfile.open(fileobj=out, mode="w") as tar:
            for each in found:
                if each.size > room:
                    lacks = lacks or f"what is beyond {MOST_BYTES} bytes is left out"
                    continue
                body = (await self._ask(account, "GET", f"{bucket}/{each.key}")).body
                entry = tarfile.TarInfo(each.key)
                entry.size, entry.mtime = len(body), int(datetime.fromisoformat(each.at).timestamp())
                tar.addfile(entry, io.BytesIO(body))
                room -= len(body)
        return out.getvalue(), lacks

    async def try_write(self, account: str, bucket: str, key: str) -> Mapping[str, float]:
        """Put an object and delete it again: the seconds that each took. Raises ReadFailed, CallFailed.

        An object of that name that is not a test's own (one may be left by a crash) is not written over. Raises
        what the client's `before_write` raises where another replica acts by now.
        """
        found, _ = await self.page(account, bucket, key)  # the name itself is the first that begins with it
        if any(each.key == key for each in found) and (await self._ask(account, "GET", f"{bucket}/{key}")).body != TEST:
            raise ReadFailed(f"R2: {bucket}/{key} is somebody's object, and was not written over: name another `key`")
        self._client.before_write()
        put = await self._ask(account, "PUT", f"{bucket}/{key}", body=TEST)
        deleted = await self._ask(account, "DELETE", f"{bucket}/{key}")
        return {"put": round(put.seconds, 3), "delete": round(deleted.seconds, 3)}

    async def listed(self, account: str, bucket: str, prefix: str) -> tuple[list[Listed], bool]:
        """The objects in the order of their keys, and whether these are all. Raises ReadFailed, CallFailed."""
        found: list[Listed] = []
        after = ""
        for _ in range(MAX_PAGES):
            page, after = await self.page(account, bucket, prefix, after)
            found += page
            if not after:
                return found, True
        return found, False

    async def page(self, account: str, bucket: str, prefix: str, after: str = "") -> tuple[list[Listed], str]:
        """A page of the listing, and what the next one is asked for with; empty where there is none."""
        query = {"list-type": "2", "prefix": prefix, **({"continuation-token": after} if after else {})}
        text = (await self._ask(account, "GET", bucket, query)).body.decode(errors="replace")
        found = [
            Listed(_text(each, "Key"), _text(each, "LastModified"), int(_text(each, "Size")))
            for each in re.findall(r"<Contents>(.*?)</Contents>", text, re.DOTALL)
        ]
        return found, _text(text, "NextContinuationToken")

    def _base(self, account: str) -> str:
        """Where the API is somebody else's (a sandbox), so are the buckets, beside it: never those of the real account."""
        api = self._client.api_url
        live = httpx.URL(api).host == LIVE
        return f"https://{account}.r2.cloudflarestorage.com" if live else f"{api.removesuffix('/client/v4')}/r2"

    async def _ask(
        self, account: str, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> EdgeAnswer:
        if self._keys is None:
            token = await tokens.verify(self._client, account)
            self._keys = Keys(token.id, self._client.token_hash)
            log.redact(self._keys.secret)
        url = httpx.URL(f"{self._base(account)}/{quote(path)}{_query(query or {})}")
        headers = signed(method, url, body, self._keys, int(self._client.clock.now()))
        answer = await self._edge.send(method, url, headers, body, within=SECONDS, most=MOST_BYTES)
        if not 200 <= answer.status < 300:
            said = _text(answer.body.decode(errors="replace"), "Code")
            lacks = f"; the token needs the permission {READ if method == 'GET' else WRITE!r}" if said in DENIED else ""
            raise ReadFailed(f"R2: {method} {path}: {answer.status} {said}".rstrip() + lacks)
        return answer


async def probe(client: Client, edge: Edge, account: str, bucket: str) -> Probe:
    """Reading only: a page of the listing."""
    return await tokens.probed(READ, R2(client, edge).page(account, bucket, ""))


def signed(
    method: str, url: httpx.URL, body: bytes, keys: Keys, at: int, more: Mapping[str, str] | None = None,
    region: str = "auto",
) -> dict[str, str]:  # fmt: skip
    """The headers of a signed request at `at`, epoch seconds; `more` are signed, too."""
    time = f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}"
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": url.netloc.decode(), "x-amz-content-sha256": digest, "x-amz-date": time, **(more or {})}
    names = sorted(headers)
    path, _, query = url.raw_path.decode().partition("?")
    canonical = "\n".join(
        (method, path, "&".join(sorted(query.split("&"))), *(f"{n}:{headers[n]}" for n in names), "", ";".join(names), digest)
    )  # fmt: skip
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + keys.secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={keys.id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}


def _query(query: Mapping[str, str]) -> str:
    pairs = (f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    return f"?{'&'.join(pairs)}" if query else ""


def _text(xml: str, name: str) -> str:
    """The text of the first element of that name; these answers neither nest nor repeat the ones asked for."""
    match = re.search(rf"<{name}>(.*?)</{name}>", xml, re.DOTALL)
    return unescape(match[1]) if match else ""
