"""Worker scripts with their versions and deployments, and which version the edge runs."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .journal import Journal
from .wire import Refused, iso_micros

BLOCKS: Final = ("do_migration", "secrets", "binding")
DEPLOYABLE_VERSIONS: Final = 100
MESSAGE_BYTES: Final = 1_000
DEFERRED_SECONDS: Final = 300
AUTHOR: Final = "user@example.com"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a version (or a cohort) does: rates as shares 0..1, ``latency_ms`` the 90th percentile; None: as usual."""

    error_rate: float | None = None
    latency_ms: float | None = None
    outage: bool = False
    cache_hit_rate: float | None = None
    websocket_error_rate: float | None = None
    provider_timeout_rate: float | None = None


@dataclass(slots=True)
class Version:
    """An uploaded version; ``created`` in seconds since the epoch. ``blocked`` is None or one of `BLOCKS`."""

    id: str
    number: int
    created: float
    tag: str | None
    message: str | None
    etag: str
    triggered_by: str = "version_upload"
    blocked: str | None = None
    flagged: bool = False
    behaviour: Behaviour = Behaviour()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which versions serve which percentages from ``effective`` on (``created`` plus the time to reach the edge)."""

    id: str
    created: float
    effective: float
    versions: tuple[tuple[str, float], ...]
    by: str
    message: str | None
    triggered_by: str
    code_update_strategy: dict[str, Any]


@dataclass(slots=True)
class Worker:
    """One script."""

    name: str
    now: Callable[[], float]
    journal: Journal
    rng: random.Random
    deploy_lag: float = 3.0
    usual: Behaviour = Behaviour()
    kv_namespace: str | None = None
    versions: list[Version] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    settings: dict[str, Any] = field(
        default_factory=lambda: {
            "logpush": False,
            "tags": [],
            "tail_consumers": None,
            "observability": {"enabled": True},
        }
    )
    subdomain: dict[str, Any] = field(default_factory=lambda: {"enabled": False, "previews_enabled": False})

    def upload(
        self,
        tag: str | None = None,
        message: str | None = None,
        *,
        id: str | None = None,
        etag: str | None = None,
        created: float | None = None,
        triggered_by: str = "version_upload",
        blocked: str | None = None,
        flagged: bool = False,
        faulty: Behaviour | dict[str, Any] | None = None,
    ) -> Version:
        """A new version, deployed nowhere yet. ``faulty``: how it misbehaves. ValueError for an unknown ``blocked``."""
        if blocked not in (None, *BLOCKS):
            raise ValueError(f"blocked {blocked!r}: one of {', '.join(BLOCKS)}")
        behaviour = Behaviour(**faulty) if isinstance(faulty, dict) else faulty or Behaviour()
        version = Version(
            id=id or self._uuid(),
            number=len(self.versions) + 1,
            created=self.now() if created is None else created,
            tag=tag,
            message=message,
            etag=etag or f"{self.rng.getrandbits(256):064x}",
            triggered_by=triggered_by,
            blocked=blocked,
            flagged=flagged,
            behaviour=behaviour,
        )
        self.versions.append(version)
        return version

    def deploy(
        self,
        version: str | Sequence[tuple[str, float]],
        by: str = "human",
        at: float | None = None,
        *,
        message: str | None = None,
        triggered_by: str = "deployment",
        code_update_strategy: dict[str, Any] | None = None,
        lag: float | None = None,
    ) -> Deployment:
        """Let one version (or a split of ``(version id, percentage)``) serve, from ``at`` (default: now).

        A later deployment goes on top whatever its time. KeyError for a version that does not exist.
        """
        split = ((version, 100.0),) if isinstance(version, str) else tuple(version)
        versions = [self.version(id) for id, _ in split]
        created = self.now() if at is None else at
        delay = self.deploy_lag if lag is None else lag
        strategy = code_update_strategy or {"mode": "deferred", "max_delay": DEFERRED_SECONDS}
        done = Deployment(self._uuid(), created, created + delay, split, by, message, triggered_by, strategy)
        self.deployments.append(done)
        what = {
            "worker": self.name,
            "deployment_id": done.id,
            "versions": list(split),
            "tag": versions[0].tag,
            "message": message,
        }
        self.journal.wrote(created, by, "deployment", what)
        return done

    def version(self, id: str) -> Version:
        """The version of that id; KeyError if there is none."""
        for version in self.versions:
            if version.id == id:
                return version
        raise KeyError(f"{self.name} has no version {id}")

    def tagged(self, tag: str) -> Version:
        """The newest version of that tag; KeyError if there is none."""
        for version in reversed(self.versions):
            if version.tag == tag:
                return version
        raise KeyError(f"{self.name} has no version tagged {tag}")

    @property
    def active(self) -> Deployment | None:
        """The newest deployment, as the API sees it."""
        return self.deployments[-1] if self.deployments else None

    def at_edge(self, at: float) -> Deployment | None:
        """The deployment that the edge runs at a time."""
        for deployment in reversed(self.deployments):
            if deployment.effective <= at:
                return deployment
        return self.deployments[0] if self.deployments else None

    def live(self, at: float | None = None) -> Version | None:
        """The version at the edge with the greatest share."""
        deployment = self.at_edge(self.now() if at is None else at)
        return None if deployment is None else self.version(max(deployment.versions, key=lambda share: share[1])[0])

    def drawn(self, at: float, rng: random.Random) -> Version | None:
        """The version that answers one request, by the percentages of the deployment at the edge."""
        deployment = self.at_edge(at)
        if deployment is None:
            return None
        ids, shares = zip(*deployment.versions, strict=True)
        return self.version(ids[0] if len(ids) == 1 else rng.choices(ids, shares)[0])

    def refusal(self, version: Version, *, force: bool) -> Refused | None:
        """Why Cloudflare would not deploy this version, if so."""
        if version not in self.versions[-DEPLOYABLE_VERSIONS:]:
            return Refused(400, 100147, "Version is too old to be deployed: only the 100 most recent versions can be.")
        if version.blocked == "do_migration":
            return Refused(400, 10211, "Cannot deploy a version from before a Durable Object migration.")
        if version.blocked == "binding":
            return Refused(400, 100140, "Version binds a KV namespace that no longer exists.")
        if version.blocked == "secrets" and not force:
            return Refused(
                400,
                10220,
                "Secrets have changed since this version was active."
                " The following secrets have changed: API_KEY, DB_URL",
            )
        return None

    def clear(self) -> None:
        """Forget every version and deployment, to build another history."""
        self.versions.clear()
        self.deployments.clear()

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))


def deployment_json(deployment: Deployment) -> dict[str, Any]:
    """A deployment as the API shows it."""
    annotations = {"workers/triggered_by": deployment.triggered_by}
    if deployment.message is not None:
        annotations = {"workers/message": deployment.message, **annotations}
    return {
        "id": deployment.id,
        "source": "api" if deployment.by == "api" else "wrangler",
        "strategy": "percentage",
        "author_email": AUTHOR,
        "annotations": annotations,
        "versions": [{"version_id": id, "percentage": _number(share)} for id, share in deployment.versions],
        "code_update_strategy": deployment.code_update_strategy,
        "created_on": iso_micros(deployment.created),
    }


def version_json(version: Version) -> dict[str, Any]:
    """A version as the list shows it."""
    annotations = {"workers/triggered_by": version.triggered_by}
    if version.message is not None:
        annotations["workers/message"] = version.message
    if version.tag is not None:
        annotations["workers/tag"] = version.tag
    return {
        "id": version.id,
        "number": version.number,
        "metadata": {
            "created_on": iso_micros(version.created),
            "source": "wrangler",
            "author_id": "7c5dae5552338874e5053f2534d2767a",
            "author_email": AUTHOR,
            "has_preview": True,
        },
        "annotations": annotations,
    }


DELETED_NAMESPACE = "dead" * 8
"""Bound by versions that are blocked by a binding."""


def version_detail_json(worker: Worker, version: Version) -> dict[str, Any]:
    """A version with its resources, as ``GET …/versions/{id}`` shows it."""
    bindings: list[dict[str, Any]] = [{"type": "version_metadata", "name": "CF_VERSION_METADATA"}]
    if worker.kv_namespace is not None:
        bindings.append({"type": "kv_namespace", "name": "CONFIG", "namespace_id": worker.kv_namespace})
    if version.blocked == "binding":
        bindings.append({"type": "kv_namespace", "name": "GONE", "namespace_id": DELETED_NAMESPACE})
    script = {"etag": version.etag, "handlers": ["fetch"], "last_deployed_from": "wrangler"}
    runtime = {"compatibility_date": "2026-07-01", "compatibility_flags": [], "usage_model": "standard", "limits": {}}
    if any(each.blocked == "do_migration" for each in worker.versions):
        runtime["migration_tag"] = "v1" if version.blocked == "do_migration" else "v2"
    resources = {"bindings": bindings, "script": script, "script_runtime": runtime}
    return {**version_json(version), "resources": resources, "startup_time_ms": 12}


def _number(share: float) -> float | int:
    return int(share) if share == int(share) else share
