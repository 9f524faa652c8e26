"""What a real ``workerd`` asks of the servers behind its KV, R2 and Analytics Engine bindings, answered from this sandbox.

Its KV calls carry the header ``CF-KV-FLPROD-405`` and see the edge's view; a point is a POST to ``/`` whose strings are
arrays of bytes and whose ``timestamp`` is nanoseconds as text. The dataset is the name of the capnp service. An R2 call
is a JSON request, in a header or before the object's bytes. `notaus.sandbox.workerd` names namespace and bucket in headers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from .kv import Kv
from .rows import Rows
from .wire import Answer, Call, Refused, failure, json_answer

KV_HEADER: Final = "cf-kv-flprod-405"
NAMESPACE_HEADER: Final = "x-sandbox-namespace"
BUCKET_HEADER: Final = "x-sandbox-bucket"
NANOSECONDS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Bindings:
    """Serves one KV namespace and any Analytics Engine dataset to workerd."""

    kv: Kv
    rows: Rows
    namespace: str

    def wanted(self, call: Call) -> bool:
        """Whether a call comes from a binding."""
        return KV_HEADER in call.headers or (call.method == "POST" and not call.segments)

    def answer(self, call: Call) -> Answer:
        if KV_HEADER not in call.headers:
            return self._point(call)
        key = call.path[1:]
        match call.method:
            case "GET":
                return self._read(key, call.at) if key else self._list(call)
            case "PUT":
                metadata = call.headers.get("cf-kv-metadata")
                self.kv.write(
                    self.namespace, key, call.body, by="api", metadata=json.loads(metadata) if metadata else None
                )
                return Answer(200)
            case "DELETE":
                self.kv.delete(self.namespace, key, by="api")
                return Answer(200)
        return Answer(405)

    def _read(self, key: str, at: float) -> Answer:
        entry = self.kv.namespaces[self.namespace].edge_get(key, at)
        if entry is None:
            return Answer(404)
        metadata = () if entry.metadata is None else (("CF-KV-Metadata", json.dumps(entry.metadata)),)
        return Answer(200, entry.value, metadata)

    def _list(self, call: Call) -> Answer:
        entries = self.kv.namespaces[self.namespace].entries
        names = sorted(name for name in entries if name.startswith(call.query.get("prefix", "")))
        return json_answer({"keys": [{"name": name} for name in names], "list_complete": True})

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
        self.rows.write_point(dataset, min(at, call.at) if abs(at - call.at) < 60 else call.at, blobs, doubles, index)
        return Answer(200)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return bytes(value).decode("utf-8", "replace") if isinstance(value, list) else str(value)
