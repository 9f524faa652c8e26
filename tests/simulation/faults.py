"""What befalls the world of one seed: its services, its troubles, its faults, other people's hands. Pure data."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

EPOCH = 1_790_006_400
"""The epoch time of 0:00."""
PAST = 7200
"""Seconds of traffic before it."""
LIVENESS = 75 * 60
"""Seconds at the end in which nothing goes wrong any more."""
MINUTE = 60


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something about the traffic over `(at, until]` (epoch seconds)."""

    at: int
    until: int
    kind: str
    size: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with what notaus stands on, over `[at, until)`: an API, a pager, the journal."""

    at: int
    until: int
    target: str
    kind: str
    worst: bool = False
    """It waits, from `at` on, for the moment at which a lever is pulled, and lasts as long from there."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that happens at once: a person's hand, a crash, a reload."""

    at: int
    kind: str
    what: dict[str, Any] = field(default_factory=dict)
    worst: bool = False
    """It waits, from `at` on, for the moment at which a lever is pulled, and comes right after."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the seed decides before the run begins."""

    seed: int
    seconds: int
    step: int
    settle: int
    replicas: int
    real_journal: bool
    pix_per_minute: float
    books_per_minute: float
    pix_errors: float
    books_errors: float
    burst: int
    hour: int
    """Of the day, at 0:00: the traffic has a daily shape."""
    healthy: bool
    """No trouble at all: whatever notaus does by itself is a false action."""
    enforce: bool = False
    """pix-immo has `override: enforce`."""
    page: str = ""
    """What pix-immo's ladder has beyond: nothing, or a maintenance page that a workflow puts up. It `serves` every
    request without a failure, or `hides` them: nothing of them is counted any more."""
    run_seconds: float = 30.0
    """How long a run of that workflow takes."""
    conclusions: tuple[str, ...] = ()
    """Of its first runs, in order; then success."""
    run_told: bool = True
    """Whether a dispatch is answered with its run."""
    troubles: tuple[Trouble, ...] = ()
    faults: tuple[Fault, ...] = ()
    deeds: tuple[Deed, ...] = ()

    @property
    def healed_at(self) -> int:
        return EPOCH + self.seconds - LIVENESS


TROUBLES = (
    ("native errors", (0.01, 0.03, 0.06, 0.2, 0.5, 1.0)),
    ("native errors", (0.02, 0.05, 0.2, 0.5, 1.0)),
    ("proxy errors", (0.02, 0.1, 0.5)),
    ("both", (0.02, 0.1, 0.5, 1.0)),
    ("native slow", (0.15, 0.3, 0.7, 2.0)),
    ("proxy slow", (0.3, 1.0)),
    ("uploads", (3.0, 8.0, 40.0)),
    ("intents", (20.0,)),
    ("books", (0.04, 0.08, 0.2, 0.7, 1.0)),
    ("books slow", (1000.0, 4000.0)),
    ("cold cache", (0.3, 0.6)),
    ("providers", (0.05, 0.2)),
    ("traffic", (0.0, 0.0, 0.02, 0.3, 3.0)),
    ("sampling", (10.0, 100.0)),
    ("lag", (60.0, 240.0, 900.0)),
    ("sticky", (1.0,)),
)
FAULTS = (
    ("analytics", ("error", "hang", "429")),
    ("analytics", ("error", "hang", "slow")),
    ("kv.get", (500, 429, "timeout", "hang", "reset", "slow:3", "html")),
    ("kv.put", (500, 429, "429:30", "lost_reply", "hang", "reset", "garbage")),
    ("kv.put", ("lost_reply", "slow:3", "slow:6")),
    ("deployments.get", (500, 429, "hang", "reset", "garbage")),
    ("deployments.post", (500, 429, "lost_reply", "hang", "reset", 400)),
    ("deployments.post", ("lost_reply", "slow:3", "slow:6")),
    ("versions.get", (500, 429, "hang")),
    ("verify", (500, 429, "timeout", "reset")),
    ("page", (500, 429, "hang", "reset", "slow:4", "lost_reply")),
    ("page", (503,)),
    ("api", (429, "429:60", 500, "outage")),
    ("all", ("outage", "hang", 503, "429:20")),
    ("journal", ("fails",)),
)
WORKFLOW_FAULTS = (
    ("workflow", (500, 429, "429:30", "lost_reply", "hang", "reset", "slow:6", 404)),
    ("workflow", ("lost_reply", "slow:6")),
    ("workflow.get", (500, 429, "hang", "reset", "garbage")),
)
"""Those of GitHub, where a maintenance page is put up by a workflow."""
PAGE_TROUBLES = (("proxy errors", (0.5, 1.0)), ("both", (0.5, 1.0)), ("native errors", (0.5, 1.0)))
"""What it is put up for."""
RELOADS = ("nothing", "bound", "hold", "observe", "drop a rule")
CRASHES = ("before write", "after write", "before request", "after request", "any await")
WORST = (
    "kv.put", "kv.get", "deployments.post", "deployments.get", "page", "journal", "verify", "api", "all", "workflow",
)  # fmt: skip
BAD = (
    {"errors": 0.08},
    {"errors": 0.2},
    {"errors": 0.6},
    {"errors": 1.0, "down": 1.0},
    {"latency": 4000.0},
    {"sockets": 0.4},
    {"cache": 0.7},
)


