"""The admin API of the sandbox: faults, a second pair of hands, the behaviour of the services, and a look at it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from .account import PERMISSIONS
from .actions import CONCLUSIONS
from .deployments import BLOCKS, Behaviour, Worker, deployment_json
from .router import Route
from .rows import GRAPHQL_COLUMNS, POINTS, Revision
from .wire import Answer, Call, Refused, json_answer

if TYPE_CHECKING:
    from .box import Sandbox

BEHAVIOUR = {field.name for field in fields(Behaviour)}


class Wrong(Exception):
    """A request that makes no sense here; the message says what would."""


@dataclass(frozen=True, slots=True)
class AdminRoutes:
    """``/admin/…``. Every body is a JSON object; a bad one gets a 400 ``{"error": …}``."""

    box: Sandbox

    def routes(self) -> Iterator[Route]:
        """The routes of the admin API."""
        posts: dict[str, Callable[[dict[str, Any]], Any]] = {
            "faults": self.add_fault,
            "kv": self.write_kv,
            "deploy": self.deploy,
            "traffic": self.set_traffic,
            "r2": self.set_r2,
            "ingestion": self.set_ingestion,
            "clock": self.set_clock,
            "token": self.add_token,
            "workflows": self.set_workflows,
        }
        for name, handler in posts.items():
            yield Route("POST", f"admin/{name}", _of_body(handler), "admin")
        yield Route("DELETE", "admin/faults", self.clear_faults, "admin")
        yield Route("GET", "admin/faults", lambda call: json_answer(self.box.faults.as_json()), "admin")
        yield Route("GET", "admin/requests", self.requests, "admin")
        yield Route("GET", "admin/state", lambda call: json_answer(self.state()), "admin")

    def add_fault(self, body: dict[str, Any]) -> Any:
        """``{target, with: [kinds], for: seconds, at: epoch seconds}``: see `Faults.add`."""
        _only(body, "target", "with", "kind", "for", "duration", "at")
        kinds = body.get("with", body.get("kind", 500))
        duration = _number(body, "for" if "for" in body else "duration", None)
        return self.box.faults.add(_text(body, "target"), kinds, duration, _number(body, "at", None)).as_json()

    def clear_faults(self, call: Call) -> Answer:
        """``DELETE /admin/faults[?target=…]``."""
        self.box.faults.clear(call.query.get("target"))
        return json_answer(self.box.faults.as_json())

    def add_token(self, body: dict[str, Any]) -> Any:
        """``{value, permissions?, kind?, status?}``: a further token; permissions out of `account.GROUPS`."""
        _only(body, "value", "permissions", "kind", "status")
        wanted = body.get("permissions", sorted(PERMISSIONS))
        kind, status = str(body.get("kind", "account")), str(body.get("status", "active"))
        try:
            added = self.box.account.add_token(_text(body, "value"), wanted, kind, status)
        except (TypeError, ValueError) as error:
            raise Wrong(str(error)) from None
        return {"id": added.id, "kind": added.kind, "permissions": sorted(added.permissions)}

    def write_kv(self, body: dict[str, Any]) -> Any:
        """``{key, value, namespace?, lag?}``: writes as a person would, past the API."""
        _only(body, "key", "value", "namespace", "lag")
        namespace = body.get("namespace", self.box.kv_namespace)
        if namespace not in self.box.kv.namespaces:
            raise Wrong(f"namespace {namespace!r}: one of {', '.join(self.box.kv.namespaces)}")
        if "value" not in body:
            raise Wrong("value: is missing; an object (stored as JSON), text, or null to delete the key")
        key, lag = str(body.get("key", "config")), _number(body, "lag", None)
        if body["value"] is None:
            self.box.kv.delete(namespace, key, lag=lag)
        elif isinstance(body["value"], dict | str):
            self.box.kv.write(namespace, key, body["value"], lag=lag)
        else:
            raise Wrong("value: must be an object, text or null")
        return {"namespace": namespace, "key": key}

    def deploy(self, body: dict[str, Any]) -> Any:
        """``{service | worker, tag, faulty?, flagged?, blocked?, etag?, message?}``: uploads a version and deploys it.

        ``faulty`` is ``{error_rate?, latency_ms?, outage?, cache_hit_rate?, websocket_error_rate?,
        provider_timeout_rate?}``. With ``version`` instead of ``tag`` an existing version (id or tag) is deployed.
        """
        _only(
            body,
            "service",
            "worker",
            "tag",
            "version",
            "faulty",
            "flagged",
            "blocked",
            "etag",
            "message",
            "triggered_by",
        )
        worker = self._worker(body)
        if "version" in body:
            id = self._version_of(worker, str(body["version"]))
        else:
            faulty, blocked = _behaviour(body.get("faulty") or {}), body.get("blocked")
            if blocked not in (None, *BLOCKS):
                raise Wrong(f"blocked {blocked!r}: one of {', '.join(BLOCKS)}")
            message, etag = body.get("message"), body.get("etag")
            id = worker.upload(
                _text(body, "tag"),
                message,
                etag=etag,
                blocked=blocked,
                flagged=bool(body.get("flagged")),
                faulty=faulty,
            ).id
        done = worker.deploy(id, message=body.get("message"), triggered_by=body.get("triggered_by", "deployment"))
        return deployment_json(done)

    def set_traffic(self, body: dict[str, Any]) -> Any:
        """``{service, cohort | version, error_rate?, latency_ms?, …, requests_per_minute?}`` from now on.

        pix-immo takes a ``cohort``; bookstrack a ``version`` (tag or id; without one: the service's usual behaviour).
        """
        _only(body, "service", "cohort", "version", "requests_per_minute", *BEHAVIOUR)
        service = self._service(body)
        rate = _number(body, "requests_per_minute", None)
        change = _behaviour({name: body[name] for name in BEHAVIOUR if name in body})
        if rate is None and not any(name in body for name in BEHAVIOUR):
            raise Wrong(f"nothing to set: give requests_per_minute or one of {', '.join(sorted(BEHAVIOUR))}")
        if service == "pix-immo":
            self._set_pix_immo(body, rate)
        else:
            self._set_bookstrack(body, change, rate)
        return self.state()["traffic"]

    def _set_pix_immo(self, body: dict[str, Any], rate: float | None) -> None:
        pix = self.box.pix_immo
        cohort = body.get("cohort", "native")
        if cohort not in pix.cohorts:
            raise Wrong(f"cohort {cohort!r}: one of {', '.join(pix.cohorts)}")
        pix.cohorts[cohort] = _changed(pix.cohorts[cohort], body)
        pix.requests_per_minute = pix.requests_per_minute if rate is None else rate

    def _set_bookstrack(self, body: dict[str, Any], change: Behaviour, rate: float | None) -> None:
        books = self.box.bookstrack
        if "version" in body:
            version = books.worker.version(self._version_of(books.worker, str(body["version"])))
            version.behaviour = _changed(version.behaviour, body)
        else:
            books.usual = _changed(books.usual, body)
        books.requests_per_minute = books.requests_per_minute if rate is None else rate

    def set_r2(self, body: dict[str, Any]) -> Any:
        """``{failures_per_minute?, operations_per_minute?}`` of the bucket piximmo-media."""
        _only(body, "failures_per_minute", "operations_per_minute")
        pix = self.box.pix_immo
        pix.r2_failures_per_minute = _number(body, "failures_per_minute", None) or 0.0
        operations = _number(body, "operations_per_minute", None)
        pix.r2_operations_per_minute = pix.r2_operations_per_minute if operations is None else operations
        return self.state()["traffic"]

    def set_ingestion(self, body: dict[str, Any]) -> Any:
        """``{dataset, lag: seconds}`` and/or ``{dataset, revise: {share, delay} | null}`` for the rows from now on."""
        _only(body, "dataset", "lag", "revise")
        dataset, lag = _text(body, "dataset"), _number(body, "lag", None)
        known = {POINTS, *GRAPHQL_COLUMNS, *self.box.rows.datasets, "pix_canary", "books_api_performance"}
        if dataset not in known:
            raise Wrong(f"dataset {dataset!r}: one of {', '.join(sorted(known))}")
        if lag is not None:
            self.box.rows.lags[dataset] = lag
        if isinstance(body.get("revise"), dict):
            share, delay = _number(body["revise"], "share", 0.2), _number(body["revise"], "delay", 60.0)
            self.box.rows.revisions[dataset] = Revision(share or 0.0, delay or 0.0)
        elif "revise" in body:
            self.box.rows.revisions.pop(dataset, None)
        return self.state()["ingestion"]

    def set_workflows(self, body: dict[str, Any]) -> Any:
        """``{takes?: seconds, shows_after?: seconds, titled?, tells_run?, conclusions?: [of the next runs]}``."""
        _only(body, "takes", "shows_after", "titled", "tells_run", "conclusions")
        actions, takes, shows = self.box.actions, _number(body, "takes", None), _number(body, "shows_after", None)
        actions.takes = actions.takes if takes is None else takes
        actions.shows_after = actions.shows_after if shows is None else shows
        for name in ("titled", "tells_run"):
            if name in body:
                setattr(actions, name, bool(body[name]))
        conclusions = body.get("conclusions", [])
        if not isinstance(conclusions, list) or set(conclusions) - set(CONCLUSIONS):
            raise Wrong(f"conclusions {conclusions!r}: a list out of {', '.join(CONCLUSIONS)}")
        actions.conclusions += conclusions
        return actions.state()

    def set_clock(self, body: dict[str, Any]) -> Any:
        """``{advance: seconds}`` or ``{now: epoch seconds}``: moves the sandbox's clock."""
        _only(body, "advance", "now")
        advance, now = _number(body, "advance", None, least=None), _number(body, "now", None)
        if (advance is None) == (now is None):
            raise Wrong("give either advance (seconds) or now (epoch seconds)")
        self.box.offset += advance if advance is not None else (now or 0.0) - self.box.now()
        return {"now": self.box.now()}

    def requests(self, call: Call) -> Answer:
        """``GET /admin/requests[?since=epoch&path=part]``: what was asked of the sandbox, the admin's looks aside."""
        since, part = float(call.query.get("since") or 0), call.query.get("path", "")
        served = self.box.journal.requests
        return json_answer([r.as_json() for r in served if r.at >= since and part in r.path])

    def state(self) -> dict[str, Any]:
        """``GET /admin/state``: everything there is, at a glance."""
        box, pix, books = self.box, self.box.pix_immo, self.box.bookstrack
        return {
            "now": box.now(),
            "account": box.account.id,
            "zone": box.zone,
            "kv_namespace": box.kv_namespace,
            "kv": {"api": _shown(box, edge=False), "edge": _shown(box, edge=True)},
            "workers": {name: _worker_state(worker) for name, worker in box.workers.items()},
            "traffic": {
                "pix-immo": {
                    "requests_per_minute": pix.requests_per_minute,
                    "cohorts": {name: _plain(behaviour) for name, behaviour in pix.cohorts.items()},
                    "r2_failures_per_minute": pix.r2_failures_per_minute,
                },
                "bookstrack": {"requests_per_minute": books.requests_per_minute, "usual": _plain(books.usual)},
            },
            "ingestion": {
                "lags": box.rows.lags,
                "revisions": {k: {"share": r.share, "delay": r.delay} for k, r in box.rows.revisions.items()},
            },
            "rows": box.rows.counted(),
            "faults": box.faults.as_json(),
            "workflows": box.actions.state(),
            "writes": [write._asdict() for write in box.writes],
        }

    def _service(self, body: dict[str, Any]) -> str:
        service = body.get("service")
        if service not in self.box.services:
            raise Wrong(f"service {service!r}: one of {', '.join(self.box.services)}")
        return str(service)

    def _worker(self, body: dict[str, Any]) -> Worker:
        name = body.get("worker") or body.get("service")
        try:
            return self.box.worker(str(name))
        except KeyError:
            known = ", ".join((*self.box.services, *self.box.workers))
            raise Wrong(f"service or worker {name!r}: one of {known}") from None

    def _version_of(self, worker: Worker, name: str) -> str:
        for version in reversed(worker.versions):
            if name in (version.id, version.tag):
                return version.id
        known = ", ".join(version.tag or version.id for version in worker.versions)
        raise Wrong(f"version {name!r}: {worker.name} has {known or 'none'}")


def _of_body(handler: Callable[[dict[str, Any]], Any]) -> Callable[[Call], Answer]:
    def answered(call: Call) -> Answer:
        try:
            body = call.json()
            if not isinstance(body, dict):
                raise Wrong("the body must be a JSON object")
            return json_answer(handler(body))
        except (Wrong, ValueError, Refused) as error:
            return json_answer({"error": str(error)}, 400)

    return answered


def _only(body: dict[str, Any], *known: str) -> None:
    if unknown := set(body) - set(known):
        raise Wrong(f"unknown fields {', '.join(sorted(unknown))}: out of {', '.join(known)}")


def _text(body: dict[str, Any], name: str) -> str:
    if not isinstance(body.get(name), str) or not body[name]:
        raise Wrong(f"{name}: is missing, or no text")
    return str(body[name])


def _number(body: dict[str, Any], name: str, default: float | None, *, least: float | None = 0.0) -> float | None:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or (least is not None and value < least):
        raise Wrong(f"{name} {value!r}: must be a number" + ("" if least is None else f" of at least {least:g}"))
    return float(value)


def _behaviour(given: Any) -> Behaviour:
    if not isinstance(given, dict):
        raise Wrong("faulty: must be an object")
    _only(given, *sorted(BEHAVIOUR))
    for name, value in given.items():
        if name == "outage":
            if not isinstance(value, bool):
                raise Wrong(f"outage {value!r}: must be true or false")
        elif (number := _number(given, name, None)) is not None and name != "latency_ms" and number > 1:
            raise Wrong(f"{name} {value!r}: a share from 0 to 1")
    return Behaviour(**given)


def _changed(old: Behaviour, body: dict[str, Any]) -> Behaviour:
    return replace(old, **{name: body[name] for name in BEHAVIOUR if name in body})


def _plain(behaviour: Behaviour) -> dict[str, Any]:
    return {name: getattr(behaviour, name) for name in sorted(BEHAVIOUR)}


def _shown(box: Sandbox, *, edge: bool) -> dict[str, dict[str, str]]:
    read = box.kv.edge if edge else box.kv.read
    return {
        namespace.id: {
            key: value.decode("utf-8", "replace")
            for key in namespace.changes
            if (value := read(namespace.id, key)) is not None
        }
        for namespace in box.kv.namespaces.values()
    }


def _worker_state(worker: Worker) -> dict[str, Any]:
    live = worker.live()
    versions = [
        {"id": v.id, "tag": v.tag, "flagged": v.flagged, "blocked": v.blocked, **_plain(v.behaviour)}
        for v in worker.versions
    ]
    active = worker.active
    return {
        "live_at_edge": None if live is None else live.tag or live.id,
        "active": None if active is None else deployment_json(active),
        "versions": versions,
    }
