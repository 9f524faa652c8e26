"""The promises: what must never happen (spec 17), and what must, checked on every run. Each says which in its docstring."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from notaus.core import event as events
from notaus.core.effect import Deploy, Invoke, PullLever, WriteKv
from notaus.core.event import Polled
from notaus.core.incident import Phase, Step
from notaus.core.service import OverridePolicy, Service
from notaus.core.state import State
from notaus.core.world import Deployment, DeploymentsView, KvView
from notaus.journal import decode
from notaus.levers.workflow import APPEARS_SECONDS
from notaus.sandbox import Write
from tests.simulation import oracle
from tests.simulation.faults import EPOCH, Plan
from tests.simulation.page import LEVER, ended, up
from tests.simulation.record import Moment, Pull, clock
from tests.simulation.witness import RECOVERY, Breach, Run, in_override
from tests.simulation.world import OTHERS, SECRETS

LEVER_SECONDS = 20
"""A lever's looks and leaps take less than this where nothing is wrong with what it stands on."""
RUN_SECONDS = LEVER_SECONDS + LEVER.within + APPEARS_SECONDS
"""So does a workflow's, with its run."""
STALE = 60
HOUR = 3600
OWN = ("canary_percent", "emergency_proxy", "last_updated")

Promise = Callable[[Run], Iterator[str]]


def no_action_without_a_reason(run: Run) -> Iterator[str]:
    """Spec 17.1: no action without a rule that held, on settled data, with evidence, or a person, a trigger, `on_blind`."""
    yield from run.witness.unreasoned
    yield from run.witness.blind_again
    yield from (f"unsettled data was read: {text}" for text in run.world.reader.unsettled)


def no_action_on_health(run: Run) -> Iterator[str]:
    """Spec 4: where nothing was ever wrong nothing is done but by `on_blind`, whatever befalls notaus itself."""
    if not run.world.plan.healthy or disturbed(run.world.plan):
        return
    for pull in run.world.record.pulls:
        if pull.automatic and pull not in run.witness.blind_pulls:
            yield f"at {clock(pull.moment.at)}: {pull.effect.action}"


def disturbed(plan: Plan) -> bool:
    """Whether counts are changed after the fact, or bounds while it runs: what was well may not look so."""
    return any(d.kind == "revise" or (d.kind == "reload" and d.what["what"] == "bound") for d in plan.deeds)


def missing_data_says_nothing(run: Run) -> Iterator[str]:
    """Spec 17.3: missing data is neither healthy nor a breach: every verdict and every hold stands on known samples."""
    yield from run.witness.doubtful


def only_samples_that_were_read(run: Run) -> Iterator[str]:
    """Spec 2: what is judged was read: no sample is made up, none altered on its way."""
    for name, ledger in run.world.record.ledgers.items():
        for signal, samples in ledger.samples.items():
            for at, sample in samples.items():
                if sample not in run.world.reader.given.get((signal, at), ()):
                    yield f"{name}: {signal} at {clock(at)} was never read as {sample}"


def never_less_safe_by_itself(run: Run) -> Iterator[str]:
    """Spec 17.2: automation only ever moves up the ladder."""
    ladder = run.world.services["pix-immo"].ladder
    for write, before in _kv_writes(run):
        if write.by != "api" or not isinstance(before, dict):
            continue
        was, now = ladder.place(before), ladder.place(write.what["value"])
        pull = _pull_behind(run, WriteKv, write.at)
        weaker = was is not None and now is not None and now < was
        if weaker and (pull is None or pull.automatic) and not _raced(run, write):
            yield f"at {clock(write.at)}: {before} became {write.what['value']}"
    for pull in run.world.record.pulls:
        if pull.automatic and isinstance(pull.effect.action, Invoke) and pull.effect.action.undo:
            yield f"at {clock(pull.moment.at)}: {pull.effect.action}"


def never_toward_the_worse(run: Run) -> Iterator[str]:
    """Spec 17.10: no step toward a cohort known to be worse (versions known to be worse: `rollback_targets`)."""
    yield from run.witness.worse