def drawn(seed: int, hours: float = 6.0) -> Plan:
    """The plan of a seed. Raises ValueError for a run too short to have faults in it."""
    if hours * 3600 <= LIVENESS + 15 * MINUTE:
        raise ValueError(f"{hours:g} hours are too few: the last {LIVENESS // MINUTE} minutes are without faults")
    rng = random.Random(f"plan {seed}")
    seconds = int(hours * 3600)
    healthy = rng.random() < 0.08
    step = rng.choices((15, 30, 60), (1, 1, 30))[0]  # a tick of 15 s costs four times as much, and shows little more
    base = Plan(
        seed,
        seconds,
        step,
        rng.choice((0, 60, 60, 120, 180)),
        2 if rng.random() < 0.12 else 1,
        rng.random() < 0.1,
        rng.choice((12.0, 60.0, 300.0, 1_000.0, 10_000.0, 10_000.0)),
        rng.choice((6.0, 30.0, 300.0, 3_000.0, 6_000.0)),
        rng.choice((0.001, 0.003, 0.005)),
        rng.choice((0.001, 0.005, 0.01)),
        rng.choice((1, 1, 1, 5)),
        rng.randrange(24),
        healthy,
    )
    end = base.healed_at
    troubles = () if healthy else tuple(_troubles(rng, end))
    faults = tuple(_faults(rng, end))
    found = [replace(deed, worst=rng.random() < 0.4) for deed in _deeds(rng, end, quiet=healthy)]
    deeds = tuple(sorted(found, key=lambda d: d.at))
    return _with_options(replace(base, troubles=troubles, faults=faults, deeds=deeds))


def _with_options(plan: Plan) -> Plan:
    """What few people set: `override: enforce`, and a rung with a lever of its own, with more that befalls these."""
    rng, end = random.Random(f"options {plan.seed}"), plan.healed_at
    plan = replace(plan, enforce=rng.random() < 0.25)
    if rng.random() >= 0.3:
        return plan
    conclusions = rng.choices(("success", "failure", "cancelled", "timed_out"), (8, 1, 1, 1), k=10)
    plan = replace(
        plan,
        page=rng.choice(("serves", "hides")),
        run_seconds=rng.choice((10.0, 30.0, 90.0, 300.0)),
        conclusions=tuple(conclusions),
        run_told=rng.random() < 0.7,
        faults=(*plan.faults, *_faults(rng, end, WORKFLOW_FAULTS)),
    )
    if plan.healthy:
        return plan
    orders = [
        Deed(_moment(rng, end), "order", {"order": "set", "service": SERVICES[0]}) for _ in range(rng.randint(0, 2))
    ]
    troubles: list[Trouble] = []
    for _ in range(rng.randint(1, 3)):
        (kind, sizes), at = rng.choice(PAGE_TROUBLES), _moment(rng, end)
        troubles.append(Trouble(at, min(end, at + rng.choice((400, 900, 3600))), kind, rng.choice(sizes)))
    deeds = tuple(sorted((*plan.deeds, *orders), key=lambda d: d.at))
    return replace(plan, troubles=(*plan.troubles, *troubles), deeds=deeds)


