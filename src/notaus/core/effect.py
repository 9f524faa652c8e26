"""Effects: what a step asks of the world. Each stays in the outbox until an event settles it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from notaus.core.page import Message
from notaus.core.service import Contact
from notaus.core.verification import CheckResult


@dataclass(frozen=True, slots=True)
class WriteKv:
    """Set the steering key to a rung's fields, keeping every other field of the value read before."""

    rung: str
    only_safer: bool = True
    """Write nothing where the key already stands as safe or safer; False for a step that a person started."""
    expected: Mapping[str, object] | None = None
    """For a step that a person started: the rung fields judged; found otherwise, the write is not made."""
    blind: bool = False
    """The safest rung: written without reading first, if reads fail for 10 seconds."""


@dataclass(frozen=True, slots=True)
class Deploy:
    """Deploy `version` at 100 %, if `expected` (a deployment id) is still the live one."""

    version: str
    label: str
    message: str
    expected: str | None = None
    accept_changed_secrets: bool = False
    """Only by a person's word: repeat with `force=true` after error 10220."""


@dataclass(frozen=True, slots=True)
class Invoke:
    """Start what the lever of a rung's own names, or find what an earlier try has started."""

    rung: str
    key: str
    """Of the step: the mark by which what it has started is known."""
    reason: str
    since: int
    """Epoch seconds of the decision: nothing older can be its doing."""
    incident: str = ""
    undo: bool = False
    """Take it back instead."""
    again: bool = False
    """An earlier try may have started it."""
    look_only: bool = False
    """Start nothing: only find out how it ended, after a crash."""


Action = WriteKv | Deploy | Invoke


@dataclass(frozen=True, slots=True)
class PullLever:
    """Move the service to a rung."""

    id: str
    service: str
    action: Action
    asked_at: int


@dataclass(frozen=True, slots=True)
class RunChecks:
    """Run the verification of a step until every check passes or `deadline` (epoch seconds)."""

    id: str
    service: str
    rung: str
    deadline: int
    variables: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """What `$name` stands for in expectations: the rung's fields, `target.tag`, `target.id`."""


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver a message to one contact, at least once."""

    id: str
    service: str
    contact: Contact
    message: Message
    instead_of: tuple[Contact, ...] = ()
    """Those who could not be reached with it: none of them is tried again in place of another."""
    receipt: str | None = None
    """What the channel answered to the message before it, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Collect:
    """Keep the evidence of an incident beside the journal: at once, and again a minute after `asked_at`."""

    id: str
    service: str
    incident: str
    evidence: tuple[str, ...]
    since: int
    """Epoch seconds: what came before is of no interest."""
    asked_at: int
    version: str | None = None
    """The version in doubt, whose logs they are; None: the whole Worker's."""


Effect = PullLever | RunChecks | Send | Collect


class Outcome(StrEnum):
    """How pulling a lever ended."""

    DONE = "done"
    ALREADY = "already"
    """Nothing to do: the world was already there, or safer."""
    REFUSED = "refused"
    """Cloudflare said no, and would again."""
    FAILED = "failed"
    """Not done, after retries; may be tried again."""
    UNKNOWN = "unknown"
    """Asked, not answered, and not readable: look again before anything else."""
    LOST = "lost"
    """Begun, and nothing can tell how it ended: only a person's word repeats it."""
    FOREIGN = "foreign"
    """Somebody else changed it first; nothing was done."""


@dataclass(frozen=True, slots=True)
class LeverResult:
    """What pulling a lever found and did."""

    outcome: Outcome
    detail: str
    found: Mapping[str, object] | None = None
    """KV: the value before the write."""
    written: Mapping[str, object] | None = None
    """KV: the value now, all fields."""
    deployment: str | None = None
    """Deployment lever: the id of the new live deployment."""
    notes: tuple[str, ...] = ()
    """To be told: a fixed field that differs, a foreign deployment in between."""


@dataclass(frozen=True, slots=True)
class ChecksResult:
    """How the checks of a step ended."""

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Every check that is not advisory passed."""
        return all(r.passed or r.advisory for r in self.results)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a `Collect`."""

    where: str
    """The directory, on the machine that acted."""
    files: int
    bytes: int
    problems: tuple[str, ...] = ()
    """What could not be had, or was cut."""
