"""The ladder: rungs from `normal` to the safest, and where a KV value stands among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Scalar = bool | int | float | str
Fields = Mapping[str, Scalar]
Place = tuple[float, ...]
"""How safe a state is: compared field by field, the greater the safer."""
MOST = 2**53
"""Beyond it numbers are no longer exact for those who read the key."""


@dataclass(frozen=True, slots=True)
class KvLever:
    """One key of a Workers KV namespace; `fields` are written where missing. `$now` becomes the time of the write."""

    namespace: str
    key: str
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploymentLever:
    """The live deployment of a Worker script; a version is known-stable after serving alone for `stable_after` seconds."""

    script: str
    stable_after: int = 3600


Lever = KvLever | DeploymentLever


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder: the KV fields that make it, or (deployment lever) whether it is the last known-stable version."""

    name: str
    fields: Fields = field(default_factory=dict)
    stable: bool = False
    """Deployment lever: True for `last known stable`, False for `current`."""


@dataclass(frozen=True, slots=True)
class Share:
    """The signal that shows the split a rung leads to, and the KV field (a percentage) that sets it."""

    signal: str
    field: str
    sticky: int = 30 * 86400
    """Seconds for which a visitor keeps the cohort it was given."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs in order, each safer than the one before."""

    lever: Lever
    rungs: tuple[Rung, ...]
    escalate_to: str | None = None
    drains: Mapping[str, str] = field(default_factory=dict)
    """Rung name to the cohort whose traffic it takes away altogether."""
    share: Share | None = None

    def rung(self, name: str) -> Rung:
        return next(r for r in self.rungs if r.name == name)

    def has(self, name: str) -> bool:
        return any(r.name == name for r in self.rungs)

    def index(self, name: str) -> int:
        return next(i for i, r in enumerate(self.rungs) if r.name == name)

    @property
    def ranked_fields(self) -> tuple[str, ...]:
        """The fields that rungs set, flags first, then numbers, then words: the order in which safety is compared."""
        seen = {name: value for rung in self.rungs for name, value in rung.fields.items()}
        return tuple(sorted(seen, key=lambda name: _kind_rank(seen[name])))

    def place(self, fields: Mapping[str, object]) -> Place | None:
        """How safe the KV value `fields` is; None where it cannot be ranked (a field missing or of another type)."""
        parts = [self._rank(name, fields.get(name)) for name in self.ranked_fields]
        return None if any(p is None for p in parts) else tuple(p for p in parts if p is not None)

    def place_of(self, name: str) -> Place:
        """How safe the rung `name` is: its KV fields ranked, or its position where rungs have none."""
        if isinstance(self.lever, DeploymentLever):
            return (float(self.index(name)),)
        place = self.place(self.rung(name).fields)
        assert place is not None, f"rung {name} cannot be ranked by its own ladder"
        return place

    def rung_at(self, place: Place) -> Rung | None:
        """The rung that stands exactly at `place`."""
        return next((r for r in self.rungs if self.place_of(r.name) == place), None)

    def next_safer(self, place: Place, limit: str | None) -> Rung | None:
        """The nearest rung safer than `place`, no further than the rung `limit` (None: no rung at all)."""
        if limit is None:
            return None
        allowed = self.rungs[: self.index(limit) + 1]
        return next((r for r in allowed if self.place_of(r.name) > place), None)

    @property
    def safest(self) -> Rung:
        return self.rungs[-1]

    def _rank(self, name: str, value: object) -> float | None:
        values = [r.fields[name] for r in self.rungs if name in r.fields]
        if isinstance(values[0], str):
            return float(values.index(value)) if isinstance(value, str) and value in values else None
        if isinstance(value, bool) is not isinstance(values[0], bool) or not isinstance(value, (bool, int, float)):
            return None
        if not -MOST <= value <= MOST:  # also what is no number at all
            return None
        return float(value) if float(values[-1]) >= float(values[0]) else -float(value)


def _kind_rank(value: Scalar) -> int:
    return 0 if isinstance(value, bool) else 2 if isinstance(value, str) else 1


def unordered_field(rungs: tuple[Rung, ...]) -> str | None:
    """The first field that does not move one way down the ladder, or is missing from a rung; None if all is well."""
    names = dict.fromkeys(name for rung in rungs for name in rung.fields)
    for name in names:
        values = [rung.fields.get(name) for rung in rungs]
        if any(v is None for v in values):
            return name
        if isinstance(values[0], str):
            firsts = [values.index(v) for v in values]
            ordered = firsts == sorted(firsts)
        else:
            numbers = [float(v) for v in values]  # type: ignore[arg-type]
            ordered = numbers in (sorted(numbers), sorted(numbers, reverse=True))
        if not ordered:
            return name
    return None