def _moment(rng: random.Random, end: int) -> int:
    return rng.randrange(EPOCH + 10 * MINUTE, max(end, EPOCH + 11 * MINUTE))


def _troubles(rng: random.Random, end: int) -> Iterator[Trouble]:
    for _ in range(rng.randint(3, 12)):
        kind, sizes = rng.choice(TROUBLES)
        at = _moment(rng, end)
        if rng.random() < 0.15:  # flapping
            for _ in range(rng.randint(3, 10)):
                until = min(end, at + rng.randrange(30, 240))
                yield Trouble(at, until, kind, rng.choice(sizes))
                at = until + rng.randrange(30, 120)
                if at >= end:
                    break
        else:
            lasts = rng.choice((90, 170, 200, 400, 900, 1800, 3600))
            yield Trouble(at, min(end, at + lasts), kind, rng.choice(sizes))


def _faults(rng: random.Random, end: int, among: Sequence[tuple[str, Sequence[object]]] = FAULTS) -> Iterator[Fault]:
    for _ in range(rng.randint(0, 10 if among is FAULTS else 3)):
        target, kinds = rng.choice(among)
        at = _moment(rng, end)
        lasts = rng.choice((5, 20, 45, 90, 240, 600, 1500))
        worst = target in WORST and rng.random() < 0.6
        yield Fault(at, min(end, at + lasts), target, str(rng.choice(kinds)), worst)


def _deeds(rng: random.Random, end: int, *, quiet: bool) -> Iterator[Deed]:
    for _ in range(rng.randint(0, 5)):
        point = rng.choices(CRASHES, (1, 1, 1, 1, 4))[0]
        count = int(2 ** rng.uniform(0, 8)) if point == "any await" else rng.randint(1, 30)
        down = rng.choice((1, 5, 20, 60, 300, 1200))
        yield Deed(_moment(rng, end), "crash", {"point": point, "count": count, "down": down})
    if rng.random() < 0.3:
        yield Deed(_moment(rng, end), "clock", {"by": rng.choice((-3600, -120, 45, 3600))})
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        yield Deed(_moment(rng, end), "reload", {"what": rng.choice(RELOADS)})
    for _ in range(rng.choice((0, 0, 1, 3))):
        yield Deed(_moment(rng, end), "revise", {"back": rng.randrange(60, 1200), "add": rng.choice((1, 5, 200))})
    if quiet:
        return
    for _ in range(rng.randint(0, 3)):
        kind = rng.choice(("deploy bad", "deploy bad", "deploy gradually"))
        yield Deed(_moment(rng, end), kind, {"how": rng.choice(BAD)})
    for _ in range(rng.randint(0, 3)):
        yield Deed(_moment(rng, end), rng.choice(("deploy good", "deploy old", "deploy half", "deploy again")))
    for _ in range(rng.randint(0, 4)):
        percent = rng.choice((0, 3, 5, 8, 10, 25))
        emergency = rng.random() < 0.15
        fields = {"canary_percent": 0 if emergency else percent, "emergency_proxy": emergency}
        yield Deed(_moment(rng, end), "write", {"fields": fields})
    if rng.random() < 0.1:
        yield Deed(_moment(rng, end), "garble", {"value": rng.choice(("no json", {"canary_percent": "ten"}, []))})
    for _ in range(rng.randint(0, 4)):
        yield Deed(_moment(rng, end), "order", {"order": rng.choice(ORDERS), "service": rng.choice(SERVICES)})


SERVICES = ("pix-immo", "bookstrack")
ORDERS = ("hold", "hold all", "release", "close", "restore", "set", "stop", "rollback", "trigger", "hook", "approve")
