"""The watch: what the samples say of every rule at a tick, and the notices that no incident is needed for."""

from __future__ import annotations

from notaus.core import deployment
from notaus.core.action import close
from notaus.core.baseline import Baseline
from notaus.core.evidence import EPISODE
from notaus.core.hold import Hold, Run, Truth, aligned, answer_at, carried, cleared, judge, truths
from notaus.core.incident import Phase
from notaus.core.paging import condition, describe, duration, end_notice, notice, reading, tell
from notaus.core.rule import INVESTIGATE, NoData, Rule, Severity
from notaus.core.signal import Shape
from notaus.core.turn import Turn, stands
from notaus.core.verdict import starved

FLAPPING = 900
"""Seconds looked at for a rule that is true again and again, and never for long enough."""
FLAPPING_RUNS = 3
QUIET_CLOSE = 1800
"""Seconds all clear after which an incident that only paged closes."""
CRITICALLY_BLIND = 900
HOUR = 3600
BUSY = 5
"""Requests a window an hour ago that make their absence suspicious (spec 18)."""
REGULAR = 4
"""Values one after the other an hour ago that make their absence suspicious, of a signal that counts no requests."""
TRAFFIC_GONE, VALUES_GONE = "traffic is gone", "no values come any more"


def evaluate(turn: Turn) -> dict[str, Hold]:
    """What the samples say of each rule, worked out from the samples (spec 3)."""
    return {rule.name: _hold(turn, rule) for rule in turn.service.rules if not rule.trigger}


def _hold(turn: Turn, rule: Rule) -> Hold:
    service, state = turn.service, turn.rule_state(rule.name)
    due = turn.at - service.settle(rule)
    seen = min(state.newest, due) if state.newest is not None else due
    counted, run = first_counted(turn, rule), state.run
    if run is not None and run.start < counted:
        run = None  # of a deployment that has been replaced, as was found out late: the live one begins its own
    # Enough to see the whole `for`; a run that began earlier is carried. What is ignored may stretch a run at will.
    span = max(rule.hold, rule.hold_within or 0) + service.step
    if rule.no_data is NoData.IGNORE or run is not state.run:
        span = service.lookback
    first = max(counted, turn.at - service.lookback, seen - span)
    first = aligned(first, service.step)
    answers = truths(rule, turn.history, first, due, service.step)
    gap = service.lookback if rule.no_data is NoData.IGNORE else rule.hold_within or 0
    return carried(judge(rule, answers, service.step), first, run, gap)


def first_counted(turn: Turn, rule: Rule) -> int:
    """From when on samples count: the rule is in force; for a rollback the window lies wholly in the live deployment."""
    return max(turn.rule_state(rule.name).since, deployed_from(turn, rule))


def deployed_from(turn: Turn, rule: Rule) -> int:
    """The first sample that speaks for what is live alone; 0 where the rule does not ask for that.

    A version's own samples do from its very start, and through every further step of its gradual deployment.
    """
    view, service = turn.state.view, turn.service
    if view is None or view.live is None:
        return 0
    windows = [service.signals[name].window for name in rule.signals if not service.signals[name].of_version]
    since = 0
    if len(windows) < len(rule.signals):
        since = deployment.beginnings(turn.state.registry, view)[0]
    if windows and service.rolls_back(rule):
        since = max(since, view.live.created + max(windows))
    return since


def remember(turn: Turn) -> None:
    """Keep what the next tick needs to know of each hold."""
    turn.mark_all(
        {
            name: {
                "newest": hold.newest if hold.newest is not None else turn.rule_state(name).newest,
                "run": hold.standing,
                "past": ended(turn, name, hold),
            }
            for name, hold in (turn.holds or {}).items()
        }
    )


