"""What notaus can do, and how it sees where a service stands: one file per lever. Adding a lever is copying one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import assert_never

from notaus.cloudflare.budget import PRESSING, UNHURRIED, WINDOW_SECONDS, Family
from notaus.cloudflare.client import Client
from notaus.cloudflare.kv import KEYS_AT_ONCE
from notaus.core.effect import Deploy, Invoke, LeverResult, Outcome, PullLever, WriteKv
from notaus.core.ladder import CommandLever, DeploymentLever, KvLever, Rung
from notaus.core.service import Service
from notaus.core.world import World
from notaus.levers.actions import Actions
from notaus.levers.command import CommandPuller
from notaus.levers.deployment import DeploymentPuller
from notaus.levers.deployment_world import DeploymentWorld
from notaus.levers.kv import KvPuller, KvWorld
from notaus.levers.steering_key import SteeringKeys
from notaus.levers.workflow import WorkflowPuller

__all__ = [
    "Actions",
    "CommandPuller",
    "DeploymentPuller",
    "DeploymentWorld",
    "KvPuller",
    "KvWorld",
    "Levers",
    "SteeringKeys",
    "Worlds",
]

NO_TOKEN = "notaus.yaml has no `github: {token: …}`"
LOOK_CALLS = 2
"""Of a look at deployments: the list of them, and most times that of deployable versions."""


class Levers:
    """Pulls the lever that an effect names: a `LeverPuller`."""

    def __init__(
        self,
        client: Client,
        keys: SteeringKeys | None = None,
        actions: Actions | None = None,
        commands: CommandPuller | None = None,
    ) -> None:
        """Share `keys` with `Worlds`, so that a blind write can keep the fields last seen.

        Without `actions` (no token for GitHub) a workflow is refused.
        """
        self._kv = KvPuller(keys or SteeringKeys(client), client.clock)
        self._deployment = DeploymentPuller(client)
        self._command = commands or CommandPuller()
        self._actions = actions
        self._workflow = None if actions is None else WorkflowPuller(actions, client.clock)

    async def pull(self, service: Service, effect: PullLever) -> LeverResult:
        """Never raises for what Cloudflare does; safe to call again for the same effect."""
        match effect.action:
            case WriteKv():
                return await self._kv.pull(service, effect.action)
            case Deploy():
                return await self._deployment.pull(service, effect.action)
            case Invoke():
                return await self._invoke(service, effect.action)
            case _:
                assert_never(effect.action)

    async def ready(self, service: Service, rung: Rung) -> tuple[str, str]:
        """Whether a rung's own lever could be pulled now (`yes`, `no`, `?`), and how that is known; nothing is pulled.

        Raises NotausError where it cannot be found out.
        """
        lever = rung.lever
        assert lever is not None, f"the rung {rung.name} has no lever of its own"
        if isinstance(lever, CommandLever):
            return await self._command.ready(service, rung.name, lever)
        if self._actions is None:
            return "no", NO_TOKEN
        state = await self._actions.workflow(lever)
        if state != "active":
            return "no", f"{lever.repository}: {lever.file} is {state}; `gh workflow enable` enables it"
        return "yes", f"{lever.repository}: {lever.file} is active; whether the token may dispatch it is not tried"

    async def _invoke(self, service: Service, action: Invoke) -> LeverResult:
        lever = service.ladder.rung(action.rung).lever
        assert lever is not None, f"the rung {action.rung} of {service.name} has no lever of its own"
        if isinstance(lever, CommandLever):
            return await self._command.pull(service, action, lever)
        if self._workflow is None:
            return LeverResult(Outcome.REFUSED, f"{action.rung}: {NO_TOKEN}")
        return await self._workflow.pull(service, action, lever)


class Worlds:
    """Reads where a service stands, by the kind of its lever: a `WorldReader`."""

    def __init__(self, client: Client, keys: SteeringKeys | None = None) -> None:
        self._client = client
        self._kv = KvWorld(keys or SteeringKeys(client), client.clock)
        self._deployment = DeploymentWorld(client)

    def affordable(self, services: Sequence[Service], every: float | None) -> list[Service]:
        """The first of `services`, as many as the API budget lets us look at now.

        `every`: they are at rest, and others follow every so many seconds; None: something is going on there.
        """
        if every is None:
            calls = self._client.spare(Family.API, PRESSING)
        else:
            evenly = math.ceil(self._client.limit(Family.API) * UNHURRIED * every / WINDOW_SECONDS)
            calls = min(self._client.spare(Family.API, UNHURRIED), evenly)
        keys, found = Counter[str](), []
        for service in services:
            cost = _calls(service.ladder.lever, keys)
            if cost == 0 or calls > 0:
                calls -= cost
                found.append(service)
        return found

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


def _calls(lever: KvLever | DeploymentLever, keys: Counter[str]) -> int:
    """The calls of one look more, where `keys` of each namespace are looked at already: a hundred come in one call."""
    match lever:
        case KvLever():
            keys[lever.namespace] += 1
            return 1 if keys[lever.namespace] % KEYS_AT_ONCE == 1 else 0
        case DeploymentLever():
            return LOOK_CALLS
        case _:
            assert_never(lever)
