"""Version cohorts: `suspect` and `stable` are versions by their standing, and readers know versions by their ids.

At each grid time they stand for what the deployment in force then makes of them, so that a sample belongs to one version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from notaus.config.sources import Entry
from notaus.core.deployment import SUSPECT, VERSION_COHORTS, Registry, cohort_at
from notaus.core.sample import Readings, Sample
from notaus.core.service import Service
from notaus.core.world import DeploymentsView
from notaus.daemon.ports import Reader

Stand = tuple[str | None, ...]
"""The versions that `VERSION_COHORTS` stand for."""


def by_version(service: Service, entry: Entry) -> bool:
    """Whether some signal of the entry is of a version."""
    return any(service.signals[name].of_version for name in entry.signals)


async def read(
    reader: Reader, entry: Entry, times: Sequence[int], registry: Registry, view: DeploymentsView | None
) -> Readings:
    """As `reader` does; a time after the newest look stays pending. A cohort that no version stood for is unknown."""
    stands: dict[Stand, list[int]] = {}
    for at in times:
        if view is not None and at <= view.at:
            stand = tuple(cohort_at(registry, view, cohort, at) for cohort in VERSION_COHORTS)
            stands.setdefault(stand, []).append(at)
    found: dict[str, list[Sample]] = {name: [] for name in entry.signals}
    for stand, group in stands.items():
        named = {name: _of_version(name, stand) for name in entry.signals}
        asked = replace(entry, signals=tuple(dict.fromkeys(n for n in named.values() if n is not None)))
        readings = await reader.read(asked, group) if asked.signals else {}
        for name, own in named.items():
            found[name] += _samples(readings, own, group)
    return {name: tuple(sorted(samples, key=lambda sample: sample.at)) for name, samples in found.items()}


def _of_version(name: str, stand: Stand) -> str | None:
    """`suspect.error_rate` as the reader knows it, `ID.error_rate`; None where no version is meant."""
    prefix, _, measure = name.partition(".")
    if prefix not in VERSION_COHORTS:
        return name
    version = stand[0 if prefix == SUSPECT else 1]
    return None if version is None else f"{version}.{measure}"


def _samples(readings: Mapping[str, tuple[Sample, ...]], own: str | None, times: Sequence[int]) -> Sequence[Sample]:
    return [Sample(at) for at in times] if own is None else readings.get(own, ())