def the_next_rung_follows(run: Run) -> Iterator[str]:
    """Spec 5: after a step that did not help comes the next rung up to `escalate_to`, a question about it, or why not."""
    yield from run.witness.unfollowed


def what_settled_is_read(run: Run) -> Iterator[str]:
    """Spec 2: what has settled is taken in at the next tick (a slow source within 30 s), unless it cannot be read."""
    yield from run.witness.unread


def orders_alone_are_no_automation(run: Run) -> Iterator[str]:
    """Spec 17.1: what is done in a person's name was ordered, approved or started by one."""
    orders = (events.SetRung, events.RollBack, events.RestoreOrder, events.Trigger, events.Answer)
    for pull in run.world.record.pulls:
        moment = pull.moment
        before = moment.before.incident
        ramp = isinstance(moment.event, Polled) and before is not None and before.phase is Phase.RAMPING
        if not pull.automatic and not pull.again and not isinstance(moment.event, orders) and not ramp:
            yield f"at {clock(moment.at)}: {pull.effect.action}, by a {type(moment.event).__name__}"


def no_page_delays_an_action(run: Run) -> Iterator[str]:
    """Spec 17.7: a lever comes to its end in seconds, however the pagers do."""
    for pull in run.world.record.pulls:
        name, effect = pull.moment.service.name, pull.effect.id
        kind = {WriteKv: "kv", Deploy: "deployment", Invoke: "workflow"}[type(pull.effect.action)]
        patience = RUN_SECONDS if kind == "workflow" else LEVER_SECONDS
        due = run.deadline(pull.moment.at, patience, ("journal", "api", *_lever_targets(kind)))
        ended = (
            m.at for m in run.world.record.moments[name] if m.at >= pull.moment.at and effect not in m.after.outbox
        )
        at = next(ended, None)
        if at is None or at > due:
            when = f"at {clock(at)}" if at is not None else "never"
            yield f"{pull.effect.action} of {clock(pull.moment.at)} came to its end {when}"


def the_loop_turns(run: Run) -> Iterator[str]:
    """Spec 17.8: every tick is taken, unless something stands in the way of polling itself."""
    everything = ("analytics", "journal", "api", "kv.get", "deployments.get", "versions.get")
    step = run.world.plan.step
    for name, moments in run.world.record.moments.items():
        times = [m.at for m in moments if isinstance(m.event, Polled)]
        for last, next_ in itertools.pairwise(times):
            if next_ > run.deadline(last, 2 * step, everything):
                yield f"{name}: no tick between {clock(last)} and {clock(next_)}"


def _kv_writes(run: Run) -> Iterator[tuple[Write, Any]]:
    """Each write of the key with the value it replaced."""
    before: Any = {"canary_percent": 10, "canary_tag": "B2a", "emergency_proxy": False, **OTHERS}
    for write in run.writes("kv"):
        yield write, before
        before = write.what["value"]


def _pull_behind(run: Run, kind: type, at: float) -> Pull | None:
    pulls = [p for p in run.world.record.pulls if isinstance(p.effect.action, kind) and p.moment.at <= at]
    return pulls[-1] if pulls else None


def _raced(run: Run, write: Write) -> bool:
    """Whether somebody wrote after the daemon's last look before its write: nobody could have known."""
    looks = [
        r.at
        for r in run.world.box.journal.requests
        if r.method == "GET" and r.path.endswith("/values/config") and r.status == 200 and r.at <= write.at
    ]
    human = [w.at for w in run.writes("kv", "human") if w.at <= write.at]
    return bool(human) and (not looks or human[-1] >= max(looks))


def no_step_twice(run: Run) -> Iterator[str]:
    """Spec 17.4: the same step is never done twice."""
    last: Write | None = None
    for write in run.writes("kv"):
        if last is not None and write.by == last.by == "api" and _fields(write) == _fields(last):
            yield f"at {clock(write.at)}: {_fields(write)} was written at {clock(last.at)} already"
        last = write
    last = None
    for write in run.writes("deployment"):
        if last is not None and write.by == last.by == "api" and write.what["versions"] == last.what["versions"]:
            yield f"at {clock(write.at)}: {write.what['tag']} was deployed at {clock(last.at)} already"
        last = write
    yield from _runs_twice(run)


