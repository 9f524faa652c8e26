"""Known-stable versions: how they are earned, which one a rollback goes to, and what was so before the deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from itertools import zip_longest

from notaus.core.baseline import wilson
from notaus.core.rule import Comparison
from notaus.core.sample import History
from notaus.core.world import Deployment, DeploymentsView, Version

SUSPECT, STABLE = "suspect", "stable"
VERSION_COHORTS = (SUSPECT, STABLE)
"""The cohorts of a gradual deployment, as rules name them: the live version to blame, and the one to trust."""
OLD = 30 * 86400
"""Seconds since a version last served after which a rollback to it needs approval."""
BEFORE = 600
"""Seconds: how much of the time before the deployment is looked at."""


class Doubt(StrEnum):
    """Why a version is no target, though it may have served long."""

    FLAGGED = "flagged"
    """Rolled back from, and that helped; or a person said so."""
    SUSPECT = "suspect"
    """Rolled back from; whether it was to blame is not known."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a version."""

    stable_since: int | None = None
    """When it became known-stable."""
    presumed: bool = False
    """Known-stable from the deployment history alone, before notaus watched."""
    doubt: Doubt | None = None
    served_until: int | None = None
    """When it last stopped serving all traffic; None while it does, or never did."""
    served: bool = False
    """Whether it ever served, in whole or in part."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Every version's standing, by version id; kept in the journal, since Cloudflare's list is short."""

    versions: Mapping[str, Standing] = field(default_factory=dict)
    names: Mapping[str, Version] = field(default_factory=dict)
    """The versions themselves, as last seen."""

    def of(self, version: str) -> Standing:
        return self.versions.get(version, Standing())

    def stable(self, version: str) -> bool:
        """Whether `version` is known-stable and beyond doubt."""
        standing = self.of(version)
        return standing.stable_since is not None and standing.doubt is None

    def doubted(self, version: str, doubt: Doubt | None) -> Registry:
        """This registry with the word of a verdict (or a person) on `version`."""
        return replace(self, versions={**self.versions, version: replace(self.of(version), doubt=doubt)})

    def find(self, name: str) -> Version | None:
        """The version with this id, tag, or start of an id."""
        exact = [v for v in self.names.values() if name in (v.id, v.tag)]
        short = [v for v in self.names.values() if len(name) >= 6 and v.id.startswith(name)]
        found = exact or short
        return max(found, key=lambda v: v.created) if found else None


def observed(registry: Registry, view: DeploymentsView, stable_after: int, clean_since: int | None) -> Registry:
    """`registry` after a look at the deployments.

    `clean_since` is when the last breach of a rollback rule ended (or the watch began); the live version earns its
    standing from there. None: this is the first look, and the history is taken at its word.
    """
    versions = dict(registry.versions)
    ends = [view.at, *(d.created for d in view.deployments)]
    # Oldest first: what serves now has the last word on until when it served.
    for index, deployment in reversed(tuple(enumerate(view.deployments))):
        for version, _ in deployment.versions:
            known = replace(versions.get(version, Standing()), served=True)
            if deployment.alone == version:
                known = _served(known, deployment.created, ends[index], index == 0, stable_after, clean_since)
            elif index == 0 and known.served_until is None and known.stable_since is not None:
                known = replace(known, served_until=deployment.created)
            versions[version] = known
    return Registry(versions, {**registry.names, **view.versions})


def _served(
    known: Standing, since: int, until: int, live: bool, stable_after: int, clean_since: int | None
) -> Standing:
    if live:
        known = replace(known, served_until=None)
        since = since if clean_since is None else max(since, clean_since)
    else:
        known = replace(known, served_until=max(until, known.served_until or 0))
    earned = known.stable_since is None and until - since >= stable_after and (live or clean_since is None)
    if not earned:
        return known
    return replace(known, stable_since=since + stable_after, presumed=clean_since is None)


def last_served(registry: Registry, version: str, now: int) -> int:
    """When `version` last served all traffic; now, if it still does; 0 if it never did."""
    standing = registry.of(version)
    if standing.served_until is not None:
        return standing.served_until
    return now if standing.served else 0


def suspect(registry: Registry, live: Deployment) -> str | None:
    """The live version to blame: the only one, or the only one of two that is not known-stable."""
    if live.alone is not None:
        return live.alone
    unproven = [version for version, _ in live.versions if not registry.stable(version)]
    return unproven[0] if len(unproven) == 1 else None


def stable_part(registry: Registry, live: Deployment) -> str | None:
    """The live version to trust: the only known-stable one. A version that serves alone may be both it and the suspect."""
    proven = [version for version, _ in live.versions if registry.stable(version)]
    return proven[0] if len(proven) == 1 else None


