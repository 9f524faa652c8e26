"""Who watches a run: the witness judges each step and each tick as it happens, by the samples taken in so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from notaus.core import event as events
from notaus.core.effect import Send, WriteKv
from notaus.core.event import Polled
from notaus.core.hold import Hold
from notaus.core.incident import Override, Phase, Step
from notaus.core.ladder import Rung
from notaus.core.rule import INVESTIGATE, Rule
from notaus.core.service import OverridePolicy, Service
from notaus.core.state import State
from notaus.daemon.poller import RESTING_SECONDS, SLOW_SETTLE
from notaus.journal import decode
from notaus.sandbox import Page, Write
from tests.simulation import oracle
from tests.simulation.faults import Plan
from tests.simulation.record import Moment, Pull, clock
from tests.simulation.world import SECRETS, World, play

RECOVERY = 90
"""Seconds that notaus may take to be itself again after a fault: its longest pause between two tries, and a tick."""


@dataclass(slots=True)
class Run:
    """A world that was played, with what a witness wrote down on the way."""

    world: World
    witness: Witness

    @property
    def pages(self) -> list[Page]:
        """What came, or tried to come, to people."""
        return [page for page in self.world.box.pages if page.channel != "github"]

    def writes(self, kind: str, by: str | None = None) -> list[Write]:
        return [w for w in self.world.box.writes if w.kind == kind and by in (None, w.by)]

    def troubled(self, targets: tuple[str, ...]) -> list[tuple[float, float]]:
        """When any of these was out of order, recovery included."""
        faults = [(f.at, f.until + RECOVERY) for f in self.world.faults if f.target in (*targets, "all")]
        return [*faults, *((a, b + RECOVERY) for a, b in self.world.down)]

    def deadline(self, start: float, seconds: float, targets: tuple[str, ...]) -> float:
        """`seconds` after `start`, counting only time in which none of `targets` was out of order."""
        at, left = start, seconds
        for begin, until in sorted(self.troubled(targets)):
            if until <= at:
                continue
            if begin >= at + left:
                break
            left -= max(0.0, begin - at)
            at = max(at, until)
        return at + left


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that, by the second opinion, stands breached since `breached` in a run that began at `start`."""

    rule: Rule
    start: int
    first_seen: int
    last_seen: int
    evident: int | None
    """When it was first seen with evidence that suffices."""


