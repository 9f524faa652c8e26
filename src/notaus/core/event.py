"""Events: everything that `step` takes in. Each carries its own `now`; nothing else tells the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from notaus.core.effect import ChecksResult, Kept, LeverResult
from notaus.core.sample import Readings
from notaus.core.service import Contact
from notaus.core.world import World


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon came up, or took the account over. `config` is the hash of the configuration in force."""

    now: int
    config: str


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """A reload brought a new configuration; `changed` are the rules whose meaning is new."""

    now: int
    config: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Polled:
    """A tick of the grid and what the poll brought. `tick` is the grid time, `now` when the answers were in."""

    tick: int
    now: int
    readings: Readings = field(default_factory=dict)
    world: World | None = None
    """None: not read at this tick, or the read failed (then `problems` names `world`)."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Signal name (or `world`) to why its read failed."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Values were posted to the daemon: samples of a `push` source, for grid times past and to come."""

    now: int
    readings: Readings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeverEnded:
    """A lever was pulled, or could not be."""

    now: int
    effect: str
    result: LeverResult


@dataclass(frozen=True, slots=True)
class LeverSlow:
    """A lever's outcome is not known 10 seconds after its intent: people are told now (spec 10)."""

    now: int
    effect: str


@dataclass(frozen=True, slots=True)
class ChecksEnded:
    """The checks of a step passed, or their deadline did."""

    now: int
    effect: str
    result: ChecksResult


@dataclass(frozen=True, slots=True)
class Collected:
    """The evidence of an incident is kept, as far as it could be had."""

    now: int
    effect: str
    result: Kept


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was delivered, or refused for good (`failure`)."""

    now: int
    effect: str
    failure: str | None = None
    receipt: str | None = None
    """What the channel answered, for later messages of the thread: Slack's message, Statuspage's incident, GitHub's issue."""


@dataclass(frozen=True, slots=True)
class SendFailing:
    """A channel has failed for 60 seconds; it is tried on, and the next contact is told."""

    now: int
    effect: str
    detail: str


@dataclass(frozen=True, slots=True)
class Hold:
    """`notaus hold`: no version rollbacks until `now + seconds`; with `all`, no KV step either."""

    now: int
    by: str
    seconds: int
    reason: str
    all: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """`notaus release`: ends a hold and an override."""

    now: int
    by: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`notaus approve` or `deny`; `request` None means the one that is open."""

    now: int
    by: str
    approved: bool
    request: str | None = None
    through: Contact | None = None
    """Whose button or link it was: it must be one of the approvers. None: by the API's token, whose holder may answer."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """`notaus trigger`: a report that no metric can see. `hook` marks a machine's, `fingerprint` tells repeats apart."""

    now: int
    by: str
    rule: str
    reason: str
    hook: bool = False
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Cleared:
    """A hook says that what it reported is over. It is noted; what has been done stays."""

    now: int
    by: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """Those who deploy say what they deployed: remembered for pages, never evidence. A version's id or tag names it."""

    now: int
    by: str
    version: str | None = None
    tag: str | None = None
    commit: str | None = None
    message: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class SetRung:
    """`notaus set` and `notaus stop` (rung None: the safest)."""

    now: int
    by: str
    rung: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RollBack:
    """`notaus rollback [--to VERSION]`: VERSION is an id or a tag; None is the last known-stable version."""

    now: int
    by: str
    to: str | None = None
    reason: str = ""
    accept_changed_secrets: bool = False


@dataclass(frozen=True, slots=True)
class RestoreOrder:
    """`notaus restore --attest TEXT…`."""

    now: int
    by: str
    attest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Close:
    """`notaus close ID --reason`."""

    now: int
    by: str
    incident: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judge:
    """`notaus versions SERVICE --flag|--clear VERSION`: a person's word on a version (id or tag)."""

    now: int
    by: str
    version: str
    flagged: bool


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill has been held, or could not be: told once, and kept; one that did not put everything back is loud."""

    now: int
    by: str
    passed: bool
    restored: bool
    text: str
    """What came of it, one thought a line."""
    where: str | None = None
    """Where its report lies."""


Order = (
    Hold | Release | Answer | Trigger | Cleared | Deployed | SetRung | RollBack | RestoreOrder | Close | Judge | Drilled
)
"""What people (or hooks) ask for; each is answered with a Reply."""

Event = (
    Started
    | Reconfigured
    | Polled
    | Pushed
    | LeverEnded
    | LeverSlow
    | ChecksEnded
    | Collected
    | Sent
    | SendFailing
    | Order
)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an order: whether it was accepted, and what to tell the person."""

    accepted: bool
    text: str
    incident: str | None = None
