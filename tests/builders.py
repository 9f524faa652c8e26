"""Builders: the domain's words, short where a test does not care; and a situation that plays a service tick by tick.

`a_service` is steered by a KV key, `a_rollback_service` by its deployments. A `Situation` holds one of them with its
state and history, feeds it healthy samples unless told otherwise, and stands in for Cloudflare and the channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from notaus.core import fleet
from notaus.core.baseline import healthy
from notaus.core.deployment import Registry, Standing
from notaus.core.effect import (
    ChecksResult,
    Deploy,
    Effect,
    LeverResult,
    Outcome,
    PullLever,
    RunChecks,
    Send,
    WriteKv,
)
from notaus.core.event import ChecksEnded, Event, LeverEnded, Polled, Sent, Started
from notaus.core.fleet import Stepped
from notaus.core.hold import Hold, Run, Truth
from notaus.core.incident import Incident, Phase, Step
from notaus.core.ladder import DeploymentLever, KvLever, Ladder, Rung, Share, WorkflowLever
from notaus.core.page import Kind, Message
from notaus.core.rule import Bound, Comparison, Operator, Rule, Severity
from notaus.core.sample import History, Sample, exact, rate
from notaus.core.service import Contact, Contacts, Mode, Requirement, Service
from notaus.core.signal import Shape, Signal, Unit
from notaus.core.state import RuleState, State
from notaus.core.turn import Turn
from notaus.core.verification import Check, CheckResult, ReadBack
from notaus.core.world import Deployment, DeploymentsView, KvView, Version, World

T0 = 1_789_999_200
"""A whole hour; every test's beginning of time."""
STEP = 15
Number = float | int | str | Fraction

HIGHER = Contact("pagerduty", "lead")
CRITICAL = Contact("pagerduty", "oncall")
TEAM = Contact("slack", "#team")
APPROVER = Contact("slack", "#approvers")


# Samples


def a_sample(at: int = T0, value: Number | None = 1, requests: Number | None = None) -> Sample:
    """A known sample, or with `None` an unknown one."""
    return Sample(at, None if value is None else exact(value), among=None if requests is None else exact(requests))


def a_rate(at: int = T0, share: Number = 0.003, requests: Number = 1000, effective: int | None = None) -> Sample:
    return rate(at, exact(share) * exact(requests), requests, effective)


def a_history(step: int = STEP, start: int = T0, **series: Iterable[Number | str | None]) -> History:
    """Values by signal (`__` for a dot) from `start` on; None is unknown, "pending" is left out."""
    readings = {
        name.replace("__", "."): tuple(
            a_sample(start + i * step, value) for i, value in enumerate(values) if value != "pending"
        )
        for name, values in series.items()
    }
    return History().merged(readings, 0)


# Rules


def a_comparison(text: str = "native.error_rate > 3%") -> Comparison:
    """`SIGNAL OP NUMBER[%]` or `SIGNAL OP OTHER + N%`, as a service file has it."""
    signal, op, *bound = text.split()
    if len(bound) == 1:
        number = bound[0]
        constant = exact(number.rstrip("%")) / 100 if number.endswith("%") else exact(number)
        return Comparison(signal, Operator(op), Bound(constant), text)
    other, sign, percentage = bound
    change = exact(percentage.rstrip("%")) / 100
    return Comparison(signal, Operator(op), Bound(other=other, factor=1 + change if sign == "+" else 1 - change), text)


def a_rule(
    when: str | None = "native.error_rate > 3%", hold: int = 180, then: str = "emergency", **changes: Any
) -> Rule:
    """A rule; several conditions are joined by ` and `, none makes a trigger."""
    conditions = tuple(a_comparison(text) for text in when.split(" and ")) if when else ()
    fields: dict[str, Any] = {"name": when or "a report", "severity": Severity.CRITICAL, "trigger": when is None}
    return Rule(**{**fields, "then": then, "when": conditions, "hold": hold, **changes})


# Services


def a_signal(name: str, shape: Shape = Shape.SCALAR, unit: Unit = Unit.PLAIN, settle: int = 0, **more: Any) -> Signal:
    cohort, _, measure = name.partition(".")
    fields: dict[str, Any] = {"window": 60, "cohort": cohort if cohort in ("native", "proxy") else None}
    return Signal(name, cohort, measure or name, shape, unit, settle=settle, **{**fields, **more})


