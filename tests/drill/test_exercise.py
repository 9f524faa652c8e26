"""Drills on virtual time: a daemon and a sandbox in this process, the drill at the daemon's own desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from notaus import drill
from notaus.app import App
from notaus.app.drills import Counter, hands
from notaus.config import Configuration
from notaus.core.event import SetRung, Trigger
from notaus.core.service import Contact, Contacts, Drill, Mode, Service
from notaus.drill import Exercise, Hands, Held, exercise
from notaus.errors import NotausError
from tests.test_app import House, in_a_house

KV, ROLLBACK = "pix-immo", "bookstrack"
READ = ("canary", "api")
"""Entries whose rules are kept: the others ask a lot at the start, and say nothing of drills."""


def staged(house: House, change: Callable[[Service], Service] = lambda service: service) -> Configuration:
    """The example services on staging, which the sandbox serves, and whom they page with nobody behind it."""

    def on_staging(service: Service) -> Service:
        kept = tuple(r for r in service.rules if all(service.signals[n].source in READ for n in r.signals))
        return change(replace(service, rules=kept, staging=True, mode=Mode.ACT, contacts=Contacts(), evidence=()))

    found = replace(house.configuration, services=tuple(map(on_staging, house.configuration.services)))
    found = replace(found, entries=tuple(entry for entry in found.entries if entry.name in READ))
    origins = {
        "api.pix.immo": "http://sandbox/workers/pix-immo",
        "api.oooefam.net": "http://sandbox/workers/bookstrack",
    }
    return replace(found, settings=replace(found.settings, origins=origins))


async def ready(house: House, change: Callable[[Service], Service] = lambda service: service) -> App:
    house.configuration = staged(house, change)
    app = await house.app()
    await asyncio.sleep(40)
    return app


def an_exercise(app: App, name: str, **more: Any) -> Exercise:
    service = app.configuration.service(name)
    made: Hands = replace(hands(app.outside, service, app.desk.now(), page=False), **more.pop("hands", {}))
    return Exercise(service, Counter(app), made, app.clock, "kim", **more)


def seconds(held: Held) -> dict[str, float | None]:
    """What was measured, by what it was; of two that are called alike the last."""
    return {line.what: line.seconds for line in held.lines}


def soon(house: House) -> str:
    """Two minutes from now, and then not for a day."""
    at = datetime.fromtimestamp(house.now() + 120, UTC)
    return f"{at.minute} {at.hour} * * *"


def state(app: App, name: str) -> Any:
    return app.desk.status()["services"][name]


async def moved(app: App, name: str, rung: str, drilled: asyncio.Task[Held]) -> None:
    """Until the drill has moved the service to `rung`."""
    while state(app, name)["rung"] != rung:
        assert not drilled.done(), drilled.result().problems
        await asyncio.sleep(1)


@in_a_house(KV, ROLLBACK)
async def test_a_canary_is_stopped_and_brought_back_and_each_move_measured(house: House) -> None:
    """The runbook's quarterly list would be ticked off by somebody who looked at one curl."""
    app = await ready(house)
    house.box.kv.lag = (12.0, 12.0)
    held = await an_exercise(app, KV).run()
    assert held.passed, (held.problems, held.lines)
    moves = list(dict.fromkeys(line.what.split(": GET")[0].split(": read")[0] for line in held.lines))
    assert moves == [
        "emergency stop",
        "back to normal",
        "gradually: reduced",
        "gradually: disabled",
        "return to normal",
        "the ramp cut short, to normal",
    ]
    told = [line.seconds for line in held.lines if "GET" in line.what]
    assert all(seconds is not None and 12 <= seconds <= 16 for seconds in told)
    assert all(line.target == 30.0 for line in held.lines)
    assert state(app, KV)["rung"] == "normal"
    assert state(app, KV)["incident"] is None
    writes = [w for w in house.box.writes if w.by == "api"]
    assert [w.what["value"]["canary_percent"] for w in writes] == [0, 10, 5, 0, 5, 10]


@in_a_house(KV)
async def test_a_target_that_is_missed_is_measured_and_fails_the_drill(house: House) -> None:
    """`Done` would be written beside an emergency stop that takes a minute to arrive."""
    app = await ready(house)
    house.box.kv.lag = (45.0, 45.0)
    held = await an_exercise(app, KV).run()
    assert not held.passed
    assert not held.unrestored
    missed = {line.what for line in held.lines if not line.met}
    assert "emergency stop: GET https://api.pix.immo/api/qa" in missed
    assert not any("read back" in what for what in missed)
    assert "emergency stop: GET https://api.pix.immo/api/qa: 4" in drill.summary(held)
    assert "| < 30 s | **NO** |" in drill.markdown(held, app.configuration.service(KV), None)


