"""The ladder: rungs from `normal` to the safest, and where a KV value stands among them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf

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
class WorkflowLever:
    """A GitHub Actions workflow that is dispatched; `$reason`, `$key` and so on in its inputs are filled in."""

    repository: str
    """`owner/name`."""
    file: str
    """Of the workflow, such as `maintenance.yml`."""
    ref: str = "main"
    inputs: Mapping[str, str] = field(default_factory=dict)
    undo: Mapping[str, str] = field(default_factory=dict)
    """The inputs with which the same workflow takes it back; empty: it does not."""
    within: int = 900
    """Seconds in which a run must come to its conclusion."""
    deploys: bool = False
    """It deploys a version: nothing then stays in force but that, guarded like any other."""


@dataclass(frozen=True, slots=True)
class CommandLever:
    """A program and its arguments, run as they stand; exit status 0 is done."""

    argv: tuple[str, ...]
    timeout: int = 60
    """Seconds, after which it is ended."""
    check: tuple[str, ...] = ()
    """Tells whether it is in force: exit status 0 yes, 1 no, any other unknown. Empty: nothing can tell."""
    undo: tuple[str, ...] = ()
    """What takes it back; empty: nothing does."""


OwnLever = WorkflowLever | CommandLever
"""What may hold a rung of its own, beyond those of the ladder's lever."""

NAMES = ("reason", "key", "service", "rung", "incident")
"""What may stand in a workflow's inputs as `$name`."""
_NAME = re.compile(r"\$([a-z_]+)")


def filled(inputs: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """`inputs` with each `$name` that is in `names` replaced."""
    return {field: _NAME.sub(lambda found: names.get(found[1], found[0]), text) for field, text in inputs.items()}


def unknown_names(text: str) -> list[str]:
    """What stands in an input as `$name` and means nothing."""
    return [name for name in _NAME.findall(text) if name not in NAMES]


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder: the KV fields that make it, or (deployment lever) whether it is the last known-stable version.

    A rung with a lever of its own is neither: what that lever started is in force until it is taken back.
    """

    name: str
    fields: Fields = field(default_factory=dict)
    stable: bool = False
    """Deployment lever: True for `last known stable`, False for `current`."""
    lever: OwnLever | None = None
    """None: the ladder's."""
    approval: bool = False
    """With a lever of its own: automation asks before it steps there."""


@dataclass(frozen=True, slots=True)
class Share:
    """The signal that shows the split a rung leads to, and the KV field (a percentage) that sets it."""

    signal: str
    field: str
    sticky: int = 30 * 86400
    """Seconds for which a visitor keeps the cohort it was given."""


@dataclass(frozen=True)
class Ladder:
    """Rungs in order, each safer than the one before; those with levers of their own come last."""

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
    def own(self) -> tuple[Rung, ...]:
        """The rungs that the ladder's lever holds."""
        return tuple(rung for rung in self.rungs if rung.lever is None)

    def written(self, rung: Rung) -> Fields:
        """The fields that a step to `rung` writes, by which its checks are filled in: `$percent`, say."""
        given = self.lever.fields if isinstance(self.lever, KvLever) else {}
        return {**{name: value for name, value in given.items() if value != "$now"}, **rung.fields}

    def allows(self, rung: Rung) -> bool:
        """Whether a step that no rule named may go to `rung` by itself."""
        within = self.escalate_to is not None and self.index(rung.name) <= self.index(self.escalate_to)
        return within and not rung.approval

    def instead_of(self, name: str) -> Rung | None:
        """The rung with a lever of its own for when `name` cannot be reached: one that needs no question, if there is one."""
        after = [rung for rung in self.rungs[self.index(name) + 1 :] if rung.lever is not None]
        return next((rung for rung in after if self.allows(rung)), after[0] if after else None)

    @cached_property
    def ranked_fields(self) -> tuple[str, ...]:
        """The fields that rungs set, flags first, then numbers, then words: the order in which safety is compared."""
        seen = {name: value for rung in self.rungs for name, value in rung.fields.items()}
        return tuple(sorted(seen, key=lambda name: _kind_rank(seen[name])))

    @cached_property
    def _values(self) -> Mapping[str, tuple[Scalar, ...]]:
        """What the rungs write into each of these fields, from the least safe on."""
        return {name: tuple(r.fields[name] for r in self.rungs if name in r.fields) for name in self.ranked_fields}

    def place(self, fields: Mapping[str, object]) -> Place | None:
        """How safe the KV value `fields` is; None where it cannot be ranked (a field missing or of another type)."""
        parts = [self._rank(name, fields.get(name)) for name in self.ranked_fields]
        return None if any(p is None for p in parts) else tuple(p for p in parts if p is not None)

    def place_of(self, name: str) -> Place:
        """How safe the rung `name` is: its KV fields ranked, or its position where rungs have none."""
        if self.rung(name).lever is not None:  # safer than any state of the ladder's lever
            return (inf, float(self.index(name)))
        if isinstance(self.lever, DeploymentLever):
            return (float(self.index(name)),)
        place = self.place(self.rung(name).fields)
        assert place is not None, f"rung {name} cannot be ranked by its own ladder"
        return place

    def rung_at(self, place: Place) -> Rung | None:
        """The rung that stands exactly at `place`."""
        return next((r for r in self.rungs if self.place_of(r.name) == place), None)

    def next_safer(self, place: Place, limit: str | None) -> Rung | None:
        """The nearest rung safer than `place`, no further than the rung `limit` (None: no rung at all).

        Rungs that need approval are passed over: they stand in for one that could not be taken.
        """
        if limit is None:
            return None
        allowed = self.rungs[: self.index(limit) + 1]
        return next((r for r in allowed if self.place_of(r.name) > place and not r.approval), None)

    def to_ask_for(self, place: Place) -> Rung | None:
        """The rung after `place`, if it has a lever of its own; one that needs approval only if there is no other."""
        after = [r for r in self.rungs if self.place_of(r.name) > place]
        if not after or after[0].lever is None:
            return None
        return next((r for r in after if not r.approval), after[0])

    @property
    def safest(self) -> Rung:
        """The safest of the ladder's own rungs: the emergency stop."""
        return self.own[-1]

    def _rank(self, name: str, value: object) -> float | None:
        values = self._values[name]
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
