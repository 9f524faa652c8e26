"""Contradictions of a service file's `verify:` and `restore:`: what cannot pass, and what passes in the midst of trouble."""

from __future__ import annotations

from collections.abc import Iterator

from notaus.config import keys as key
from notaus.config.implication import implies, overlap
from notaus.config.problems import Report
from notaus.config.quantities import decimal, span
from notaus.config.table import Values
from notaus.core.ladder import DeploymentLever, KvLever, Rung
from notaus.core.rule import Comparison, Rule
from notaus.core.service import Service
from notaus.core.signal import Unit
from notaus.core.verdict import starved
from notaus.core.verification import Check, Expected, HttpCheck, SignalCheck

Found = Iterator[tuple[str, str]]
"""What is wrong, and what would be right."""


def verification(values: Values, service: Service, report: Report) -> None:
    """Warn of checks that cannot pass, or that pass while a rule stands."""
    rows = [row for _, row in values.get(key.VERIFY) or ()]
    for check, row in zip(service.verify, rows, strict=True):
        for wrong, right in _check(check, service):
            report.warning(row.where, wrong, right)
    for wrong, right in _deadline(service):
        level = values.get(key.LADDER_KEY)
        where = level.at(key.DEADLINE) if level is not None and level.has(key.DEADLINE) else values.at(key.DEADLINE)
        report.warning(where, wrong, right)


def _deadline(service: Service) -> Found:
    looks = any(not isinstance(check.kind, SignalCheck) for check in service.verify)
    if looks and service.deadline < service.propagation and isinstance(service.ladder.lever, KvLever):
        wrong = f"`deadline` {span(service.deadline)} is over before a write counts as in effect everywhere"
        yield f"{wrong} (`propagation` {span(service.propagation)})", f"at least {span(service.propagation)}"


def _check(check: Check, service: Service) -> Found:
    if check.at == service.ladder.rungs[0].name and isinstance(service.ladder.lever, DeploymentLever):
        yield f"no step goes to `{check.at}`: it never runs", "leave `at` out"
    match check.kind:
        case SignalCheck():
            yield from _signal(check.kind, check, service)
        case HttpCheck():
            yield from _fields(check.kind, check, service)
            yield from _contradicted(check.kind, check, service)
            yield from _latency(check.kind, service)


def _signal(kind: SignalCheck, check: Check, service: Service) -> Found:
    signal = service.signals[kind.condition.signal]
    if kind.hold < signal.window:
        wrong = (
            f"it cannot pass: within {span(kind.hold)} no window of {span(signal.window)} lies wholly after the step"
        )
        yield wrong, f"`for: {span(signal.window)}` or more"
    if kind.hold > service.validate:
        wrong = f"`for` {span(kind.hold)} goes beyond the verdict, with which it is told (`validate` {span(service.validate)})"
        yield wrong, f"at most {span(service.validate)}, or a longer `validate`"
    for rung in _rungs(check, service):
        cohort = starved(service, rung)
        if cohort is not None and signal.cohort == cohort and not check.advisory:
            wrong = f"it cannot pass at `{rung.name}`, which gives `{cohort}` no traffic: there is no data"
            yield wrong, "an `at:` for another rung, or `advisory: true`"
    yield from _against_rules(kind.condition, service.rules, "it passes")


def _against_rules(condition: Comparison, rules: tuple[Rule, ...], passes: str) -> Found:
    """A condition for all being well, against the rules that say when it is not."""
    for rule in rules:
        if len(rule.when) != 1:
            continue
        if implies(condition, rule.when[0]):
            wrong = f"it asks for what `{rule.name}` calls trouble ({rule.condition})"
            yield wrong, "the other way round"
        elif overlap(condition, rule.when[0]):
            wrong = f"{passes} while `{rule.name}` stands ({rule.condition})"
            yield wrong, f"a bound no further than that of `{rule.name}`"


def _rungs(check: Check, service: Service) -> list[Rung]:
    """The rungs that a step can go to, and the check is for."""
    found = [rung for rung in service.ladder.rungs if check in service.checks_at(rung.name)]
    return found if isinstance(service.ladder.lever, KvLever) else [rung for rung in found if rung.stable]