def signals_of(*signals: Signal) -> dict[str, Signal]:
    return {signal.name: signal for signal in signals}


def a_kv_ladder(**changes: Any) -> Ladder:
    fields: dict[str, Any] = {
        "lever": KvLever("namespace", "config", {"canary_tag": "B2a", "last_updated": "$now"}),
        "rungs": (
            a_rung("normal", 10),
            a_rung("reduced", 5),
            a_rung("disabled", 0),
            a_rung("emergency", 0, proxy=True),
        ),
        "escalate_to": "disabled",
        "drains": {"emergency": "native"},
        "share": Share("native.share", "canary_percent"),
    }
    return Ladder(**{**fields, **changes})


def a_rung(name: str, percent: int, proxy: bool = False) -> Rung:
    return Rung(name, {"canary_percent": percent, "emergency_proxy": proxy})


def a_deployment_ladder(stable_after: int = 3600) -> Ladder:
    return Ladder(DeploymentLever("api-worker", stable_after), (Rung("normal"), Rung("rolled_back", stable=True)))


MAINTENANCE = Rung(
    "maintenance", lever=WorkflowLever("books/api", "maintenance.yml", inputs={"mode": "on"}, undo={"mode": "off"})
)
REVERTED = Rung("reverted", lever=WorkflowLever("books/api", "revert.yml", deploys=True), approval=True)


def with_rungs(ladder: Ladder, *rungs: Rung, escalate_to: str | None = None) -> Ladder:
    """`ladder` with rungs that have levers of their own beyond it."""
    return replace(ladder, rungs=(*ladder.rungs, *rungs), escalate_to=escalate_to)


CONTACTS = Contacts((CRITICAL, TEAM), (TEAM,), (HIGHER,), (APPROVER,))
KV_RULES = (
    a_rule("native.error_rate > 1.5%", 300, "reduced", name="errors", severity=Severity.WARNING),
    a_rule("native.error_rate > 3%", 180, "emergency", name="errors high"),
    a_rule("native.latency_p90 > 600", 600, "investigate", name="slow", severity=Severity.WARNING),
    a_rule("native.latency_p90 > proxy.latency_p90 + 20%", 300, "reduced", name="slower", severity=Severity.WARNING),
    a_rule("r2.failures > 5", 180, "emergency", name="uploads failing"),
    a_rule(None, 0, "emergency", name="database errors"),
)
USUAL = {
    "native.error_rate": healthy(0.003, 1000, 1440, T0 - 86400),
    "proxy.error_rate": healthy(0.003, 9000, 1440, T0 - 86400),
    "edge.error_rate": healthy(0.003, 10000, 1440, T0 - 86400),
    "api.cache_hit_rate": healthy(0.8, 10000, 1440, T0 - 86400),
}


def a_service(settle: int = 0, **changes: Any) -> Service:
    """A canary steered by a KV key, of the kind the runbook of pix.immo describes. Mode: act."""
    signals = signals_of(
        *(
            signal
            for cohort in ("native", "proxy")
            for signal in (
                a_signal(f"{cohort}.requests", Shape.COUNT, Unit.COUNT, settle),
                a_signal(f"{cohort}.error_rate", Shape.RATE, Unit.RATIO, settle),
                a_signal(f"{cohort}.latency_p90", Shape.QUANTILE, Unit.MILLISECONDS, settle),
                a_signal(f"{cohort}.share", Shape.RATE, Unit.RATIO, settle),
            )
        ),
        a_signal("r2.failures", Shape.COUNT, Unit.COUNT, settle),
    )
    fields: dict[str, Any] = {"contacts": CONTACTS, "signals": signals, "mode": Mode.ACT, "rules": KV_RULES}
    given = {**fields, "ladder": a_kv_ladder(), "baselines": USUAL, **changes}
    return Service("pix", "account", "pix-api", **given)


ROLLBACK_RULES = (
    a_rule("edge.error_rate > 10%", 120, "rolled_back", name="error spike", within_of_deploy=1800),
    a_rule("health.failed >= 1", 60, "rolled_back", name="outage", within_of_deploy=1800),
    a_rule(None, 0, "rolled_back", name="data loss"),
    a_rule("edge.error_rate > 5%", 300, "rolled_back", name="errors", approval=True, severity=Severity.WARNING),
    a_rule("api.cache_hit_rate < 30%", 300, "rolled_back", name="cache", approval=True, severity=Severity.WARNING),
)


