"""A service file as a whole: from its text to a `Service`, and its entries for the poller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from notaus.config import keys as key
from notaus.config.checks import read_checks, read_restore
from notaus.config.conditions import Catalogue
from notaus.config.containers import Entries
from notaus.config.daemon_keys import CHANNEL_KINDS
from notaus.config.document import Node, Scalar, Table
from notaus.config.evidence import read_evidence
from notaus.config.ladder import NOWHERE, read_ladder
from notaus.config.lint import lint
from notaus.config.problems import Misread, Report, Where, near_miss
from notaus.config.rules import check_durations, ladder_level, read_rules
from notaus.config.settings import Channels
from notaus.config.signals import check_ratios, read_entries, wanted
from notaus.config.sources import Entry, Question
from notaus.config.table import Values, inner_wins, read_keys
from notaus.core.ladder import Ladder, WorkflowLever
from notaus.core.rule import Rule
from notaus.core.service import RECORDS, Contact, Contacts, Drill, Mode, Requirement, Service
from notaus.core.signal import Signal
from notaus.core.verification import Check, Restore, SignalCheck


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service file is read against."""

    defaults: Values = field(default_factory=lambda: Values(Where("notaus.yaml")))
    channels: Channels | None = None
    """None: contacts need no channel (lenient)."""
    github: bool = True
    """Whether workflows can be started."""
    daemon_file: str = "notaus.yaml"
    cap: Mode = Mode.ACT


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one service file says."""

    service: Service
    entries: tuple[Entry, ...]
    questions: Mapping[str, Question]
    """Asked for an incident's evidence, by name."""
    recovery: Mapping[str, str]
    where: Where
    lever: Where
    """Where the file and its lever stand, for problems that several files have together."""


def read_service(root: Node, around: Surroundings, report: Report) -> Loaded | None:
    """The service in the document `root`; None where too little of it can be read. Problems go to `report`."""
    since = len(report.problems)
    try:
        values = read_keys(key.SERVICE, root, report)
    except Misread as error:
        report.misread(root.where, error)
        return None
    defaults = around.defaults
    parts: Entries[tuple[str, Values]] = values.get(key.SIGNALS) or Entries({}, {})
    check_ratios(parts, report)
    given = read_entries(parts, values, defaults, report)
    catalogue = Catalogue(given, _broken(root, report, since))
    ladder = read_ladder(values, defaults, catalogue, report)
    if ladder is not None and not around.github and any(isinstance(r.lever, WorkflowLever) for r in ladder.rungs):
        right = f"`github: {{token: …}}` in {around.daemon_file}"
        report.problem(values.at(key.LADDER_KEY), "a rung starts a workflow, and no token for GitHub is given", right)
    rules = read_rules(values, defaults, ladder, catalogue, report)
    check_durations(values, defaults, report)
    checks = read_checks(values, defaults, ladder, catalogue, report) if ladder else ()
    restore = read_restore(values, ladder, catalogue, report) if ladder else Restore()
    _check_drill(values, report)
    evidence, questions = read_evidence(values, report)
    contacts = _contacts(values, around, report)
    asked = _asked(ladder or NOWHERE, rules, checks, restore)
    wants = {one.entry.name: wanted(one, asked) for one in given}
    signals = {name: one.signals[name] for one in given for name in wants[one.entry.name]}
    entries = tuple(replace(g.entry, signals=wants[g.entry.name]) for g in given if wants[g.entry.name])
    for one in given:
        if not wants[one.entry.name]:
            report.warning(one.where, f"nothing asks for a signal of `{one.entry.name}`: it is not read")
    links = _links(values, contacts, around.channels)
    service = _service(
        values, defaults, signals, rules, ladder or NOWHERE, checks, restore, contacts, links, around.cap, evidence
    )
    if len(report.problems) == since:
        lint(values, service, report)
    return Loaded(service, entries, questions, dict(values.get(key.RECOVERY) or {}), root.where, _lever_place(values))


def _broken(root: Node, report: Report, since: int) -> frozenset[str]:
    """The entries of `signals:` that could not be read as they are meant."""
    table = root.get(key.SIGNALS.name) if isinstance(root, Table) else None
    names = [name for name, _ in table] if isinstance(table, Table) else []
    return frozenset(name for name in names if report.concerns(f"{key.SIGNALS.name}.{name}", since))