def _runs_twice(run: Run) -> Iterator[str]:
    """One run for each step, and none by itself of what an earlier one may have done and nobody took back."""
    seen: dict[str, float] = {}
    for each in run.world.box.actions.runs:
        key, mode = str(each.inputs["key"]), str(each.inputs["mode"])
        if key in seen:
            yield f"at {clock(each.at)}: {key} was dispatched at {clock(seen[key])} already"
        seen[key] = each.at
        pull = next(p for p in run.world.record.pulls if getattr(p.effect.action, "key", None) == key)
        if mode == "on" and pull.automatic and _page_may_stand(run, each.at):
            yield f"at {clock(each.at)}: the page is put up by {key}, and may stand already"


def _page_may_stand(run: Run, at: float) -> bool:
    """Whether the last run before `at` that had any effect, or may yet have one, put the page up."""
    earlier = [r for r in run.world.box.actions.runs if r.at < at and (r.conclusion == "success" or ended(r) > at)]
    return bool(earlier) and earlier[-1].inputs["mode"] == "on"


def _fields(write: Write) -> Any:
    value = write.what["value"]
    return {n: value.get(n) for n in OWN[:2]} if isinstance(value, dict) else value


def no_message_lost(run: Run) -> Iterator[str]:
    """Spec 17.4: every message that was decided on arrives, in the order of its thread."""
    arrived: dict[tuple[str, str], list[int]] = {}
    for page in run.pages:
        if page.accepted:
            key = (page.channel.rpartition("/")[2].rpartition(":")[2], page.payload["thread"])
            arrived.setdefault(key, []).append(page.payload["sequence"])
    for at, send in run.world.record.sends.values():
        message = send.message
        if message.sequence not in arrived.get((send.contact.name, message.thread), ()):
            yield f"{message.title!r} of {clock(at)} ({message.thread} #{message.sequence}) to {send.contact}"
    if run.world.plan.replicas > 1:
        return  # the old owner's request may still be under way when the new one begins
    for (contact, thread), numbers in arrived.items():
        firsts = list(dict.fromkeys(numbers))
        if firsts != sorted(firsts):
            yield f"{thread} came to {contact} in the order {numbers}"


def no_action_untold(run: Run) -> Iterator[str]:
    """Spec 17.7: somebody hears of every action soon, however the pagers do."""
    done = [(w.at, w.kind) for w in (*run.writes("kv", "api"), *run.writes("deployment", "api"))]
    for at, kind in (*done, *((each.at, "workflow") for each in run.world.box.actions.runs)):
        service = "bookstrack" if kind == "deployment" else "pix-immo"
        due = run.deadline(at, 45, ("page", "journal", "api", *_lever_targets(kind)))
        before = HOUR if kind == "workflow" else 15  # of one that is tried on, once an hour that it is
        told = [
            p.at for p in run.pages
            if p.accepted and p.payload["service"] == service and at - before <= p.at <= due
            and (p.at >= at - 15 or "not confirmed yet" in p.payload["title"])
        ]  # fmt: skip
        if not told:
            yield f"{kind} of {clock(at)}: nobody heard by {clock(due)}"


def _lever_targets(kind: str) -> tuple[str, ...]:
    return {
        "kv": ("kv.put", "kv.get"),
        "deployment": ("deployments.post", "deployments.get", "versions.get"),
        "workflow": ("workflow", "workflow.get"),
    }[kind]


