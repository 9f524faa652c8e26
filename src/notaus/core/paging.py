"""What people are told, and when: pages about the incident, notices without one, and the commands that do the same by hand."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from notaus.core import words
from notaus.core.effect import Send
from notaus.core.evidence import Evidence, percent
from notaus.core.impact import Impact, error_rates
from notaus.core.incident import Phase
from notaus.core.ladder import CommandLever, DeploymentLever, KvLever, OwnLever, filled
from notaus.core.page import Kind, Message, Status
from notaus.core.release import release_of
from notaus.core.rule import Rule, Severity
from notaus.core.sample import Sample
from notaus.core.service import Contact
from notaus.core.signal import Shape, Unit
from notaus.core.state import Notice
from notaus.core.turn import Turn

SUPPORT = "https://dash.cloudflare.com/?to=/:account/support"
REPEAT = 3600
"""Seconds between two messages of a standing notice."""


def tell(
    turn: Turn,
    title: str,
    *lines: str,
    loud: bool = False,
    severity: Severity | None = None,
    status: Status | None = None,
    also: Iterable[Contact] = (),
) -> None:
    """Send the next message of the incident's thread; the first is always loud, and so is one that raises the severity."""
    incident = turn.open_incident
    raised = severity is not None and severity.rank > incident.severity.rank
    loud = loud or raised or incident.sequence == 0
    level = severity if raised and severity is not None else incident.severity
    own = turn.service.contacts.of(level) if loud else ()
    contacts = tuple(dict.fromkeys((*incident.contacts, *own, *also)))
    kind = Kind.NOTICE if incident.shadow or incident.quiet else Kind.PAGE
    said = f"would act: {title}" if incident.shadow else title
    ended = status is Status.RESOLVED
    _complete(turn)
    message = Message(
        kind,
        thread_of(turn.service.name, incident.id),
        incident.sequence + 1,
        turn.now,
        turn.service.name,
        level,
        status or (Status.OPEN if incident.sequence == 0 else Status.UPDATE),
        loud,
        f"{turn.service.name}: {said}",
        lines,
        turn.open_incident.facts,
        incident.id,
        turn.state.request.id if turn.state.request is not None else None,
        words.banner(turn),
        words.public(turn, ended=ended),
        tuple(words.told_at(entry.at, entry.text) for entry in incident.timeline) if ended else (),
    )
    turn.update(sequence=message.sequence, severity=level, contacts=contacts, paged=incident.paged or kind is Kind.PAGE)
    turn.note(said)
    _send(turn, contacts, message)


def recovery_contacts(turn: Turn) -> tuple[Contact, ...]:
    """Whom to call where a step was refused or did not help; nobody where it was only imagined."""
    return () if turn.open_incident.shadow else turn.service.contacts.escalate


def notice(turn: Turn, key: str, severity: Severity, title: str, *lines: str) -> None:
    """Tell of something that is no incident: once, again if it becomes critical, and at most hourly while it lasts."""
    standing = turn.state.notices.get(key)
    raised = standing is not None and severity.rank > standing.severity.rank
    if standing is not None and not raised and turn.now - standing.sent_at < REPEAT:
        return
    if standing is None:
        thread = f"notaus/{turn.service.name}/{key}/{turn.now}"
        following = Notice(thread, severity, turn.now, turn.now, 1, title)
    else:
        level = severity if raised else standing.severity
        following = Notice(standing.thread, level, standing.opened_at, turn.now, standing.sequence + 1, title)
    turn.change(notices={**turn.state.notices, key: following})
    status = Status.OPEN if standing is None else Status.UPDATE
    _send_notice(turn, following, status, title, lines, loud=standing is None or raised)


def remark(turn: Turn, key: str, title: str, *lines: str) -> None:
    """Tell something once that needs nobody."""
    thread = f"notaus/{turn.service.name}/{key}/{turn.now}"
    said = Notice(thread, Severity.WARNING, turn.now, turn.now, 1, title)
    _send_notice(turn, said, Status.RESOLVED, title, lines, loud=False)


def end_notice(turn: Turn, key: str, *lines: str) -> None:
    """Resolve a standing notice, if there is one."""
    notices = dict(turn.state.notices)
    standing = notices.pop(key, None)
    if standing is not None:
        turn.change(notices=notices)
        ended = Notice(
            standing.thread, standing.severity, standing.opened_at, turn.now, standing.sequence + 1, standing.title
        )
        _send_notice(turn, ended, Status.RESOLVED, f"over: {standing.title}", lines, loud=False)


