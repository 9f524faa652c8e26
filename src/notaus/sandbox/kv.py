"""Workers KV: what the REST API stores, and what the edge sees of it some seconds later."""

from __future__ import annotations

import json
import random
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from .account import page_info
from .journal import Journal
from .wire import Answer, Call, Refused, envelope, failure

KEY_BYTES: Final = 512
VALUE_BYTES: Final = 25 * 1024 * 1024
METADATA_BYTES: Final = 1_024
MINIMUM_TTL_SECONDS: Final = 60
HISTORY_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value; ``expires`` in seconds since the epoch."""

    value: bytes
    metadata: Any = None
    expires: int | None = None

    def gone(self, at: float) -> bool:
        return self.expires is not None and self.expires <= at


@dataclass(frozen=True, slots=True)
class EdgeChange:
    """From ``visible`` on the edge answers with ``entry`` (None: the key is absent)."""

    visible: float
    entry: Entry | None


@dataclass(slots=True)
class Namespace:
    id: str
    title: str
    entries: dict[str, Entry] = field(default_factory=dict)
    changes: dict[str, list[EdgeChange]] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)

    def get(self, key: str, at: float) -> Entry | None:
        """The API's view."""
        entry = self.entries.get(key)
        return None if entry is None or entry.gone(at) else entry

    def edge_get(self, key: str, at: float) -> Entry | None:
        """The edge's view: the last change that has arrived."""
        seen = [change.entry for change in self.changes.get(key, ()) if change.visible <= at]
        return seen[-1] if seen and seen[-1] is not None and not seen[-1].gone(at) else None

    def put(self, key: str, entry: Entry | None, at: float, visible: float) -> None:
        if entry is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = entry
        self.written[key] = at
        changes = self.changes.setdefault(key, [])
        changes.append(EdgeChange(visible, entry))
        del changes[:-HISTORY_KEPT]


@dataclass(slots=True)
class Kv:
    """The namespaces of the account. ``lag`` is the range of seconds after which a write reaches the edge."""

    now: Callable[[], float]
    journal: Journal
    rng: random.Random
    lag: tuple[float, float] = (5.0, 30.0)
    namespaces: dict[str, Namespace] = field(default_factory=dict)

    def create(self, id: str, title: str) -> Namespace:
        return self.namespaces.setdefault(id, Namespace(id, title))

    def write(
        self,
        namespace: str,
        key: str,
        value: bytes | str | dict[str, Any],
        by: str = "human",
        *,
        metadata: Any = None,
        expires: int | None = None,
        lag: float | None = None,
    ) -> None:
        """Store a value (a dict as JSON) and let the edge see it after ``lag`` seconds (default: drawn from `lag`)."""
        stored = (
            value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
        )
        self._change(namespace, key, Entry(stored, metadata, expires), by, lag)

    def delete(self, namespace: str, key: str, by: str = "human", *, lag: float | None = None) -> None:
        self._change(namespace, key, None, by, lag)

    def read(self, namespace: str, key: str) -> bytes | None:
        """The API's view of a value."""
        entry = self.namespaces[namespace].get(key, self.now())
        return None if entry is None else entry.value

    def edge(self, namespace: str, key: str) -> bytes | None:
        """The edge's view of a value."""
        entry = self.namespaces[namespace].edge_get(key, self.now())
        return None if entry is None else entry.value

    def _change(self, namespace: str, key: str, entry: Entry | None, by: str, lag: float | None) -> None:
        at = self.now()
        delay = self.rng.uniform(*self.lag) if lag is None else lag
        self.namespaces[namespace].put(key, entry, at, at + delay)
        value = None if entry is None else _decoded(entry.value)
        self.journal.wrote(at, by, "kv", {"namespace": namespace, "key": key, "value": value})


