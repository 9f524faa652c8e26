"""The KV key or the deployment, read back over the API: proves that a step is stored, not that it arrived."""

from __future__ import annotations

import json
from collections.abc import Mapping

from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.edge import mismatches
from notaus.cloudflare.kv import Kv
from notaus.core.effect import RunChecks
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.service import Service
from notaus.core.verification import ReadBack
from notaus.errors import CallFailed

TARGET = "target.id"


class ReadBackCheck:
    """Reads back what a step set."""

    def __init__(self, client: Client) -> None:
        self._kv = Kv(client)
        self._deployments = Deployments(client)

    async def run(self, service: Service, effect: RunChecks, check: ReadBack) -> tuple[bool, str]:
        """Whether the world is as the step set it, and how it is."""
        lever = service.ladder.lever
        try:
            if isinstance(lever, KvLever):
                return await self._key(service, lever, _wanted(service, effect))
            return await self._deployment(service, lever, effect)
        except CallFailed as failure:
            return False, f"{check.what} could not be read: {failure}"

    async def _key(self, service: Service, lever: KvLever, wanted: Mapping[str, object]) -> tuple[bool, str]:
        stored = await self._kv.get(service.account, lever.namespace, lever.key)
        if stored is None:
            return False, f"the key {lever.key!r} does not exist"
        wrong = mismatches(stored, wanted)
        shown = ", ".join(f"{name} is {json.dumps(value)}" for name, value in wanted.items())
        return not wrong, "; ".join(wrong) or shown

    async def _deployment(self, service: Service, lever: DeploymentLever, effect: RunChecks) -> tuple[bool, str]:
        target = effect.variables.get(TARGET)
        if target is None:
            return False, "the step names no target version to compare with"
        seen = await self._deployments.newest(service.account, lever.script)
        if not seen:
            return False, f"{lever.script} has no deployment, expected version {target}"
        live = ", ".join(f"{id} at {percentage:g} %" for id, percentage in seen[0].versions)
        return seen[0].alone == target, f"live is {live}" + ("" if seen[0].alone == target else f", expected {target}")


def _wanted(service: Service, effect: RunChecks) -> dict[str, object]:
    """The rung's fields, as the step set them."""
    fields = service.ladder.rung(effect.rung).fields
    return {name: effect.variables.get(name, value) for name, value in fields.items()}
