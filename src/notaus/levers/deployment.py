"""The `deployment` lever: one version of a script at 100 %. Looks, leaps, looks again; never deploys twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from notaus.clock import Clock
from notaus.cloudflare.client import Client
from notaus.cloudflare.deployments import Deployments, fitted
from notaus.core.effect import Deploy, LeverResult, Outcome
from notaus.core.ladder import DeploymentLever
from notaus.core.service import Service
from notaus.core.world import Deployment
from notaus.errors import CallFailed, Refused, Silent
from notaus.levers.patience import Patience

SECRETS_CHANGED = 10220
REASONS = {
    SECRETS_CHANGED: "secrets have changed since; `notaus rollback --accept-changed-secrets` would force it",
    10007: "the Worker does not exist on this account",
    100146: "Cloudflare does not know that version",
    100147: "that version is beyond the last 100, which is as far back as Cloudflare deploys",
    100140: "a resource that the version binds has changed or is gone",
    10211: "a Durable Object migration lies in between",
    100402: "a Durable Object migration lies in between",
    100405: "a Durable Object migration lies in between",
    100406: "a Durable Object migration lies in between",
}


class _Unanswered(Silent):
    """A POST that may have deployed."""


class DeploymentPuller:
    """Deploys a version of a service's script."""

    def __init__(self, client: Client) -> None:
        self._deployments = Deployments(client)
        self._clock = client.clock

    async def pull(self, service: Service, action: Deploy) -> LeverResult:
        """Never raises for what Cloudflare does; safe to call again: a deployment of ours is known by its message."""
        return await _Pull(self._deployments, self._clock, service, action).run()


@dataclass(slots=True)
class _Pull:
    """One pull, from the first look to the last."""

    deployments: Deployments
    clock: Clock
    service: Service
    action: Deploy
    patience: Patience = field(init=False)
    judged: str | None = None
    """The deployment that was live at the first look, or the one judged."""
    unanswered: bool = False
    """A POST was not answered, and no look has settled it yet."""
    force: bool = False

    def __post_init__(self) -> None:
        self.patience = Patience(self.clock)
        self.judged = self.action.expected

    async def run(self) -> LeverResult:
        while True:
            try:
                settled = self._settled(await self._look())
                return settled or await self._leap()
            except Refused as refused:
                if not self._accepts(refused):
                    return self._unknown(refused) if self.unanswered else self._refused(refused)
                self.force = True
            except CallFailed as failure:
                self.unanswered = self.unanswered or isinstance(failure, _Unanswered)
                if not await self.patience.wait(failure):
                    return await self._last_look(failure)

    async def _look(self) -> tuple[Deployment, ...]:
        """The newest deployments, the live one first. Raises CallFailed."""
        return await self.deployments.newest(self.service.account, _lever(self.service).script, lever=True)

    def _settled(self, seen: Sequence[Deployment]) -> LeverResult | None:
        """The result, where what was seen leaves nothing to deploy or forbids it."""
        self.unanswered = False
        live = seen[0] if seen else None
        newer = _newer_than(seen, self.judged) if self.judged is not None else seen[:1]
        ours = next((d for d in newer if self._is_ours(d)), None)
        if ours is not None:
            return self._done(ours, newer)
        if live is not None and live.alone == self.action.version:
            return LeverResult(Outcome.ALREADY, f"{self.action.label} is live already", deployment=live.id)
        if self.action.expected is not None and (live is None or live.id != self.action.expected):
            shown = "nothing" if live is None else _shown(live)
            return LeverResult(
                Outcome.FOREIGN, f"another deployment is live than the one judged: {shown}; nothing was deployed"
            )
        if self.judged is None and live is not None:
            self.judged = live.id
        return None

    async def _leap(self) -> LeverResult:
        """Deploy, and look once more. Raises CallFailed where it did not go through for certain."""
        try:
            id = await self.deployments.create(
                self.service.account,
                _lever(self.service).script,
                self.action.version,
                self.action.message,
                force=self.force,
            )
        except Silent as silent:
            raise _Unanswered(str(silent), status=silent.status, code=silent.code) from None
        try:
            seen = await self._look()
        except CallFailed:
            notes = ("deployed, but the deployments could not be listed afterwards",)
            return LeverResult(Outcome.DONE, f"{self.action.label} deployed", deployment=id, notes=notes)
        ours = next((d for d in seen if d.id == id), None)
        if ours is None:
            notes = ("deployed, but not in the list of deployments yet",)
            return LeverResult(Outcome.DONE, f"{self.action.label} deployed", deployment=id, notes=notes)
        return self._done(ours, _newer_than(seen, self.judged))

    def _done(self, ours: Deployment, newer: Sequence[Deployment]) -> LeverResult:
        """Ours is there; whatever else came since the deployment judged is told, and nothing is deployed over it."""
        place = [d.id for d in newer].index(ours.id) if ours in newer else 0
        notes = [f"somebody else deployed {_shown(d)} right after; it was left alone" for d in newer[:place]]
        notes += [f"somebody else had deployed {_shown(d)} just before" for d in newer[place + 1 :]]
        if self.force:
            notes.append("forced over changed secrets, as ordered")
        return LeverResult(Outcome.DONE, f"{self.action.label} deployed", deployment=ours.id, notes=tuple(notes))

    def _is_ours(self, deployment: Deployment) -> bool:
        return deployment.alone == self.action.version and deployment.message == fitted(self.action.message)

    def _accepts(self, refused: Refused) -> bool:
        return refused.code == SECRETS_CHANGED and self.action.accept_changed_secrets and not self.force

    def _refused(self, refused: Refused) -> LeverResult:
        reason = REASONS.get(refused.code or 0)
        detail = f"{self.action.label} cannot be deployed: {f'{reason} ({refused})' if reason else refused}"
        return LeverResult(Outcome.REFUSED, detail)

    async def _last_look(self, failure: CallFailed) -> LeverResult:
        """Patience is over; if a POST was not answered, one look may still settle it."""
        if self.unanswered:
            try:
                settled = self._settled(await self._look())
            except CallFailed as silent:
                return self._unknown(silent)
            if settled is not None:
                return settled
        return LeverResult(Outcome.FAILED, f"{self.action.label} was not deployed: {failure}")

    def _unknown(self, failure: CallFailed) -> LeverResult:
        what = f"{self.action.label} may be deployed: the request was not answered, and nothing was readable since"
        return LeverResult(Outcome.UNKNOWN, f"{what}: {failure}")


def _newer_than(seen: Sequence[Deployment], judged: str | None) -> Sequence[Deployment]:
    """The deployments made since the one judged; all of `seen` where that is not in it."""
    ids = [d.id for d in seen]
    return seen[: ids.index(judged)] if judged in ids else seen


def _shown(deployment: Deployment) -> str:
    versions = ", ".join(f"{id[:8]} at {percentage:g} %" for id, percentage in deployment.versions)
    return f"{versions} (deployment {deployment.id[:8]})"


def _lever(service: Service) -> DeploymentLever:
    lever = service.ladder.lever
    assert isinstance(lever, DeploymentLever), f"{service.name} is not steered by deployments"
    return lever