def _send_notice(
    turn: Turn, standing: Notice, status: Status, title: str, lines: tuple[str, ...], *, loud: bool
) -> None:
    contacts = turn.service.contacts.of(standing.severity)
    if status is Status.RESOLVED:  # whoever heard of it hears that it is over
        contacts = tuple(dict.fromkeys((*contacts, *turn.service.contacts.warning)))
    message = Message(
        Kind.NOTICE,
        standing.thread,
        standing.sequence,
        turn.now,
        turn.service.name,
        standing.severity,
        status,
        loud,
        f"{turn.service.name}: {title}",
        lines,
    )
    _send(turn, contacts, message)


def _complete(turn: Turn) -> None:
    """Every page tells what it cost so far, and the command that does the same by hand."""
    count_impact(turn)
    if "by hand" not in turn.open_incident.facts:
        fact(turn, by_hand=by_hand(turn, turn.service.ladder.safest.name))
    turn.update(facts=words.arranged(turn))


def count_impact(turn: Turn) -> None:
    """Count what failed, from the hold that began it until it is mitigated."""
    incident = turn.incident
    if incident is None or incident.shadow or incident.phase in (Phase.MITIGATED, Phase.RAMPING):
        return
    impact = incident.impact or Impact(_began(turn))
    turn.update(impact=impact.counted(turn.service, turn.history))


def _began(turn: Turn) -> int:
    """The grid time before the first window that held against a rule."""
    states = [turn.rule_state(name) for name in turn.open_incident.rules]
    starts = [at for state in states for at in (state.handled, state.told) if at is not None]
    first = min((at for at in starts if at > turn.at - turn.service.lookback), default=turn.open_incident.opened_at)
    windows = [turn.service.signals[name].window for name in error_rates(turn.service)]
    return first // turn.service.step * turn.service.step - min(windows, default=0)


def keep_receipt(turn: Turn, sent: Send, receipt: str | None) -> None:
    """Remember what a channel answered while the thread lives, for the messages that follow there."""
    receipts = dict(turn.state.receipts)
    if receipt is not None:
        contact, thread = sent.contact, sent.message.thread
        receipts[thread] = {**receipts.get(thread, {}), str(contact): receipt}
        waiting = {
            id: replace(effect, receipt=receipt)
            for id, effect in turn.state.outbox.items()
            if isinstance(effect, Send) and (effect.contact, effect.message.thread) == (contact, thread)
        }
        turn.change(outbox={**turn.state.outbox, **waiting})
    alive = {e.message.thread for e in turn.state.outbox.values() if isinstance(e, Send)}
    alive |= {standing.thread for standing in turn.state.notices.values()}
    alive |= {thread_of(turn.service.name, turn.incident.id)} if turn.incident is not None else set()
    turn.change(receipts={thread: kept for thread, kept in receipts.items() if thread in alive})


def thread_of(service: str, incident: str) -> str:
    """The dedup key of an incident: one incident, one thread."""
    return f"notaus/{service}/{incident}"


def _send(turn: Turn, contacts: Iterable[Contact], message: Message) -> None:
    for contact in dict.fromkeys(contacts):
        if message.kind is Kind.NOTICE and not contact.person:
            continue  # the public reads of incidents alone
        receipt = turn.state.receipts.get(message.thread, {}).get(str(contact))
        turn.issue(Send(turn.new_effect_id("send"), turn.service.name, contact, message, receipt=receipt))


def fact(turn: Turn, **facts: str) -> None:
    """Set facts of the incident's page, empty ones are taken off; an underscore in a name reads as a space."""
    named = {name.replace("_", " "): text for name, text in facts.items()}
    turn.update(facts={name: text for name, text in {**turn.open_incident.facts, **named}.items() if text})


def tell_release(turn: Turn, version: str | None) -> None:
    """Put on the page what was announced of `version`, if anything was."""
    text = announcement(turn, version)
    if text is not None:
        fact(turn, release=text)


def announcement(turn: Turn, version: str | None) -> str | None:
    """What those who deployed `version` (an id) said of it; None where nobody did."""
    known = turn.state.registry.names.get(version) if version is not None else None
    found = release_of(turn.state.releases, known)
    return None if found is None else found.text


def describe(turn: Turn, rules: Iterable[Rule], evidence: Mapping[str, Evidence]) -> None:
    """Put the rules, their present values and the chance of it on the page."""
    named = list(rules)
    fact(
        turn,
        rule="; ".join(f"{rule.name} ({condition(rule)})" for rule in named),
        values="; ".join(dict.fromkeys(reading(turn, name) for rule in named for name in rule.signals)) or "a report",
    )
    chances = [evidence[rule.name].text for rule in named if rule.name in evidence]
    if chances:
        fact(turn, evidence="; ".join(dict.fromkeys(chances)))