def no_fight_with_a_human(run: Run) -> Iterator[str]:
    """Spec 17.5: a person's decision in an incident is seen as one; it stands for its time, and nothing automatic follows.

    The time is the daemon's, from the poll or order that showed it, by the service's `override_for`.
    """
    for name, moments in run.world.record.moments.items():
        until = 0
        for moment in moments:
            at, override = _daemon_time(moment), in_override(moment.after)
            if _must_be_override(moment):
                enforces = moment.service.override is OverridePolicy.ENFORCE
                enforced = enforces and _pulled(moment)
                if enforces and not enforced and at >= until and _must_enforce(run, moment):
                    yield f"at {clock(moment.at)}: {name}: a person's value was left, though the service enforces"
                if override is None and not enforced:
                    yield f"at {clock(moment.at)}: {name}: a person's decision was not taken for an override"
                else:
                    run.witness.overrides += override is not None
            if override is not None and override != in_override(moment.before):
                until = at + moment.service.override_for
            elif _handed_back(moment):
                until = 0
            if at >= until:
                continue
            if override is None:
                yield f"at {clock(moment.at)}: {name}: an override ended {until - at} s too early, and nobody handed back"
                until = 0
            for pull in run.world.record.pulls:
                if pull.moment is moment and pull.automatic:
                    yield f"at {clock(moment.at)}: {name}: {pull.effect.action} during an override"


def _must_enforce(run: Run, moment: Moment) -> bool:
    """Whether nothing stands in the way of writing our step again: a rule behind it may stand, and no limit is reached."""
    event, service, incident = moment.event, moment.service, moment.before.incident
    step = incident.step if incident is not None else None
    if step is None or not isinstance(event, Polled) or not isinstance(event.world, KvView):
        return False
    ledger, place = run.world.record.ledgers[service.name], oracle.place_in_force(service, moment.after)
    rules = [service.rule(name) for name in step.rules if service.has_rule(name)]
    stands = any(rule.trigger or oracle.holds_now(service, rule, ledger, event.tick) is not False for rule in rules)
    ticks = [t for t in moment.before.actions if t > event.tick - service.max_actions_per]
    less = place is not None and place < service.ladder.place_of(step.rung) and not moment.before.beyond
    held = moment.before.lock is not None
    return stands and less and not held and len(ticks) < service.max_actions and _of_the_ladder(service, step)


def _pulled(moment: Moment) -> bool:
    return any(isinstance(effect, PullLever) for effect in moment.stepped.effects)


def _daemon_time(moment: Moment) -> int:
    """What the daemon took the time for: the grid time of a tick, else when the event came in."""
    return moment.event.tick if isinstance(moment.event, Polled) else moment.event.now


def _must_be_override(moment: Moment) -> bool:
    """A poll shows a less safe value, or an old version, that somebody put there in an incident that has acted."""
    event, before = moment.event, moment.before
    incident = before.incident
    if not isinstance(event, Polled) or incident is None or not incident.acted or incident.shadow or incident.quiet:
        return False
    ladder, step = moment.service.ladder, incident.step
    if incident.phase is Phase.ACTING and step is not None and _of_the_ladder(moment.service, step):
        return False  # the lever looks before it leaps
    if isinstance(event.world, KvView):
        if before.fields is None or event.world.value is None:
            return False
        fields = {n: event.world.value.get(n) for n in ladder.ranked_fields}
        if before.write is not None and event.now - before.write.at < STALE and fields == before.write.replaced:
            return False
        was, now = ladder.place(before.fields), ladder.place(fields)
        return was is not None and now is not None and now < was
    if isinstance(event.world, DeploymentsView) and event.world.live is not None and before.accepted is not None:
        step, live, known = incident.step, event.world.live, {each.id for each in event.world.deployments}
        if step is not None and before.accepted not in known and live.created <= step.action:
            return False  # the list was asked for before our own deployment was made
        return live.id != before.accepted and _served_before(event.world, live)
    return False


def _of_the_ladder(service: Service, step: Step) -> bool:
    return step.undoes is None and service.ladder.rung(step.rung).lever is None


def _served_before(view: DeploymentsView, live: Deployment) -> bool:
    earlier = [d for d in view.deployments if d.created < live.created]
    return any(id == live.versions[0][0] for d in earlier for id, _ in d.versions)


