"""What was injected into the runs and what came of it, counted: the table at the end says what the simulation has shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from notaus.core.incident import Phase
from notaus.core.state import State
from tests.simulation.record import Moment
from tests.simulation.witness import Run

WIDTH = 100


def tally(run: Run) -> dict[str, int]:
    """Of one run, by `group: kind`."""
    world, plan = run.world, run.world.plan
    found = Counter(world.tally)
    found["runs: seeds"] += 1
    found["runs: simulated hours"] += plan.seconds // 3600
    found["runs: daemons started"] += world.started
    found["runs: events taken"] += sum(map(len, world.record.moments.values()))
    found["runs: requests served"] += len(world.box.journal.requests)
    found.update(f"trouble: {trouble.kind}" for trouble in plan.troubles)
    for pull in world.record.pulls:
        found[
            "action: tried again" if pull.again else "action: automatic" if pull.automatic else "action: ordered"
        ] += 1
    found.update(f"workflow: {run.inputs['mode']}, {run.conclusion}" for run in world.box.actions.runs)
    found["runs: seeds with a page beyond"] += bool(plan.page)
    found["runs: seeds that enforce"] += plan.enforce
    found.update(f"write: {write.kind}" for write in world.box.writes if write.by == "api")
    for moments in world.record.moments.values():
        for moment in moments:
            found.update(_seen(moment))
    found["message: arrived"] = sum(page.accepted for page in run.pages)
    tried = [request for request in world.box.journal.requests if "/pages/webhook/" in request.path]
    found["message: refused or unanswered"] = sum(request.status != 200 for request in tried)
    return dict(found)


def _seen(moment: Moment) -> Iterator[str]:
    old, new = moment.before.incident, moment.after.incident
    if new is not None and (old is None or old.id != new.id):
        yield "incident: opened"
    if old is not None and (new is None or old.id != new.id):
        yield "incident: closed"
    if new is not None and new.override is not None and (old is None or old.override is None):
        yield "incident: override"
    if old is not None and new is not None and old.phase is Phase.VALIDATING and new.phase is not old.phase:
        yield f"verdict: then {new.phase}"
    if moment.after.request is not None and _request(moment.before) != moment.after.request.id:
        yield "approval: asked"
    for id, answer in moment.after.answered.items():
        if id not in moment.before.answered:
            yield f"approval: {answer}"


def _request(state: State) -> str | None:
    return state.request.id if state.request is not None else None


def table(counts: Mapping[str, int]) -> list[str]:
    """For people: a line or more for each group, the most frequent kind first."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        group, _, kind = name.partition(": ")
        groups.setdefault(group, []).append((kind or "", count))
    lines: list[str] = []
    for group in sorted(groups, key=lambda name: (name != "runs", name)):
        line = f"{group:10}"
        for kind, count in groups[group]:
            piece = f"  {kind} {count:,}"
            if len(line) + len(piece) > WIDTH:
                lines, line = [*lines, line], " " * 10
            line += piece
        lines.append(line)
    return lines
