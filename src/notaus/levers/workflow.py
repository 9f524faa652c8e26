"""The `workflow` lever of a rung: a GitHub Actions workflow, dispatched once and followed to its conclusion.

A dispatch has no key by which GitHub would know a repetition. So ours is in the inputs (`$reason`, `$key`), from where
the workflow's `run-name` shows it; and whatever was not answered is looked for among the runs before it is sent again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from notaus.clock import Clock
from notaus.core.effect import Invoke, LeverResult, Outcome
from notaus.core.ladder import WorkflowLever, filled
from notaus.core.service import Service
from notaus.errors import CallFailed, Refused, Silent
from notaus.levers.actions import Actions, WorkflowRun
from notaus.levers.patience import Patience

PATIENCE_SECONDS = 60.0
"""For a dispatch to be taken, and for its run to show."""
APPEARS_SECONDS = 20.0
"""A run shows in the list some seconds after its dispatch."""
LOOK_EVERY = 5.0
SKEW_SECONDS = 60
"""GitHub's clock is its own."""
REASON_CHARACTERS = 200
NOT_STARTED = "no run of it shows"


class WorkflowPuller:
    """Dispatches workflows, and follows their runs."""

    def __init__(self, actions: Actions, clock: Clock) -> None:
        self._actions, self._clock = actions, clock

    async def pull(self, service: Service, action: Invoke, lever: WorkflowLever) -> LeverResult:
        """Never raises for what GitHub does; safe to call again: the run of a step is known by the step's key."""
        return await _Pull(self._actions, self._clock, service, action, lever).run()


@dataclass(slots=True)
class _Pull:
    """One pull, from the first look to the run's conclusion."""

    actions: Actions
    clock: Clock
    service: Service
    action: Invoke
    lever: WorkflowLever
    patience: Patience = field(init=False)
    unanswered: bool = False
    """A dispatch may have started a run that has not shown yet."""

    def __post_init__(self) -> None:
        self.patience = Patience(self.clock, PATIENCE_SECONDS)
        self.unanswered = self.action.again or self.action.look_only

    async def run(self) -> LeverResult:
        while True:
            try:
                started = await self._look()
                if started is None and self.action.look_only:
                    return self._ended(Outcome.FAILED, NOT_STARTED)
                started = started or await self._leap()
                if started is None:
                    return self._ended(Outcome.UNKNOWN, f"was dispatched, but {NOT_STARTED}")
                return await self._follow(started)
            except Refused as refused:
                return self._ended(Outcome.UNKNOWN if self.unanswered else Outcome.REFUSED, str(refused))
            except CallFailed as failure:
                if not await self.patience.wait(failure):
                    return self._ended(Outcome.UNKNOWN if self.unanswered else Outcome.FAILED, str(failure))

    async def _look(self) -> WorkflowRun | None:
        """The run that this step has started; None where there is none. Raises CallFailed."""
        started = self.clock.now()
        while True:
            ours = self._ours(await self.actions.runs(self.lever, self.action.since - SKEW_SECONDS))
            if ours is not None or not self.unanswered:
                return ours
            if self.clock.now() - started >= APPEARS_SECONDS:
                self.unanswered = False
                return None
            await self.clock.sleep(LOOK_EVERY)

    def _ours(self, runs: Iterable[WorkflowRun]) -> WorkflowRun | None:
        """The newest run whose title has our key; or, where titles say nothing of the inputs and one of ours may be
        under way, the first since."""
        found, mark = list(runs), re.compile(rf"(?<![\w-]){re.escape(self.action.key)}(?!-?\d)")
        marked = next((run for run in found if mark.search(run.title)), None)
        silent = [run for run in found if run.title in ("", run.workflow) and run.created >= self.action.since]
        return marked or (silent[-1] if silent and self.unanswered else None)

    async def _leap(self) -> WorkflowRun | None:
        """Dispatch, and wait for the run to show; None where it does not. Raises CallFailed."""
        named = self.lever.undo if self.action.undo else self.lever.inputs
        reason = f"notaus {self.action.key}: {self.action.reason}"[:REASON_CHARACTERS]
        names = {"reason": reason, "key": self.action.key, "service": self.service.name}
        names |= {"rung": self.action.rung, "incident": self.action.incident}
        try:
            started = await self.actions.dispatch(self.lever, filled(named, names))
        except Silent:  # it may have been taken; that a look was not answered says nothing of it
            self.unanswered = True
            raise
        self.unanswered = True
        return started or await self._look()

    async def _follow(self, run: WorkflowRun) -> LeverResult:
        """To the run's conclusion, as far as the deadline goes."""
        until, said = self.clock.now() + self.lever.within, "it has not come to a conclusion"
        while True:
            try:
                now = await self.actions.run(self.lever, run.id)
            except CallFailed as failure:
                said = str(failure)
            else:
                if now.conclusion is not None:
                    return self._concluded(now)
            if self.clock.now() >= until:
                return self._ended(Outcome.UNKNOWN, f"{said} within {self.lever.within} s: {run.url}")
            await self.clock.sleep(LOOK_EVERY)

    def _concluded(self, run: WorkflowRun) -> LeverResult:
        if run.conclusion == "success":
            return self._ended(Outcome.DONE, f"succeeded: {run.url}")
        return self._ended(Outcome.REFUSED, f"ended as {run.conclusion}: {run.url}")

    def _ended(self, outcome: Outcome, what: str) -> LeverResult:
        which = f"{self.action.rung}, taken back" if self.action.undo else self.action.rung
        return LeverResult(outcome, f"{which}: workflow {self.lever.file} of {self.lever.repository} {what}")