@in_a_house(KV)
async def test_an_injected_fault_is_found_without_the_drills_help(house: House) -> None:
    """The time to detect would be how fast a person types, and the fault would stay."""
    app = await ready(house, lambda s: replace(s, drill=Drill(fault=("break",), heal=("mend",))))
    ran = []

    async def run(command: tuple[str, ...]) -> None:
        ran.append(command)
        if command == ("break",):
            asyncio.get_running_loop().call_later(200, lambda: spread.append(asyncio.create_task(found_out())))

    async def found_out() -> None:
        order = Trigger(app.desk.now(), "an alert", "database errors", "the pool is empty", hook=True)
        await app.desk.order(KV, order)

    spread: list[asyncio.Task[None]] = []
    house.box.kv.lag = (20.0, 20.0)
    held = await an_exercise(app, KV, fault=True, hands={"run": run}).run()
    found = seconds(held)
    assert held.passed, (held.problems, held.lines)
    assert found["time to detect"] == pytest.approx(200, abs=2)
    assert 20 <= (found["time to roll back"] or 0) < 30
    assert 220 <= (found["total recovery"] or 0) < 235
    assert ran == [("break",), ("mend",)]
    assert state(app, KV)["rung"] == "normal"


@in_a_house(KV)
async def test_a_fault_that_nobody_finds_fails_the_drill(house: House) -> None:
    """Rules that would never have found it would be praised for a fast rollback."""
    app = await ready(house, lambda s: replace(s, drill=Drill(fault=("break",), heal=("mend",))))
    ran = []

    async def run(command: tuple[str, ...]) -> None:
        ran.append(command)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercise, "NOTICED_WITHIN", 120.0)
        held = await an_exercise(app, KV, fault=True, hands={"run": run}).run()
    assert [(line.what, line.seconds, line.met) for line in held.lines] == [("time to detect", None, False)]
    assert held.problems == ["waited 2 minutes in vain for an incident"]
    assert ran == [("break",), ("mend",)]
    assert not held.unrestored


@in_a_house(ROLLBACK)
async def test_without_a_test_change_the_live_version_is_rolled_back_and_brought_back(house: House) -> None:
    """A drill would leave staging on an old version, and both versions in doubt: no rollback would be possible afterwards."""
    app = await ready(house)
    before = state(app, ROLLBACK)["rollback"]
    held = await an_exercise(app, ROLLBACK).run()
    assert held.passed, (held.problems, held.lines)
    took = seconds(held)["total recovery"]
    assert took is not None
    assert took < 60
    assert state(app, ROLLBACK)["rollback"]["live"] == before["live"]
    assert state(app, ROLLBACK)["rollback"]["target"] == before["target"]
    registry = app.engine.guarded[ROLLBACK].state.registry
    assert all(standing.doubt is None for standing in registry.versions.values())
    assert state(app, ROLLBACK)["incident"] is None


@in_a_house(ROLLBACK)
async def test_an_uploaded_version_is_the_test_change(house: House) -> None:
    """notaus would have to deploy code of its own making."""
    app = await ready(house)
    bad = house.box.workers["api-worker"].upload("v2.0.0")
    held = await an_exercise(app, ROLLBACK, bad="v2.0.0").run()
    assert held.passed, (held.problems, held.lines)
    deployed = [w.what["versions"][0][0] for w in house.box.writes if w.by == "api"]
    assert deployed[0] == bad.id
    assert len(deployed) == 2
    assert state(app, ROLLBACK)["rollback"]["live"] == ["v1.9.0"]
    nothing = await an_exercise(app, ROLLBACK, bad="v3").run()
    assert nothing.problems[0].startswith("no version 'v3' is uploaded that could be deployed; there are v2.0.0")