def condition(rule: Rule) -> str:
    """The rule's condition with its `for`."""
    return f"{rule.condition} for {duration(rule.hold)}" if rule.hold else rule.condition


def readings(turn: Turn, rule: Rule) -> str:
    """What the rule's signals are now."""
    return ", ".join(reading(turn, name) for name in rule.signals)


def reading(turn: Turn, name: str) -> str:
    """A signal's newest sample in words, such as `native.error_rate 4 % (40 of 1000)`."""
    sample = turn.history.newest(name)
    return f"{name} {spell(sample, turn.service.signals[name].unit, turn.service.signals[name].shape)}"


def spell(sample: Sample | None, unit: Unit, shape: Shape) -> str:
    """A sample in words, with its unit and the counts behind it."""
    if sample is None or sample.value is None:
        return "unknown"
    value = float(sample.value)
    text = percent(value) if unit is Unit.RATIO else f"{value:g}{'' if unit is Unit.COUNT else ' ' + unit}".strip()
    if shape is Shape.RATE and sample.of is not None and sample.among is not None:
        return f"{text} ({float(sample.of):g} of {float(sample.among):g})"
    return text


def duration(seconds: int) -> str:
    """Seconds as the configuration writes them: 90s, 5m, 2h."""
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def by_hand(turn: Turn, rung: str, version: str | None = None) -> str:
    """The command that does the same by hand, for today's wrangler (and GitHub's own command line)."""
    lever = turn.service.ladder.lever
    own = turn.service.ladder.rung(rung).lever
    if own is not None:
        return own_command(turn, rung, own)
    match lever:
        case KvLever():
            fields = {**lever.fields, **turn.service.ladder.rung(rung).fields}
            return kv_command(lever, fields)
        case DeploymentLever():
            return f'npx wrangler rollback {version or "VERSION_ID"} --name {lever.script} --message "by hand"'


def own_command(turn: Turn, rung: str, lever: OwnLever, *, undo: bool = False) -> str:
    """The command that starts (or takes back) by hand what a rung's own lever would."""
    if isinstance(lever, CommandLever):
        return shlex.join(lever.undo if undo else lever.argv)
    incident = turn.incident.id if turn.incident is not None else ""
    names = {"reason": "by hand", "key": "by-hand", "service": turn.service.name, "rung": rung, "incident": incident}
    inputs = filled(lever.undo if undo else lever.inputs, names)
    fields = "".join(f" -f {shlex.quote(f'{name}={text}')}" for name, text in inputs.items())
    return f"gh workflow run {lever.file} --repo {lever.repository} --ref {lever.ref}{fields}"


def call_for_help(turn: Turn) -> None:
    """The recovery plan: what people can run, and from now on everything goes to those it escalates to as well."""
    recovery(turn)
    fact(turn, if_Cloudflare_is_the_cause=f"ask Cloudflare Support: {SUPPORT}")
    turn.update(contacts=tuple(dict.fromkeys((*turn.open_incident.contacts, *recovery_contacts(turn)))))


def recovery(turn: Turn) -> None:
    """Put the service's recovery commands on the page, filled in: they are people's to run."""
    names = _placeholders(turn)
    for name, command in turn.service.recovery.items():
        text = _PLACEHOLDER.sub(lambda found: names.get(found[1], found[0]), command)
        turn.update(facts={**turn.open_incident.facts, f"recovery: {name}": text})


_PLACEHOLDER = re.compile(r"\$([a-z_]+)")
"""Names that stand for nothing we know are left as they are: the shell may know them."""


def _placeholders(turn: Turn) -> Mapping[str, str]:
    """What stands for itself in a recovery command, as far as it is known."""
    incident, day = turn.open_incident, datetime.fromtimestamp(turn.now, UTC)
    step = incident.step
    known = {
        "service": turn.service.name,
        "worker": turn.service.worker,
        "account": turn.service.account,
        "incident": incident.id,
        "version": step.version if step is not None else None,
        "tag": step.label if step is not None and step.version is not None else None,
        "bad_version": step.away_from if step is not None else None,
        "date": day.strftime("%Y%m%d"),
        "yesterday": (day - timedelta(days=1)).strftime("%Y%m%d"),
    }
    return {name: text for name, text in known.items() if text is not None}


def kv_command(lever: KvLever, fields: Mapping[str, object]) -> str:
    """The wrangler command that writes `fields` to the steering key; `$now` is left to the shell."""
    text = json.dumps(dict(fields), separators=(",", ":"))
    quoted = text.replace("'", "'\\''").replace("$now", "'\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"'")
    return f"npx wrangler kv key put {lever.key} '{quoted}' --namespace-id={lever.namespace} --remote"
