"""The story of the demo: all is well, a bad canary, a bad deployment; each told from what really happens.

What is told comes from the daemon's API; what is checked comes from the sandbox and from the services themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from notaus.cli.demo.stage import Stage
from notaus.cli.demo.teller import Teller

LOOK_EVERY = 0.25
HEALTHY_WITHIN = 600
"""Seconds of the demo's clock; at least `PATIENCE` real ones, for machines that have other work to do."""
BREACH_WITHIN = 900
RESOLVED_WITHIN = 1200
PATIENCE = 75.0

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """One incident of the story: how it begins, and what must come of it."""

    service: str
    rule: str
    """The rule whose hold is shown meanwhile."""
    contact: str
    """Whose PagerDuty must have rung."""
    rung: str


class Story:
    """Tells it once."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        self.stage, self.teller = stage, teller
        self.missing: list[str] = []

    async def tell(self) -> list[str]:
        """From beginning to end; what was missing, in words."""
        self.teller.chapter("chapter", "1  All is well")
        if await self._healthy():
            await self._bad_canary()
            await self._bad_deployment()
            await self._epilogue()
        self.teller.end(self.missing)
        return self.missing

    def _check(self, met: bool, text: str) -> None:
        self.teller.check(met, text)
        if not met:
            self.missing.append(text)

    # 1

    async def _healthy(self) -> bool:
        """Every rule that can be read is known and false."""
        self.teller.watch("reading the last hour from the analytics …")
        found = await self._until(self._all_known, HEALTHY_WITHIN)
        self.teller.still()
        status = (await self.stage.daemon.status())["services"]
        for name, state in status.items():
            self.teller.tell("service", f"{name}: {state['rung']}; {_readings(state)}", rung=state["rung"])
        rollback = status.get("bookstrack", {}).get("rollback") or {}
        if rollback:
            self.teller.tell("preflight", f"bookstrack: a rollback now would go to {rollback['target']}")
        self._check(found is not None, "every rule is read, and none of them is true")
        return found is not None

    async def _all_known(self) -> bool | None:
        services = (await self.stage.daemon.status())["services"]
        rules = [rule for state in services.values() for rule in state["rules"] if rule["values"]]
        known = [r for r in rules if not r["now"].startswith("rests")]
        if len(services) < 2 or any("unknown" in r["values"].values() or r["now"] == "true" for r in known):
            return None
        return True if known else None

    # 2

    async def _bad_canary(self) -> None:
        act = Act("pix-immo", "native errors high", "pix-oncall", "emergency")
        self.teller.chapter("chapter", "2  pix-immo: the native handlers of the canary begin to fail")
        await self.stage.admin("traffic", service="pix-immo", cohort="native", error_rate=0.08)
        self.teller.tell("fault", "8 % of the native cohort's requests fail from now on", self.stage.clock.now())
        incident = await self._incident(act)
        if incident is None:
            return
        await self._check_key()
        await self._check_common(act, incident)

    async def _check_key(self) -> None:
        state = await self.stage.state()
        writes = [w for w in state["writes"] if w["kind"] == "kv" and w["by"] == "api"]
        key = json.loads(state["kv"]["api"][state["kv_namespace"]]["config"])
        safe = key.get("canary_percent") == 0 and key.get("emergency_proxy") is True
        self._check(safe and len(writes) == 1, f"one KV write, and the key holds {json.dumps(key)}")
        answer = await self.stage.ask("pix-immo", "/api/qa")
        mark = answer.headers.get("X-Pix-Canary", "no X-Pix-Canary header")
        right = mark == "1;tag=B2a;cohort=proxy;reason=emergency"
        self._check(right and answer.json()["canary"]["emergency_proxy"] is True, f"/api/qa answers with {mark}")

    # 3

    async def _bad_deployment(self) -> None:
        act = Act("bookstrack", "websockets failing", "platform", "rolled_back")
        self.teller.chapter("chapter", "3  bookstrack: somebody deploys v2.0.0, which is broken")
        before = (await self.stage.state())["workers"]["api-worker"]["live_at_edge"]
        faulty = {"error_rate": 0.4, "websocket_error_rate": 0.5}
        await self.stage.admin("deploy", service="bookstrack", tag="v2.0.0", faulty=faulty)
        text = "v2.0.0 is live: 40 % of its requests and half of its WebSockets fail"
        self.teller.tell("fault", text, self.stage.clock.now())
        incident = await self._incident(act)
        if incident is None:
            return
        await self._check_version(before)
        await self._check_common(act, incident)

    async def _check_version(self, before: str) -> None:
        state = await self.stage.state()
        posts = [w for w in state["writes"] if w["kind"] != "kv" and w["by"] == "api"]
        live = state["workers"]["api-worker"]["live_at_edge"]
        self._check(live == before and len(posts) == 1, f"one deployment, and {live} is live at the edge again")
        health = (await self.stage.ask("bookstrack", "/health")).json()
        right = health["data"].get("version") == before and health["data"]["status"] == "ok"
        self._check(right, f"/health answers with {json.dumps(health['data'])}")

    # Both

    async def _incident(self, act: Act) -> State | None:
        """Follow the incident from the breach to the verdict; None where none came."""
        seen = 0
        incident: State | None = None

        async def resolved() -> State | None:
            nonlocal seen, incident
            incident = await self._newest(act.service)
            seen = self._show(act, incident, seen)
            await self._watch(act, incident)
            return incident if incident is not None and incident["phase"] == "mitigated" else None

        async def opened() -> State | None:
            await resolved()
            return incident

        if await self._until(opened, BREACH_WITHIN) is None:
            self.teller.still()
            self._check(False, f"{act.service}: a breach within {BREACH_WITHIN // 60} minutes")
            return None
        await self._until(resolved, RESOLVED_WITHIN)
        self.teller.still()
        return incident

    def _show(self, act: Act, incident: State | None, seen: int) -> int:
        timeline = list((incident or {}).get("timeline") or ())
        for entry in timeline[seen:]:
            self.teller.tell("timeline", f"{act.service}: {entry['text']}", entry["at"], service=act.service)
        if timeline and not seen:
            self._show_facts((incident or {}).get("facts") or {})
        return len(timeline)

    def _show_facts(self, facts: Mapping[str, str]) -> None:
        for name in ("values", "evidence", "action"):
            if name in facts:
                self.teller.tell("fact", f"         {name}: {facts[name]}", name=name)

    async def _watch(self, act: Act, incident: State | None) -> None:
        if incident is not None:
            verdict = "validating: five minutes of samples decide whether it helped"
            self.teller.watch(verdict if incident["phase"] == "validating" else str(incident["phase"]))
            return
        state = (await self.stage.daemon.status())["services"].get(act.service)
        rule = next((r for r in (state or {}).get("rules", ()) if r["name"] == act.rule), None)
        if rule is not None:
            values = ", ".join(f"{name} {value}" for name, value in rule["values"].items())
            self.teller.watch(f"{rule['when']}: {values}; held {rule['hold_ratio']:.0%}")

    async def _newest(self, service: str) -> State | None:
        return next((i for i in await self.stage.daemon.incidents(10) if i["service"] == service), None)

    async def _check_common(self, act: Act, incident: State) -> None:
        step = incident.get("step") or {}
        name = act.service
        self._check(step.get("rung") == act.rung, f"{name}: the step was to {step.get('rung')}")
        self._check(step.get("verified") is True, f"{name}: every check of the step passed")
        self._check(incident["phase"] == "mitigated", f"{name}: validated, the incident is {incident['phase']}")
        await self._check_pages(act, incident)

    async def _check_pages(self, act: Act, incident: State) -> None:
        async def rung() -> list[Any] | None:
            return [p for p in await self.stage.pages() if _rings(p, act.contact, incident["id"])] or None

        pages = await self._until(rung, 60) or []
        said = pages[0]["payload"]["payload"]["summary"] if pages else "nothing"
        self._check(bool(pages), f"PagerDuty of {act.contact} received: {said}")
        slack = [p for p in await self.stage.pages() if p["channel"].startswith("slack") and act.service in str(p)]
        self._check(bool(slack), f"Slack received {len(slack)} messages about {act.service}")

    # 4

    async def _epilogue(self) -> None:
        self.teller.chapter("chapter", "4  What the journal says of it")
        for service in ("pix-immo", "bookstrack"):
            incident = await self._newest(service)
            if incident is not None:
                self.teller.timeline(incident)
        self.teller.tell("look", "`notaus incidents ID` and `notaus status` show the same of a real daemon;")
        self.teller.tell("look", f"its metrics are at {self.stage.url}/metrics while it runs (`notaus demo --keep`).")
        self.teller.tell("look", "A person leads the way back: `notaus restore pix-immo --attest …`.")

    async def _until(self, look: Callable[[], Awaitable[Any]], seconds: float) -> Any:
        """What `look` finds within so many seconds of the demo's clock; None where it does not."""
        loop = asyncio.get_running_loop()
        end = loop.time() + max(seconds / self.stage.clock.speed, PATIENCE)
        while (found := await look()) is None and loop.time() < end:  # noqa: ASYNC110 (others' events)
            await asyncio.sleep(LOOK_EVERY)
        return found


def _readings(state: State) -> str:
    values = {name: value for rule in state["rules"] for name, value in rule["values"].items() if value != "unknown"}
    return ", ".join(f"{name} {value}" for name, value in list(values.items())[:3])


def _rings(page: Mapping[str, Any], contact: str, incident: str) -> bool:
    """Whether a received message is an accepted critical page of this incident to this contact."""
    body = page["payload"]
    return (
        bool(page["accepted"])
        and page["channel"] == "pagerduty"
        and body.get("routing_key", "").rstrip("0") == contact
        and incident in body.get("dedup_key", "")
        and body.get("payload", {}).get("severity") == "critical"
    )