def _handed_back(moment: Moment) -> bool:
    """A person's order was accepted, the incident has ended, or somebody deployed what had never served: a fix-forward."""
    event, before, after, reply = moment.event, moment.before, moment.after, moment.stepped.reply
    orders = (events.Release, events.SetRung, events.RollBack, events.RestoreOrder, events.Trigger, events.Close)
    ordered = isinstance(event, orders) or (isinstance(event, events.Answer) and event.approved)
    by_hook = isinstance(event, events.Trigger) and event.hook
    if ordered and not by_hook and (reply is None or reply.accepted):
        return True
    if after.incident is None:
        return True
    if (
        after.accepted == before.accepted
        or not isinstance(event, Polled)
        or not isinstance(event.world, DeploymentsView)
    ):
        return False
    return event.world.live is not None and not _served_before(event.world, event.world.live)


def rollback_targets(run: Run) -> Iterator[str]:
    """Spec 17.6: no rollback to a version that is flagged, unknown, the same, or younger than the trouble."""
    worker = run.world.box.workers["api-worker"]
    doubted: set[str] = set()
    lever = run.world.services["bookstrack"].ladder.lever
    stable_after = getattr(lever, "stable_after", 3600)
    deployments = worker.deployments
    for index, deployment in enumerate(deployments):
        if deployment.by != "api":
            continue
        target, before = deployment.versions[0][0], deployments[index - 1]
        pull = _pull_behind(run, Deploy, deployment.created)
        if pull is not None and before.created > pull.moment.at:
            continue  # somebody deployed after the decision; the lever looked, and could not have known
        at = clock(deployment.created)
        live = [id for id, _ in before.versions]
        if live == [target]:
            yield f"at {at}: {deployment.versions} was live already"
        if target in doubted:
            yield f"at {at}: {worker.version(target).tag} had been rolled back from"
        served = [
            deployments[i + 1].created - d.created
            for i, d in enumerate(deployments[:index])
            if d.versions[0][0] == target and len(d.versions) == 1
        ]
        if max(served, default=0) < stable_after - 2 * run.world.plan.step:
            yield f"at {at}: {worker.version(target).tag} never served for {stable_after} s"
        automatic = pull is not None and pull.automatic
        if automatic and worker.version(target).created >= before.created:
            yield f"at {at}: {worker.version(target).tag} is younger than the trouble"
        doubted.update(id for id in live if len(live) == 1)


def other_fields_kept(run: Run) -> Iterator[str]:
    """Spec 17.11: no field is destroyed that notaus does not own."""
    for write, before in _kv_writes(run):
        if write.by != "api" or not isinstance(before, dict) or _raced(run, write):
            continue
        after = write.what["value"]
        if any(run.world.in_force(t, write.at - 1) for t in ("kv.get", "api", "all")):
            continue  # written blind, with the fields last seen
        lost = {k: v for k, v in before.items() if k not in OWN and after.get(k) != v}
        if lost:
            yield f"at {clock(write.at)}: {lost} became { ({k: after.get(k) for k in lost}) }"
        if str(after.get("last_updated", "")) < str(before.get("last_updated", "")):
            yield f"at {clock(write.at)}: last_updated went back"


def no_secret_told(run: Run) -> Iterator[str]:
    """Spec 17.9: no secret in the journal, a page, or the log."""
    yield from run.witness.leaked
    for page in run.world.box.pages:
        text = json.dumps(page.payload)
        yield from (f"a page of {clock(page.at)} holds {s[:8]}…" for s in SECRETS if s in text)
    for entry in run.world.record.logged:
        yield from (f"the log holds {s[:8]}…" for s in SECRETS if s in str(entry))


def every_breach_ends(run: Run) -> Iterator[str]:
    """Issue 4.2: a real breach ends in its action, or in a page that arrived, within two ticks of its data being there.

    With evidence that suffices the action, or why there was none, is newer than the breach; without it, a notice will do.
    That the data were taken in when they were there is `what_settled_is_read`'s.
    """
    ticks = max(2 * run.world.plan.step, LEVER_SECONDS)  # a page waits for the lever's outcome
    for (name, _, start), breach in run.witness.breaches.items():
        for seen, answered in ((breach.first_seen, _answered), (breach.evident, _decided)):
            due = run.deadline(seen, ticks, ("page", "journal", "api")) if seen is not None else breach.last_seen + 1
            if breach.last_seen < due or answered(run, name, breach, due):
                continue  # it ended before, or was answered
            what = f"{name}: {breach.rule.name}, true since {clock(start)}, {'evident' if answered is _decided else 'seen'}"
            yield f"{what} from {clock(seen or 0)} to {clock(breach.last_seen)}: nothing by {clock(due)}"


