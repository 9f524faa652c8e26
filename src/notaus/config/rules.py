"""The threshold table of a service file: rows to rules, with what contradicts itself."""

from __future__ import annotations

from typing import TypeVar

from notaus.config import keys as key
from notaus.config.conditions import Catalogue
from notaus.config.ladder import unknown_rung
from notaus.config.problems import Report, near_miss
from notaus.config.quantities import span
from notaus.config.table import Key, Values, given, inner_wins
from notaus.core.ladder import KvLever, Ladder
from notaus.core.rule import INVESTIGATE, Alert, Comparison, Rule

T = TypeVar("T")


def read_rules(
    service: Values, defaults: Values, ladder: Ladder | None, catalogue: Catalogue, report: Report
) -> tuple[Rule, ...]:
    """Every row that can be read as a rule; names are unique."""
    rows = service.get(key.RULES) or ()
    given_names = {row.get(key.RULE_NAME) for row in rows}
    rules: dict[str, Rule] = {}
    for row in rows:
        _check_row(row, report)
        _check_deploy(row, ladder, report)
        rule = _rule(row, service, defaults, ladder, catalogue, report)
        if rule is None:
            continue
        if rule.name in rules:
            if row.has(key.RULE_NAME):
                report.problem(row.at(key.RULE_NAME), f"two rules are called `{rule.name}`", "rename one of them")
            else:
                report.problem(row.where, f"is the same condition as another rule: `{rule.name}`", "give it a `name:`")
        elif not row.has(key.RULE_NAME) and rule.name in given_names:
            report.problem(row.where, f"another rule is called `{rule.name}`", "give this one a `name:`")
        rules.setdefault(rule.name, rule)
    return tuple(rules.values())


def _rule(
    row: Values, service: Values, defaults: Values, ladder: Ladder | None, catalogue: Catalogue, report: Report
) -> Rule | None:
    when = _when(row, catalogue, report)
    levels = (row, service, defaults)
    severity, then = row.get(key.SEVERITY), row.get(key.THEN)
    on_blind = _rung(key.ON_BLIND, levels, ladder, report)
    if then is not None:
        _check_then(row, then, ladder, report)
    if severity is None or then is None or when is None:
        return None
    hold, hold_within = row.of(key.FOR)
    return Rule(
        name=row.get(key.RULE_NAME) or _derived(when, hold, row, service),
        severity=severity,
        then=then,
        when=when,
        hold=hold,
        hold_within=hold_within,
        no_data=inner_wins(key.NO_DATA, *levels),
        within_of_deploy=row.get(key.WITHIN),
        approval=row.has(key.APPROVAL),
        trigger=bool(row.of(key.TRIGGER)),
        alerts=_alerts(row.of(key.TRIGGER)),
        on_blind=on_blind,
        blind_after=inner_wins(key.BLIND_AFTER, *levels),
        resolve_for=inner_wins(key.RESOLVE_FOR, *levels),
        min_requests=inner_wins(key.MIN_REQUESTS, *levels),
        false_actions=inner_wins(key.FALSE_ACTIONS, *levels).often,
    )


def _when(row: Values, catalogue: Catalogue, report: Report) -> tuple[Comparison, ...] | None:
    """The conditions; None where one cannot be read."""
    nodes = row.get(key.WHEN)
    if nodes is None:
        return () if not row.has(key.WHEN) and row.of(key.TRIGGER) else None
    found = [catalogue.read(node, report) for node in nodes]
    return tuple(c for c in found if c is not None) if found and None not in found else None


def _alerts(trigger: bool | Values) -> tuple[Alert, ...]:
    if isinstance(trigger, bool):
        return ()
    found = ((hook.name, trigger.get(hook)) for hook in (key.BY_ALERTMANAGER, key.BY_CLOUDFLARE))
    return tuple(Alert(name, tuple(sorted(fields.items()))) for name, fields in found if fields)


def _check_alerts(trigger: bool | Values, row: Values, report: Report) -> None:
    """An alert that need not say anything would be every alert."""
    if isinstance(trigger, bool):
        return
    hooks = [hook for hook in (key.BY_ALERTMANAGER, key.BY_CLOUDFLARE) if trigger.has(hook)]
    right = "say which alert, such as `alertmanager: {alertname: PixDatabase}`, or write `trigger: true`"
    if not hooks:
        report.problem(row.at(key.TRIGGER), "no alert is named that fires the trigger", right)
    for hook in hooks:
        if trigger.get(hook) == {}:
            report.problem(trigger.at(hook), "any alert would fire the trigger", right)