def ended(turn: Turn, name: str, hold: Hold) -> tuple[Run, ...]:
    """The rule's recent runs that have ended, oldest first."""
    state = turn.rule_state(name)
    known = {run.end: run for run in state.past if run.end > turn.at - 2 * EPISODE}
    fresh = {run.end: run for run in hold.past if run.end not in known}
    return tuple((known | fresh).values())


def notify(turn: Turn) -> None:
    """Missed, flapping, blind and investigate, for every rule."""
    for rule in turn.service.rules:
        if rule.trigger:
            continue
        hold = (turn.holds or {})[rule.name]
        _missed(turn, rule, hold)
        _flapping(turn, rule, hold)
        _end_of_thin_evidence(turn, rule, hold)
        if turn.rule_state(rule.name).refused is not None and _is_clear(turn, rule, hold):
            turn.mark(rule.name, refused=None)
        if rule.then == INVESTIGATE:
            _investigate(turn, rule, hold)
    _blindness(turn)


def _missed(turn: Turn, rule: Rule, hold: Hold) -> None:
    """A breach that ended while nobody could look is told, and acts no more."""
    before = turn.rule_state(rule.name).newest
    for run in hold.past:
        if before is not None and run.breached is not None and run.breached > before:
            lasted = duration(run.end - run.start)
            notice(turn, f"missed:{rule.name}", rule.severity, f"missed: {rule.name}", f"It held for {lasted}.")
    if "missed:" + rule.name in turn.state.notices and _is_clear(turn, rule, hold):
        end_notice(turn, f"missed:{rule.name}")


def _is_clear(turn: Turn, rule: Rule, hold: Hold) -> bool:
    if hold.newest is None:
        return False
    return cleared(rule, turn.history, hold.newest, rule.resolve_for, turn.service.step)


def _flapping(turn: Turn, rule: Rule, hold: Hold) -> None:
    """True in most of the last 15 minutes, in at least three runs, and never for long enough (spec 18)."""
    key = f"flapping:{rule.name}"
    if hold.newest is None or rule.hold == 0:
        return
    first = hold.newest - FLAPPING
    standing = (hold.standing,) if hold.standing is not None else ()
    runs = [r for r in (*ended(turn, rule.name, hold), *standing) if r.end > first]
    if len(runs) >= FLAPPING_RUNS and not any(r.breached is not None for r in runs) and _mostly_true(turn, rule, hold):
        notice(turn, key, Severity.WARNING, f"flapping: {rule.name}", condition(rule), *_values(turn, rule))
    elif key in turn.state.notices and _is_clear(turn, rule, hold):
        end_notice(turn, key)


def _mostly_true(turn: Turn, rule: Rule, hold: Hold) -> bool:
    assert hold.newest is not None
    first = hold.newest - FLAPPING + 1
    if turn.service.rolls_back(rule):
        first = max(first, first_counted(turn, rule))
    answers = [a for _, a in truths(rule, turn.history, first, hold.newest, turn.service.step)]
    known = [a for a in answers if a in (Truth.TRUE, Truth.FALSE)]
    return known.count(Truth.TRUE) * 2 > len(known)


def _values(turn: Turn, rule: Rule) -> tuple[str, ...]:
    return tuple(reading(turn, name) for name in rule.signals)


def _end_of_thin_evidence(turn: Turn, rule: Rule, hold: Hold) -> None:
    key = f"evidence:{rule.name}"
    if key in turn.state.notices and _is_clear(turn, rule, hold):
        end_notice(turn, key)


def _investigate(turn: Turn, rule: Rule, hold: Hold) -> None:
    """A notice, at most hourly; in an open incident an update of its page."""
    key = f"investigate:{rule.name}"
    if hold.breach is None or not stands(turn, rule):
        if _is_clear(turn, rule, hold):
            end_notice(turn, key)
        return
    title = f"investigate: {rule.name}"
    if turn.incident is None or turn.incident.quiet:
        notice(turn, key, rule.severity, title, condition(rule), *_values(turn, rule))
    elif turn.rule_state(rule.name).told != hold.breach.start and key not in turn.state.notices:
        turn.mark(rule.name, told=hold.breach.start)
        tell(turn, title, condition(rule), *_values(turn, rule))


