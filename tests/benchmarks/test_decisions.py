"""The benchmark of decisions: it runs, it repeats itself, and its fast gate decides what the core decides.

The last tests keep what it found mended; their traffic and seeds are those on which notaus was fooled before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.decisions import traffic
from benchmarks.decisions.gate import PIX_IMMO, SIGNAL, START, Gate
from benchmarks.decisions.measure import HISTORY, RATES, Load, Plan, apart, measure, poisson_interval, well
from benchmarks.decisions.policies import POLICIES, argo, bare, flagger
from benchmarks.decisions.table import tables
from benchmarks.decisions.traffic import DAY, KINDS, STEP, WINDOW, Series

from notaus.core import fleet
from notaus.core.baseline import Baseline
from notaus.core.event import Polled, Started
from notaus.core.sample import History
from notaus.core.service import Mode
from notaus.core.state import State
from notaus.core.world import KvView

BY_NAME = {kind.name: kind for kind in KINDS}


def test_a_small_plan_gives_its_tables_and_the_same_ones_again() -> None:
    """Published figures that nobody can have again."""
    plan = Plan(years=0.01, draws=1, only="bursts of 5", requests=(100.0,))
    units: list[int] = []
    first = [table.markdown() for table in tables(measure(plan, units.append))]
    again = [table.markdown() for table in tables(measure(plan, units.append))]
    assert first == again
    assert sum(units) == 2 * plan.total
    assert first[0].count("| bursts of 5 | 100 |") == len(RATES)
    assert "beyond the noise" in first[-1]
    assert [table.markdown() for table in tables(measure(replace(plan, seed=2), units.append))] != first


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_traffic_fails_as_often_as_it_says(kind: traffic.Kind) -> None:
    """Policies compared at other error rates than the table's."""
    series = traffic.healthy(kind, np.random.default_rng(1), 14 * DAY, 300, 0.01)
    requests, rate = series.among.mean(), series.of.sum() / series.among.sum()
    assert requests == pytest.approx(300, rel=0.05)
    assert rate == pytest.approx(0.01, rel=0.15)
    worst = traffic.faulty(kind, np.random.default_rng(1), DAY, 240, 300, 0.003, 1.0)
    assert (worst.of[DAY + WINDOW :] == worst.among[DAY + WINDOW :]).all()


def first_act(series: Series) -> int | None:
    """The index at which the core itself, fed tick by tick, first opens an incident."""
    service = replace(PIX_IMMO, mode=Mode.ACT)
    gate = Gate(service, series)
    stepped = fleet.step(service, State(service.name), History(), Started(START - 1, "config"))
    for i in range(len(series)):
        at = START + i * STEP
        key = KvView(at, {"canary_percent": 10})
        polled = Polled(at, at, {SIGNAL: (gate.sample(i),)}, key)
        stepped = fleet.step(service, stepped.state, stepped.history, polled)
        if stepped.state.incident is not None:
            return i
    return None


@pytest.mark.parametrize(("name", "requests", "bad", "seed", "acts"), [
    ("independent", 100, 0.04, 1, "at once"), ("retrying", 30, 0.03, 4, "late"), ("bursts of 5", 100, 0.06, 2, "late"),
    ("sampled unevenly", 300, 0.05, 3, "late"), ("bursts of 5", 100, 0.06, 5, "never"),
])  # fmt: skip
def test_the_fast_gate_acts_when_the_core_acts(name: str, requests: float, bad: float, seed: int, acts: str) -> None:
    """Figures about something else than notaus."""
    rng = np.random.default_rng(seed)
    series = traffic.faulty(BY_NAME[name], rng, 480, 160, requests, 0.01, bad)
    gate = Gate(PIX_IMMO, series)
    at, held = next(gate.decisions(0), None), next(bare(gate, 0))
    assert at == first_act(series)
    assert acts == ("never" if at is None else "at once" if at == held else "late")


def test_the_fast_gate_has_learned_what_the_core_learns() -> None:
    """A baseline of its own would be another program's."""
    series = well(Load(BY_NAME["bursts of 20"], 100, 0.01), "year", 3, 0, DAY // 2, 2 * DAY)
    gate = Gate(PIX_IMMO, series)
    at = len(series) - 7
    learned, newest = Baseline(), (START + (at - 1) * STEP - 1800) // 60 * 60
    for time in range(START, newest + 1, 60):
        if gate.usual[(time - START) // STEP]:
            learned = learned.learned(gate.sample((time - START) // STEP))
    fast = gate.baseline(at)
    assert list(fast.hours) == list(learned.hours)
    assert learned.older.among > 0
    for windows in (1, 5, 30):
        assert fast.dispersion(windows) == pytest.approx(learned.dispersion(windows))
    assert fast.rate(2.0) == pytest.approx(learned.rate(2.0))


def flat(rates: list[float]) -> Gate:
    """A gate on a series of 1,000 requests a window and these failure rates, each for five minutes."""
    of = np.repeat([round(1000 * rate) for rate in rates], 300 // STEP)
    return Gate(PIX_IMMO, Series(of, np.full(len(of), 1000)))


def test_argo_ends_at_the_first_bad_measurement_and_flagger_at_the_fifth() -> None:
    """Others' policies told worse than they are documented."""
    assert list(argo(flat([0.01, 0.05, 0.07, 0.01]), 0)) == [40, 60]
    assert list(argo(flat([0.01, 0.05, 0.05, 0.01]), 0)) == []
    assert list(flagger(flat([0.001, 0.02, 0.001]), 0)) == [36]
    assert list(flagger(flat([0.001, 0.01, 0.001]), 0)) == []


def test_decisions_of_the_same_half_hour_are_one() -> None:
    """A policy that flaps would be charged for each time."""
    assert list(apart([5, 6, 124, 125, 300])) == [5, 125, 300]


def test_the_interval_of_a_count_is_garwoods() -> None:
    """ "None in four years" told as "none a year"."""
    assert poisson_interval(0) == pytest.approx((0, 3.689), abs=1e-3)
    assert poisson_interval(3) == pytest.approx((0.619, 8.767), abs=1e-3)


# What was found and mended


def false(name: str, requests: float, rate: float, days: int, seed: int) -> dict[str, int]:
    """False actions of notaus and the bare threshold on traffic that is well."""
    series = well(Load(BY_NAME[name], requests, rate), "mended", seed, 0, days * DAY)
    return {p: len(list(apart(POLICIES[p](Gate(PIX_IMMO, series), HISTORY)))) for p in ("notaus", "bare threshold")}


@pytest.mark.parametrize(("name", "requests", "rate", "days", "seed"), [
    ("retrying", 30, 0.01, 5, 2), ("bursts of 20", 30, 0.003, 90, 1), ("daily rhythm", 1000, 0.01, 90, 1),
])  # fmt: skip
def test_noise_that_fooled_the_gate_fools_it_no_more(
    name: str, requests: float, rate: float, days: int, seed: int
) -> None:
    """Retries over minutes, bursts days apart, the worst hour of every day: each acted on as if it were a fault."""
    found = false(name, requests, rate, days, seed)
    assert found["bare threshold"] >= 3
    assert found["notaus"] == 0