def a_rollback_service(settle: int = 0, **changes: Any) -> Service:
    """An API whose bad deployments are rolled back, of the kind the runbook of BooksTrack describes. Mode: act."""
    signals = signals_of(
        a_signal("edge.error_rate", Shape.RATE, Unit.RATIO, settle),
        a_signal("edge.latency_p95", Shape.QUANTILE, Unit.MILLISECONDS, settle),
        a_signal("api.cache_hit_rate", Shape.RATE, Unit.RATIO, settle),
        a_signal("health.failed", Shape.SCALAR, Unit.PLAIN, settle),
    )
    fields: dict[str, Any] = {
        "signals": signals,
        "contacts": CONTACTS,
        "mode": Mode.ACT,
        "rules": ROLLBACK_RULES,
        "baselines": USUAL,
        "ladder": a_deployment_ladder(),
        "require": frozenset(Requirement),
    }
    return Service("books", "account", "api-worker", **{**fields, **changes})


READ_BACK = Check(ReadBack("kv"), "the key read back")


# The world


def a_version(tag: str, created: int = T0 - 86400, etag: str | None = None) -> Version:
    return Version(f"id-of-{tag}", created, tag, etag or f"etag-{tag}")


def a_deployment(created: int, *versions: tuple[str, float] | str, id: str | None = None) -> Deployment:
    """`("v2", 10)` and so on; a bare tag serves everything."""
    shares = tuple((f"id-of-{v}", 100.0) if isinstance(v, str) else (f"id-of-{v[0]}", v[1]) for v in versions)
    return Deployment(id or f"deployment-{created - T0}", created, shares)


def a_view(*deployments: Deployment, at: int = T0, blocked: Mapping[str, str] | None = None) -> DeploymentsView:
    """Deployments, newest first, with their versions (each uploaded when it first served)."""
    created: dict[str, int] = {}
    for deployment in deployments:
        for id, _ in deployment.versions:
            created[id] = deployment.created
    versions = {id: a_version(id.removeprefix("id-of-"), at) for id, at in created.items()}
    return DeploymentsView(at, deployments, versions, {f"id-of-{tag}": why for tag, why in (blocked or {}).items()})


def a_registry(view: DeploymentsView, *stable: str) -> Registry:
    """A registry that knows the versions of `view`, those named known-stable for a day."""
    standings = {
        id: Standing(T0 - 86400 if id.removeprefix("id-of-") in stable else None, served=True) for id in view.versions
    }
    return Registry(standings, view.versions)


# States and incidents


def a_state(service: Service | None = None, **changes: Any) -> State:
    """The state of `service` with its rules in force for a day, before the first poll."""
    service = service or a_service()
    rules = {rule.name: RuleState(T0 - 86400) for rule in service.rules}
    return State(**{"service": service.name, "config": "config-1", "rules": rules, **changes})


def a_step(rung: str = "reduced", *rules: str, **changes: Any) -> Step:
    fields: dict[str, Any] = {"number": 1, "action": T0, "effect": "pix/1-pull", "label": rung}
    return Step(**{**fields, "rung": rung, "rules": rules, **changes})


def an_incident(phase: Phase = Phase.WATCHING, **changes: Any) -> Incident:
    fields: dict[str, Any] = {"id": "pix-1", "service": "pix", "opened_at": T0, "severity": Severity.WARNING}
    return Incident(**{**fields, "phase": phase, **changes})


def a_turn(
    service: Service | None = None, state: State | None = None, history: History | None = None, at: int = T0
) -> Turn:
    service = service or a_service()
    return Turn(service, state or a_state(service), history or History(), at, at, holds={})


def a_run(start: int = T0, held: int = 180, breached: int | None = None) -> Run:
    return Run(start, start + held, held, breached)


def a_breach(start: int = T0, held: int = 180) -> Hold:
    """A hold whose rule is breached at its newest sample."""
    run = a_run(start, held, start + held)
    return Hold(run.end, Truth.TRUE, run, (), run.end)


# A service, tick by tick

