"""The world as Cloudflare shows it: the KV key, or the versions and deployments of a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KvView:
    """The steering key as read over the API at `at`; `value` is None where it is missing or no JSON object."""

    at: int
    value: Mapping[str, object] | None
    problem: str | None = None
    """Why `value` is None: missing, not JSON, not an object."""


@dataclass(frozen=True, slots=True)
class Version:
    """An uploaded version of a script."""

    id: str
    created: int
    tag: str | None = None
    """`workers/tag`: the release, such as `v1.9.0`."""
    etag: str | None = None
    """Of the script's content; versions made by a secret or a setting share it."""
    message: str | None = None
    triggered_by: str | None = None

    @property
    def label(self) -> str:
        """As people say it."""
        return self.tag or self.id[:8]

    def same_release(self, other: Version) -> bool:
        """Whether both are the same code: one etag, or one tag where an etag is missing."""
        if self.id == other.id:
            return True
        if self.etag and other.etag:
            return self.etag == other.etag
        return self.tag is not None and self.tag == other.tag


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves traffic from `created` on: one version, or two with percentages."""

    id: str
    created: int
    versions: tuple[tuple[str, float], ...]
    """Version id and percentage."""
    message: str | None = None

    @property
    def alone(self) -> str | None:
        """The version that serves all traffic; None for a gradual deployment."""
        full = [version for version, percentage in self.versions if percentage >= 100]
        return full[0] if full else None


@dataclass(frozen=True, slots=True)
class DeploymentsView:
    """Deployments, newest first (the first is live), and the versions they name."""

    at: int
    deployments: tuple[Deployment, ...]
    versions: Mapping[str, Version] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    """Version id to the reason why it could not be deployed now (the pre-flight)."""

    @property
    def live(self) -> Deployment | None:
        return self.deployments[0] if self.deployments else None

    def version(self, id: str) -> Version:
        """The version `id`; one that the list no longer has is known by its id alone."""
        return self.versions.get(id) or Version(id, 0)


World = KvView | DeploymentsView
