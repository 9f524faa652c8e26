"""A drill being held: through the orders that people give, so that all of it is journaled and verified like theirs.

It begins and ends at the rung, or the version, that it found. Whatever happens, what it moved it moves back; only
where a real breach began meanwhile is everything left as it stands, for that is no drill's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from notaus.clock import Clock
from notaus.core.effect import RunChecks
from notaus.core.ladder import KvLever, Rung
from notaus.core.service import Contact, Service
from notaus.core.verification import CheckResult
from notaus.errors import NotausError

PROPAGATION, DETECT, ROLL_BACK, TOTAL = 30.0, 300.0, 300.0, 600.0
"""Seconds, as the runbooks have them."""
PATIENCE = 180.0
"""Seconds for each move to show: well beyond every target, so that a missed one is measured too."""
DEPLOYED_WITHIN = 900.0
"""Seconds for somebody to deploy the test change."""
NOTICED_WITHIN = 1500.0
CLEAR_WITHIN = 900.0
GONE = 60.0
"""Seconds for a lease to be won again."""
LOOK_EVERY = 1.0
ASK_EVERY = 15.0
ACTING = ("-pull", "-check")
"""Effects that a move waits for, by the end of their ids."""

Status = Mapping[str, Any]


class Answer(Protocol):
    """What an order is answered with."""

    @property
    def accepted(self) -> bool: ...

    @property
    def text(self) -> str: ...


class Desk(Protocol):
    """Where the drill gives its orders, and sees what came of them."""

    async def status(self) -> Mapping[str, Any]: ...

    async def incident(self, id: str) -> Mapping[str, Any] | None: ...

    async def order(self, service: str, name: str, body: Mapping[str, Any]) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What the drill does itself."""

    check: Callable[[Service, RunChecks], Awaitable[tuple[CheckResult, ...]]]
    """Runs the checks of a step once."""
    versions: Callable[[Service], Awaitable[Mapping[str, str]]]
    """The versions that can be deployed, oldest first: label to id."""
    deploy: Callable[[Service, str], Awaitable[None]]
    """Deploys a version (an id) as the team would: the test change."""
    run: Callable[[tuple[str, ...]], Awaitable[None]]
    """Runs the command of a fault. Raises NotausError."""
    page: Callable[[Contact], Awaitable[str]] | None = None
    """Sends a test page; None: none is sent."""
    say: Callable[[str], None] = lambda text: None
    """Tells whoever watches how far it is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was done and measured."""

    what: str
    seconds: float | None
    """None: it did not come about."""
    target: float | None = None
    """Seconds; None: nothing is asked of it but to come about."""
    detail: str = ""

    @property
    def met(self) -> bool:
        return self.seconds is not None and (self.target is None or self.seconds < self.target)


