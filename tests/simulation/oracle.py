"""A slow and obvious second opinion: what the samples say of a rule, worked out from spec 2 to 5 and nothing of the core's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from notaus.core.baseline import Baseline
from notaus.core.incident import Step
from notaus.core.ladder import DeploymentLever, Place
from notaus.core.rule import INVESTIGATE, Comparison, Rule
from notaus.core.service import Service
from notaus.core.signal import Shape, Signal
from notaus.core.state import State
from tests.simulation.record import Ledger

FRESH = 60
YEAR = 31_557_600.0
DRAINED = Fraction(1, 100)
"""Below this share of the requests a cohort counts as drained."""


def is_true(comparison: Comparison, ledger: Ledger, at: int) -> bool | None:
    """One comparison at a grid time; None where it is not known."""
    sample = ledger.at(comparison.signal, at)
    if sample is None or sample.value is None:
        return None
    bound: Fraction = comparison.bound.constant
    if comparison.bound.other is not None:
        other = ledger.at(comparison.bound.other, at)
        if other is None or other.value is None:
            return None
        bound = other.value * comparison.bound.factor + comparison.bound.constant
    match str(comparison.op):
        case ">":
            return sample.value > bound
        case ">=":
            return sample.value >= bound
        case "<":
            return sample.value < bound
        case _:
            return sample.value <= bound


def holds_at(rule: Rule, ledger: Ledger, at: int) -> bool | None:
    """The rule's condition at a grid time."""
    answers = [is_true(comparison, ledger, at) for comparison in rule.when]
    if False in answers:
        return False
    return None if None in answers else True


def holds_now(service: Service, rule: Rule, ledger: Ledger, tick: int) -> bool | None:
    """The rule's condition at the newest grid time that has settled and was read; None where it is not known."""
    newest = (tick - service.settle(rule)) // service.step * service.step
    for at in range(newest, newest - FRESH - service.step, -service.step):
        if any(ledger.at(name, at) is not None for name in rule.signals):
            return holds_at(rule, ledger, at)
    return None


def place_in_force(service: Service, state: State) -> Place | None:
    """How safe the service stands: by a lever of a rung's own, else by the key; None where the key does not say."""
    if state.beyond:
        return service.ladder.place_of(state.beyond[-1])
    return service.ladder.place(state.fields) if state.fields is not None else None


@dataclass(frozen=True, slots=True)
class Opinion:
    """Whether a rule stands breached, and if not, why not."""

    breached: bool
    reason: str
    start: int = 0
    end: int = 0


def rolls_back(service: Service, rule: Rule) -> bool:
    return isinstance(service.ladder.lever, DeploymentLever) and rule.then != INVESTIGATE


def counted_from(service: Service, state: State, rule: Rule) -> int:
    """Since when samples of the rule count: it is in force, and speaks of the live deployment alone."""
    since = state.rules[rule.name].since if rule.name in state.rules else 0
    if rolls_back(service, rule) and state.view is not None and state.view.live is not None:
        window = max(service.signals[name].window for name in rule.signals)
        since = max(since, state.view.live.created + window)
    return since


def breached(service: Service, state: State, rule: Rule, ledger: Ledger, tick: int) -> Opinion:
    """Whether `rule` has held for its whole `for` up to the newest settled sample at `tick`, and still does."""
    settle = max(service.signals[name].settle for name in rule.signals)
    since = counted_from(service, state, rule)
    newest = (tick - settle) // service.step * service.step
    while newest >= since and holds_at(rule, ledger, newest) is None:
        if all(ledger.at(name, newest) is not None for name in rule.signals):
            return Opinion(False, f"unknown at {newest}")
        newest -= service.step
    if newest < since:
        return Opinion(False, "nothing is known since it came into force")
    if tick - newest > settle + FRESH:
        return Opinion(False, f"the newest sample is {tick - newest} s old")
    if holds_at(rule, ledger, newest) is not True:
        return Opinion(False, f"not true at {newest}")
    start = newest
    while start - service.step >= since and holds_at(rule, ledger, start - service.step) is True:
        start -= service.step
    if newest - start < rule.hold:
        return Opinion(False, f"true for {newest - start} s only, of {rule.hold} s", start, newest)
    return Opinion(True, "", start, newest)