def _decided(run: Run, name: str, breach: Breach, due: float) -> bool:
    """A step for it, a question, a refusal, or a page of its incident that says why nothing was done."""
    rule = breach.rule.name
    for moment in run.world.record.moments[name]:
        if not breach.start <= moment.at <= due:
            continue
        incident, request = moment.after.incident, moment.after.request
        step = incident.step if incident is not None else None
        if step is not None and rule in step.rules and step.action >= breach.start:
            return True
        if request is not None and rule in request.rules:
            return True
        if rule in moment.after.rules and moment.after.rules[rule].refused is not None:
            return True  # people were asked, and did not approve: it asks again once it has cleared (spec 8)
        if moment.after.stopped is not None or (incident is not None and rule in incident.rules and incident.shadow):
            return True
    return any(
        rule in page.payload["title"] or any(rule in line for line in page.payload["lines"])
        for page in run.pages
        if page.accepted and page.payload["service"] == name and page.payload["kind"] != "notice"
        and breach.start <= page.at <= due
    )  # fmt: skip


def _answered(run: Run, name: str, breach: Breach, due: float) -> bool:
    """A decision about it, or a message that names it, since it began or from a thread that still stands."""
    if _decided(run, name, breach, due):
        return True
    rule = breach.rule.name
    for page in run.pages:
        payload = page.payload
        if not page.accepted or payload["service"] != name or not breach.start - 4000 <= page.at <= due:
            continue
        named = (
            rule in payload["title"]
            or any(rule in line for line in payload["lines"])
            or rule in payload["facts"].get("rule", "")
        )
        if named and (page.at >= breach.start or payload["kind"] == "notice"):
            return True
    return False


def at_rest_in_the_end(run: Run) -> Iterator[str]:
    """Issue 4.2: after the faults end the outbox drains and every phase comes to rest."""
    for name, state in run.world.record.states.items():
        if state.outbox:
            yield f"{name}: the outbox still holds {sorted(state.outbox)}"
        incident = state.incident
        if incident is not None and incident.phase in (
            Phase.ACTING,
            Phase.VALIDATING,
            Phase.HELD,
            Phase.AWAITING_APPROVAL,
        ):
            yield f"{name}: {incident.id} is still {incident.phase} (step {incident.step})"
        if state.request is not None:
            yield f"{name}: the request {state.request.id} is still open"
        if state.lock is not None:
            yield f"{name}: still held until {clock(state.lock.until)}"
        if state.tick < EPOCH + run.world.plan.seconds - 2 * run.world.plan.step:
            yield f"{name}: the last tick was {clock(state.tick)}"
        yield from _knows_the_world(run, name, state)


def _knows_the_world(run: Run, name: str, state: State) -> Iterator[str]:
    box = run.world.box
    if name == "pix-immo":
        stored = json.loads(box.kv.read(box.kv_namespace, "config") or b"null")
        shown = {n: stored.get(n) for n in OWN[:2]} if isinstance(stored, dict) else None
        if state.fields != shown:
            yield f"{name}: believes {state.fields}, the key holds {shown}"
        yield from _knows_the_page(run, state)
    else:
        active = box.workers["api-worker"].active
        live = state.view.live if state.view is not None else None
        if active is not None and (live is None or live.id != active.id):
            yield f"{name}: believes {live}, live is {active.id}"


def _knows_the_page(run: Run, state: State) -> Iterator[str]:
    """What is thought of the maintenance page is so, or people were told that it may be otherwise."""
    runs = run.world.box.actions.runs
    stands, begun = up(runs, run.world.true_time()), runs[-1].at if runs else 0.0
    doubts = ("may be in force", "all the same", "may be taken back", "may have been done")
    told = any(
        page.at >= begun and "maintenance" in page.payload["title"] and any(d in page.payload["title"] for d in doubts)
        for page in run.pages
        if page.accepted and page.payload["service"] == "pix-immo"
    )
    if stands != bool(state.beyond) and not told:
        yield f"pix-immo: believes that {state.beyond or 'nothing'} stands beyond; the page is {'up' if stands else 'down'}"