@dataclass(slots=True)
class Witness:
    """Watches a run as it goes: judges each automatic step, and each tick, by the samples taken in so far."""

    world: World
    unreasoned: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    breaches: dict[tuple[str, str, int], Breach] = field(default_factory=dict)
    worse: list[str] = field(default_factory=list)
    unfollowed: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    blind_again: list[str] = field(default_factory=list)
    blind_pulls: list[Pull] = field(default_factory=list)
    """The steps that blindness caused."""
    blind_since: dict[str, int] = field(default_factory=dict)
    """By service, the tick of the last of them."""
    torn: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    actions: int = 0
    judged: int = 0
    overrides: int = 0

    def moment(self, moment: Moment) -> None:
        self._anew(moment)
        if isinstance(moment.event, Polled):
            self._verdict(moment)
            self._next_rung(moment, moment.event)
            self._read(moment, moment.event)
            self._stand(moment)

    def pull(self, pull: Pull) -> None:
        if not pull.automatic or pull.again:
            return
        self.actions += 1
        why = self._objection(pull)
        if why is not None:
            self.unreasoned.append(
                f"at {clock(pull.moment.at)} {pull.moment.service.name}: {pull.effect.action}: {why}"
            )
        self._toward_the_worse(pull)

    def _anew(self, moment: Moment) -> None:
        """Rules that forgot what they had seen, and had no reason to."""
        event, before, after = moment.event, moment.before, moment.after
        overridden = in_override(before) is not None or in_override(after) is not None
        for name in before.rules.keys() & after.rules.keys():
            was, now = before.rules[name], after.rules[name]
            allowed = overridden or (isinstance(event, events.Reconfigured) and name in event.changed)
            if (isinstance(event, events.Started) and now != was) or (now.since != was.since and not allowed):
                self.anew.append(f"at {clock(moment.at)}: {moment.service.name}: {name}, by a {type(event).__name__}")

    def _toward_the_worse(self, pull: Pull) -> None:
        """For none of the rules behind it the cohort that gets the traffic failed more often, beyond doubt, during its hold."""
        service, step = pull.moment.service, pull.moment.after.incident and pull.moment.after.incident.step
        if not isinstance(pull.effect.action, WriteKv) or step is None or not isinstance(pull.moment.event, Polled):
            return
        ledger, tick = self.world.record.ledgers[service.name], pull.moment.event.tick
        found = []
        for rule in (service.rule(name) for name in step.rules if service.has_rule(name)):
            if rule.on_blind == step.rung or not rule.when:
                return
            opinion = oracle.breached(service, pull.moment.after, rule, ledger, tick)
            found.append(opinion.breached and oracle.clearly_worse(service, ledger, opinion, "proxy", "native"))
        if found and all(found):
            self.worse.append(f"at {clock(pull.moment.at)}: {pull.effect.action}, though proxy fails more than native")

    def _read(self, moment: Moment, event: Polled) -> None:
        """What has settled and can be read was taken in at this tick."""
        service, world, step = moment.service, self.world, moment.service.step
        ledger = world.record.ledgers[service.name]
        span = (moment.at - RECOVERY - step, moment.at)
        blind = any(
            f.at < span[1] and f.until > span[0] for f in world.faults if f.target in ("analytics", "all", "journal")
        ) or any(until > span[0] for _, until in world.down)
        if blind or any(t.kind == "lag" and t.at < span[1] and t.until > span[0] for t in world.plan.troubles):
            return
        for name in {name for rule in service.rules for name in rule.signals}:
            settle = service.signals[name].settle
            pace = RESTING_SECONDS if settle > SLOW_SETTLE else 0  # slow sources are read every 30 s while all is quiet
            newest = (event.tick - settle - pace) // step * step
            if ledger.at(name, newest) is None:
                self.unread.append(f"at {clock(moment.at)}: {name} of {clock(newest)} was not taken in")

    def _objection(self, pull: Pull) -> str | None:
        """Why an automatic step had no reason; None where it had one."""
        moment = pull.moment
        service, event, before = moment.service, moment.event, moment.before
        step = moment.after.incident.step if moment.after.incident is not None else None
        if step is None:
            return "there is no step"
        old = before.incident.step if before.incident is not None else None
        if not isinstance(event, Polled):
            failed = isinstance(event, events.LeverEnded) and old is not None and _in_its_place(moment, old, step)
            return None if failed else f"decided by a {type(event).__name__}"
        ledger = self.world.record.ledgers[service.name]
        rules = [service.rule(name) for name in step.rules if service.has_rule(name)]
        validating = before.incident is not None and before.incident.phase is Phase.VALIDATING
        same = old is not None and validating and set(step.rules) == set(old.rules)
        if same and old is not None and oracle.did_not_help(service, old, ledger, event.tick):
            return None
        if old is not None and (_in_its_place(moment, old, step) or _enforced(moment, old, step)):
            clear = [not r.trigger and oracle.holds_now(service, r, ledger, event.tick) is False for r in rules]
            return "no rule behind it stands any more" if all(clear) else None
        found = []
        for rule in rules:
            if rule.on_blind == step.rung and self._blind(rule, service, moment):
                self._blinded(pull, rule, event.tick)
                return None
            if not rule.when:
                continue
            opinion = oracle.breached(service, moment.after, rule, ledger, event.tick)
            since = oracle.counted_from(service, moment.after, rule)
            if opinion.breached and oracle.evident(service, before, rule, ledger, opinion, since):
                return None
            found.append(f"{rule.name}: {opinion.reason or 'no evidence'}")
        return "; ".join(found) or "no rule"

    def _blinded(self, pull: Pull, rule: Rule, tick: int) -> None:
        """One stretch of blindness steps once, whatever people did in between."""
        service, ledger = pull.moment.service, self.world.record.ledgers[pull.moment.service.name]
        self.blind_pulls.append(pull)
        last, self.blind_since[service.name] = self.blind_since.get(service.name), tick
        if last is None:
            return
        moments = self.world.record.moments[service.name]
        settle, step = service.settle(rule), service.step
        times = range(last - settle + step, tick - settle + 1, step)
        reloaded = any(isinstance(m.event, events.Reconfigured) and last < m.event.now <= tick for m in moments)
        if not reloaded and all(oracle.holds_at(rule, ledger, at // step * step) is None for at in times):
            self.blind_again.append(f"at {clock(pull.moment.at)} {service.name}: blind since a step at {clock(last)}")

    def _blind(self, rule: Rule, service: Service, moment: Moment) -> bool:
        """Nothing was known of the rule for its `blind_after`."""
        ledger, tick = self.world.record.ledgers[service.name], int(moment.event.tick)  # type: ignore[union-attr]
        settle = max(service.signals[name].settle for name in rule.signals)
        times = range(tick - settle - rule.blind_after + 2 * service.step, tick - settle + 1)
        return all(oracle.holds_at(rule, ledger, at) is None for at in times if at % service.step == 0)

    def _verdict(self, moment: Moment) -> None:
        """A step is called resolved only on data that says so."""
        old, new = moment.before.incident, moment.after.incident
        if old is None or new is None or old.step is None or old.phase is not Phase.VALIDATING:
            return
        if new.phase is Phase.MITIGATED and old.id == new.id:
            self.judged += 1
            ledger = self.world.record.ledgers[moment.service.name]
            if not oracle.helped(moment.service, old.step, ledger, moment.event.tick):  # type: ignore[union-attr]
                self.doubtful.append(f"at {clock(moment.at)} {old.id}: {old.step.rules} called resolved")

    def _next_rung(self, moment: Moment, event: Polled) -> None:
        """A step that did not help is followed by the next one, by a question, or by a reason to wait."""
        service, old, new, after = moment.service, moment.before.incident, moment.after.incident, moment.after
        if old is None or old.step is None or old.phase is not Phase.VALIDATING or event.tick <= moment.before.tick:
            return
        if new is None or new.id != old.id or new.step is None or new.step.number != old.step.number:
            return
        said = f"at {clock(moment.at)}: {service.name}: {old.step.label} did not help"
        ledger = self.world.record.ledgers[service.name]
        if new.phase is Phase.VALIDATING and not new.step.waiting:
            if oracle.plainly_did_not_help(service, after, old.step, ledger, event.tick):
                self.unfollowed.append(f"{said}, and no verdict says so")
            return
        place = oracle.place_in_force(service, after)
        further = service.ladder.next_safer(place, service.ladder.escalate_to) if place is not None else None
        if further is None or new.shadow or not any(service.has_rule(name) for name in old.step.rules):
            return
        titles = [effect.message.title for effect in moment.stepped.effects if isinstance(effect, Send)]
        if new.phase is Phase.UNRESOLVED and not any("cannot tell" in title for title in titles):
            asked = after.request is not None and service.ladder.place_of(after.request.rung)
            if not asked or asked < service.ladder.place_of(further.name):
                self.unfollowed.append(f"{said}, and {further.name} was neither taken nor asked for")
        if new.phase is Phase.VALIDATING and not self._must_wait(moment, event.tick, further):
            self.unfollowed.append(f"{said}, and {further.name} waits for nothing")

    def _must_wait(self, moment: Moment, tick: int, further: Rung) -> bool:
        """Whether a hold of every step is in force, the hour's steps are spent, or what is in force is not known."""
        service, after = moment.service, moment.after
        pulls = [p for p in self.world.record.pulls if p.automatic and not p.again]
        ticks = [p.moment.event.tick for p in pulls if p.moment.service.name == service.name]  # type: ignore[union-attr]
        spent = sum(t > tick - service.max_actions_per for t in ticks) >= service.max_actions
        held = after.lock is not None and (after.lock.all or further.lever is not None)
        return spent or held or after.world_failing is not None

    def _stand(self, moment: Moment) -> None:
        """Which rules stand breached at this tick."""
        assert isinstance(moment.event, Polled)
        holds: Mapping[str, Hold] = moment.stepped.holds or {}
        name, tick = moment.service.name, moment.event.tick
        ledger = self.world.record.ledgers[name]
        for rule in moment.service.rules:
            if not rule.when or rule.then == INVESTIGATE:
                continue
            settle = max(moment.service.signals[s].settle for s in rule.signals)
            newest = (tick - settle) // moment.service.step * moment.service.step
            if oracle.holds_at(rule, ledger, newest) is not True:
                hold = holds.get(rule.name, Hold())
                # One that ends at an older sample acts no more.
                fresh = hold.newest is not None and tick - hold.newest <= settle + oracle.FRESH
                if hold.breach is not None and fresh and ledger.at(rule.signals[0], newest) is not None:
                    self.doubtful.append(f"at {clock(moment.at)} {name}: {rule.name} counts as breached, is not true")
                continue
            opinion = oracle.breached(moment.service, moment.after, rule, ledger, tick)
            if opinion.breached:
                key = (name, rule.name, opinion.start)
                old = self.breaches.get(key)
                first = old.first_seen if old is not None else tick
                evident = old.evident if old is not None else None
                since = oracle.counted_from(moment.service, moment.after, rule)
                if evident is None and oracle.evident(moment.service, moment.before, rule, ledger, opinion, since):
                    evident = tick
                self.breaches[key] = Breach(rule, opinion.start, first, tick, evident)

    def written(self, text: str) -> None:
        self.leaked += [f"the journal holds {secret[:8]}…" for secret in SECRETS if secret in text]

    def journal_says(self, world: World) -> None:
        """After a crash: what the journal holds is what was last decided."""
        for name, state in world.record.states.items():
            body = world.journal.state(name)
            if decode(State, body) != state:
                self.torn.append(f"at {clock(world.true_time())}: the state of {name} in the journal is another one")


def _in_its_place(moment: Moment, old: Step, step: Step) -> bool:
    """Whether a step with a lever of its own comes in place of one that has not got through (spec 5)."""
    own = moment.service.ladder.rung(step.rung).lever is not None
    acting = moment.before.incident is not None and moment.before.incident.phase is Phase.ACTING
    return own and acting and set(old.rules) <= set(step.rules)


def _enforced(moment: Moment, old: Step, step: Step) -> bool:
    """Whether a step is taken again because somebody wrote a less safe value over it (spec 7, `override: enforce`)."""
    enforces = moment.service.override is OverridePolicy.ENFORCE
    return enforces and step.rung == old.rung and moment.before.fields != moment.after.fields


def in_override(state: State) -> Override | None:
    return state.incident.override if state.incident is not None else None


def watched(plan: Plan) -> Run:
    """Play a plan with a witness."""
    witnesses: list[Witness] = []

    def prepare(world: World) -> None:
        witness = Witness(world)
        witnesses.append(witness)
        world.on_moment.append(witness.moment)
        world.on_pull.append(witness.pull)
        world.on_crash.append(witness.journal_says)
        world.on_written.append(witness.written)

    return Run(play(plan, prepare), witnesses[0])
