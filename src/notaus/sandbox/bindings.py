"""What a real ``workerd`` asks of the servers behind its KV, R2 and Analytics Engine bindings, answered from this sandbox.

Its KV calls carry the header ``CF-KV-FLPROD-405`` and see the edge's view; a point is a POST to ``/`` whose strings are
arrays of bytes and whose ``timestamp`` is nanoseconds as text. The dataset is the name of the capnp service. An R2 call is
a JSON request, in a header or ahead of the object. `notaus.sandbox.workerd` adds headers that name namespace and bucket.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .kv import Kv
from .rows import Rows
from .wire import Answer, Call, Refused, failure, json_answer

KV_HEADER: Final = "cf-kv-flprod-405"
R2_REQUEST_HEADER: Final = "cf-r2-request"
R2_SIZE_HEADER: Final = "cf-r2-metadata-size"
NAMESPACE_HEADER: Final = "x-sandbox-namespace"
BUCKET_HEADER: Final = "x-sandbox-bucket"
NANOSECONDS: Final = 10**9
CLOCKS_APART_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Bindings:
    """Serves KV namespaces, R2 buckets and any Analytics Engine dataset to workerd."""

    kv: Kv
    rows: Rows
    namespace: str
    objects: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    """R2: bytes and description, by bucket and key."""
    buckets: set[str] = field(default_factory=lambda: {"piximmo-media", "logs-canary"})
    """Those that exist; a binding makes its own with its first object."""

    def wanted(self, call: Call) -> bool:
        """Whether a call comes from a binding."""
        return KV_HEADER in call.headers or _of_r2(call) or (call.method == "POST" and not call.segments)

    def answer(self, call: Call) -> Answer:
        if _of_r2(call):
            return self._r2(call)
        return self._kv(call) if KV_HEADER in call.headers else self._point(call)

    # -- KV

    def _kv(self, call: Call) -> Answer:
        namespace, key = call.headers.get(NAMESPACE_HEADER, self.namespace), call.path[1:]
        if namespace not in self.kv.namespaces:
            return Answer(404)
        match call.method:
            case "GET":
                return self._read(namespace, key, call.at) if key else self._list(namespace, call)
            case "PUT":
                metadata = call.headers.get("cf-kv-metadata")
                self.kv.write(namespace, key, call.body, by="api", metadata=json.loads(metadata) if metadata else None)
                return Answer(200)
            case "DELETE":
                self.kv.delete(namespace, key, by="api")
                return Answer(200)
        return Answer(405)

    def _read(self, namespace: str, key: str, at: float) -> Answer:
        entry = self.kv.namespaces[namespace].edge_get(key, at)
        if entry is None:
            return Answer(404)
        metadata = () if entry.metadata is None else (("CF-KV-Metadata", json.dumps(entry.metadata)),)
        return Answer(200, entry.value, metadata)

    def _list(self, namespace: str, call: Call) -> Answer:
        entries = self.kv.namespaces[namespace].entries
        names = sorted(name for name in entries if name.startswith(call.query.get("prefix", "")))
        return json_answer({"keys": [{"name": name} for name in names], "list_complete": True})

    # -- Analytics Engine

    def _point(self, call: Call) -> Answer:
        try:
            point = call.json()
            dataset, at = _text(point["dataset"]), int(point["timestamp"]) / NANOSECONDS
            blobs = [_text(point.get(f"blob{n}")) for n in range(1, 21)]
            doubles = [float(point.get(f"double{n}") or 0) for n in range(1, 21)]
            index = _text(point.get("index1"))
        except (KeyError, TypeError, ValueError, Refused):
            return failure(Refused(400, 10012, "could not parse the data point"))
        # A worker elsewhere may run on another clock than a sped-up sandbox: the point belongs to the sandbox's now.
        near = abs(at - call.at) < CLOCKS_APART_SECONDS
        self.rows.write_point(dataset, min(at, call.at) if near else call.at, blobs, doubles, index)
        return Answer(200)

    # -- R2

    def _r2(self, call: Call) -> Answer:
        try:
            size = int(call.headers.get(R2_SIZE_HEADER, 0))
            request = json.loads(call.body[:size] if size else call.headers[R2_REQUEST_HEADER])
            method, key = str(request["method"]), str(request["object"])
        except (KeyError, TypeError, ValueError):
            return _r2_failure(400, 10001, "could not parse the R2 request")
        bucket = call.headers.get(BUCKET_HEADER, "")
        match method:
            case "put":
                return _described(self.store(bucket, key, call.body[size:], call.at, request))
            case "get" | "head":
                return self._get(bucket, key, whole=method == "get")
            case "delete":
                self.objects.pop((bucket, key), None)
                return Answer(200)
        return _r2_failure(501, 10050, f"the sandbox's buckets do not know {method}")

    def store(
        self, bucket: str, key: str, content: bytes, at: float, request: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Keep an object, as an operation of its bucket; its description."""
        request = request or {}
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        described = {
            "name": key, "version": hashlib.sha256(f"{key} {at}".encode()).hexdigest()[:32], "size": len(content),
            "etag": etag, "uploaded": int(at * 1000), "httpFields": request.get("httpFields") or {},
            "customFields": request.get("customFields") or [], "checksums": {"0": etag}, "storageClass": "Standard",
        }  # fmt: skip
        self.buckets.add(bucket)
        self.objects[bucket, key] = content, described
        self.rows.write("r2OperationsAdaptiveGroups", at, bucketName=bucket, actionType="PutObject", objectName=key)
        return described

    def _get(self, bucket: str, key: str, *, whole: bool) -> Answer:
        found = self.objects.get((bucket, key))
        if found is None:
            return _r2_failure(404, 10007, "The specified key does not exist.")
        return _described(found[1], found[0] if whole else b"")


def _of_r2(call: Call) -> bool:
    return R2_REQUEST_HEADER in call.headers or R2_SIZE_HEADER in call.headers


def _described(described: dict[str, Any], content: bytes = b"") -> Answer:
    head = json.dumps(described).encode()
    return Answer(200, head + content, (("CF-R2-Metadata-Size", str(len(head))),))


def _r2_failure(status: int, code: int, message: str) -> Answer:
    return Answer(status, b"", (("CF-R2-Error", json.dumps({"version": 1, "v4code": code, "message": message})),))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return bytes(value).decode("utf-8", "replace") if isinstance(value, list) else str(value)