def see(turn: Turn, before: int) -> None:
    """Remember of each rule whether it can be evaluated, and if not, since when and why. `before`: the tick before."""
    rules = [rule for rule in turn.service.rules if not rule.trigger]
    away = turn.at - before - turn.service.step
    turn.mark_all({rule.name: _sight(turn, rule, (turn.holds or {})[rule.name], away) for rule in rules})


def _blindness(turn: Turn) -> None:
    """One notice per cause, while a rule cannot be evaluated that could be before (spec 3, 18)."""
    causes: dict[str, list[tuple[Rule, int]]] = {}
    for rule in turn.service.rules:
        cause, lasted = turn.rule_state(rule.name).blind, blind_for(turn, rule)
        if cause is not None and lasted >= rule.blind_after:
            causes.setdefault(cause, []).append((rule, lasted))
    for cause in ("reads fail", TRAFFIC_GONE, VALUES_GONE):
        if cause not in causes:
            end_notice(turn, f"blind:{cause}")
            continue
        longest = max(seconds for _, seconds in causes[cause])
        severity = Severity.CRITICAL if longest >= CRITICALLY_BLIND else Severity.WARNING
        named = ", ".join(rule.name for rule, _ in causes[cause])
        notice(turn, f"blind:{cause}", severity, f"blind: {cause}", f"Cannot be evaluated: {named}.", *_why(turn))


def _why(turn: Turn) -> tuple[str, ...]:
    return tuple(dict.fromkeys(turn.problems.values()))


def _sight(turn: Turn, rule: Rule, hold: Hold, away: int) -> dict[str, object]:
    """Since when the rule has been blind, and why: what to remember of it. `away`: seconds in which nobody looked."""
    cause, state = _cause(turn, rule, hold), turn.rule_state(rule.name)
    if cause is None and state.blind is not None and _counts_nothing_yet(turn, rule):
        return {}
    if cause is None and not _sees(turn, rule, hold):  # that it sees nothing is no wonder by now, and no new stretch
        return {"evaluated": turn.at, "blind": None}
    if cause is None:
        return {"evaluated": turn.at, "blind": None, "blinded": False, "blind_told": False}
    last = turn.at - turn.service.step
    since = state.evaluated if state.evaluated is not None else last
    if away >= rule.blind_after:  # the daemon was off: that is no blindness
        since = min(since + away, last)
    if hold.known is not None:
        since = max(since, hold.known + turn.service.settle(rule))
    return {"evaluated": since, "blind": cause}


def blind_for(turn: Turn, rule: Rule) -> int:
    """Seconds since the first grid time at which the rule could not be evaluated."""
    evaluated = turn.rule_state(rule.name).evaluated
    return 0 if evaluated is None else turn.at - evaluated - turn.service.step


def _cause(turn: Turn, rule: Rule, hold: Hold) -> str | None:
    """What keeps the rule from being evaluated at its newest grid time; None where nothing does, or that is no wonder."""
    service, due = turn.service, _due(turn, rule)
    if _counts_nothing_yet(turn, rule):
        return None
    if hold.newest is None or hold.newest < due:
        return "reads fail"
    if answer_at(rule, turn.history, hold.newest) is not Truth.UNKNOWN:
        return None
    if _no_stable_part(turn, rule):
        return None
    place = turn.underneath  # a maintenance page beyond gives a cohort no traffic back
    rung = service.ladder.rung_at(place) if place is not None else None
    idle = starved(service, rung) if rung is not None else None
    if idle is not None and any(service.signals[name].cohort == idle for name in rule.signals):
        return None
    standing = turn.rule_state(rule.name).blind
    if standing in (TRAFFIC_GONE, VALUES_GONE):
        return standing
    missing = [n for n in rule.signals if not getattr(turn.history.at(n, hold.newest), "known", False)]
    if any(_was_busy(turn, name, hold.newest - HOUR) for name in missing):
        return TRAFFIC_GONE
    return VALUES_GONE if any(_had_values(turn, name, hold.newest - HOUR) for name in missing) else None


