"""The services that are explored: few rules, and every deadline a few ticks of five minutes away."""

from __future__ import annotations

from dataclasses import replace

from notaus.core.rule import Rule, Severity
from notaus.core.service import Mode, OverridePolicy, Requirement, Service
from notaus.core.signal import Shape, Unit
from notaus.core.verification import RampStep, Restore
from tests.builders import (
    CONTACTS,
    MAINTENANCE,
    READ_BACK,
    USUAL,
    Values,
    a_deployment_ladder,
    a_kv_ladder,
    a_rule,
    a_rung,
    a_signal,
    signals_of,
    with_rungs,
)
from tests.exploration.node import GRID, Node, start

TIMES = {
    "step": GRID,
    "propagation": 0,
    "validate": GRID,
    "override_for": 2 * GRID,
    "ttl": 2 * GRID,
    "max_actions": 2,
    "max_actions_per": 2 * GRID,
}
LADDER = a_kv_ladder(
    rungs=(a_rung("normal", 10), a_rung("reduced", 5), a_rung("emergency", 0, proxy=True)), escalate_to="emergency"
)
"""Three rungs: a breach that names one, a verdict that leads further, and none left."""


def _rule(when: str | None, hold: int, then: str, name: str, **more: object) -> Rule:
    return a_rule(when, hold, then, name=name, resolve_for=0, blind_after=GRID, **more)


def a_canary(mode: Mode = Mode.ACT, policy: OverridePolicy = OverridePolicy.HOLD, *more: Rule) -> Service:
    """Steered by a KV key."""
    signals = signals_of(
        a_signal("native.error_rate", Shape.RATE, Unit.RATIO, window=GRID),
        a_signal("proxy.error_rate", Shape.RATE, Unit.RATIO, window=GRID),
        a_signal("native.latency_p90", Shape.QUANTILE, Unit.MILLISECONDS, window=GRID),
        a_signal("native.share", Shape.SCALAR, Unit.RATIO, window=GRID),
        a_signal("r2.failures", Shape.COUNT, Unit.COUNT, window=GRID),
    )
    rules = (
        _rule("native.error_rate > 1.5%", GRID, "reduced", "mild", severity=Severity.WARNING),
        _rule("native.error_rate > 3%", 0, "emergency", "severe"),
        _rule("native.latency_p90 > 600", 0, "investigate", "slow", severity=Severity.WARNING),
        _rule("r2.failures > 5", 0, "emergency", "asking", approval=True),
        _rule(None, 0, "emergency", "a report"),
        _rule(None, 0, "emergency", "a rumour", approval=True),
        *more,
    )
    ramp = Restore((), (RampStep("reduced", GRID), RampStep("normal", GRID)))
    return Service(
        "pix", "account", "pix-api", signals, rules, LADDER, mode, verify=(READ_BACK,), restore=ramp,
        contacts=CONTACTS, baselines=USUAL, override=policy, **TIMES,
    )  # fmt: skip


def an_api(mode: Mode = Mode.ACT) -> Service:
    """Steered by its deployments."""
    signals = signals_of(a_signal("edge.error_rate", Shape.RATE, Unit.RATIO, window=GRID))
    rules = (
        _rule("edge.error_rate > 10%", 0, "rolled_back", "severe", within_of_deploy=6 * GRID),
        _rule("edge.error_rate > 5%", GRID, "rolled_back", "asking", approval=True, severity=Severity.WARNING),
        _rule(None, 0, "rolled_back", "a report"),
    )
    return Service(
        "books", "account", "api-worker", signals, rules, a_deployment_ladder(3 * GRID), mode, verify=(READ_BACK,),
        contacts=CONTACTS, baselines=USUAL, require=frozenset(Requirement), **TIMES,
    )  # fmt: skip


def blind_rule() -> Rule:
    return _rule("native.share > 90%", GRID, "reduced", "blind", on_blind="reduced")


def with_a_page() -> Service:
    """A canary with a rung that has a lever of its own: a rule names it, and it follows the emergency stop."""
    found = a_canary(Mode.ACT, OverridePolicy.HOLD, _rule("proxy.error_rate > 15%", 0, "maintenance", "both fail"))
    return replace(found, ladder=with_rungs(LADDER, MAINTENANCE, escalate_to="maintenance"))


STARTS: dict[str, Node] = {
    "canary": start(a_canary()),
    "canary, override: enforce, on_blind": start(a_canary(Mode.ACT, OverridePolicy.ENFORCE, blind_rule())),
    "canary, a maintenance page beyond": start(with_a_page()),
    "canary, mode: observe": start(a_canary(Mode.OBSERVE)),
    "canary, reloaded between its modes": replace(start(a_canary()), reloads=True),
    "rollback": start(an_api(), "v1", "v2"),
    "rollback, mode: observe": start(an_api(Mode.OBSERVE), "v1", "v2"),
}

CANARY_WEATHER: dict[str, Values] = {
    "all clear": {},
    "a milder breach": {"native.error_rate": 0.02},
    "a worse breach": {"native.error_rate": 0.05},
    "the proxy is worse": {"native.error_rate": 0.05, "proxy.error_rate": 0.2},
    "slow": {"native.latency_p90": 700},
    "uploads fail": {"r2.failures": 9},
    "unknown": {"native.error_rate": None, "native.latency_p90": None},
}
API_WEATHER: dict[str, Values] = {
    "all clear": {},
    "a milder breach": {"edge.error_rate": 0.07},
    "a worse breach": {"edge.error_rate": 0.3},
    "unknown": {"edge.error_rate": None},
}