def _derived(when: tuple[Comparison, ...], hold: int, row: Values, service: Values) -> str:
    """A name from the condition; the hold is added where the same condition stands in several rows."""
    name = " and ".join(comparison.text for comparison in when)
    texts = [
        " and ".join(" ".join(n.written.split()) for n in r.get(key.WHEN) or ()) for r in service.get(key.RULES) or ()
    ]
    return f"{name} for {span(hold)}" if hold and texts.count(name) > 1 else name


def _rung(which: Key[str], levels: tuple[Values, ...], ladder: Ladder | None, report: Report) -> str | None:
    name = given(which, *levels)
    if name is not None and ladder is not None and not ladder.has(name):
        level = next(values for values in levels if values.has(which))
        unknown_rung(name, ladder, level.at(which), report)
    return name


def _check_then(row: Values, then: str, ladder: Ladder | None, report: Report) -> None:
    if ladder is None:
        return
    if then != INVESTIGATE and not ladder.has(then):
        names = [rung.name for rung in ladder.rungs[1:]] + [INVESTIGATE]
        report.problem(row.at(key.THEN), f"there is no rung `{then}`", near_miss(then, names))
    elif then == ladder.rungs[0].name:
        right = f"name a safer rung, or `{INVESTIGATE}`"
        report.problem(row.at(key.THEN), f"`{then}` is the least safe rung: automation only moves up the ladder", right)
    if then == INVESTIGATE and row.has(key.APPROVAL):
        report.problem(row.at(key.APPROVAL), "`then: investigate` takes no step that could be approved", "leave it out")


def _check_deploy(row: Values, ladder: Ladder | None, report: Report) -> None:
    if ladder is not None and isinstance(ladder.lever, KvLever) and row.has(key.WITHIN):
        wrong = "`within` judges the age of a deployment, and a KV lever ignores deployments"
        report.problem(row.at(key.WITHIN), wrong, "leave it out, or use a deployment lever")


def _check_row(row: Values, report: Report) -> None:
    if row.has(key.TRIGGER) and row.get(key.TRIGGER) is None:
        return
    trigger = row.of(key.TRIGGER)
    if not trigger and not row.has(key.WHEN):
        report.problem(row.where.key("when"), "`when` is missing", "`when: SIGNAL OP BOUND`, or `trigger: true`")
    if not trigger:
        return
    _check_alerts(trigger, row, report)
    if not row.has(key.RULE_NAME):
        report.problem(
            row.where.key("name"), "a trigger needs a `name`", "it is fired as `notaus trigger SERVICE NAME`"
        )
    for other in (key.WHEN, key.FOR, key.WITHIN, key.APPROVAL, key.NO_DATA, key.FALSE_ACTIONS, key.MIN_REQUESTS):
        if row.has(other):
            wrong = f"`trigger: true` and `{other.name}` exclude each other"
            report.problem(row.at(other), wrong, "a trigger acts at once, by a person's word; keep one of the two")


def check_durations(service: Values, defaults: Values, report: Report) -> None:
    """`resolve_for` must fit into `validate`: a verdict looks no further back."""
    validate = ladder_level(key.VALIDATE, service, defaults)
    for values in (*(service.get(key.RULES) or ()), service, defaults):
        resolve_for = values.get(key.RESOLVE_FOR)
        if resolve_for is not None and resolve_for > validate:
            wrong = (
                f"resolve_for {span(resolve_for)} is longer than validate {span(validate)}: no step could be resolved"
            )
            report.problem(values.at(key.RESOLVE_FOR), wrong, f"at most {span(validate)}, or a longer `validate`")
            return
    if inner_wins(key.RESOLVE_FOR, service, defaults) > validate:
        wrong = f"validate {span(validate)} is shorter than resolve_for {span(key.RESOLVE_FOR.builtin)}"
        report.problem(
            _level_of(key.VALIDATE, service, defaults).at(key.VALIDATE), wrong, "lengthen one, or shorten the other"
        )


def ladder_level(which: Key[T], service: Values, defaults: Values) -> T:
    """The value of a key that the ladder may have too; it is within the service."""
    return inner_wins(which, *_levels(service, defaults))


def _levels(service: Values, defaults: Values) -> tuple[Values, ...]:
    ladder = service.get(key.LADDER_KEY)
    return (service, defaults) if ladder is None else (ladder, service, defaults)


def _level_of(which: Key[T], service: Values, defaults: Values) -> Values:
    return next((values for values in _levels(service, defaults) if values.has(which)), service)