@in_a_house(KV)
async def test_what_was_moved_is_put_back_after_a_failure(house: House) -> None:
    """Staging would stand at its emergency stop until somebody noticed."""
    app = await ready(house)
    drilled = an_exercise(app, KV)
    there = drilled.hands.check

    async def check(service: Service, asked: Any) -> Any:
        if asked.rung == "reduced":
            raise NotausError("the lights went out")
        return await there(service, asked)

    drilled.hands = replace(drilled.hands, check=check)
    held = await drilled.run()
    assert held.problems == ["the lights went out"]
    assert not held.unrestored
    assert state(app, KV)["rung"] == "normal"
    assert state(app, KV)["incident"] is None
    assert held.lines[-1].what.startswith("put back to normal")


@in_a_house(KV)
async def test_what_was_moved_is_put_back_when_it_is_interrupted(house: House) -> None:
    """Ctrl-C is when people find that it takes too long, not that they like the emergency stop."""
    app = await ready(house)
    drilled = an_exercise(app, KV)
    task = asyncio.create_task(drilled.run())
    await moved(app, KV, "emergency", task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert drilled.held.problems == ["it was interrupted"]
    assert state(app, KV)["rung"] == "normal"
    assert state(app, KV)["incident"] is None


class Worried(Counter):
    """A desk at which a rule's condition is true wherever the service does not get its ordinary traffic."""

    async def status(self) -> Mapping[str, Any]:
        found = dict((await super().status())["services"][KV])
        if found["rung"] != "normal":
            found["rules"] = [{**rule, "now": "true"} for rule in found["rules"]]
        return {"services": {KV: found}}


@in_a_house(KV)
async def test_nothing_is_put_back_to_a_less_safe_rung_while_a_rule_is_true(house: House) -> None:
    """The drill would open what a rule is about to close, and count on being stopped in time."""
    app = await ready(house)
    drilled = an_exercise(app, KV)
    drilled.desk = Worried(app)

    async def check(service: Service, asked: Any) -> Any:
        raise NotausError("the lights went out")

    drilled.hands = replace(drilled.hands, check=check)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercise, "CLEAR_WITHIN", 60.0)
        held = await drilled.run()
    assert held.unrestored == ["normal: waited 1 minutes in vain for every rule's condition to be over"]
    assert state(app, KV)["rung"] == "emergency"
    assert state(app, KV)["incident"] is not None


@in_a_house(KV)
async def test_a_real_breach_is_no_business_of_a_drill(house: House) -> None:
    """The drill would bring a service back to what just broke: protection weakened by a machine."""
    app = await ready(house)
    drilled = an_exercise(app, KV)
    task = asyncio.create_task(drilled.run())
    await moved(app, KV, "reduced", task)
    await app.desk.order(KV, Trigger(app.desk.now(), "ada", "database errors", "the pool is empty"))
    held = await task
    assert not held.passed
    assert held.unrestored == ["everything stands as automation left it"]
    assert held.problems == ["a real breach began: database errors"]
    assert state(app, KV)["rung"] == "emergency"
    assert state(app, KV)["incident"] is not None


@in_a_house(KV)
async def test_a_person_who_steps_in_is_not_fought(house: House) -> None:
    """Somebody pulls the emergency stop in the middle of a drill, and the drill takes it back."""
    app = await ready(house)
    drilled = an_exercise(app, KV)
    task = asyncio.create_task(drilled.run())
    await moved(app, KV, "reduced", task)
    await app.desk.order(KV, SetRung(app.desk.now(), "ada", "emergency"))
    held = await task
    assert held.problems == ["somebody moved it to emergency"]
    assert held.unrestored == ["everything stands as they left it"]
    assert state(app, KV)["rung"] == "emergency"


@in_a_house(ROLLBACK)
async def test_a_fix_forward_in_the_middle_is_not_rolled_back(house: House) -> None:
    """Somebody deploys in earnest while the drill goes on, and it would take that for its own test change."""
    app = await ready(house)
    worker = house.box.workers["api-worker"]
    worker.upload("v2.0.0")
    drilled = an_exercise(app, ROLLBACK, bad="v2.0.0")
    task = asyncio.create_task(drilled.run())
    await moved(app, ROLLBACK, "rolled_back", task)
    fixed = worker.upload("v2.0.1")
    worker.deploy(fixed.id)
    held = await task
    assert "somebody deployed v2.0.1" in " ".join((*held.problems, *held.unrestored))
    assert worker.active is not None
    assert worker.active.versions[0][0] == fixed.id