def evident(service: Service, state: State, rule: Rule, ledger: Ledger, opinion: Opinion, since: int) -> bool:
    """The gate of spec 4, by direct sums."""
    baselines = service.baselines if service.baselines is not None else state.baselines
    return all(_evident(service, baselines, rule, c, ledger, opinion, since) for c in rule.when)


def _evident(
    service: Service,
    baselines: object,
    rule: Rule,
    comparison: Comparison,
    ledger: Ledger,
    opinion: Opinion,
    since: int,
) -> bool:
    signal = service.signals[comparison.signal]
    if rule.false_actions is None or signal.shape not in (Shape.RATE, Shape.QUANTILE):
        return True
    if signal.shape is Shape.QUANTILE:
        return all(
            _requests(ledger, name, opinion, service.signals[name].window) >= rule.min_requests
            for name in comparison.signals
        )
    begin = _episode(service, rule, ledger, opinion, since)
    usual: Baseline = baselines.get(comparison.signal, Baseline())  # type: ignore[attr-defined]
    if sum(tally.among for tally in usual.hours.values()) >= 1000:
        return _rare(signal, rule, comparison, ledger, (begin, opinion.end), usual)
    spans = ((begin, opinion.end), (max(begin, opinion.start), opinion.end))
    return any(_rare(signal, rule, comparison, ledger, span, usual) for span in spans)


def _rare(
    signal: Signal, rule: Rule, comparison: Comparison, ledger: Ledger, span: tuple[int, int], usual: Baseline
) -> bool:
    """Whether chance would do what was seen in the span less often than `false_actions` allows."""
    of = among = 0.0
    at, windows = span[1], 0
    while windows == 0 or at - signal.window >= span[0]:
        sample = ledger.at(comparison.signal, at)
        if sample is not None and sample.of is not None and sample.among:
            share = 1.0 if sample.effective is None else float(sample.effective / sample.among)
            of, among = of + float(sample.of) * share, among + float(sample.among) * share
        at, windows = at - signal.window, windows + 1
    bound = float(comparison.bound.constant)
    hours = [(tally.of, tally.among) for tally in usual.hours.values()]
    if str(comparison.op).startswith("<"):
        of, bound, hours = among - of, 1 - bound, [(n - x, n) for x, n in hours]
    bad, n = sum(x for x, _ in hours), sum(n for _, n in hours)
    phi = _phi(usual, windows)
    told = min(usual.older.of + usual.of, usual.older.among + usual.among - usual.older.of - usual.of)
    if told < 30 and windows < 3:
        phi = max(phi, 3.0)
    p = bound
    if n >= 1000:
        p = min(max(_wilson(bad / phi, n / phi)[1], *(_wilson(x / phi, m / phi)[0] for x, m in hours)), bound)
    if told < 30 and windows > 2 and among < 5 * windows:
        of, among, phi = of / 6, among / 6, max(phi / 6, 1.0)
        chance = _tail(math.floor(of + 1e-9), math.floor(among + 1e-9), p, phi)
    else:
        chance = _tail(round(of), round(among), p, phi)
    assert rule.false_actions is not None
    return chance < float(rule.false_actions) * max(rule.hold, signal.window) / YEAR * (1 + 1e-6)


def clearly_worse(service: Service, ledger: Ledger, opinion: Opinion, gets: str, loses: str) -> bool:
    """Whether, in the hold, the intervals of the two cohorts' error rates do not overlap, with `gets` the higher (spec 5)."""
    found = []
    for cohort in (gets, loses):
        signal = service.signals[f"{cohort}.error_rate"]
        of = among = 0.0
        at, first = opinion.end, True
        while first or at - signal.window >= opinion.start:
            sample = ledger.at(signal.name, at)
            if sample is not None and sample.of is not None and sample.among:
                share = 1.0 if sample.effective is None else float(sample.effective / sample.among)
                of, among = of + float(sample.of) * share, among + float(sample.among) * share
            at, first = at - signal.window, False
        found.append(_wilson(of, among))
    return found[0][0] > found[1][1]


