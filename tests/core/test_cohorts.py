"""Gradual deployments: which version is meant by `suspect` and `stable`, and from when its samples count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notaus.core import limits, watch
from notaus.core.deployment import STABLE, SUSPECT, beginnings, cohort_at, in_force, stable_part
from notaus.core.hold import Hold, Truth
from notaus.core.limits import Permit
from notaus.core.rule import Rule, Severity
from notaus.core.sample import History, Sample
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal, Unit
from notaus.core.state import RuleState
from notaus.core.turn import Turn
from notaus.core.world import Deployment
from tests.builders import (
    T0,
    a_comparison,
    a_deployment,
    a_rate,
    a_registry,
    a_rollback_service,
    a_rule,
    a_run,
    a_signal,
    a_state,
    a_turn,
    a_view,
    signals_of,
)

OLD, TENTH, HALF, ALL = (
    a_deployment(T0 - 90_000, "v1"),
    a_deployment(T0 - 1200, ("v1", 90), ("v2", 10)),
    a_deployment(T0 - 600, ("v1", 50), ("v2", 50)),
    a_deployment(T0 - 300, "v2"),
)
SUSPECT_RATE = Signal("suspect.error_rate", "api", "error_rate", Shape.RATE, Unit.RATIO, 60, 0, SUSPECT, True)
STABLE_RATE = replace(SUSPECT_RATE, name="stable.error_rate", cohort=STABLE)
WHOLE = a_signal("edge.error_rate", Shape.RATE, Unit.RATIO)


def a_rule_on(*conditions: str) -> Rule:
    return replace(a_rule(conditions[0], 120, "rolled_back"), when=tuple(a_comparison(c) for c in conditions))


def a_gradual_service(*rules: Rule) -> Service:
    return a_rollback_service(rules=rules, signals=signals_of(SUSPECT_RATE, STABLE_RATE, WHOLE), require=frozenset())


def a_gradual_turn(*deployments: Deployment, rule: str = "suspect.error_rate > 5%", stable: str = "v1") -> Turn:
    service = a_gradual_service(a_rule_on(*rule.split(" and ")))
    view = a_view(*deployments)
    return a_turn(service, a_state(service, view=view, registry=a_registry(view, stable), world_at=T0))


@pytest.mark.parametrize(
    ("at", "suspect", "stable"),
    [
        (T0 - 90_000, None, None),
        (T0 - 1200, "v1", "v1"),
        (T0 - 1199, "v2", "v1"),
        (T0 - 300, "v2", "v1"),
        (T0 - 299, "v2", None),
    ],
)
def test_a_cohort_is_the_version_that_served_just_before(at: int, suspect: str | None, stable: str | None) -> None:
    """A sample would be of a version that did not serve, or be blamed on the wrong one."""
    view = a_view(ALL, HALF, TENTH, OLD)
    registry = a_registry(view, "v1")
    found = [cohort_at(registry, view, cohort, at) for cohort in (SUSPECT, STABLE)]
    assert found == [version and f"id-of-{version}" for version in (suspect, stable)]


def test_of_two_versions_that_are_alike_none_is_meant() -> None:
    """Either could be blamed, or trusted, by chance."""
    view = a_view(HALF)
    assert cohort_at(a_registry(view), view, SUSPECT, T0) is None
    assert stable_part(a_registry(view, "v1", "v2"), HALF) is None
    assert in_force(view, T0 - 601) is None


def test_a_further_step_of_the_same_version_is_no_new_beginning() -> None:
    """Each step of a rollout would start the hold anew: a bad version could be rolled out to the end."""
    view = a_view(ALL, HALF, TENTH, OLD)
    assert beginnings(a_registry(view, "v1"), view) == [TENTH.created, OLD.created]
    assert beginnings(a_registry(view), view)[0] == ALL.created


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("suspect.error_rate > 5%", TENTH.created),
        ("suspect.error_rate > stable.error_rate + 20%", TENTH.created),
        ("edge.error_rate > 5%", HALF.created + 60),
        ("suspect.error_rate > 5% and edge.error_rate > 5%", HALF.created + 60),
    ],
)
def test_a_versions_own_samples_count_from_its_very_start(rule: str, first: int) -> None:
    """Its hold would begin a window late, and anew at every step of the rollout."""
    turn = a_gradual_turn(HALF, TENTH, OLD, rule=rule)
    assert watch.first_counted(turn, turn.service.rules[0]) == first


def test_a_rule_that_only_tells_is_cut_at_another_suspect_too() -> None:
    """One version's samples would go on in another's hold."""
    turn = a_gradual_turn(HALF, TENTH, OLD)
    told = replace(turn.service.rules[0], then="investigate")
    assert watch.deployed_from(turn, told) == TENTH.created
    assert watch.deployed_from(turn, replace(told, when=(a_comparison("edge.error_rate > 5%"),))) == 0
    turn.change(view=None)
    assert watch.deployed_from(turn, told) == 0


def test_steps_of_one_rollout_are_not_several_deployments() -> None:
    """People would be told that no deployment is to blame, though one is."""
    turn = a_gradual_turn(ALL, HALF, TENTH, OLD)
    samples = tuple(a_rate(at, 0.2) for at in range(T0 - 1500, T0 + 1, 15))
    turn.history = History().merged({"suspect.error_rate": samples, "edge.error_rate": samples}, 0)
    watch.across_deployments(turn)
    assert turn.state.incident is None
    turn = a_gradual_turn(ALL, HALF, TENTH, OLD, rule="edge.error_rate > 5%")
    turn.history = History().merged({"edge.error_rate": samples}, 0)
    watch.across_deployments(turn)
    assert turn.state.incident is not None
    turn.change(view=None)
    assert watch._starts(turn, turn.service.rules[0]) == []


def blind(*deployments: Deployment, stable: str = "v1") -> str | None:
    turn = a_gradual_turn(*deployments, rule="suspect.error_rate > stable.error_rate + 20%", stable=stable)
    rule = turn.service.rules[0]
    turn.mark(rule.name, since=T0 - 90_000)
    readings = {
        "suspect.error_rate": (a_rate(T0 - 3600), a_rate(T0)),
        "stable.error_rate": (a_rate(T0 - 3600), Sample(T0)),
    }
    turn.history = History().merged(readings, 0)
    return watch._cause(turn, rule, Hold(T0, Truth.UNKNOWN, None, ()))


def test_a_cohort_that_no_live_version_makes_up_is_not_blind() -> None:
    """Every rollout that reached its end would page that the stable version's traffic is gone."""
    assert blind(ALL, HALF, TENTH, OLD) is None
    assert blind(HALF, TENTH, OLD) == "traffic is gone"
    assert blind(ALL, HALF, TENTH, OLD, stable="v2") == "traffic is gone"


