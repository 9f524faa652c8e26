"""R2's S3 API: CreateBucket, ListObjectsV2, GetObject, PutObject and DeleteObject, for who has signed with a token's keys."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from .account import Account, Token
from .bindings import Bindings
from .wire import Answer, Call, iso_seconds

HOST: Final = ".r2.cloudflarestorage.com"
PAGE: Final = 1_000
CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/auto/s3/aws4_request), ?SignedHeaders=([\w;-]+), ?Signature=(\w{64})"
)


@dataclass(slots=True)
class S3:
    """Serves the buckets that workerd's bindings write to as well."""

    account: Account
    bindings: Bindings

    def answer(self, call: Call) -> Answer:
        token = self._signer(call)
        if token is None:
            return _failure(403, "SignatureDoesNotMatch")
        needed = "r2.read" if call.method == "GET" else "r2.write"
        if not {needed, "r2.write"} & token.permissions:
            return _failure(403, "AccessDenied")
        bucket, key = call.params["bucket"], call.params.get("rest", "")
        if call.method == "PUT" and not key:
            self.bindings.buckets.add(bucket)
            return Answer(200)
        if bucket not in self.bindings.buckets:
            return _failure(404, "NoSuchBucket")
        objects = self.bindings.objects
        match call.method:
            case "GET" if not key:
                return self._listed(bucket, call)
            case "GET":
                found = objects.get((bucket, key))
                return Answer(200, found[0]) if found else _failure(404, "NoSuchKey")
            case "PUT":
                self.bindings.store(bucket, key, call.body, call.at)
                return Answer(200)
            case _:
                objects.pop((bucket, key), None)
                return Answer(204)

    def _listed(self, bucket: str, call: Call) -> Answer:
        prefix, after = call.query.get("prefix", ""), call.query.get("continuation-token", "")
        keys = sorted(k for b, k in self.bindings.objects if b == bucket and k.startswith(prefix) and k > after)
        listed = "".join(self._contents(bucket, key) for key in keys[:PAGE])
        more = f"<NextContinuationToken>{escape(keys[PAGE - 1])}</NextContinuationToken>" if len(keys) > PAGE else ""
        return Answer(200, f"<ListBucketResult>{more}{listed}</ListBucketResult>".encode())

    def _contents(self, bucket: str, key: str) -> str:
        content, described = self.bindings.objects[bucket, key]
        at = iso_seconds(described["uploaded"] / 1000)
        return (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{at}</LastModified><Size>{len(content)}</Size></Contents>"
        )

    def _signer(self, call: Call) -> Token | None:
        """The token whose keys made the signature."""
        found = CREDENTIAL.fullmatch(call.headers.get("authorization", ""))
        token = next((t for t in self.account.tokens.values() if found and t.id == found[1]), None)
        if found is None or token is None or call.headers.get("x-amz-content-sha256") != _sha(call.body):
            return None
        segments = call.segments[1:] if call.host.endswith(HOST) else call.segments
        names = found[3].split(";")
        headers = [f"{name}:{call.headers.get(name, '').strip()}" for name in names]
        query = "&".join(sorted(call.query_string.split("&")))
        path = "/" + "/".join(quote(segment, safe="-_.~") for segment in segments)
        canonical = "\n".join((call.method, path, query, *headers, "", found[3], _sha(call.body)))
        text = "\n".join(("AWS4-HMAC-SHA256", call.headers.get("x-amz-date", ""), found[2], _sha(canonical.encode())))
        key = f"AWS4{_sha(token.value.encode())}".encode()
        for part in found[2].split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return token if hmac.compare_digest(right, found[4]) else None


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _failure(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())