def _sees(turn: Turn, rule: Rule, hold: Hold) -> bool:
    return hold.newest is not None and answer_at(rule, turn.history, hold.newest) is not Truth.UNKNOWN


def _due(turn: Turn, rule: Rule) -> int:
    """The newest grid time at which the rule's samples have settled."""
    return (turn.at - turn.service.settle(rule)) // turn.service.step * turn.service.step


def _counts_nothing_yet(turn: Turn, rule: Rule) -> bool:
    """Whether the rule has just come into force, or was handed back, or judges another deployment since."""
    return _due(turn, rule) < aligned(first_counted(turn, rule), turn.service.step)


def _no_stable_part(turn: Turn, rule: Rule) -> bool:
    """Whether the rule asks for the stable version while another one serves all traffic: that is no blindness."""
    view, signals = turn.state.view, [turn.service.signals[name] for name in rule.signals]
    if view is None or view.live is None or view.live.alone is None:
        return False
    asks = any(signal.of_version and signal.cohort == deployment.STABLE for signal in signals)
    return asks and deployment.stable_part(turn.state.registry, view.live) is None


def _was_busy(turn: Turn, signal: str, at: int) -> bool:
    sample = turn.history.at(signal, at)
    return sample is not None and sample.among is not None and sample.among >= BUSY


def _had_values(turn: Turn, signal: str, at: int) -> bool:
    """Whether a value without requests behind it (pushed, or out of a database) came regularly then, up to grid time `at`."""
    if turn.service.signals[signal].shape is not Shape.SCALAR:
        return False
    times = range(at - REGULAR * turn.service.step, at + 1, turn.service.step)
    return all(getattr(turn.history.at(signal, time), "known", False) for time in times)


def across_deployments(turn: Turn) -> None:
    """A condition true across several deployments in a row for its `for` is no single deployment's doing (spec 7)."""
    view = turn.state.view
    if view is None or view.live is None:
        return
    for rule in turn.service.rules:
        if not turn.service.rolls_back(rule) or rule.trigger or rule.hold == 0:
            continue
        state = turn.rule_state(rule.name)
        begun = _first_true(turn, rule, state.since)
        starts = [at for at in _starts(turn, rule) if begun is not None and begun < at <= turn.at]
        if begun is None or len(starts) < 2 or turn.at - begun < rule.hold or state.told == begun:
            continue
        turn.mark(rule.name, told=begun)
        turn.open(Severity.CRITICAL)
        turn.join((rule.name,))
        describe(turn, [rule], {})
        text = f"It has been true across {len(starts) + 1} deployments since {duration(turn.at - begun)}."
        tell(turn, f"{rule.name}: no single deployment is to blame", text, loud=True, severity=Severity.CRITICAL)


def _starts(turn: Turn, rule: Rule) -> list[int]:
    """The deployments that gave the rule something else to judge."""
    view = turn.state.view
    if view is None:
        return []
    if all(turn.service.signals[name].of_version for name in rule.signals):
        return deployment.beginnings(turn.state.registry, view)
    return [each.created for each in view.deployments]


def _first_true(turn: Turn, rule: Rule, since: int) -> int | None:
    """Since when the condition has been true without a break, samples that straddle a deployment left out."""
    window, step, starts = turn.service.window(rule), turn.service.step, _starts(turn, rule)
    newest = (turn.at - turn.service.settle(rule)) // step * step
    begun = None
    for at in range(newest, max(since, turn.at - turn.service.lookback) - 1, -step):
        if any(at - window < start < at for start in starts):
            continue
        if answer_at(rule, turn.history, at) is not Truth.TRUE:
            return begun
        begun = at
    return begun