def ruling(suspect: float, stable: float) -> limits.Ruling:
    turn = a_gradual_turn(HALF, TENTH, OLD)
    readings = {
        name: tuple(a_rate(at, share) for at in range(T0 - 180, T0 + 1, 15))
        for name, share in (("suspect.error_rate", suspect), ("stable.error_rate", stable), ("edge.error_rate", 0.5))
    }
    turn.history = History().merged(readings, 0)
    return limits.rule_on(turn, turn.service.rules[0], a_run(T0 - 180, 180), "rolled_back")


def test_a_rollback_to_a_version_known_to_be_worse_asks_first() -> None:
    """It would move the rest of the users from bad to worse (spec 17.10)."""
    found = ruling(0.1, 0.4)
    assert (found.permit, found.severity, found.version) == (Permit.ASK, Severity.CRITICAL, "id-of-v1")
    assert found.reason.startswith("stable, which would get the traffic, is clearly worse than suspect")
    assert ruling(0.1, 0.11).permit is Permit.ACT
    assert ruling(0.1, 0.003).permit is Permit.ACT


def test_the_deployment_at_the_start_of_the_hold_is_the_one_whose_age_counts() -> None:
    """A further step would make every trouble of a version as new as the step."""
    turn = a_gradual_turn(HALF, TENTH, OLD)
    rule = replace(turn.service.rules[0], within_of_deploy=300)
    turn.service = replace(turn.service, rules=(rule,))
    turn.change(rules={rule.name: RuleState(T0 - 90_000)})
    began_under_the_first = limits.rule_on(turn, rule, a_run(TENTH.created + 500, 180), "rolled_back")
    assert began_under_the_first.permit is Permit.TELL
    began_under_the_second = limits.rule_on(turn, rule, a_run(HALF.created + 100, 180), "rolled_back")
    assert began_under_the_second.permit is Permit.ACT
