"""``/accounts/{account}/workers/scripts/…``: the routes over a Worker's versions, deployments and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .account import page_info
from .deployments import (
    DEFERRED_SECONDS,
    DEPLOYABLE_VERSIONS,
    MESSAGE_BYTES,
    Version,
    Worker,
    deployment_json,
    version_detail_json,
    version_json,
)
from .tails import Tails
from .wire import Answer, Call, Refused, envelope, iso_micros

GREATEST_DELAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ScriptRoutes:
    """The routes about one script."""

    workers: dict[str, Worker]
    tails: Tails = field(default_factory=Tails)

    def _worker(self, call: Call) -> Worker:
        worker = self.workers.get(call.params["script"])
        if worker is None:
            raise Refused(404, 10007, "This Worker does not exist on your account.")
        return worker

    def list_deployments(self, call: Call) -> Answer:
        newest_first = self._worker(call).deployments[::-1]
        page, per_page = _paging(call)
        shown = newest_first[(page - 1) * per_page : page * per_page]
        info = page_info(page, per_page, len(shown), len(newest_first))
        return envelope({"deployments": [deployment_json(deployment) for deployment in shown]}, info=info)

    def get_deployment(self, call: Call) -> Answer:
        for deployment in self._worker(call).deployments:
            if deployment.id == call.params["deployment"]:
                return envelope(deployment_json(deployment))
        raise Refused(404, 10336, "Deployment not found.")

    def delete_deployment(self, call: Call) -> Answer:
        worker = self._worker(call)
        for deployment in worker.deployments:
            if deployment.id == call.params["deployment"]:
                if deployment is worker.active:
                    raise Refused(400, 10337, "The active deployment cannot be deleted.")
                worker.deployments.remove(deployment)
                return envelope(None)
        raise Refused(404, 10336, "Deployment not found.")

    def create_deployment(self, call: Call) -> Answer:
        worker, body = self._worker(call), call.json()
        if not isinstance(body, dict) or body.get("strategy") != "percentage":
            raise Refused(400, 10021, "strategy: must be 'percentage'")
        split = _split(body.get("versions"))
        for version in [_known(worker, id) for id, _ in split]:
            if refusal := worker.refusal(version, force=call.query.get("force") == "true"):
                raise refusal
        annotations = body.get("annotations") or {}
        message = annotations.get("workers/message")
        done = worker.deploy(
            split,
            by="api",
            message=None if message is None else str(message).encode()[:MESSAGE_BYTES].decode("utf-8", "ignore"),
            triggered_by=str(annotations.get("workers/triggered_by", "deployment")),
            code_update_strategy=_code_update_strategy(body.get("code_update_strategy")),
        )
        return envelope(deployment_json(done))

    def list_versions(self, call: Call) -> Answer:
        worker = self._worker(call)
        newest_first = worker.versions[::-1]
        if call.query.get("deployable") == "true":
            kept = [version for version in newest_first if worker.refusal(version, force=True) is None]
            shown, page, per_page, total = kept[:DEPLOYABLE_VERSIONS], 1, DEPLOYABLE_VERSIONS, len(kept)
        else:
            page, per_page = _paging(call)
            shown, total = newest_first[(page - 1) * per_page : page * per_page], len(newest_first)
        info = {"page": page, "per_page": per_page, "count": len(shown), "total_count": total}
        items = [version_json(version) for version in shown]
        return envelope({"items": items}, info=info, errors=None, messages=None)

    def get_version(self, call: Call) -> Answer:
        worker = self._worker(call)
        return envelope(version_detail_json(worker, _known(worker, call.params["version"])))

    def get_service(self, call: Call) -> Answer:
        name = call.params["service"]
        if name not in self.workers:
            raise Refused(404, 10090, "This service does not exist on your account.")
        worker = self.workers[name]
        modified = worker.versions[-1].created if worker.versions else worker.now()
        script = {"id": name, "tags": [], "last_deployed_from": "wrangler", "modified_on": iso_micros(modified)}
        return envelope({"id": name, "default_environment": {"environment": "production", "script": script}})

    def get_settings(self, call: Call) -> Answer:
        return envelope(self._worker(call).settings)

    def patch_settings(self, call: Call) -> Answer:
        worker, body = self._worker(call), call.json()
        if not isinstance(body, dict):
            raise Refused(400, 10021, "settings: expected an object")
        worker.settings.update(body)
        return envelope(worker.settings)

    def get_subdomain(self, call: Call) -> Answer:
        return envelope(self._worker(call).subdomain)

    def post_subdomain(self, call: Call) -> Answer:
        worker, body = self._worker(call), call.json()
        worker.subdomain.update(body if isinstance(body, dict) else {})
        return envelope(worker.subdomain)

    def create_tail(self, call: Call) -> Answer:
        worker = self._worker(call)
        id = f"{worker.rng.getrandbits(128):032x}"
        return envelope(self.tails.open(id, worker.name, call).as_json())

    def list_tails(self, call: Call) -> Answer:
        return envelope([tail.as_json() for tail in self.tails.of(self._worker(call).name)])

    def delete_tail(self, call: Call) -> Answer:
        self._worker(call)
        self.tails.close(call.params["tail"])
        return envelope(None)


def _paging(call: Call) -> tuple[int, int]:
    values = [call.query.get("page") or "1", call.query.get("per_page") or "10"]
    if not all(value.isdigit() and int(value) > 0 for value in values):
        raise Refused(400, 10021, "page and per_page: must be numbers of at least 1")
    return int(values[0]), min(int(values[1]), 100)


def _split(versions: Any) -> list[tuple[str, float]]:
    """The versions and percentages of a deployment request; raises `Refused` where they make no deployment."""
    if not isinstance(versions, list) or not 1 <= len(versions) <= 2:
        raise Refused(400, 10021, "versions: must name 1 or 2 versions")
    split = []
    for entry in versions:
        share = entry.get("percentage") if isinstance(entry, dict) else None
        if not isinstance(share, int | float) or not 0 <= share <= 100 or not isinstance(entry.get("version_id"), str):
            raise Refused(400, 10021, "versions: each needs a version_id and a percentage from 0 to 100")
        split.append((entry["version_id"], float(share)))
    if round(sum(share for _, share in split), 6) != 100:
        raise Refused(400, 10021, "versions: percentages must sum to 100")
    return split


def _known(worker: Worker, id: str) -> Version:
    try:
        return worker.version(id)
    except KeyError:
        raise Refused(404, 100146, "Version not found.") from None


def _code_update_strategy(given: Any) -> dict[str, Any]:
    if given is None:
        return {"mode": "deferred", "max_delay": DEFERRED_SECONDS}
    mode = given.get("mode") if isinstance(given, dict) else None
    if mode not in ("immediate", "deferred"):
        raise Refused(400, 10021, "code_update_strategy: mode must be 'immediate' or 'deferred'")
    if mode == "immediate":
        if "max_delay" in given:
            raise Refused(400, 10021, "code_update_strategy: max_delay is not allowed with mode 'immediate'")
        return {"mode": "immediate"}
    delay = given.get("max_delay", DEFERRED_SECONDS)
    if not isinstance(delay, int) or not 0 <= delay <= GREATEST_DELAY_SECONDS:
        raise Refused(400, 10021, f"code_update_strategy: max_delay must be from 0 to {GREATEST_DELAY_SECONDS}")
    return {"mode": "deferred", "max_delay": delay}