def _fields(kind: HttpCheck, check: Check, service: Service) -> Found:
    """Constants that a rung sets otherwise, where the answer's field is called as the key's is."""
    lever = service.ladder.lever
    for rung in _rungs(check, service):
        written = {**(lever.fields if isinstance(lever, KvLever) else {}), **rung.fields}
        for path, expected in kind.json.items():
            field = next((f for f in (path.replace(".", "_"), path.rpartition(".")[2]) if f in written), None)
            if field is None or (isinstance(expected, str) and "$" in expected) or written[field] == "$now":
                continue
            if not _same(expected, written[field]):
                wrong = f"it cannot pass at `{rung.name}`, which sets `{field}` to {_spelled(written[field])}"
                yield f"{wrong}: `{path}` should be {_spelled(expected)}", f"write `{path}: ${field}`, or add an `at:`"


def _contradicted(kind: HttpCheck, check: Check, service: Service) -> Found:
    """A check before it that wants another answer of the same address at the same rung."""
    for other in service.verify[: service.verify.index(check)]:
        if not isinstance(other.kind, HttpCheck) or other.kind.url != kind.url:
            continue
        for rung in (rung for rung in _rungs(check, service) if rung in _rungs(other, service)):
            before, now = _expectations(other.kind, rung), _expectations(kind, rung)
            for what in (what for what in now if what in before and now[what] != before[what]):
                wrong = f"it cannot pass at `{rung.name}` together with the check of the same address before it"
                both = f"{what} {_spelled(before[what])} and {_spelled(now[what])}"
                yield f"{wrong}: {both}", "an `at:` for each, or one of the two"


def _expectations(kind: HttpCheck, rung: Rung) -> dict[str, Expected]:
    """What an answer must be at a rung; what the version decides is left out."""
    found: dict[str, Expected] = {} if kind.status is None else {"status": kind.status}
    found |= {f"`{name}`": value for name, value in (*kind.json.items(), *kind.headers.items())}
    filled = {n: rung.fields.get(v[1:], v) if isinstance(v, str) and v.startswith("$") else v for n, v in found.items()}
    return {name: value for name, value in filled.items() if not (isinstance(value, str) and "$" in value)}


def _latency(kind: HttpCheck, service: Service) -> Found:
    for rule in service.rules:
        for comparison in rule.when:
            slow = comparison.op.upward and comparison.bound.other is None
            in_time = service.signals[comparison.signal].unit is Unit.MILLISECONDS
            if kind.latency_below is None or not slow or not in_time or kind.latency_below <= comparison.bound.constant:
                continue
            bound = f"{decimal(comparison.bound.constant)}ms"
            yield f"it passes at latencies that `{rule.name}` calls trouble ({comparison.text})", f"at most {bound}"


def _same(expected: Expected, written: bool | int | float | str) -> bool:
    return isinstance(expected, bool) is isinstance(written, bool) and expected == written


def _spelled(value: Expected) -> str:
    """As YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def restore(values: Values, service: Service, report: Report) -> None:
    """Warn of a way back that is open in the midst of trouble, or leads nowhere."""
    level = values.get(key.RESTORE)
    if level is None:
        return
    for need in service.restore.require:
        for wrong, right in _against_rules(need.condition, service.rules, "it is met") if need.condition else ():
            report.warning(level.at(key.RESTORE_REQUIRE), f"`{need.text}`: {wrong}", right)
    written: tuple[Values, ...] = level.get(key.RAMP) or ()
    for step, row in zip(service.restore.ramp, written, strict=True):
        if step.rung == service.ladder.safest.name:
            wrong = f"`{step.rung}` is the safest rung: no way back leads there"
            report.warning(row.at(key.RAMP_RUNG), wrong, "begin with a less safe rung")
    if service.restore.ramp and isinstance(service.ladder.lever, DeploymentLever):
        wrong = "no ramp is gone up: notaus never redeploys what it rolled back"
        report.warning(level.at(key.RAMP), wrong, "leave it out")