def cohort_at(registry: Registry, view: DeploymentsView, cohort: str, at: int) -> str | None:
    """The version that `suspect` or `stable` stands for at grid time `at`; None where none did.

    It is the deployment in force just before that counts: whatever it served then is the version's own.
    """
    serving = in_force(view, at - 1)
    if serving is None:
        return None
    return suspect(registry, serving) if cohort == SUSPECT else stable_part(registry, serving)


def in_force(view: DeploymentsView, at: int) -> Deployment | None:
    """The deployment that served at `at`; None before the oldest that is known."""
    return next((deployment for deployment in view.deployments if deployment.created <= at), None)


def beginnings(registry: Registry, view: DeploymentsView) -> list[int]:
    """When another version became the suspect, newest first: a further step of one and the same is no new beginning."""
    blamed = [(each.created, suspect(registry, each)) for each in view.deployments]
    older = [version for _, version in blamed[1:]]
    return [at for (at, version), before in zip_longest(blamed, older) if version is None or version != before]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rollback would go: a version, or why there is none."""

    version: Version | None
    reason: str | None = None
    blocked: bool = False
    """There is a known-stable version, but Cloudflare would refuse it."""


def target(registry: Registry, view: DeploymentsView, *, but: tuple[str, ...] = ()) -> Target:
    """The newest known-stable version that is not the release now in doubt; `but` are version ids ruled out.

    Newest is the one that served all traffic last: that is what is known to have worked in production.
    """
    live = [view.version(version) for version, _ in view.live.versions] if view.live else []
    ruled_out = [v for v in live if not (len(live) > 1 and registry.stable(v.id))]
    ruled_out += [registry.names.get(id, Version(id, 0)) for id in but]
    candidates = [
        version
        for id, version in registry.names.items()
        if registry.stable(id) and not any(version.same_release(bad) for bad in ruled_out)
    ]
    if not candidates:
        return Target(None, "there is no known-stable version to roll back to")
    newest = max(candidates, key=lambda v: (last_served(registry, v.id, view.at), v.created))
    reason = view.blocked.get(newest.id)
    if reason is not None:
        return Target(newest, f"{newest.label}, the newest known-stable version, cannot be deployed: {reason}", True)
    return Target(newest)


@dataclass(frozen=True, slots=True)
class Average:
    """A signal over a stretch: the request-weighted mean with its counts (others: the mean of the known samples)."""

    mean: Fraction
    of: Fraction | None = None
    among: Fraction | None = None


def average(signal: str, history: History, first: int, last: int) -> Average | None:
    """What `signal` was at the grid times from `first` to `last`; None where nothing is known."""
    values, ofs, amongs = [], [], []
    for sample in history.between(signal, first, last):
        if sample.value is not None:
            values.append(sample.value)
            ofs.append(sample.of)
            amongs.append(sample.among)
    if not values:
        return None
    counted = [(of, among) for of, among in zip(ofs, amongs, strict=True) if of is not None and among is not None]
    if len(counted) == len(values):
        of_all = sum((of for of, _ in counted), Fraction(0))
        among_all = sum((among for _, among in counted), Fraction(0))
        return Average(of_all / among_all, of_all, among_all)
    return Average(sum(values, Fraction(0)) / len(values))


class Origin(StrEnum):
    """Whether a condition is the deployment's doing."""

    NEW = "new"
    WORSE = "worse"
    """It was so before, but clearly less."""
    PRE_EXISTING = "pre-existing"
    UNKNOWN = "unknown"


def origin(
    when: Iterable[Comparison], earlier: Mapping[str, Average | None], history: History, first: int, last: int
) -> Origin:
    """Compare what was so `earlier` (signal by signal) with the hold from `first` to `last`."""
    found = {_origin(c, earlier, history, first, last) for c in when}
    return next(
        (answer for answer in (Origin.NEW, Origin.UNKNOWN, Origin.WORSE) if answer in found), Origin.PRE_EXISTING
    )


def _origin(
    comparison: Comparison, earlier: Mapping[str, Average | None], history: History, first: int, last: int
) -> Origin:
    was = [earlier.get(name) for name in comparison.signals]
    now = average(comparison.signal, history, first, last)
    if now is None or was[0] is None or was[-1] is None:
        return Origin.UNKNOWN
    bound = comparison.bound.value(was[-1].mean if comparison.bound.other else None)
    if not comparison.op.holds(was[0].mean, bound):
        return Origin.NEW
    return Origin.WORSE if _clearly_worse(was[0], now, comparison.op.upward) else Origin.PRE_EXISTING


def _clearly_worse(was: Average, now: Average, upward: bool) -> bool:
    """Rates: the 95 % intervals are disjoint; quantiles and scalars: worse by half."""
    if was.of is not None and was.among is not None and now.of is not None and now.among is not None:
        earlier = wilson(float(was.of), float(was.among))
        later = wilson(float(now.of), float(now.among))
        return later[0] > earlier[1] if upward else later[1] < earlier[0]
    return now.mean >= was.mean * 3 / 2 if upward else now.mean <= was.mean / 2
