"""Where a service steered by deployments stands: its deployments, their versions, and the pre-flight.

Deployments and versions never change once made, so what was read is kept: a look costs one call, and one more a minute
for the list of deployable versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.kv import Kv
from notaus.cloudflare.preflight import Preflight
from notaus.cloudflare.wire import VersionShape
from notaus.core.ladder import DeploymentLever
from notaus.core.service import Service
from notaus.core.world import Deployment, DeploymentsView, Version
from notaus.errors import CallFailed, ReadFailed, Refused

HISTORY_SECONDS = 30 * 86400
PREFLIGHT_SECONDS = 60
"""How old the pre-flight may be; a new deployment renews it at once."""
CANDIDATES = 5
"""How many of the versions that served alone most recently the pre-flight looks at."""
DETAILED = 10
"""How many versions, newest served first, are read whole, for the etag that tells a release from another."""


@dataclass(slots=True)
class _Memory:
    """What is known of one script."""

    deployments: tuple[Deployment, ...] = ()
    versions: dict[str, Version] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    looked: float = float("-inf")
    """When the pre-flight was made."""
    live: str | None = None
    """The deployment it was made for."""


class DeploymentWorld:
    """Reads deployments; share one instance, which keeps what cannot change."""

    def __init__(self, client: Client) -> None:
        self._clock = client.clock
        self._deployments = Deployments(client)
        self._preflight = Preflight(self._deployments, Kv(client))
        self._memories: dict[tuple[str, str], _Memory] = {}

    async def read(self, service: Service) -> DeploymentsView:
        """The deployments of the last 30 days, newest first. Raises ReadFailed."""
        lever = service.ladder.lever
        assert isinstance(lever, DeploymentLever), f"{service.name} is not steered by deployments"
        memory = self._memories.setdefault((service.account, lever.script), _Memory())
        try:
            await self._look(memory, service.account, lever.script)
        except CallFailed as failure:
            raise ReadFailed(f"deployments of {lever.script}: {failure}") from None
        return DeploymentsView(int(self._clock.now()), memory.deployments, dict(memory.versions), dict(memory.blocked))

    async def _look(self, memory: _Memory, account: str, script: str) -> None:
        memory.deployments = await self._history(memory.deployments, account, script)
        live = memory.deployments[0] if memory.deployments else None
        now = self._clock.now()
        if live is not None and (live.id != memory.live or now - memory.looked >= PREFLIGHT_SECONDS):
            await self._fly(memory, account, script, live)
            memory.live, memory.looked = live.id, now

    async def _history(self, known: tuple[Deployment, ...], account: str, script: str) -> tuple[Deployment, ...]:
        """The newest page, joined to what is known; all pages where the two do not meet."""
        start = int(self._clock.now()) - HISTORY_SECONDS
        newest = await self._deployments.newest(account, script)
        ids = {d.id for d in newest}
        meeting = next((i for i, d in enumerate(known) if d.id in ids), None)
        if meeting is None:
            return await self._deployments.since(account, script, start)
        oldest = newest[-1].created
        rest = tuple(d for d in known if d.id not in ids and start <= d.created <= oldest)
        return newest + rest

    async def _fly(self, memory: _Memory, account: str, script: str, live: Deployment) -> None:
        """Versions and the reasons why those that one might roll back to could not be deployed now."""
        deployable = await self._deployments.deployable(account, script)
        _keep(memory.versions, deployable)
        for id in _served(memory.deployments, alone=False)[:DETAILED]:
            await self._detail(memory.versions, account, script, id)
        live_versions = {version for version, _ in live.versions}
        candidates = [id for id in _served(memory.deployments, alone=True) if id not in live_versions][:CANDIDATES]
        judged = live.alone or live.versions[0][0]
        memory.blocked = await self._preflight.blocked(account, script, judged, candidates, deployable)

    async def _detail(self, versions: dict[str, Version], account: str, script: str, id: str) -> None:
        try:
            shape = await self._deployments.version(account, script, id)
        except Refused as refused:
            if refused.status != 404:  # forgotten by Cloudflare: known by its id alone
                raise
        else:
            versions[id] = shape.version()


def _keep(versions: dict[str, Version], shapes: Iterable[VersionShape]) -> None:
    """Add what the list shows, which is less than a version read whole."""
    for shape in shapes:
        known = versions.get(shape.id)
        if known is None or known.etag is None:
            versions[shape.id] = shape.version()


def _served(deployments: Iterable[Deployment], *, alone: bool) -> list[str]:
    """Version ids, those that served last first."""
    served = [[d.alone] if alone else [id for id, _ in d.versions] for d in deployments]
    return list(dict.fromkeys(id for ids in served for id in ids if id is not None))