HEALTHY: Mapping[str, Number | None] = {
    "native.requests": 1000,
    "native.error_rate": 0.003,
    "native.latency_p90": 400,
    "native.share": 0.1,
    "proxy.requests": 9000,
    "proxy.error_rate": 0.003,
    "proxy.latency_p90": 400,
    "proxy.share": 0.9,
    "r2.failures": 0,
    "edge.error_rate": 0.003,
    "edge.latency_p95": 400,
    "api.cache_hit_rate": 0.8,
    "health.failed": 0,
}
REQUESTS: dict[str, int | None] = {"native": 1000, "proxy": 9000}
Values = Mapping[str, Number | None]
"""What signals are, where they are not healthy; None is unknown, and `pending` names signals not read."""


@dataclass
class Situation:
    """A service on its grid, with a stand-in for Cloudflare: levers work at once unless `levers` says otherwise."""

    service: Service
    state: State
    history: History = field(default_factory=History)
    at: int = T0
    """The newest tick."""
    key: dict[str, Any] | None = None
    view: DeploymentsView | None = None
    levers: Outcome | None = Outcome.DONE
    """How pulling a lever ends; None: it goes on."""
    checks: bool | None = True
    """Whether verification passes; None: it goes on."""
    delivering: bool = True
    """Whether messages are delivered at once."""
    pending: frozenset[str] = frozenset()
    """Signals whose reads fail."""
    gaps: dict[str, list[int]] = field(default_factory=dict)
    """Grid times of signals not read yet; the next read brings them."""
    unread: str | None = None
    """Why the world cannot be read."""
    pulled: list[PullLever] = field(default_factory=list)
    """Every lever pulled, in order."""
    said: list[Message] = field(default_factory=list)
    """Every message, once each."""
    last: Stepped | None = None
    events: list[Event] = field(default_factory=list)
    closed: list[Incident] = field(default_factory=list)

    # Events

    def take(self, event: Event) -> Stepped:
        """One event; the levers, checks and channels then do their part."""
        self.events.append(event)
        stepped = fleet.step(self.service, self.state, self.history, event)
        self.state, self.history, self.last = stepped.state, stepped.history, stepped
        self.closed += stepped.closed
        for effect in stepped.effects:
            self._carry_out(effect)
        self.last = stepped
        return stepped

    def tick(self, values: Values | None = None) -> Stepped:
        """The next grid time, a poll that brings `values` (healthy where left out)."""
        self.at += STEP
        return self.take(self.poll(values or {}))

    def run(self, seconds: int, values: Values | None = None) -> None:
        """`seconds` of ticks, all alike."""
        for _ in range(seconds // STEP):
            self.tick(values)

    def until(self, phase: Phase | None, values: Values | None = None, *, within: int = 3600) -> None:
        """Ticks, all alike, until the incident is in `phase` (None: no incident is open)."""
        for _ in range(within // STEP):
            self.tick(values)
            if (self.state.incident.phase if self.state.incident else None) is phase:
                return
        raise AssertionError(f"not {phase} within {within} s, but {self.state.words}")

    def poll(self, values: Values) -> Polled:
        readings = {}
        for name, signal in self.service.signals.items():
            sample = self.sample(signal, {**HEALTHY, **self._split(), **values}[name])
            if name in self.pending:
                self.gaps.setdefault(name, []).append(sample.at)
            else:
                readings[name] = (*(replace(sample, at=at) for at in self.gaps.pop(name, ())), sample)
        problems = dict.fromkeys(self.pending, "a 500")
        if self.unread is not None:
            problems["world"] = self.unread
        return Polled(self.at, self.at, readings, self.world, problems)

    def _split(self) -> Values:
        """The traffic follows the key."""
        percent = (self.key or {}).get("canary_percent")
        if self.key is None or not isinstance(percent, int):
            return {}
        native = 0.0 if self.key.get("emergency_proxy") else percent / 100
        return {"native.share": native, "proxy.share": 1 - native}

    def sample(self, signal: Signal, value: Number | None) -> Sample:
        at = self.at - signal.settle
        requests = REQUESTS.get(signal.cohort or "", 10000)
        if value is None:
            return Sample(at, among=Fraction(0))
        return a_rate(at, value, requests) if signal.shape is Shape.RATE else a_sample(at, value, requests)

    @property
    def world(self) -> World | None:
        if self.unread is not None:
            return None
        if self.view is not None:
            return replace(self.view, at=self.at)
        return KvView(self.at, self.key, None if self.key is not None else "missing")

    def deploy(self, *versions: tuple[str, float] | str, id: str | None = None) -> None:
        """Somebody deploys, at the newest tick."""
        assert self.view is not None
        self.view = a_view(a_deployment(self.at, *versions, id=id), *self.view.deployments)

    # What is carried out

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case PullLever():
                self.pulled.append(effect)
                if self.levers is not None:
                    self.end_lever(effect, self.levers)
            case RunChecks():
                if self.checks is not None:
                    result = ChecksResult((CheckResult("the check", self.checks, "seen"),))
                    self.take(ChecksEnded(self.at, effect.id, result))
            case Send():
                if effect.message not in self.said:
                    self.said.append(effect.message)
                if self.delivering:
                    self.take(Sent(self.at, effect.id))

    def end_lever(self, effect: PullLever, outcome: Outcome = Outcome.DONE) -> None:
        """What pulling the lever came to; it works where the outcome is `done`."""
        found, written, deployment = self.key, None, None
        if outcome is Outcome.DONE and isinstance(effect.action, WriteKv):
            self.key = written = {**(found or {}), **self.service.ladder.rung(effect.action.rung).fields}
        if outcome is Outcome.DONE and isinstance(effect.action, Deploy):
            self.deploy(effect.action.version.removeprefix("id-of-"), id=f"by {effect.id}")
            deployment = f"by {effect.id}"
        result = LeverResult(outcome, "so it went", found, written, deployment)
        self.take(LeverEnded(self.at, effect.id, result))

    # What a test asks for

    @property
    def incident(self) -> Incident:
        assert self.state.incident is not None, "no incident is open"
        return self.state.incident

    @property
    def phase(self) -> Phase | None:
        return self.state.incident.phase if self.state.incident is not None else None

    @property
    def rung(self) -> str | None:
        """The rung in force, by what is known."""
        rung = Turn(self.service, self.state, self.history, self.at, self.at).rung
        return rung.name if rung is not None else None

    @property
    def rungs(self) -> list[str]:
        """Where each pull went: rungs, or version labels."""
        return [p.action.label if isinstance(p.action, Deploy) else p.action.rung for p in self.pulled]

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.said]

    def notices(self) -> list[str]:
        return [m.title for m in self.said if m.kind is Kind.NOTICE]

    def pages(self) -> list[str]:
        return [m.title for m in self.said if m.kind is Kind.PAGE]

    def told(self, text: str) -> Message:
        """The newest message that has `text` in its title, lines or facts."""
        for message in reversed(self.said):
            if text in "\n".join((message.title, *message.lines, *message.facts.values())):
                return message
        raise AssertionError(f"nobody was told {text!r}; they were told {self.titles}")

    def heard(self, text: str) -> bool:
        return any(text in "\n".join((m.title, *m.lines, *m.facts.values())) for m in self.said)


def a_situation(
    service: Service | None = None, *, rung: str = "normal", live: str | None = None, **changes: Any
) -> Situation:
    """A service under watch and healthy for 15 minutes.

    KV: at `rung`. With `live` a rollback service: v1 had served for a day when `live` was deployed at T0 - 900 (with
    `live="v1"` nothing was), so that ticks from T0 on are 15 minutes into the deployment.
    """
    if live is not None:
        service = service or a_rollback_service()
        first = a_deployment(T0 - 90000, "v1")
        view = a_view(first) if live == "v1" else a_view(a_deployment(T0 - 900, live), first)
        situation = Situation(service, State(service.name), view=view, **changes)
    else:
        service = service or a_service()
        key = {"canary_tag": "B2a", **service.ladder.rung(rung).fields}
        situation = Situation(service, State(service.name), key=key, **changes)
    situation.at = T0 - 1800
    situation.take(Started(situation.at + 1, "config-1"))
    if live not in (None, "v1"):
        situation.view = a_view(a_deployment(T0 - 90000, "v1"))
        situation.run(900)
        situation.view = a_view(a_deployment(T0 - 900, live or ""), a_deployment(T0 - 90000, "v1"))
        situation.run(900)
    else:
        situation.run(1800)
    return situation
