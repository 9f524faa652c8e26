"""Six simulated hours of the production daemon in a hostile world, seed by seed; every promise holds in each."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.simulation.elsewhere import Elsewhere
from tests.simulation.faults import CRASHES, FAULTS, ORDERS, RELOADS, TROUBLES, WORKFLOW_FAULTS, drawn
from tests.simulation.promises import broken, disturbed
from tests.simulation.record import clock
from tests.simulation.tally import tally
from tests.simulation.witness import Run, watched


def story(run: Run, hours: float) -> str:
    """What happened, in time order, and how to see it again."""
    plan, record = run.world.plan, run.world.record
    lines = [f"{clock(at):>9}  {text}" for at, text in sorted(record.lines, key=lambda line: line[0])]
    head = (
        f"seed {plan.seed}: {plan.replicas} daemon(s), a tick each {plan.step} s, settle {plan.settle} s, "
        f"{plan.pix_per_minute:g} and {plan.books_per_minute:g} requests a minute, of which {plan.pix_errors:.1%} and "
        f"{plan.books_errors:.1%} fail, in bursts of {plan.burst}; 0:00 is at {plan.hour}:00"
    )
    options = [
        f"{service.name}: validate {service.validate} s, max_actions {service.max_actions}, "
        + ", ".join(f"{rule.name} for {rule.hold} s" for rule in service.rules if not rule.trigger)
        for service in run.world.services.values()
    ]
    replay = f"replay: pytest tests/simulation --seed {plan.seed} --hours {hours:g}"
    return "\n".join((head, *options, *lines, replay))


def test_every_promise_is_kept_in_a_hostile_world(
    seed: int,
    hours: float,
    twice: bool,
    told: bool,
    elsewhere: Elsewhere,
    record_property: Callable[[str, object], None],
) -> None:
    """If this fails, notaus did, in some order of faults, what spec 17 says must never happen: the story shows when.

    Or the same seed played a second time, in another process, gave another digest: it could not be replayed, for
    something asks the clock, the system or a hash for chance.
    """
    if twice:
        elsewhere.ask(seed, hours)
    run = watched(drawn(seed, hours))
    wrong = broken(run)
    record_property("tally", {**tally(run), "runs: played twice": int(twice)})
    here = run.world.digest()
    there = elsewhere.digest() if twice else here
    if here != there:
        wrong.append(f"the digest is {here} here, and {there or 'none'} in another process")
    if told:
        sys.stdout.write(story(run, hours) + "\n")
    if wrong:
        pytest.fail("\n".join((*wrong, "", story(run, hours))), pytrace=False)


def test_the_plans_of_all_seeds_hold_every_kind_of_trouble() -> None:
    """If this fails, some kind of fault is never drawn, and the simulation shows nothing of it."""
    plans = [drawn(seed) for seed in range(200)]
    deeds = [deed for plan in plans for deed in plan.deeds]
    kinds = {"crash", "clock", "reload", "revise", "write", "garble", "order"}
    kinds |= {"deploy bad", "deploy gradually", "deploy good", "deploy old", "deploy half", "deploy again"}
    assert {deed.kind for deed in deeds} == kinds
    assert {d.what["point"] for d in deeds if d.kind == "crash"} == set(CRASHES)
    assert {d.what["what"] for d in deeds if d.kind == "reload"} == set(RELOADS)
    assert {d.what["order"] for d in deeds if d.kind == "order"} == set(ORDERS)
    wanted = {(target, str(kind)) for target, kinds in (*FAULTS, *WORKFLOW_FAULTS) for kind in kinds}
    assert {(f.target, f.kind) for plan in plans for f in plan.faults} == wanted
    assert {f.target for plan in plans for f in plan.faults if f.worst} >= {
        "journal",
        "kv.put",
        "deployments.post",
        "page",
        "workflow",
    }
    assert {t.kind for plan in plans for t in plan.troubles} == {kind for kind, _ in TROUBLES}
    assert {kind for kind in ("reload", "deploy bad", "write", "crash") if any(d.worst and d.kind == kind for d in deeds)} == {
        "reload", "deploy bad", "write", "crash",
    }  # fmt: skip
    assert {plan.replicas for plan in plans} == {1, 2}
    assert {plan.step for plan in plans} == {15, 30, 60}
    assert {plan.real_journal for plan in plans} == {True, False}
    assert {plan.hour for plan in plans} == set(range(24))
    assert {plan.healthy for plan in plans} == {plan.enforce for plan in plans} == {True, False}
    assert {plan.page for plan in plans} == {"", "serves", "hides"}
    assert {plan.run_told for plan in plans if plan.page} == {True, False}
    assert {ended for plan in plans for ended in plan.conclusions} >= {"success", "failure", "cancelled"}
    assert any(plan.healthy and not disturbed(plan) for plan in plans)
