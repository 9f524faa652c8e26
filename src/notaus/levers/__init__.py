"""What notaus can do, and how it sees where a service stands: one file per lever. Adding a lever is copying one."""

from __future__ import annotations

from typing import assert_never

from notaus.cloudflare.client import Client
from notaus.core.effect import Deploy, LeverResult, PullLever, WriteKv
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.service import Service
from notaus.core.world import World
from notaus.levers.deployment import DeploymentPuller
from notaus.levers.deployment_world import DeploymentWorld
from notaus.levers.kv import KvPuller, KvWorld
from notaus.levers.steering_key import SteeringKeys

__all__ = ["DeploymentPuller", "DeploymentWorld", "KvPuller", "KvWorld", "Levers", "SteeringKeys", "Worlds"]


class Levers:
    """Pulls the lever that an effect names: a `LeverPuller`."""

    def __init__(self, client: Client, keys: SteeringKeys | None = None) -> None:
        """Share `keys` with `Worlds`, so that a blind write can keep the fields last seen."""
        self._kv = KvPuller(keys or SteeringKeys(client), client.clock)
        self._deployment = DeploymentPuller(client)

    async def pull(self, service: Service, effect: PullLever) -> LeverResult:
        """Never raises for what Cloudflare does; safe to call again for the same effect."""
        match effect.action:
            case WriteKv():
                return await self._kv.pull(service, effect.action)
            case Deploy():
                return await self._deployment.pull(service, effect.action)
            case _:
                assert_never(effect.action)


class Worlds:
    """Reads where a service stands, by the kind of its lever: a `WorldReader`."""

    def __init__(self, client: Client, keys: SteeringKeys | None = None) -> None:
        self._kv = KvWorld(keys or SteeringKeys(client), client.clock)
        self._deployment = DeploymentWorld(client)

    async def read(self, service: Service) -> World:
        """Raises ReadFailed."""
        lever = service.ladder.lever
        match lever:
            case KvLever():
                return await self._kv.read(service)
            case DeploymentLever():
                return await self._deployment.read(service)
            case _:
                assert_never(lever)