@dataclass(slots=True)
class Held:
    """What came of a drill."""

    service: str
    began: float
    by: str
    ended: float = 0.0
    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What went wrong, in words."""
    unrestored: list[str] = field(default_factory=list)
    """What could not be put back."""
    contacts: dict[str, str] = field(default_factory=dict)
    """Who got a test page, and what came of it."""
    incident: str | None = None
    timeline: tuple[Mapping[str, Any], ...] = ()

    @property
    def passed(self) -> bool:
        return bool(self.lines) and all(line.met for line in self.lines) and not self.problems and not self.unrestored


class Stopped(NotausError):
    """The drill cannot go on; what it moved is moved back."""


class Breach(NotausError):
    """A real breach began: everything is left as it stands."""


def refusals(service: Service, state: Status | None, *, sure: bool) -> list[str]:
    """Why no drill may be held now; empty where it may. `sure`: somebody says that it may be held outside staging."""
    found = []
    if not service.staging and not sure:
        found.append(
            f"{service.name} is not marked `staging: true`; --yes says that its users may be sent elsewhere for a while"
        )
    if state is None:
        return [*found, f"{service.name} is not guarded here now"]
    if state["mode"] != "act":
        found.append("it observes only, and pulls no lever; `mode: act` acts")
    for key, words in REFUSED:
        if state[key]:
            found.append(f"{words}: {state[key]}")
    breached = [rule["name"] for rule in state["rules"] if rule["breached"] or rule["now"] == "true"]
    if breached:
        found.append(f"the condition of {', '.join(breached)} is true")
    if state["tick"] in (None, 0):
        found.append("it was never polled")
    if isinstance(service.ladder.lever, KvLever):
        found += _place(service, state)
    elif state["rollback"] is None or not state["rollback"]["possible"]:
        found.append(
            f"no rollback is possible: {(state['rollback'] or {}).get('reason') or 'the deployments are not known'}"
        )
    return found


REFUSED = (
    ("incident", "an incident is open"),
    ("hold", "a hold is in force"),
    ("override_until", "a person's decision stands until"),
    ("request", "an approval request is open"),
    ("stopped", "it has stopped acting"),
    ("problem", "it cannot be read"),
    ("under_way", "something is under way"),
)


def _place(service: Service, state: Status) -> list[str]:
    rungs = [rung.name for rung in service.ladder.own]
    if state["rung"] not in rungs[:-1]:
        return [f"it is at {state['rung'] or 'no rung'}; a drill begins at one of {', '.join(rungs[:-1])}"]
    return []


class Overruled(NotausError):
    """A person moved the service meanwhile: everything is left as they have it."""


class Exercise:
    """Holds one drill."""

    def __init__(
        self,
        service: Service,
        desk: Desk,
        hands: Hands,
        clock: Clock,
        by: str,
        *,
        bad: str | None = None,
        fault: bool = False,
    ) -> None:
        """`bad`: the uploaded version to deploy as the test change. `fault`: inject one, and let the rules find it."""
        self.service, self.desk, self.hands, self.clock = service, desk, hands, clock
        self.bad, self.fault = bad, fault
        self.held = Held(service.name, clock.now(), by)
        self.start = ""
        """The rung, or the label of the version, that it began with."""
        self.stands: str | None = None
        """KV: the rung that the drill's newest order led to; None where that is not known."""
        self.live: set[str] = set()
        """Deployments: the labels of the versions that the drill itself may have made live."""
        self.ending = False
        """Whether things are being put back: that is measured, and has no target."""
        self.faulty = False
        """Whether a fault is in force."""
        self.blamed: list[str] = []
        """Versions that the drill brought into doubt."""

    async def run(self) -> Held:
        """From beginning to end; it never raises but where it is cancelled, and then, too, puts back what it moved."""
        kv = isinstance(self.service.ladder.lever, KvLever)
        try:
            state = await self._state()
            self.start = state["rung"] if kv else state["rollback"]["live"][0]
            await (self._stop_and_return() if kv else self._roll_back())
        except Breach as breach:
            self.held.problems.append(str(breach))
            self.held.unrestored.append("everything stands as automation left it")
        except Overruled as overruled:
            self.held.problems.append(str(overruled))
            self.held.unrestored.append("everything stands as they left it")
        except NotausError as error:
            self.held.problems.append(str(error))
        except asyncio.CancelledError:
            self.held.problems.append("it was interrupted")
            raise
        finally:
            await self._put_back(kv)
            await self._page()
            self.held.ended = self.clock.now()
        return self.held

    # A KV key: emergency stop, and back; 10 → 5 → 0; the way back to normal

    async def _stop_and_return(self) -> None:
        ladder = self.service.ladder
        if self.fault:
            await self._found_by_itself()
            await self._clear()
        else:
            await self._ordered("emergency stop", "stop", {}, ladder.safest)
        await self._ordered(f"back to {self.start}", "set", {"rung": self.start}, ladder.rung(self.start))
        between = ladder.own[ladder.index(self.start) + 1 : -1]
        for rung in between:
            await self._ordered(f"gradually: {rung.name}", "set", {"rung": rung.name}, rung)
        await self._practise_return(between[-1] if between else ladder.rung(self.start))

    async def _practise_return(self, present: Rung) -> None:
        """The prerequisites and the first rung of the ramp; its hours of watching are cut short."""
        ladder, ramp = self.service.ladder, self.service.restore.ramp
        lower = [step.rung for step in ramp if ladder.index(step.rung) < ladder.index(present.name)]
        first = lower[0] if lower else ladder.rungs[0].name
        if ladder.index(first) >= ladder.index(present.name):
            return
        attest = [need.text for need in self.service.restore.require]
        await self._ordered("return to normal", "restore", {"attest": attest}, ladder.rung(first))
        if first != self.start:
            await self._ordered(
                f"the ramp cut short, to {self.start}", "set", {"rung": self.start}, ladder.rung(self.start)
            )

    # Deployments: a test change, and back to the known-stable version

    async def _roll_back(self) -> None:
        versions = await self.hands.versions(self.service)
        await self._note_target()
        if self.bad is not None:
            await self._deploy(versions)
            await self._note_target()
        stable = next(rung for rung in self.service.ladder.rungs if rung.stable)
        if self.fault:
            await self._found_by_itself()
        else:
            target = (await self._state())["rollback"]["target"]
            took = await self._ordered("rollback", "rollback", {}, stable, _target(versions, target), ROLL_BACK)
            self.held.lines.append(Line("total recovery", took, TOTAL))
            if self.bad is None:
                self.blamed.append(self.start)
        live = (await self._looked())["rollback"]["live"]
        if live != [self.start]:
            self._not_deployed_by_others(live)
            self.blamed += live
            body = {"to": self.start}
            await self._ordered(f"back to {self.start}", "rollback", body, stable, _target(versions, self.start))
            await self._looked()

    async def _deploy(self, versions: Mapping[str, str]) -> None:
        id = versions.get(self.bad or "") or (self.bad if self.bad in versions.values() else None)
        if id is None:
            known = ", ".join(list(versions)[:-9:-1])
            raise Stopped(f"no version {self.bad!r} is uploaded that could be deployed; there are {known}")
        label = next(label for label, each in versions.items() if each == id)
        self.live.add(label)
        self.hands.say(f"deploying {label} as the test change")
        begun = self.clock.now()
        await self.hands.deploy(self.service, id)
        await self._until(lambda state: state["rollback"]["live"] == [label], DEPLOYED_WITHIN, f"{label} to be live")
        self.held.lines.append(Line(f"test change {label} deployed", self.clock.now() - begun))

    async def _note_target(self) -> None:
        target = ((await self._state())["rollback"] or {}).get("target")
        self.live |= {self.start, *([target] if target else [])}

    def _not_deployed_by_others(self, live: Sequence[str]) -> None:
        """Raises Overruled where a version is live that the drill cannot have deployed: a fix-forward, say."""
        others = [label for label in live if label not in self.live]
        if others:
            raise Overruled(f"somebody deployed {', '.join(others)}")

    # Both

    async def _ordered(
        self,
        what: str,
        name: str,
        body: Mapping[str, Any],
        rung: Rung,
        variables: Mapping[str, str] | None = None,
        target: float | None = None,
    ) -> float | None:
        """Give an order, and measure from then on when each check first sees it and keeps seeing it.

        Seconds until all of them did; None where one never did.
        """
        self.hands.say(what)
        before = await self._undisturbed()
        begun = await self._accepted(what, name, {"by": self.held.by, **body})
        self.stands = None
        seen = await self._checked(rung, variables or self.service.ladder.written(rung), begun)
        self._not_overruled(await self._at_rest(what), before, rung.name)
        self.stands = rung.name
        bound = PROPAGATION if isinstance(self.service.ladder.lever, KvLever) and not self.ending else target
        self.held.lines += [Line(f"{what}: {check}", seconds, bound, detail) for check, seconds, detail in seen]
        if not seen:
            self.held.lines.append(Line(what, self._shown(begun), bound, "no check looks at it"))
        took = [seconds for _, seconds, _ in seen]
        return (
            None
            if None in took
            else max((seconds for seconds in took if seconds is not None), default=self._shown(begun))
        )

    async def _accepted(self, what: str, name: str, body: Mapping[str, Any]) -> float:
        """When the order was given that was accepted; the way back is asked for again until its prerequisites are met."""
        patience = CLEAR_WITHIN if name == "restore" else 0.0
        body = body if name == "restore" else {**body, "reason": "drill"}
        end = self.clock.now() + patience
        while True:
            begun = self.clock.now()
            answer = await self.desk.order(self.service.name, name, body)
            if answer.accepted:
                return begun
            if begun >= end:
                raise Stopped(f"{what}: refused: {' '.join(answer.text.split())}")
            await self.clock.sleep(ASK_EVERY)

    async def _checked(
        self, rung: Rung, variables: Mapping[str, Any], begun: float
    ) -> list[tuple[str, float | None, str]]:
        """Name, seconds since `begun` and what was seen, of each check that must pass; None where it never did."""
        asked = RunChecks("drill", self.service.name, rung.name, int(begun + PATIENCE), variables)
        passed: dict[int, float] = {}  # by place: two checks may be called alike
        while True:
            results = [each for each in await self.hands.check(self.service, asked) if not each.advisory]
            now = self.clock.now()
            passed = {i: passed.get(i, now - begun) for i, result in enumerate(results) if result.passed}
            if len(passed) == len(results) or now - begun > PATIENCE:
                return [(r.name, passed.get(i), "" if r.passed else r.detail) for i, r in enumerate(results)]
            await self.clock.sleep(LOOK_EVERY)

    async def _found_by_itself(self) -> None:
        """Inject the fault, and measure until the rules have found it, the lever is pulled, and its checks pass."""
        if not self.service.drill.fault:
            raise Stopped("no fault can be injected: the service file names no `drill: {fault: [COMMAND, …]}`")
        self.hands.say("injecting the fault; from here on the rules are on their own")
        self.faulty, begun = True, self.clock.now()
        await self.hands.run(self.service.drill.fault)
        try:
            state = await self._until(lambda s: s["incident"] is not None, NOTICED_WITHIN, "an incident", ours=False)
        except Stopped as nothing:
            self.held.lines.append(Line("time to detect", None, DETECT, str(nothing)))
            raise
        self.held.incident = state["incident"]
        opened = float((await self._incident())["opened_at"])
        self.held.lines.append(Line("time to detect", opened - begun, DETECT))
        try:
            await self._until(_pulled, PATIENCE, "the lever to be pulled", ours=False)
        except Stopped as nothing:
            self.held.lines.append(Line("time to roll back", None, ROLL_BACK, str(nothing)))
            raise
        step = (await self._incident()).get("step") or {}
        worked = step.get("outcome") in ("done", "already")
        pulled = self._shown(opened) if worked else None
        self.held.lines.append(Line("time to roll back", pulled, ROLL_BACK, str(step.get("label") or "no step")))
        verified = self._shown(begun) if worked and step.get("verified") else None
        self.held.lines.append(Line("total recovery", verified, TOTAL, "" if verified else "its checks did not pass"))
        await self._heal()

    def _shown(self, since: float) -> float:
        return max(0.0, self.clock.now() - since)

    async def _heal(self) -> None:
        if self.faulty and self.service.drill.heal:
            await self.hands.run(self.service.drill.heal)
        self.faulty = False

    async def _clear(self) -> None:
        """Until no rule's condition is true: a way back would else be ended by the fault's own last samples."""
        if not _well(await self._state()):
            self.hands.say("waiting until no rule's condition is true")
        await self._until(_well, CLEAR_WITHIN, "every rule's condition to be over", ours=False)

    async def _page(self) -> None:
        for contact in self.service.contacts.everyone if self.hands.page is not None else ():
            assert self.hands.page is not None
            try:
                self.held.contacts[str(contact)] = await self.hands.page(contact)
            except NotausError as error:
                self.held.contacts[str(contact)] = f"NOT reached: {error}"
                self.held.problems.append(f"{contact} was not reached: {error}")

    # Putting back

    async def _put_back(self, kv: bool) -> None:
        """What the drill moved, and nothing that automation did meanwhile for a reason of its own."""
        self.ending = True
        for what, task in (
            ("the fault", self._heal),
            (self.start, self._place_back if kv else self._version_back),
            ("the standing of versions", self._unblame),
            ("the incident", self._close),
        ):
            if self.held.unrestored:
                break
            try:
                await task()
            except NotausError as error:
                self.held.unrestored.append(f"{what}: {error}")
        await self._keep_timeline()

    async def _place_back(self) -> None:
        state = await self._at_rest("what was begun")
        await self._real_breach(state)
        if self.start and state["rung"] != self.start:
            await self._undisturbed()
            await self._clear()  # to a less safe rung only while no rule's condition is true
            await self._ordered(
                f"put back to {self.start}", "set", {"rung": self.start}, self.service.ladder.rung(self.start)
            )
            if (await self._state())["rung"] != self.start:
                raise Stopped(f"it is not at {self.start}")

    async def _version_back(self) -> None:
        await self._at_rest("what was begun")
        state = await self._looked()
        await self._real_breach(state)
        live = (state["rollback"] or {}).get("live") or []
        if self.start and live != [self.start]:
            self._not_deployed_by_others(live)
            versions = await self.hands.versions(self.service)
            stable = next(rung for rung in self.service.ladder.rungs if rung.stable)
            body = {"to": self.start}
            await self._ordered(f"put back to {self.start}", "rollback", body, stable, _target(versions, self.start))

    async def _unblame(self) -> None:
        """The versions that were rolled back from for practice alone."""
        for label in dict.fromkeys(self.blamed):
            body = {"by": self.held.by, "version": label, "flagged": False}
            answer = await self.desk.order(self.service.name, "judge", body)
            if not answer.accepted:
                raise Stopped(f"{label}: {answer.text}")

    async def _close(self) -> None:
        state = await self._state()
        if state["incident"] is None:
            return
        self.held.incident = state["incident"]
        body = {"by": self.held.by, "incident": state["incident"], "reason": "the drill is over"}
        answer = await self.desk.order(self.service.name, "close", body)
        if not answer.accepted:
            raise Stopped(answer.text)

    async def _keep_timeline(self) -> None:
        if self.held.incident is not None:
            try:
                self.held.timeline = tuple((await self._incident()).get("timeline") or ())
            except NotausError as error:
                self.held.problems.append(f"the timeline could not be read: {error}")

    # Looking

    async def _state(self) -> Status:
        """Where the service stands; a lease that is lost and won again is waited for. Raises Stopped."""
        end = self.clock.now() + GONE
        while True:
            state: Status | None = (await self.desk.status())["services"].get(self.service.name)
            if state is not None:
                return state
            if self.clock.now() > end:
                raise Stopped(f"{self.service.name} is not guarded here any more")
            await self.clock.sleep(LOOK_EVERY)

    async def _incident(self) -> Status:
        found = await self.desk.incident(self.held.incident or "")
        if found is None:
            raise Stopped(f"the incident {self.held.incident} is not in the journal")
        return found

    async def _real_breach(self, state: Status) -> None:
        """Raises Breach where a rule has joined the incident although no fault was injected."""
        if state["incident"] is None or self.fault:
            return
        self.held.incident = state["incident"]
        rules = (await self._incident()).get("rules") or ()
        if rules:
            raise Breach(f"a real breach began: {', '.join(rules)}")

    async def _undisturbed(self) -> str | None:
        """The rung in force. Raises Overruled where it is not the one that the drill went to, and Breach."""
        state = await self._state()
        if self.stands is not None:
            await self._real_breach(state)
            self._not_overruled(state, self.stands)
        return state["rung"]  # type: ignore[no-any-return]

    def _not_overruled(self, state: Status, *ours: str | None) -> None:
        if isinstance(self.service.ladder.lever, KvLever) and state["rung"] not in ours:
            raise Overruled(f"somebody moved it to {state['rung'] or 'no rung of its ladder'}")

    async def _until(self, true: Callable[[Status], bool], seconds: float, what: str, *, ours: bool = True) -> Status:
        """The first state of which `true` holds. Raises Stopped, and Breach where a rule joins while it should not."""
        end = self.clock.now() + seconds
        while True:
            state = await self._state()
            if ours:
                await self._real_breach(state)
            if true(state):
                return state
            if self.clock.now() > end:
                raise Stopped(f"waited {seconds / 60:g} minutes in vain for {what}")
            await self.clock.sleep(LOOK_EVERY)

    async def _looked(self) -> Status:
        """The state once the daemon has looked at the deployments again."""
        now = self.clock.now()
        return await self._until(lambda state: state["tick"] >= now, PATIENCE, "another look at the deployments")

    async def _at_rest(self, what: str) -> Status:
        return await self._until(_rests, PATIENCE, f"{what} to come to rest")


def _rests(state: Status) -> bool:
    return not any(effect.endswith(ACTING) for effect in state["under_way"])


def _well(state: Status) -> bool:
    return not any(rule["now"] == "true" for rule in state["rules"])


def _pulled(state: Status) -> bool:
    return _rests(state) and state["incident"] is not None


def _target(versions: Mapping[str, str], label: str) -> dict[str, str]:
    """What `$target.…` stands for."""
    return {"target.tag": label, "target.id": versions.get(label, label)}