def the_journal_explains_the_state(run: Run) -> Iterator[str]:
    """Spec 12: the journal alone explains every state: what a restart finds is what was last decided."""
    yield from run.witness.torn
    for name, state in run.world.record.states.items():
        if decode(State, run.world.journal.state(name)) != state:
            yield f"{name}: the state in the journal is another one"


def no_hold_begins_anew(run: Run) -> Iterator[str]:
    """Spec 3, 7: samples count anew for a rule that was changed or after an override alone; a restart forgets nothing."""
    yield from run.witness.anew


def nothing_while_held(run: Run) -> Iterator[str]:
    """Spec 7: no automatic step (and no trigger's) while a hold forbids it."""
    for pull in run.world.record.pulls:
        moment, action = pull.moment, pull.effect.action
        step = moment.after.incident.step if moment.after.incident is not None else None
        by_person = step is not None and step.by not in (None, "trigger", "hook")
        lock = _lock_before(run, moment)
        if lock is None or by_person:
            continue
        if not isinstance(action, WriteKv) or lock.all:
            yield f"at {clock(moment.at)}: {moment.service.name}: {action} (again: {pull.again}) during a hold"


def _lock_before(run: Run, of: Moment) -> events.Hold | None:
    """The hold in force at a moment, by the orders that had been accepted."""
    found: events.Hold | None = None
    for moment in run.world.record.moments[of.service.name]:
        if moment is of:
            break
        reply = moment.stepped.reply
        if isinstance(moment.event, events.Hold) and reply is not None and reply.accepted:
            found = moment.event
        elif isinstance(moment.event, events.Release):
            found = None
    return found if found is not None and of.at < found.now + found.seconds else None


def within_the_budget(run: Run) -> Iterator[str]:
    """Spec 5: no more automatic steps in a sliding hour than `max_actions`, the safest rung of a KV ladder apart."""
    times: dict[str, list[int]] = {}
    for pull in run.world.record.pulls:
        service, action = pull.moment.service, pull.effect.action
        if not pull.automatic or pull.again or not isinstance(pull.moment.event, Polled):
            continue
        tick = pull.moment.event.tick
        recent = [t for t in times.setdefault(service.name, []) if t > tick - service.max_actions_per]
        old, new = pull.moment.before.incident, pull.moment.after.incident
        went = old is not None and new is not None and old.id == new.id and old.went_safest
        safest = not isinstance(action, Deploy) and action.rung == service.ladder.safest.name and not went
        if len(recent) >= service.max_actions and not safest:
            yield f"at {clock(pull.moment.at)}: {service.name}: {action} is number {len(recent) + 1} within the hour"
        times[service.name].append(tick)


def never_silent(run: Run) -> Iterator[str]:
    """Spec 17.8: nothing ends in an unforeseen way, and data that stops is told, and shown by the metric."""
    yield from (f"not in the metric: {text}" for text in run.world.unshown)
    for entry in run.world.record.logged:
        if entry["method"] == "exception" or "unforeseen" in str(entry.get("event")):
            yield f"logged: {entry.get('event')}: {entry.get('error')}"
    for name, moments in run.world.record.moments.items():
        stopped = next((m for m in moments if m.after.stopped is not None), None)
        if stopped is not None:
            yield f"at {clock(stopped.at)}: {name} has stopped acting: {stopped.after.stopped}"
    yield from _untold_blackouts(run)
    yield from _untold_silence(run)


