"""Versions and deployments of a Worker script."""

from __future__ import annotations

from collections.abc import Iterable

from notaus.cloudflare.client import Call, Client, account_path, shaped
from notaus.cloudflare.wire import DeploymentList, DeploymentShape, VersionList, VersionShape
from notaus.core.world import Deployment
from notaus.errors import Silent

PAGE = 100
"""Asked for; an API that ignores it answers 10."""
MAX_PAGES = 10
MESSAGE_BYTES = 1000
READ = "Workers Scripts Read"
WRITE = "Workers Scripts Write"


class Deployments:
    """The scripts of an account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._views: dict[tuple[str, str, str], VersionShape] = {}

    async def newest(self, account: str, script: str, *, lever: bool = False) -> tuple[Deployment, ...]:
        """The newest deployments, the live one first: one call. Raises CallFailed."""
        shapes, _ = await self._page(account, script, 1, lever=lever)
        return _newest_first(shapes)

    async def since(self, account: str, script: str, start: int) -> tuple[Deployment, ...]:
        """Deployments, newest first, back to the first one made before `start` (epoch seconds), ten pages at most."""
        found: dict[str, DeploymentShape] = {}
        for number in range(1, MAX_PAGES + 1):
            shapes, last = await self._page(account, script, number)
            fresh = {s.id: s for s in shapes if s.id not in found}
            found.update(fresh)
            if last or not fresh or any(s.created_on.timestamp() < start for s in shapes):
                break
        return _newest_first(found.values())

    async def deployable(self, account: str, script: str) -> tuple[VersionShape, ...]:
        """The versions that Cloudflare would deploy now, at most the last 100. Raises CallFailed."""
        call = Call("GET", _path(account, script, "versions"), {"deployable": "true"}, permission=READ)
        envelope = await self._client.envelope(call)
        return tuple(shaped(VersionList, envelope.result, call).items)

    async def version(self, account: str, script: str, version: str) -> VersionShape:
        """A version with its resources; versions never change, so each is read once. Raises CallFailed."""
        key = (account, script, version)
        if key not in self._views:
            call = Call("GET", _path(account, script, "versions", version), permission=READ)
            shape = shaped(VersionShape, (await self._client.envelope(call)).result, call)
            if shape.id != version:
                raise Silent(f"{call}: the answer is about another version")
            self._views[key] = shape
        return self._views[key]

    async def create(self, account: str, script: str, version: str, message: str, *, force: bool = False) -> str:
        """Deploy `version` at 100 %, at once for Durable Objects too; the new deployment's id.

        Raises Refused, Busy, or Silent where it may have been deployed.
        """
        body = {
            "strategy": "percentage",
            "versions": [{"version_id": version, "percentage": 100}],
            "annotations": {"workers/message": fitted(message)},
            "code_update_strategy": {"mode": "immediate"},
        }
        params: dict[str, str | int] = {"force": "true"} if force else {}
        call = Call("POST", _path(account, script, "deployments"), params, json=body, lever=True, permission=WRITE)
        result = (await self._client.envelope(call)).result
        if not isinstance(result, dict) or not isinstance(result.get("id"), str):
            raise Silent(f"{call}: the answer names no deployment")
        return str(result["id"])

    async def _page(
        self, account: str, script: str, number: int, *, lever: bool = False
    ) -> tuple[list[DeploymentShape], bool]:
        """One page, and whether it is the last."""
        params: dict[str, str | int] = {"page": number, "per_page": PAGE}
        call = Call("GET", _path(account, script, "deployments"), params, lever=lever, permission=READ)
        envelope = await self._client.envelope(call)
        shapes = shaped(DeploymentList, envelope.result, call).deployments
        pages = envelope.result_info.total_pages if envelope.result_info else None
        return shapes, not shapes or (pages is not None and number >= pages)


def fitted(message: str) -> str:
    """`message` as Cloudflare keeps it: cut at 1,000 bytes."""
    return message.encode()[:MESSAGE_BYTES].decode("utf-8", "ignore")


def _newest_first(shapes: Iterable[DeploymentShape]) -> tuple[Deployment, ...]:
    # Sorted by the full timestamp: two deployments within a second keep their order.
    return tuple(s.deployment() for s in sorted(shapes, key=lambda s: s.created_on, reverse=True))


def _path(account: str, script: str, *parts: str) -> str:
    return account_path(account, "workers", "scripts", script, *parts)