@in_a_house(KV, ROLLBACK)
async def test_where_a_drill_may_not_be_held_it_says_why(house: House) -> None:
    """It would begin in the midst of an incident, or send the users of a production service elsewhere."""
    app = await ready(house)
    service = app.configuration.service(KV)
    status = app.desk.status()["services"]
    assert drill.refusals(service, status[KV], sure=False) == []
    assert drill.refusals(app.configuration.service(ROLLBACK), status[ROLLBACK], sure=False) == []
    production = replace(service, staging=False)
    assert "is not marked `staging: true`" in "; ".join(drill.refusals(production, status[KV], sure=False))
    assert drill.refusals(production, status[KV], sure=True) == []
    assert drill.refusals(service, None, sure=False) == ["pix-immo is not guarded here now"]
    for change, words in (
        ({"mode": "observe"}, "it observes only"),
        ({"incident": "pix-immo-1"}, "an incident is open: pix-immo-1"),
        ({"hold": "until 5 by ada"}, "a hold is in force: until 5 by ada"),
        ({"rung": "emergency"}, "it is at emergency; a drill begins at one of normal, reduced, disabled"),
        ({"rung": None}, "it is at no rung"),
        (
            {"rules": [{"name": "native errors", "breached": False, "now": "true"}]},
            "the condition of native errors is true",
        ),
    ):
        assert words in "; ".join(drill.refusals(service, {**status[KV], **change}, sure=False))
    impossible = {**status[ROLLBACK], "rollback": {"possible": False, "reason": "no version is known-stable"}}
    told = drill.refusals(app.configuration.service(ROLLBACK), impossible, sure=False)
    assert told == ["no rollback is possible: no version is known-stable"]


@in_a_house(KV)
async def test_each_contact_gets_a_test_page_and_one_that_is_not_reached_fails_the_drill(house: House) -> None:
    """The list of contacts would be found to be old in the next incident."""
    people = Contacts(critical=(Contact("pagerduty", "gone"),), warning=(Contact("slack", "#there"),))
    app = await ready(house)
    drilled = an_exercise(app, KV)
    drilled.service = replace(drilled.service, contacts=people)

    async def page(contact: Contact) -> str:
        if contact.name == "gone":
            raise NotausError("404: no such key")
        return "took a test message"

    drilled.hands = replace(drilled.hands, page=page)
    held = await drilled.run()
    assert held.contacts == {
        "pagerduty: gone": "NOT reached: 404: no such key",
        "slack: #there": "took a test message",
    }
    assert not held.passed


@in_a_house(KV)
async def test_its_time_comes_by_the_schedule_and_its_result_is_kept(house: House) -> None:
    """Quarterly means when somebody thinks of it."""
    app = await ready(house, lambda s: replace(s, drill=Drill(cron=soon(house))))
    await asyncio.sleep(240)
    (event,) = house.journal.events(KV, kind="Drilled")
    assert event.body["by"] == "the schedule"
    assert event.body["restored"] is True
    assert event.body["text"].startswith("13 things measured, 0 not within their target."), event.body
    assert state(app, KV)["rung"] == "normal"


@in_a_house(KV, ROLLBACK)
async def test_a_drill_by_the_schedule_sends_test_pages_where_they_are_asked_for(house: House) -> None:
    """A channel whose key was revoked would be found out by an incident, though drills are held all year."""
    got: list[str] = []

    async def try_out(contact: Contact, now: int) -> str:
        got.append(contact.name)
        return "took a test message"

    def asking(service: Service) -> Service:
        people = Contacts(critical=(Contact("slack", f"#{service.name}"),))
        return replace(service, drill=Drill(cron=soon(house), page=service.name == KV), contacts=people)

    app = await ready(house, asking)
    app.outside.channels.try_out = try_out  # type: ignore[method-assign]
    await asyncio.sleep(240)
    assert len(house.journal.events(KV, kind="Drilled")) == len(house.journal.events(ROLLBACK, kind="Drilled")) == 1
    assert got == [f"#{KV}"]


@in_a_house(KV)
async def test_the_schedule_gives_way_to_an_incident(house: House) -> None:
    """A drill in the midst of an incident would undo what holds the service together."""
    app = await ready(house, lambda s: replace(s, drill=Drill(cron=soon(house))))
    await app.desk.order(KV, SetRung(app.desk.now(), "ada", "emergency", "I do not trust it"))
    await asyncio.sleep(240)
    (event,) = house.journal.events(KV, kind="Drilled")
    assert event.body["passed"] is False
    assert event.body["text"].startswith("Not held: an incident is open: pix-immo-")
    assert state(app, KV)["rung"] == "emergency"
