"""The thresholds over the last 90 days, rule by rule, from the journal alone. Nothing is changed by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from notaus.config.quantities import span
from notaus.core.hold import Run, Truth, judge, truth
from notaus.core.rule import INVESTIGATE, Rule
from notaus.core.sample import History
from notaus.core.service import Service
from notaus.journal import IncidentRow, Journal

DAYS = 90
DAY = 86_400
MOST_INCIDENTS = 1000
NEAR = 0.8
"""A hold of so much of its `for` came near."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What one rule did."""

    rule: str
    condition: str
    holds: int
    """Stretches for which its condition was true."""
    breaches: int
    """Those that lasted for its `for`."""
    refused: int
    """Breaches that were told as not enough evidence."""
    actions: int
    """Incidents in which a lever was pulled for it."""
    pages: int
    """Incidents in which it was among the rules, and people were paged."""
    nearest: Run | None
    """The longest hold that was no breach."""
    missed_by: float
    """How much of its `for` that used up."""
    says: str
    """What may be done about it, in words."""


@dataclass(frozen=True, slots=True)
class Review:
    """All rules of a service, and from when on the journal has samples of it."""

    rules: tuple[Reviewed, ...]
    since: int
    sampled_from: int | None


def review(journal: Journal, service: Service, now: int, days: int = DAYS) -> Review:
    """What the rules of `service` did in the `days` before `now`. Raises JournalFailed. Blocks for some seconds."""
    since = now - days * DAY
    incidents = [row for row in journal.incidents(service.name, MOST_INCIDENTS) if row.opened_at >= since]
    threads = journal.threads(service.name, since)
    rules = [rule for rule in service.rules if not rule.trigger]
    first = _first(journal, service, rules, since)
    answers = _answers(journal, service, rules, first, now)
    found = []
    for rule in rules:
        hold = judge(rule, _spread(answers[rule.name], first or 0, service.step), service.step)
        runs = (*hold.past, *((hold.standing,) if hold.standing is not None else ()))
        found.append(_reviewed(rule, runs, incidents, threads, service.name, sampled=first is not None))
    return Review(tuple(found), since, first)


def _reviewed(
    rule: Rule,
    runs: Iterable[Run],
    incidents: Iterable[IncidentRow],
    threads: Iterable[str],
    service: str,
    *,
    sampled: bool,
) -> Reviewed:
    runs = list(runs)
    breaches = [run for run in runs if run.breached is not None]
    short = [run for run in runs if run.breached is None]
    nearest = max(short, key=lambda run: run.held, default=None)
    missed_by = nearest.held / rule.hold if nearest is not None and rule.hold else 0.0
    about = [row for row in incidents if rule.name in (_body(row).get("rules") or ())]
    acted = sum(1 for row in about if _acted(_body(row), rule))
    paged = sum(1 for row in about if _body(row).get("paged"))
    refused = sum(1 for thread in threads if thread.startswith(f"notaus/{service}/evidence:{rule.name}/"))
    says = _says(rule, len(runs), len(breaches), refused, acted, missed_by, sampled=sampled)
    return Reviewed(
        rule.name, rule.condition, len(runs), len(breaches), refused, acted, paged, nearest, missed_by, says
    )


def _body(row: IncidentRow) -> dict[str, Any]:
    return row.body if isinstance(row.body, dict) else {}


def _acted(body: dict[str, Any], rule: Rule) -> bool:
    """Whether a lever was pulled for the rule: the timeline tells of each step, and for which rules it was taken."""
    if body.get("shadow"):
        return False
    return any(
        rule.name in (entry.get("rules") or ()) for entry in body.get("timeline") or () if isinstance(entry, dict)
    )


def _says(rule: Rule, holds: int, breaches: int, refused: int, acted: int, missed_by: float, *, sampled: bool) -> str:
    if refused:
        return f"{refused} breaches had no evidence: chance crosses it; a longer `for` or a bound further away would spare people"
    if acted:
        return "look at each action: was it right? If one was not, the bound or the `for` is too near"
    if breaches and rule.then != INVESTIGATE:
        return "it was breached and did not act: look at why (a limit, a hold, an approval, an override)"
    if not sampled:
        return "no samples are kept: nothing can be said"
    if missed_by >= NEAR:
        return "it came near once: was that trouble? If so, a shorter `for` would have caught it"
    if not holds:
        return "its condition was never true: would it catch a fault? `notaus drill --fault` shows it"
    return "nothing calls for a change"


def spelled(run: Run | None, rule_hold: int) -> str:
    """A hold against its `for`."""
    return "–" if run is None else f"{span(run.held)} of {span(rule_hold)}"


def _first(journal: Journal, service: Service, rules: Iterable[Rule], since: int) -> int | None:
    """The grid time of the first sample that is kept since then."""
    for day in range(since, since + (DAYS + 1) * DAY, DAY):
        for signal in _signals(rules):
            samples = journal.samples(service.name, signal, day, day + DAY)
            if samples:
                return -(-samples[0].at // service.step) * service.step
    return None


def _signals(rules: Iterable[Rule]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for rule in rules for name in rule.signals))


def _answers(
    journal: Journal, service: Service, rules: Iterable[Rule], first: int | None, last: int
) -> dict[str, bytearray]:
    """Each rule's condition at each grid time from `first` on, a byte each: three months of samples would fit nowhere.

    What was not read is unknown, so that a hold does not go on over it.
    """
    rules, step = list(rules), service.step
    found = {rule.name: bytearray() for rule in rules}
    for day in range(first, last + 1, DAY) if first is not None else ():
        until = min(day + DAY, last + 1) - 1
        readings = {name: journal.samples(service.name, name, day, until) for name in _signals(rules)}
        history = History().merged(readings, day)
        for at in range(-(-day // step) * step, until + 1, step):
            for rule in rules:
                found[rule.name].append(CODES.index(truth(rule.when, history, at)))
    return found


CODES = (Truth.FALSE, Truth.TRUE, Truth.UNKNOWN, Truth.PENDING)


def _spread(codes: bytearray, first: int, step: int) -> Iterator[tuple[int, Truth]]:
    for i, code in enumerate(codes):
        answer = CODES[code]
        yield first + i * step, Truth.UNKNOWN if answer is Truth.PENDING else answer