def learn(turn: Turn) -> None:
    """Take windows that are half an hour old into the baselines, outside incidents and long breaches (spec 4)."""
    baselines, learned_to = dict(turn.state.baselines), dict(turn.state.learned_to)
    for signal in turn.service.signals.values():
        if signal.shape is not Shape.RATE:
            continue
        newest = (turn.at - signal.settle - EPISODE) // signal.window * signal.window
        at = learned_to.get(signal.name, newest - turn.service.lookback // signal.window * signal.window)
        while (at := at + signal.window) <= newest:
            sample = turn.history.at(signal.name, at)
            if sample is not None and sample.known and _usual(turn, signal.name, at):
                baselines[signal.name] = baselines.get(signal.name, Baseline()).learned(sample)
        learned_to[signal.name] = newest
    turn.change(baselines=baselines, learned_to=learned_to)


def _usual(turn: Turn, signal: str, at: int) -> bool:
    if turn.incident is not None and at > turn.incident.opened_at - EPISODE:
        return False
    if at <= turn.state.calm_since:
        return False
    states = [turn.rule_state(rule.name) for rule in turn.service.rules if signal in rule.signals]
    runs = [run for state in states for run in (*state.past, *((state.run,) if state.run is not None else ()))]
    return not any(run.start <= at <= run.end and _is_trouble(run, turn.service.step) for run in runs)


def _is_trouble(run: Run, step: int) -> bool:
    """A breach that has lasted; one that ended by itself is how the service usually is, and would be missed there."""
    return run.breached is not None and run.end + step - run.start >= EPISODE


def stability(turn: Turn) -> None:
    """A breach or blindness of a rollback rule makes the live version earn its standing anew."""
    for rule in turn.service.rules:
        if turn.service.rolls_back(rule) and not rule.trigger:
            hold = (turn.holds or {}).get(rule.name)
            blind = turn.rule_state(rule.name).blind is not None
            if blind or (hold is not None and hold.breach is not None):
                turn.change(clean_since=turn.at)


def settle_incident(turn: Turn) -> None:
    """Close the incident when its time has come: only paged and all clear, or a later version known-stable."""
    incident = turn.incident
    if incident is None:
        return
    fixed = _fixed_by(turn)
    if fixed is not None and incident.acted:
        close(turn, f"{fixed} has become known-stable", title="resolved")
        return
    if incident.acted and not incident.shadow:
        return
    rules = [turn.service.rule(n) for n in incident.rules if turn.service.has_rule(n)]
    clear = all(_known_false(turn, rule) for rule in rules if not rule.trigger)
    if not clear or turn.state.request is not None:
        turn.update(clear_since=None)
    elif incident.clear_since is None:
        turn.update(clear_since=turn.at)
    elif turn.at - incident.clear_since >= QUIET_CLOSE and incident.phase is not Phase.ACTING:
        close(turn, f"clear for {duration(QUIET_CLOSE)}", title="resolved")


def _known_false(turn: Turn, rule: Rule) -> bool:
    """Whether the rule's condition is known to be false; of one that has gone blind only the past is."""
    hold = (turn.holds or {}).get(rule.name, Hold())
    blind = turn.rule_state(rule.name).blind is not None and blind_for(turn, rule) >= rule.blind_after
    return hold.truth is Truth.FALSE and not blind


def _fixed_by(turn: Turn) -> str | None:
    """The label of a version uploaded after the one rolled back from that has become known-stable since."""
    incident, registry = turn.open_incident, turn.state.registry
    away = incident.step.away_from if incident.step is not None else None
    if away is None:
        return None
    bad = registry.names.get(away)
    for id, version in registry.names.items():
        since = registry.of(id).stable_since
        later = bad is not None and version.created > bad.created
        if later and since is not None and since > incident.opened_at and registry.of(id).doubt is None:
            return version.label
    return None