def _untold_blackouts(run: Run) -> Iterator[str]:
    plan = run.world.plan
    for fault in run.world.faults:
        if fault.target != "analytics" or fault.kind == "slow" or fault.until - fault.at < 300 + 4 * plan.step + 60:
            continue
        disturbed = [
            f for f in run.troubled(("journal", "page", "api")) if f[0] < fault.until and f[1] > fault.at - 900
        ]
        if disturbed or any(d.kind == "reload" and abs(d.at - fault.at) < 2000 for d in plan.deeds):
            continue
        for name in run.world.services:
            told = [
                p for p in run.pages
                if p.payload["service"] == name and "blind" in p.payload["title"] and fault.at - 3600 <= p.at <= fault.until + 60
            ]  # fmt: skip
            rests = [
                m for m in run.world.record.moments[name] if fault.at - 2000 < m.at < fault.until and _rests(m.after)
            ]
            # A deployment starts its rules afresh: none of them is blind until it could have been judged again.
            afresh = [w for w in run.writes("deployment") if fault.at - 600 < w.at < fault.until]
            if not told and not rests and not (name == "bookstrack" and afresh):
                yield f"{name}: the analytics were out from {clock(fault.at)} to {clock(fault.until)}, and nobody was told"


def _untold_silence(run: Run) -> Iterator[str]:
    """Traffic that was there an hour ago, and is gone for longer than `blind_after`."""
    plan = run.world.plan
    for gone in (t for t in plan.troubles if t.kind == "traffic" and t.size == 0):
        due = gone.until + plan.settle + RECOVERY
        spans = ((gone.at - HOUR - 120, gone.at - HOUR + 300), (gone.at - 120, due))
        odd = [
            t for t in plan.troubles for begin, end in spans
            if t is not gone and t.kind in ("traffic", "lag", "sampling") and t.at < end and t.until > begin
        ]  # fmt: skip
        deeds = [d for d in plan.deeds if d.kind in ("reload", "clock") and gone.at - 4200 < d.at < due]
        faults = [
            f for f in run.troubled(("journal", "page", "api", "analytics")) if f[0] < due and f[1] > gone.at - 900
        ]
        if odd or deeds or faults or gone.until - gone.at < 300 + 60 + 4 * plan.step + RECOVERY:
            continue
        for name in run.world.services:
            moments = [m for m in run.world.record.moments[name] if gone.at - 4200 < m.at < due]
            behind = name == "pix-immo" and any(each.at < due for each in run.world.box.actions.runs)
            if behind or not _busy(run, name, moments) or any(_rests(m.after) for m in moments):
                continue
            told = [p for p in run.pages if p.payload["service"] == name and gone.at < p.at <= due]
            if not any("traffic is gone" in p.payload["title"] for p in told):
                yield f"{name}: no traffic from {clock(gone.at)} to {clock(gone.until)}, and nobody was told"


def _busy(run: Run, name: str, moments: list[Moment]) -> bool:
    """Whether what the rules look at had many requests: native a part of them, or the deployment all of them."""
    if name == "bookstrack":
        deployed = [w for w in run.writes("deployment") if moments and moments[0].at < w.at < moments[-1].at]
        return run.world.plan.books_per_minute >= 300 and not deployed
    percents = [m.after.fields.get("canary_percent") if m.after.fields is not None else None for m in moments]
    return run.world.plan.pix_per_minute >= 1000 and all(isinstance(p, (int, float)) and p >= 3 for p in percents)


def _rests(state: State) -> bool:
    """In an override the samples count anew, so that nothing is blind at once."""
    return in_override(state) is not None


PROMISES: tuple[Promise, ...] = (
    no_action_without_a_reason,
    no_action_on_health,
    missing_data_says_nothing,
    only_samples_that_were_read,
    what_settled_is_read,
    never_less_safe_by_itself,
    never_toward_the_worse,
    the_next_rung_follows,
    orders_alone_are_no_automation,
    no_page_delays_an_action,
    the_loop_turns,
    no_step_twice,
    no_message_lost,
    no_action_untold,
    no_fight_with_a_human,
    rollback_targets,
    other_fields_kept,
    no_secret_told,
    every_breach_ends,
    at_rest_in_the_end,
    the_journal_explains_the_state,
    no_hold_begins_anew,
    nothing_while_held,
    within_the_budget,
    never_silent,
)


def broken(run: Run) -> list[str]:
    """Every promise that this run breaks, in words."""
    found = list(run.world.record.broken)
    for promise in PROMISES:
        found += [f"{promise.__name__}: {text}" for text in promise(run)]
    return found