def _decoded(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class KvRoutes:
    """``/accounts/{account}/storage/kv/namespaces/…``."""

    kv: Kv

    def _namespace(self, call: Call, verb: str) -> Namespace:
        namespace = self.kv.namespaces.get(call.params["namespace"])
        if namespace is None:
            raise Refused(404, 10013, f"{verb}: 'namespace not found'")
        return namespace

    def get_value(self, call: Call) -> Answer:
        entry = self._namespace(call, "get").get(call.params["key"], call.at)
        if entry is None:
            raise Refused(404, 10009, "get: 'key not found'")
        expiration = () if entry.expires is None else (("expiration", str(entry.expires)),)
        return Answer(200, entry.value, (("Content-Type", "application/octet-stream"), *expiration))

    def get_metadata(self, call: Call) -> Answer:
        entry = self._namespace(call, "get").get(call.params["key"], call.at)
        if entry is None:
            raise Refused(404, 10009, "get: 'key not found'")
        return envelope(entry.metadata)

    def put_value(self, call: Call) -> Answer:
        namespace, key = self._namespace(call, "put"), call.params["key"]
        value, metadata = _value_and_metadata(call)
        _check_sizes(key, value, metadata)
        expires = _expiry(call.query, call.at)
        last = namespace.written.get(key)
        if last is not None and 0 <= call.at - last < 1:
            answer = failure(Refused(429, 10429, "put: 'too many writes to the same key: at most one a second'"))
            return answer.with_headers(("Retry-After", "1"))
        self.kv.write(namespace.id, key, value, by="api", metadata=metadata, expires=expires)
        return envelope({})

    def delete_value(self, call: Call) -> Answer:
        namespace = self._namespace(call, "remove")
        self.kv.delete(namespace.id, call.params["key"], by="api")
        return envelope({})

    def list_keys(self, call: Call) -> Answer:
        namespace, query = self._namespace(call, "list keys"), call.query
        limit = _int(query.get("limit") or "1000", "limit", 10, 1_000)
        prefix, cursor = query.get("prefix", ""), query.get("cursor", "")
        names = sorted(
            k for k in namespace.entries if k.startswith(prefix) and namespace.get(k, call.at) and k > cursor
        )
        page = names[:limit]
        result = [_listed(name, namespace.entries[name]) for name in page]
        return envelope(result, info={"count": len(page), "cursor": page[-1] if len(names) > limit else ""})

    def bulk_put(self, call: Call) -> Answer:
        namespace, pairs = self._namespace(call, "bulk put"), call.json()
        if not isinstance(pairs, list) or not all(isinstance(p, dict) and "key" in p and "value" in p for p in pairs):
            raise Refused(400, 10012, "could not parse request body: expected an array of {key, value}")
        if not pairs:
            raise Refused(400, 10029, "must provide at least one key")
        for pair in pairs:
            value = b64decode(pair["value"]) if pair.get("base64") else str(pair["value"]).encode()
            _check_sizes(str(pair["key"]), value, pair.get("metadata"))
            given = {name: str(pair[name]) for name in ("expiration", "expiration_ttl") if pair.get(name) is not None}
            expires = _expiry(given, call.at)
            self.kv.write(
                namespace.id, str(pair["key"]), value, by="api", metadata=pair.get("metadata"), expires=expires
            )
        return envelope({"successful_key_count": len(pairs), "unsuccessful_keys": []})

    def bulk_get(self, call: Call) -> Answer:
        namespace, body = self._namespace(call, "bulk get"), call.json()
        keys = body.get("keys") if isinstance(body, dict) else None
        if not isinstance(keys, list) or not 1 <= len(keys) <= 100:
            raise Refused(400, 10012, "could not parse request body: expected {keys: [1 to 100 names]}")
        values = {str(key): _bulk_value(namespace.get(str(key), call.at), body) for key in keys}
        return envelope({"values": values})

    def bulk_delete(self, call: Call) -> Answer:
        namespace, keys = self._namespace(call, "bulk delete"), call.json()
        if not isinstance(keys, list):
            raise Refused(400, 10012, "could not parse request body: expected an array of key names")
        for key in keys:
            self.kv.delete(namespace.id, str(key), by="api")
        return envelope({"successful_key_count": len(keys), "unsuccessful_keys": []})

    def list_namespaces(self, call: Call) -> Answer:
        page = _int(call.query.get("page") or "1", "page", 1, 10_000)
        per_page = _int(call.query.get("per_page") or "20", "per_page", 1, 1_000)
        ordered = [self.kv.namespaces[id] for id in sorted(self.kv.namespaces)]
        shown = ordered[(page - 1) * per_page : page * per_page]
        return envelope([_described(n) for n in shown], info=page_info(page, per_page, len(shown), len(ordered)))

    def create_namespace(self, call: Call) -> Answer:
        body = call.json()
        title = body.get("title") if isinstance(body, dict) else None
        if not isinstance(title, str) or not title:
            raise Refused(400, 10012, "could not parse request body: expected {title}")
        if any(namespace.title == title for namespace in self.kv.namespaces.values()):
            raise Refused(400, 10014, "create namespace: 'a namespace with this account ID and title already exists'")
        return envelope(_described(self.kv.create(f"{self.kv.rng.getrandbits(128):032x}", title)))

    def get_namespace(self, call: Call) -> Answer:
        return envelope(_described(self._namespace(call, "get namespace")))

    def rename_namespace(self, call: Call) -> Answer:
        namespace, body = self._namespace(call, "rename namespace"), call.json()
        namespace.title = str(body.get("title", namespace.title))
        return envelope(_described(namespace))

    def delete_namespace(self, call: Call) -> Answer:
        del self.kv.namespaces[self._namespace(call, "remove namespace").id]
        return envelope({})


def _described(namespace: Namespace) -> dict[str, Any]:
    return {"id": namespace.id, "title": namespace.title, "supports_url_encoding": True}


def _listed(name: str, entry: Entry) -> dict[str, Any]:
    listed: dict[str, Any] = {"name": name}
    if entry.expires is not None:
        listed["expiration"] = entry.expires
    if entry.metadata is not None:
        listed["metadata"] = entry.metadata
    return listed


def _bulk_value(entry: Entry | None, body: dict[str, Any]) -> Any:
    if entry is None:
        return None
    value = _decoded(entry.value) if body.get("type") == "json" else entry.value.decode("utf-8", "replace")
    return {"value": value, "metadata": entry.metadata} if body.get("withMetadata") else value


def _check_sizes(key: str, value: bytes, metadata: Any) -> None:
    if len(key.encode()) > KEY_BYTES:
        raise Refused(414, 10030, f"put: 'key is longer than {KEY_BYTES} bytes'")
    if len(value) > VALUE_BYTES:
        raise Refused(413, 10031, "put: 'value is larger than 25 MiB'")
    if metadata is not None and len(json.dumps(metadata)) > METADATA_BYTES:
        raise Refused(413, 10032, f"put: 'metadata is larger than {METADATA_BYTES} bytes'")


def _expiry(query: dict[str, str], at: float) -> int | None:
    """When the key expires; a ttl beats an absolute time, both at least 60 seconds ahead."""
    if "expiration_ttl" in query:
        ttl = _int(query["expiration_ttl"], "expiration_ttl", MINIMUM_TTL_SECONDS, 2**40)
        return int(at) + ttl
    if "expiration" in query:
        return _int(query["expiration"], "expiration", int(at) + MINIMUM_TTL_SECONDS, 2**40)
    return None


def _int(text: str, name: str, least: int, most: int) -> int:
    if not text.lstrip("-").isdigit() or not least <= int(text) <= most:
        raise Refused(400, 10034, f"invalid {name} of {text}: must be a number from {least} to {most}")
    return int(text)


def _value_and_metadata(call: Call) -> tuple[bytes, Any]:
    """A raw body, or the parts ``value`` and ``metadata`` of a form (with or without file name and type)."""
    kind = call.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return call.body, None
    _, _, boundary = kind.partition("boundary=")
    parts = form_parts(call.body, boundary.split(";")[0].strip('" '))
    if "value" not in parts:
        raise Refused(400, 10012, "put: 'the form has no part named value'")
    metadata = parts.get("metadata", b"")
    try:
        return parts["value"], json.loads(metadata) if metadata.strip() else None
    except ValueError:
        raise Refused(400, 10012, "put: 'metadata is not JSON'") from None


def form_parts(body: bytes, boundary: str) -> dict[str, bytes]:
    """The parts of a ``multipart/form-data`` body by name, byte for byte."""
    parts: dict[str, bytes] = {}
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        head, separator, content = piece.partition(b"\r\n\r\n")
        named = re.search(rb'[;\s]name="?([^";\r\n]+)', head)
        if separator and named:
            parts[named[1].decode()] = content
    return parts
