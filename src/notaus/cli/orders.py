"""Giving an order and following it: what the daemon answers, then the timeline until the outcome is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

from notaus.cli.desk import Answer, Body, Desk, desk
from notaus.cli.terminal import NO, clock, console, emit

OUTCOME_SECONDS = 240.0
"""How long the outcome and its checks are waited for: twice the usual deadline of the checks."""
LOOK_EVERY = 0.3
ACTING = ("-pull", "-check")
"""Effects that an outcome waits for, by the end of their ids; pages go their own way."""


def give(directory: Path, service: str, name: str, body: Body, *, machine: bool, wait: bool = False) -> None:
    """Give an order, print what came of it, and leave with 1 where the answer is no. `wait`: for a lever's outcome."""
    result = asyncio.run(_give(directory, service, name, body, machine, wait))
    if machine:
        emit(result)
    if not result["accepted"] or result.get("succeeded") is False:
        raise typer.Exit(NO)


async def _give(directory: Path, service: str, name: str, body: Body, machine: bool, wait: bool) -> dict[str, Any]:
    async with desk(directory, service) as at:
        seen = await _told_so_far(at, service)
        answer = await at.order(service, name, body)
        if not machine:
            _print_answer(answer)
        result: dict[str, Any] = {
            "accepted": answer.accepted,
            "text": answer.text,
            "incident": answer.incident,
            "through": at.through,
        }
        if wait and answer.accepted and answer.incident is not None:
            follower = Follower(at, service, answer.incident, seen, machine)
            result |= await follower.outcome()
    return result


def _print_answer(answer: Answer) -> None:
    out = console()
    out.print(answer.text, style=None if answer.accepted else "red", markup=False)


async def _told_so_far(at: Desk, service: str) -> int:
    """How many lines the open incident's timeline has before the order."""
    known = (await at.status())["services"].get(service) or {}
    incident = await at.incident(known["incident"]) if known.get("incident") else None
    return len((incident or {}).get("timeline") or ())


class Follower:
    """Follows an incident until its lever and checks have ended."""

    def __init__(self, at: Desk, service: str, incident: str, seen: int, machine: bool) -> None:
        self.at, self.service, self.incident, self.seen, self.machine = at, service, incident, seen, machine
        self.out = console()

    async def outcome(self) -> dict[str, Any]:
        """What came of the newest step: outcome, verified, and the timeline since the order."""
        end = asyncio.get_running_loop().time() + OUTCOME_SECONDS
        waiting = nullcontext() if self.machine else self.out.status("waiting for the outcome …")
        first = self.seen
        with waiting:
            while True:
                rests = await self._at_rest()  # first: what is read after it is the outcome
                body = await self.at.incident(self.incident) or {}
                self._show(body)
                settled = rests and (body.get("step") or {}).get("retry_at") is None
                if settled or asyncio.get_running_loop().time() > end:
                    break
                await asyncio.sleep(LOOK_EVERY)
        step = body.get("step") or {}
        succeeded = step.get("outcome") in ("done", "already") and step.get("verified") is not False
        if not self.machine:
            _print_outcome(step, succeeded, body.get("facts") or {}, self.incident)
        return {
            "succeeded": succeeded,
            "outcome": step.get("outcome"),
            "verified": step.get("verified"),
            "timeline": list(body.get("timeline") or ())[first:],
        }

    async def _at_rest(self) -> bool:
        """Whether no lever is being pulled and no check runs."""
        state = (await self.at.status())["services"].get(self.service)
        return state is None or not any(effect.endswith(ACTING) for effect in state["under_way"])

    def _show(self, body: Mapping[str, Any]) -> None:
        lines = list(body.get("timeline") or ())
        if not self.machine:
            for entry in lines[self.seen :]:
                self.out.print(f"{clock(entry['at'])}  {entry['text']}", markup=False)
        self.seen = max(self.seen, len(lines))


def _print_outcome(step: Mapping[str, Any], succeeded: bool, facts: Mapping[str, str], incident: str) -> None:
    out = console()
    if not step:
        return
    if succeeded:
        verified = "verified" if step.get("verified") else "not checked"
        out.print(f"done: {step.get('label')} is in force, {verified}", style="green", markup=False)
        return
    what = facts.get("verified") if step.get("verified") is False else facts.get("action")
    out.print(f"NOT done as ordered: {what or 'the outcome is not known yet'}", style="red", markup=False)
    out.print(f"`notaus incidents {incident}` shows more; by hand: {facts.get('by hand', '-')}", markup=False)
