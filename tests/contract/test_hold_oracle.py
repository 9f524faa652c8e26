"""Prometheus' own `for` as the oracle of the hold: at every tick of 1,000 generated series both must say the same.

A gap is a sample that is not there: `unknown` here, a stale marker there. What differs on purpose is named at the end.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from notaus.core.hold import judge, truths
from notaus.core.rule import Bound, Comparison, NoData, Operator, Rule, Severity
from notaus.core.sample import History, Sample

from .judges import needs_promtool, promtool

pytestmark = needs_promtool

STEP = 15
TICKS = 48
SERIES = 1_000
BOUND = 10
HOLDS = (0, 15, 20, 45, 60, 90, 180)
"""Seconds; 20 is no multiple of the step."""
SECONDS = 120


@dataclass(frozen=True)
class Series:
    """Values at the ticks from 0 on, None where there is none; judged by `SIGNAL OP 10 for HOLD`."""

    id: int
    op: Operator
    hold: int
    values: tuple[int | None, ...]

    @property
    def alert(self) -> str:
        return f"{self.op.name}_{self.hold}"

    def rule(self) -> Rule:
        comparison = Comparison("s", self.op, Bound(Fraction(BOUND)), f"s {self.op} {BOUND}")
        return Rule(self.alert, Severity.WARNING, "investigate", (comparison,), self.hold)

    def firing(self, rule: Rule | None = None) -> list[int]:
        """The ticks (seconds) at which our rule is breached, judged at each tick from what is known by then."""
        rule = rule or self.rule()
        samples = (Sample(n * STEP, None if v is None else Fraction(v)) for n, v in enumerate(self.values))
        history = History({"s": {sample.at: sample for sample in samples}})
        answers = list(truths(rule, history, 0, (len(self.values) - 1) * STEP, STEP))
        return [at for n, (at, _) in enumerate(answers) if judge(rule, answers[: n + 1], STEP).breach is not None]

    def written(self, gap: str = "stale") -> str:
        return " ".join(gap if value is None else str(value) for value in self.values)


def generated(seed: int = 5) -> Iterator[Series]:
    """Stretches of one kind, long enough to breach now and then, with single dips and gaps."""
    rng = random.Random(seed)
    for id in range(SERIES):
        op, hold = rng.choice(list(Operator)), rng.choice(HOLDS)
        values: list[int | None] = []
        while len(values) < TICKS:
            kind = rng.choice(("bad", "bad", "good", "equal", "gap", "mixed"))
            for _ in range(rng.choice((1, 1, 2, 4, 8, 14))):
                values.append(_value(rng, kind, upward=op.upward))
        yield Series(id, op, hold, tuple(values[:TICKS]))


def _value(rng: random.Random, kind: str, *, upward: bool) -> int | None:
    match kind:
        case "bad":
            return BOUND + rng.randint(1, 9) * (1 if upward else -1)
        case "good":
            return BOUND - rng.randint(1, 9) * (1 if upward else -1)
        case "equal":
            return BOUND
        case "gap":
            return None
    return rng.choice((BOUND - 1, BOUND, BOUND + 1, None))


def oracle(directory: Path, series: Sequence[Series], fires: dict[int, list[int]], gap: str = "stale") -> str:
    """What promtool objects to in `fires`, the ticks at which each series is expected to fire; "" if nothing.

    JSON is YAML, so that nothing needs quoting twice.
    """
    alerts = sorted({(s.alert, s.op, s.hold) for s in series})
    rules = [{"alert": a, "expr": f's{{rule="{a}"}} {op} {BOUND}', "for": f"{hold}s"} for a, op, hold in alerts]
    group = {"name": "g", "interval": f"{STEP}s", "rules": rules}
    (directory / "rules.yml").write_text(json.dumps({"groups": [group]}), encoding="utf-8")
    expected: dict[tuple[int, str], list[Any]] = {(n * STEP, a): [] for n in range(TICKS) for a, _, _ in alerts}
    for s in series:
        for at in fires[s.id]:
            expected[at, s.alert].append({"exp_labels": {"id": str(s.id), "rule": s.alert}})
    test = {
        "interval": f"{STEP}s",
        "input_series": [
            {"series": f's{{id="{s.id}", rule="{s.alert}"}}', "values": s.written(gap)} for s in series
        ],
        "alert_rule_test": [
            {"eval_time": f"{at}s", "alertname": alert, "exp_alerts": alerts}
            for (at, alert), alerts in expected.items()
        ],
    }  # fmt: skip
    document = {"rule_files": ["rules.yml"], "evaluation_interval": f"{STEP}s", "tests": [test]}
    (directory / "test.yml").write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        [str(promtool()), "test", "rules", "test.yml"], cwd=directory, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip() or "it failed without a word"


def test_at_every_tick_the_hold_says_what_prometheus_says(tmp_path: Path) -> None:
    """`for: 3m` would mean one thing to those who know Prometheus and another to notaus."""
    series = list(generated())
    fires = {s.id: s.firing() for s in series}
    assert sum(map(bool, fires.values())) > SERIES / 3, "too few of them ever fire to show anything"
    assert any(None in s.values for s in series)
    assert oracle(tmp_path, series, fires)[:2_000] == ""


@pytest.mark.parametrize("shift", [-STEP, STEP])
def test_the_oracle_notices_one_tick(tmp_path: Path, shift: int) -> None:
    """It would agree with anything."""
    series = [Series(0, Operator.ABOVE, 45, (11,) * TICKS)]
    begin = series[0].firing()[0] + shift
    assert oracle(tmp_path, series, {0: list(range(begin, TICKS * STEP, STEP))})


# --- what differs on purpose ----------------------------------------------------------------------------------------

GAP = Series(0, Operator.ABOVE, 45, (11, 11, None, 11, 11, *(None,) * (TICKS - 5)))


def test_prometheus_carries_a_value_over_a_gap_and_notaus_does_not(tmp_path: Path) -> None:
    """Without a stale marker Prometheus takes the last value for five minutes: missing data keeps an alert firing.
    To notaus missing data is unknown; it proves nothing and starts the hold anew."""
    last = 4 * STEP + 300  # Prometheus 2 still looks back that far, Prometheus 3 no longer
    objections = [oracle(tmp_path, [GAP], {0: list(range(45, end, STEP))}, gap="_") for end in (last, last + STEP)]
    assert "" in objections, objections
    assert GAP.firing() == []


def test_ignoring_and_breaching_gaps_have_no_counterpart(tmp_path: Path) -> None:
    """`no_data: ignore` passes over a gap without counting it, `no_data: breach` counts it: Prometheus knows neither."""
    ignore, breach = (replace(GAP.rule(), no_data=kind) for kind in (NoData.IGNORE, NoData.BREACH))
    assert GAP.firing(ignore) == [60]
    assert GAP.firing(breach) == list(range(45, TICKS * STEP, STEP))
    for gap in ("stale", "_"):
        for rule in (ignore, breach):
            assert oracle(tmp_path, [GAP], {0: GAP.firing(rule)}, gap=gap)
