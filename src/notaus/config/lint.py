"""Contradictions within a service file that can be loaded: what would be done is not what its author means (warnings)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from notaus.config import keys as key
from notaus.config.implication import implies, never, range_of
from notaus.config.lint_checks import restore, verification
from notaus.config.problems import Report, Where
from notaus.config.quantities import span
from notaus.config.table import Key, Values
from notaus.core.ladder import DeploymentLever, KvLever, Ladder
from notaus.core.rule import INVESTIGATE, Rule, Severity
from notaus.core.service import Service

FRESH = 60
"""Seconds beyond `settle` that a sample may be old and still be acted on (spec 3)."""


@dataclass(frozen=True, slots=True)
class Row:
    """A rule and where its keys stand."""

    rule: Rule
    values: Values

    def at(self, which: Key[Any]) -> Where:
        """The place of a key, or of the rule where the key stands further out."""
        return self.values.at(which) if self.values.has(which) else self.values.where


def lint(values: Values, service: Service, report: Report) -> None:
    """Warn of every contradiction of a file without problems, each with its place and what would be right."""
    written: tuple[Values, ...] = values.get(key.RULES) or ()
    rows = [Row(rule, row) for rule, row in zip(service.rules, written, strict=True)]
    judged = [row for row in rows if not row.rule.trigger]
    for row in judged:
        _condition(row, service, report)
        if row.rule.then != INVESTIGATE:
            _timing(row, service, report)
        if service.rolls_back(row.rule):
            _deployment(row, service, report)
    for milder, worse in permutations(judged, 2):
        _pair(milder, worse, service.ladder, judged, report)
    _ladder(values, service, rows, report)
    _people(values, service, rows, report)
    verification(values, service, report)
    restore(values, service, report)


def _condition(row: Row, service: Service, report: Report) -> None:
    """Conditions that nothing, or everything, meets."""
    rule, place = row.rule, row.at(key.WHEN)
    for comparison in rule.when:
        always = range_of(service.signals[comparison.signal], comparison)
        if always is not None:
            wrong = f"`{comparison.text}` is {'always' if always else 'never'} true"
            report.warning(place, wrong, "a bound between what is healthy and what is not")
    if never(rule.when):
        report.warning(place, "its conditions exclude each other, and all must be true at once", "two rules")
    if rule.on_blind == service.ladder.rungs[0].name:
        wrong = f"`on_blind: {rule.on_blind}` is the least safe rung: no step goes there"
        report.warning(row.at(key.ON_BLIND), wrong, "name a safer rung, or leave it out")


def _timing(row: Row, service: Service, report: Report) -> None:
    """Rules whose step would never be taken, or never judged."""
    rule, step = row.rule, service.step
    settle, window = service.settle(rule), service.window(rule)
    if -(-settle // step) * step > settle + FRESH:
        wrong = f"with a step of {span(step)} its newest sample is always too old to act on ({span(settle + FRESH)})"
        report.warning(row.values.where, wrong, f"a `step` of at most {span(FRESH)}")
    watched = 2 * service.validate
    if window + rule.resolve_for > watched:
        wrong = (
            f"no step of it could be found to have helped: that takes {span(window + rule.resolve_for)} of samples after it "
            f"(`window` and `resolve_for`), and the verdict is given up after {span(watched)}"
        )
        least = -(-(window + rule.resolve_for) // 2)
        report.warning(row.values.where, wrong, f"`validate: {span(least)}` or more, or `then: {INVESTIGATE}`")


def _deployment(row: Row, service: Service, report: Report) -> None:
    """Rollback rules against the age at which a version is known to be stable, and no longer to blame."""
    rule, lever = row.rule, service.ladder.lever
    window, within = service.window(rule), rule.within_of_deploy
    stable_after = lever.stable_after if isinstance(lever, DeploymentLever) else 0
    if within is not None and rule.hold > within:
        wrong = (
            f"`for` {span(rule.hold)} is longer than `within` {span(within)}: it would act {span(rule.hold)} after a "
            f"deployment at the soonest"
        )
        report.warning(row.at(key.FOR), wrong, f"less than {span(within)}, or a longer `within`")
    if within is not None and within < window:
        wrong = f"no sample speaks for a new deployment before its window of {span(window)} is over: it never acts"
        report.warning(row.at(key.WITHIN), wrong, f"more than {span(window)}")
    if within is not None and within > stable_after:
        wrong = (
            f"`within` {span(within)} is longer than `stable_after` {span(stable_after)}: a version that old is "
            "known-stable, and not to blame"
        )
        report.warning(row.at(key.WITHIN), wrong, f"at most {span(stable_after)}, or a longer `stable_after`")
    soonest = window + rule.hold + service.settle(rule)
    if soonest > stable_after:
        wrong = (
            f"it finds a version bad after {span(soonest)} (`window`, `for` and `settle`); after `stable_after` "
            f"{span(stable_after)} that is known-stable, and not to blame: it only pages"
        )
        report.warning(row.at(key.FOR), wrong, f"a shorter `for`, or `stable_after` above {span(soonest)}")


# Two rules


def _pair(milder: Row, worse: Row, ladder: Ladder, rows: list[Row], report: Report) -> None:
    a, b = milder.rule, worse.rule
    if not all(any(implies(of_b, of_a) for of_b in b.when) for of_a in a.when):
        return
    alike = all(any(implies(of_a, of_b) for of_a in a.when) for of_b in b.when)
    if alike and (b.hold < a.hold or (b.hold == a.hold and rows.index(worse) < rows.index(milder))):
        return
    named = f"the milder `{a.name}`" if not alike else f"`{a.name}`, which has the same condition"
    if _rank(b, ladder) < _rank(a, ladder) and (b.approval or not a.approval):
        wrong = f"`then: {b.then}` is less safe than `{a.then}` of {named}"
        report.warning(
            worse.at(key.THEN), wrong, f"`{a.then}` or a safer one: the worse the trouble, the safer the rung"
        )
    elif _overtaken(a, b) and _rank(b, ladder) == _rank(a, ladder) >= 0:
        wrong = f"it never acts: {named} takes the same step no later"
        report.warning(worse.values.where, wrong, "a safer `then`, a shorter `for`, or leave it out")
    elif b.approval and not a.approval and _rank(b, ladder) == _rank(a, ladder) and a.within_of_deploy is None:
        wrong = f"it asks before it takes a step that {named} takes by itself"
        report.warning(worse.at(key.APPROVAL), wrong, "leave `approval` out, or ask for the milder one")
    if b.severity.rank < a.severity.rank:
        wrong = f"`severity: {b.severity}` is quieter than that of {named}"
        report.warning(worse.at(key.SEVERITY), wrong, f"`{a.severity}`: the worse the trouble, the louder the page")


def _rank(rule: Rule, ladder: Ladder) -> int:
    return -1 if rule.then == INVESTIGATE else ladder.index(rule.then)


def _overtaken(a: Rule, b: Rule) -> bool:
    """Whether `a` acts whenever `b` would, and no later or quieter. `b` implies `a`."""
    if b.hold_within is not None and (a.hold_within is None or a.hold_within < b.hold_within):
        return False
    asks = a.approval and not b.approval
    elsewhere = a.within_of_deploy is not None and (
        b.within_of_deploy is None or b.within_of_deploy > a.within_of_deploy
    )
    surer = a.false_actions is not None and (b.false_actions is None or b.false_actions > a.false_actions)
    other = asks or elsewhere or surer or a.no_data is not b.no_data or a.min_requests > b.min_requests
    return a.hold <= b.hold and not other and b.severity.rank <= a.severity.rank


# The ladder, and people


def _ladder(values: Values, service: Service, rows: list[Row], report: Report) -> None:
    ladder = service.ladder
    level = values.get(key.LADDER_KEY) or values
    named = [ladder.index(row.rule.then) for row in rows if row.rule.then != INVESTIGATE]
    if ladder.escalate_to is not None and named and ladder.index(ladder.escalate_to) <= min(named):
        wrong = f"no step could go on to `{ladder.escalate_to}`: every rule's own `then` is as safe"
        report.warning(level.at(key.ESCALATE_TO), wrong, "name a safer rung, or leave it out")
    drains = level.get(key.DRAINS)
    for rung, cohort in ladder.drains.items():
        for wrong, right in _drain(service, rung, cohort):
            report.warning(drains.places[rung] if drains else level.where, wrong, right)
    if service.require and isinstance(ladder.lever, KvLever):
        report.warning(values.at(key.REQUIRE), "nothing here rolls a version back: it is never asked", "leave it out")


def _drain(service: Service, rung: str, cohort: str) -> Iterator[tuple[str, str]]:
    """What keeps a rung that drains a cohort from being found to have helped."""
    ladder = service.ladder
    share = ladder.share.signal if ladder.share is not None else f"{cohort}.share"
    if share not in service.signals:
        yield f"no signal shows the share of `{cohort}`: no step to `{rung}` could be judged", "a source with `cohorts`"
    elif service.signals[share].cohort != cohort:
        right = f"`share: {{signal: {cohort}.share, …}}`"
        yield f"whether `{cohort}` is drained would be judged by `{share}`, the share of others", right
    left = ladder.rung(rung).fields.get(ladder.share.field) if ladder.share is not None else None
    if isinstance(left, int | float) and not isinstance(left, bool) and left >= 1:
        wrong = f"`{rung}` leaves `{cohort}` {left:g} %, and drained means less than 1 %: no step to it would help"
        yield wrong, f"name the rung that gives `{cohort}` nothing"


def _people(values: Values, service: Service, rows: list[Row], report: Report) -> None:
    contacts = service.contacts
    asking = next((row for row in rows if row.rule.approval), None)
    if asking is not None and not contacts.approvers:
        wrong = "it asks for approval, and nobody is named who may give it but by `notaus approve`"
        report.warning(asking.at(key.APPROVAL), wrong, "name `approvers:`")
    page = values.get(key.PAGE) or values
    critical = next((row for row in rows if row.rule.severity is Severity.CRITICAL), None)
    ringing = [contact for contact in contacts.critical if contact.person]
    if critical is None or not contacts.critical:
        return
    if not ringing:
        wrong = f"`{critical.rule.name}` is critical, and nobody is rung: these are records for others to read"
        report.warning(page.at(key.CRITICAL), wrong, "name who is woken, such as `pagerduty: …`")
    elif all(c in contacts.warning and c.channel not in TELL_APART for c in ringing):
        wrong = f"`{critical.rule.name}` is critical, and reaches nobody whom a warning does not"
        report.warning(page.at(key.CRITICAL), wrong, "name who is woken, such as `pagerduty: …`")


TELL_APART = ("pagerduty",)
"""Channels that ring for a critical page and not for a warning."""