def _service(
    values: Values,
    defaults: Values,
    signals: Mapping[str, Signal],
    rules: tuple[Rule, ...],
    ladder: Ladder,
    checks: tuple[Check, ...],
    restore: Restore,
    contacts: Contacts,
    links: Mapping[str, str],
    cap: Mode,
    evidence: tuple[str, ...],
) -> Service:
    max_actions, max_actions_per = ladder_level(key.MAX_ACTIONS, values, defaults)
    mode = inner_wins(key.MODE, values, defaults)
    require: tuple[Requirement, ...] | None = values.get(key.REQUIRE)
    return Service(
        name=values.get(key.SERVICE_NAME) or "",
        account=values.get(key.ACCOUNT) or "",
        worker=values.get(key.WORKER) or "",
        signals=signals,
        rules=rules,
        ladder=ladder,
        mode=Mode.OBSERVE if cap is Mode.OBSERVE else mode,
        step=inner_wins(key.STEP, values, defaults),
        require=frozenset(require or ()),
        verify=checks,
        recovery=dict(values.get(key.RECOVERY) or {}),
        evidence=evidence,
        restore=restore,
        contacts=contacts,
        propagation=ladder_level(key.PROPAGATION, values, defaults),
        validate=ladder_level(key.VALIDATE, values, defaults),
        deadline=ladder_level(key.DEADLINE, values, defaults),
        max_actions=max_actions,
        max_actions_per=max_actions_per,
        override=inner_wins(key.OVERRIDE, values, defaults),
        override_for=inner_wins(key.OVERRIDE_FOR, values, defaults),
        ttl=inner_wins(key.TTL, values, defaults),
        title=values.get(key.TITLE) or "",
        staging=values.of(key.STAGING),
        drill=_drill(values),
        links=links,
    )


def _drill(values: Values) -> Drill:
    found: str | Values | None = values.get(key.DRILL)
    if not isinstance(found, Values):
        return Drill(cron=found)
    fault, heal = found.get(key.FAULT) or (), found.get(key.HEAL) or ()
    return Drill(found.get(key.CRON), found.get(key.BAD), fault, heal, found.of(key.DRILL_PAGE))


def _check_drill(values: Values, report: Report) -> None:
    found: str | Values | None = values.get(key.DRILL)
    cron = found.get(key.CRON) if isinstance(found, Values) else found
    if cron is not None and not values.of(key.STAGING):
        right = "say `staging: true` where that is so; else call `notaus drill` yourself"
        report.problem(values.at(key.DRILL), "a drill is held by itself on a staging service alone", right)


def _asked(ladder: Ladder, rules: Iterable[Rule], checks: Iterable[Check], restore: Restore) -> list[str]:
    """Every signal that the file names, and the shares that draining rungs are judged by."""
    names = [name for rule in rules for name in rule.signals]
    names += [name for check in checks if isinstance(check.kind, SignalCheck) for name in check.kind.condition.signals]
    names += [name for need in restore.require if need.condition for name in need.condition.signals]
    names += [ladder.share.signal] if ladder.share else []
    return [*names, *(f"{cohort}.share" for cohort in ladder.drains.values())]


def _lever_place(values: Values) -> Where:
    ladder = values.get(key.LADDER_KEY)
    return values.where if ladder is None else ladder.at(key.LEVER)


def _contacts(values: Values, around: Surroundings, report: Report) -> Contacts:
    page = values.get(key.PAGE) or Values(values.where)
    return Contacts(
        critical=_contacts_of(page.get(key.CRITICAL), around, report),
        warning=_people(page.get(key.WARNING), around, report),
        escalate=_people(page.get(key.ESCALATE), around, report),
        approvers=_people(values.get(key.APPROVERS), around, report),
    )


def _people(pairs: tuple[tuple[Scalar, str], ...] | None, around: Surroundings, report: Report) -> tuple[Contact, ...]:
    """Contacts that ring; a status page or an issue is for critical incidents alone."""
    for channel, _ in pairs or ():
        if str(channel.value) in RECORDS:
            right = "name it under `page: critical:`, for what customers notice"
            report.problem(channel.where, f"nobody is reached through `{channel.value}`", right)
    return _contacts_of(pairs, around, report)


def _contacts_of(
    pairs: tuple[tuple[Scalar, str], ...] | None, around: Surroundings, report: Report
) -> tuple[Contact, ...]:
    found = []
    for channel, name in pairs or ():
        kind = str(channel.value)
        known = [known.name for known in CHANNEL_KINDS]
        if kind not in known:
            report.problem(channel.where, f"there is no channel `{kind}`", near_miss(kind, known))
        else:
            _check_channel(channel, kind, name, around, report)
            found.append(Contact(kind, name))
    return tuple(dict.fromkeys(found))


def _links(values: Values, contacts: Contacts, channels: Channels | None) -> Mapping[str, str]:
    """Where the runbooks send people: the Worker's dashboard, and the status page that customers read."""
    account, worker = values.get(key.ACCOUNT) or "", values.get(key.WORKER) or ""
    pages = channels.statuspage if channels is not None else {}
    address = next((pages[c.name].address for c in contacts.critical if c.name in pages and not c.person), None)
    return {
        **({"status page": address} if address is not None else {}),
        "dashboard": f"{DASHBOARD}/{account}/workers/services/view/{worker}/production",
    }


DASHBOARD = "https://dash.cloudflare.com"

_ENTRIES = {
    "pagerduty": "{routing_key: …}",
    "slack": "{webhook_url: …}",
    "webhook": "{url: …}",
    "statuspage": "{token: …, page: …}",
    "github": "{token: …}",
    "apprise": "{url: …}",
}


def _check_channel(channel: Scalar, kind: str, name: str, around: Surroundings, report: Report) -> None:
    if around.channels is None or around.channels.has(kind, name):
        return
    report.problem(
        channel.where,
        f"the {kind} channel `{name}` is not configured",
        f'add to `channels: {kind}:` of {around.daemon_file}: `"{name}": {_ENTRIES[kind]}`',
    )
