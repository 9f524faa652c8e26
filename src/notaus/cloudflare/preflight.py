"""The pre-flight: which versions Cloudflare would refuse to deploy now, and why, asked before any incident."""

from __future__ import annotations

from collections.abc import Sequence

from notaus.cloudflare.deployments import Deployments
from notaus.cloudflare.kv import Kv
from notaus.cloudflare.wire import VersionShape
from notaus.errors import CallFailed, Refused

NOT_LISTED = (
    "Cloudflare lists it no longer as deployable: it is beyond the last 100 versions, a Durable Object migration lies "
    "in between, or a binding it needs is deleted"
)
SECRETS = "secrets have changed since: error 10220 is to be expected"


class Preflight:
    """Judges candidate versions of a script."""

    def __init__(self, deployments: Deployments, kv: Kv) -> None:
        self._deployments = deployments
        self._kv = kv

    async def blocked(
        self, account: str, script: str, live: str, candidates: Sequence[str], deployable: Sequence[VersionShape]
    ) -> dict[str, str]:
        """Reasons by version id, for those `candidates` that could not be deployed now. Raises CallFailed."""
        reasons: dict[str, str] = {}
        gone: dict[str, bool] = {}
        now = await self._view(account, script, live)
        for id in candidates:
            target = await self._view(account, script, id)
            reason = (
                _migrated(target, now)
                or await self._unbound(account, target, gone)
                or (None if any(v.id == id for v in deployable) else NOT_LISTED)
                or _secrets_changed(target, deployable)
            )
            if reason is not None:
                reasons[id] = reason
        return reasons

    async def _view(self, account: str, script: str, version: str) -> VersionShape | None:
        """The version with its resources; None where Cloudflare has forgotten it."""
        try:
            return await self._deployments.version(account, script, version)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def _unbound(self, account: str, target: VersionShape | None, gone: dict[str, bool]) -> str | None:
        resources = target.resources if target else None
        for binding in resources.bindings if resources else ():
            namespace = binding.namespace_id
            if binding.type == "kv_namespace" and namespace is not None:
                if namespace not in gone:
                    gone[namespace] = await self._is_gone(account, namespace)
                if gone[namespace]:
                    return f"its binding {binding.name} names the KV namespace {namespace}, which no longer exists"
        return None

    async def _is_gone(self, account: str, namespace: str) -> bool:
        try:
            return not await self._kv.namespace_exists(account, namespace)
        except CallFailed:
            return False  # not knowing is no reason to block a rollback


def _migrated(target: VersionShape | None, live: VersionShape | None) -> str | None:
    if target is None or live is None or target.resources is None or live.resources is None:
        return None
    old, new = target.resources.script_runtime.migration_tag, live.resources.script_runtime.migration_tag
    return None if old == new else f"a Durable Object migration lies in between ({old or 'none'} → {new or 'none'})"


def _secrets_changed(target: VersionShape | None, versions: Sequence[VersionShape]) -> str | None:
    """A version made by a change of secrets after the target was uploaded."""
    if target is None:
        return None
    made = target.metadata.created_on
    later = [v for v in versions if v.metadata.created_on > made and v.annotations is not None]
    return SECRETS if any(v.annotations and v.annotations.triggered_by == "secret" for v in later) else None