def _requests(ledger: Ledger, name: str, opinion: Opinion, window: int) -> float:
    total, at = 0.0, opinion.end
    while at == opinion.end or at - window >= opinion.start:
        sample = ledger.at(name, at)
        if sample is not None and sample.among is not None:
            total += float(sample.among if sample.effective is None else sample.effective)
        at -= window
    return total


def _episode(service: Service, rule: Rule, ledger: Ledger, opinion: Opinion, since: int) -> int:
    """The longest stretch up to the newest sample, true at more than half of the known samples; the hold at least."""
    longest = max(1800, rule.hold)
    best = max(opinion.start, opinion.end - longest)
    for begin in range(opinion.end, max(since, opinion.end - longest) - 1, -service.step):
        answers = [holds_at(rule, ledger, at) for at in range(begin, opinion.end + 1, service.step)]
        if answers.count(True) > answers.count(False):
            best = min(best, begin)
    return best


def _wilson(of: float, among: float) -> tuple[float, float]:
    if among <= 0:
        return 0.0, 1.0
    z, p = 1.959963984540054, of / among
    middle = (p + z * z / (2 * among)) / (1 + z * z / among)
    half = z / (1 + z * z / among) * math.sqrt(p * (1 - p) / among + z * z / (4 * among**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _phi(usual: Baseline, windows: int) -> float:
    """The dispersion of blocks of 1, 5 and 30 windows about their hours' rates, as far as `windows` windows need."""
    older, hours, highest = usual.older, usual.hours.values(), 1.0
    of, among = older.of + sum(t.of for t in hours), older.among + sum(t.among for t in hours)
    if not 0 < of < among:
        return 1.0
    for i, shorter in enumerate((0, 1, 5)):
        about = older.squares[i] + sum(t.spreads[i].squares - t.of**2 / t.among for t in hours)
        freedom = older.freedom[i] + sum(t.spreads[i].blocks - 1 for t in hours)
        if windows > shorter and freedom > 0:
            highest = max(highest, about / freedom / (of / among * (1 - of / among)))
    return highest


def _tail(of: int, among: int, p: float, phi: float) -> float:
    """P(X >= of) by adding up the whole mass below and above."""
    if of <= 0:
        return 1.0
    if p <= 0 or among <= 0:
        return 0.0
    return min(1.0, sum(_masses(of, among, p, phi)))


def _masses(of: int, among: int, p: float, phi: float) -> Iterator[float]:
    if phi <= 1.05:
        for k in range(of, min(among, of + 20_000) + 1):
            yield math.exp(
                math.lgamma(among + 1) - math.lgamma(k + 1) - math.lgamma(among - k + 1)
                + k * math.log(p) + (among - k) * math.log1p(-p)
            )  # fmt: skip
        return
    size = among * p / (phi - 1)
    for k in range(of, of + 20_000):
        yield math.exp(
            math.lgamma(k + size)
            - math.lgamma(k + 1)
            - math.lgamma(size)
            - size * math.log(phi)
            + k * math.log(1 - 1 / phi)
        )


def did_not_help(service: Service, step: Step, ledger: Ledger, tick: int) -> bool:
    """Whether a triggering rule was known true at each known sample of the last `resolve_for`, half of them known."""
    due = step.action + service.propagation + service.validate
    ends = [due, *range(tick // service.step * service.step, due - 1, -service.step)]
    return any(_standing(service, step, name, ledger, end, tick) for end in ends for name in step.rules)


def _standing(service: Service, step: Step, name: str, ledger: Ledger, end: int, tick: int) -> bool:
    if not service.has_rule(name) or service.rule(name).trigger:
        return False
    rule = service.rule(name)
    window = max(service.signals[s].window for s in rule.signals)
    settle = max(service.signals[s].settle for s in rule.signals)
    first = max(end - rule.resolve_for, step.action + service.propagation + window)
    times = [at for at in range(first, end + 1) if at % service.step == 0 and at <= tick - settle]
    cohort = service.ladder.drains.get(step.rung)
    if cohort is not None and service.signals[rule.when[0].signal].cohort == cohort:
        return bool(times) and _drained_standing(service, rule, cohort, ledger, times)
    answers = [holds_at(rule, ledger, at) for at in times]
    return True in answers and False not in answers and answers.count(True) * 2 >= len(answers)


def _drained_standing(service: Service, rule: Rule, cohort: str, ledger: Ledger, times: list[int]) -> bool:
    share = _share(service, cohort, ledger, times[-1])
    if share is not None and share >= DRAINED:
        return True
    for comparison in _asked_of_proxy(service, rule, cohort):
        answers = [is_true(comparison, ledger, at) for at in times]
        if True in answers and False not in answers:
            return True
    return False


def _drained_clear(service: Service, rule: Rule, cohort: str, ledger: Ledger, times: list[int]) -> bool:
    """Whether the cohort gets nothing any more, and the rule, asked of the other one, is known false."""
    share = _share(service, cohort, ledger, times[-1]) if times else None
    if share is None or share >= DRAINED:
        return False
    return all(is_true(c, ledger, at) is False for c in _asked_of_proxy(service, rule, cohort) for at in times)


def _share(service: Service, cohort: str, ledger: Ledger, at: int) -> Fraction | None:
    sample = ledger.at(service.ladder.share.signal if service.ladder.share is not None else f"{cohort}.share", at)
    return sample.value if sample is not None else None


def _asked_of_proxy(service: Service, rule: Rule, cohort: str) -> Iterator[Comparison]:
    """The rule's absolute comparisons, asked of the cohort that gets the traffic."""
    for comparison in rule.when:
        other = comparison.signal.replace(f"{cohort}.", "proxy.", 1)
        if comparison.bound.other is None and other in service.signals:
            yield replace(comparison, signal=other)


def plainly_did_not_help(service: Service, state: State, step: Step, ledger: Ledger, tick: int) -> bool:
    """Whether the verdict is due, all that it rests on was read, and some rule was true at each sample of it.

    Only samples that speak of the live deployment alone say so.
    """
    rules = [service.rule(name) for name in step.rules if service.has_rule(name)]
    due = step.counted_from + service.propagation + service.validate
    newest = tick - max((service.settle(rule) for rule in rules), default=0)
    end = due if newest < due + service.step else newest // service.step * service.step
    if newest < due or not all(ledger.at(s, at) for r in rules for s in r.signals for at in _grid(service, r, end)):
        return False
    drained = service.ladder.drains.get(step.rung)
    for rule in rules:
        if rule.trigger or (drained is not None and service.signals[rule.when[0].signal].cohort == drained):
            continue
        effect = step.counted_from + service.propagation + service.window(rule)
        counted, times = max(effect, counted_from(service, state, rule)), _grid(service, rule, end)
        if counted <= times[-1] and all(holds_at(rule, ledger, at) is True for at in times):
            return True
    return False


def _grid(service: Service, rule: Rule, end: int) -> range:
    """The grid times of the last `resolve_for`."""
    return range(-(-(end - rule.resolve_for) // service.step) * service.step, end + 1, service.step)


def helped(service: Service, step: Step, ledger: Ledger, tick: int) -> bool:
    """Whether every triggering rule was known false at each sample of some last `resolve_for`.

    Of a cohort that the rung drains, its share and the rule asked of the other cohort say so; of one that the rung gives
    nothing, also that it gets nothing.
    """
    due = step.counted_from + service.propagation + service.validate
    ends = (due, *range(-(-due // service.step) * service.step, tick + 1, service.step))
    return any(all(_clear(service, step, name, ledger, end) for name in step.rules) for end in ends)


def _clear(service: Service, step: Step, name: str, ledger: Ledger, end: int) -> bool:
    if not service.has_rule(name) or service.rule(name).trigger:
        return True
    rule, first = service.rule(name), service.rule(name).when[0].signal
    times = _grid(service, rule, end)
    about = service.signals[first].cohort
    if about is not None and about == service.ladder.drains.get(step.rung):
        counted = step.counted_from + service.propagation + max(service.signals[s].window for s in rule.signals)
        return _drained_clear(service, rule, about, ledger, [at for at in times if at >= counted])
    given_nothing = about == "native" and service.ladder.rung(step.rung).fields.get("canary_percent") == 0
    for at in times:
        answer, sample = holds_at(rule, ledger, at), ledger.at(first, at)
        idle = given_nothing and sample is not None and sample.value is None and sample.among == 0
        if answer is True or (answer is None and not idle):
            return False
    return True
