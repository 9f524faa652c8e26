"""What the plan allows of an analytics dataset: how far back it reaches, and how long one query may span."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from notaus.cloudflare.budget import Family
from notaus.cloudflare.client import Call, Client
from notaus.cloudflare.graphql import PERMISSIONS, Scope, opened
from notaus.errors import ReadFailed, Refused


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one dataset, in seconds."""

    enabled: bool
    longest: int
    """That one query may span."""
    oldest: int
    """How old data may be and still be asked for."""


async def limits_of(client: Client, scope: Scope, datasets: Collection[str]) -> Mapping[str, Limits]:
    """By dataset. Raises ReadFailed, or CallFailed where trying again may help."""
    asked = " ".join(f"{dataset} {{ enabled maxDuration notOlderThan }}" for dataset in datasets)
    query = f"query notaus {{ viewer {{ {scope.opening} {{ settings {{ {asked} }} }} }} }}"
    permission = PERMISSIONS[scope.kind]
    call = Call("POST", "/graphql", json={"query": query}, family=Family.GRAPHQL, query=True, permission=permission)
    try:
        answer = await client.send(call)
    except Refused as refused:
        raise ReadFailed(f"limits of {scope}: {refused}") from None
    said = opened(scope, answer.body, permission).get("settings") or {}
    try:
        return {dataset: _limits(said[dataset]) for dataset in datasets}
    except (KeyError, TypeError, ValueError):
        raise ReadFailed(f"limits of {scope}: the answer lacks what was asked for") from None


def _limits(said: Mapping[str, object]) -> Limits:
    longest, oldest = said["maxDuration"], said["notOlderThan"]
    if not isinstance(longest, int) or not isinstance(oldest, int):
        raise TypeError("durations are whole seconds")
    return Limits(said["enabled"] is not False, longest, oldest)
