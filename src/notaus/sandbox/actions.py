"""GitHub Actions over its REST API: dispatches of workflows and the runs they become, which take their time and end.

Every repository has every workflow, but for files that begin with ``missing``, which are not found; inputs that begin
with ``unexpected`` and refs that begin with ``missing`` are refused. A run's title is made of its inputs, as ``run-name``
would make it, unless ``titled`` is off: then it is the workflow's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from .issues import wrong_with_access
from .sinks import Sinks, body_of
from .wire import Answer, Call, iso_seconds, json_answer

CONCLUSIONS: Final = ("success", "failure", "cancelled", "timed_out")
MOST_INPUTS: Final = 25
MOST_A_PAGE: Final = 100
STARTS_AFTER: Final = 2.0


@dataclass(slots=True)
class Run:
    """One run of a workflow, begun at ``at``."""

    id: int
    at: float
    repository: str
    file: str
    ref: str
    inputs: dict[str, Any]
    title: str
    takes: float
    conclusion: str
    shows_at: float

    def as_json(self, now: float) -> dict[str, Any]:
        """The run as the API shows it at ``now``."""
        done, started = now >= self.at + self.takes, now >= self.at + STARTS_AFTER
        url = f"https://github.com/{self.repository}/actions/runs/{self.id}"
        return {
            "id": self.id,
            "name": _name(self.file),
            "display_title": self.title,
            "path": f".github/workflows/{self.file}",
            "event": "workflow_dispatch",
            "head_branch": self.ref,
            "status": "completed" if done else "in_progress" if started else "queued",
            "conclusion": self.conclusion if done else None,
            "created_at": iso_seconds(self.at),
            "run_attempt": 1,
            "url": f"https://api.github.com/repos/{self.repository}/actions/runs/{self.id}",
            "html_url": url,
        }


@dataclass(slots=True)
class Actions:
    """Every run so far, and how those to come will go."""

    sinks: Sinks
    now: Callable[[], float]
    runs: list[Run] = field(default_factory=list)
    takes: float = 30.0
    """Seconds a run takes."""
    shows_after: float = 3.0
    """Seconds until a run shows in the list."""
    titled: bool = True
    tells_run: bool = True
    """Whether a dispatch is answered with its run, where that is asked for; off, as it was before February 2026."""
    conclusions: list[str] = field(default_factory=list)
    """Of the next runs, in order; then success."""

    def dispatch(self, call: Call) -> Answer:
        """``POST /repos/{owner}/{repository}/actions/workflows/{workflow}/dispatches``."""
        body = body_of(call)
        wrong = wrong_with_access(call) or _missing(call) or _wrong_with(body)
        self.sinks.received(call, "github", body, wrong is None)
        if wrong is not None:
            return wrong
        run = self._started(call, body)
        if not (self.tells_run and body.get("return_run_details")):
            return Answer(204)
        shown = run.as_json(call.at)
        return json_answer({"workflow_run_id": run.id, "run_url": shown["url"], "html_url": shown["html_url"]})

    def _started(self, call: Call, body: dict[str, Any]) -> Run:
        inputs, file = dict(body.get("inputs") or {}), call.params["workflow"]
        title = " ".join(str(value) for value in inputs.values()) if self.titled else ""
        conclusion = self.conclusions.pop(0) if self.conclusions else "success"
        run = Run(
            9_000_000 + len(self.runs),
            call.at,
            _repository(call),
            file,
            str(body["ref"]),
            inputs,
            title or _name(file),
            self.takes,
            conclusion,
            call.at + self.shows_after,
        )
        self.runs.append(run)
        return run

    def workflow(self, call: Call) -> Answer:
        """``GET …/actions/workflows/{workflow}``; files that begin with ``disabled`` were disabled by somebody."""
        if (wrong := wrong_with_access(call) or _missing(call)) is not None:
            return wrong
        file = call.params["workflow"]
        state = "disabled_manually" if file.startswith("disabled") else "active"
        return json_answer({"id": 1, "name": _name(file), "path": f".github/workflows/{file}", "state": state})

    def listed(self, call: Call) -> Answer:
        """``GET …/actions/workflows/{workflow}/runs``, the newest first; ``event`` and ``created=>=TIME`` narrow it."""
        if (wrong := wrong_with_access(call) or _missing(call)) is not None:
            return wrong
        since = call.query.get("created", "").removeprefix(">=")
        found = [
            run.as_json(call.at)
            for run in reversed(self.runs)
            if (run.repository, run.file) == (_repository(call), call.params["workflow"])
            and run.shows_at <= call.at
            and iso_seconds(run.at) >= since
            and call.query.get("event", "workflow_dispatch") == "workflow_dispatch"
        ]
        size = call.query.get("per_page", "30")
        shown = found[: min(int(size) if size.isdigit() else 30, MOST_A_PAGE)]
        return json_answer({"total_count": len(found), "workflow_runs": shown})

    def one(self, call: Call) -> Answer:
        """``GET …/actions/runs/{run}``."""
        if (wrong := wrong_with_access(call)) is not None:
            return wrong
        known = [r for r in self.runs if (str(r.id), r.repository) == (call.params["run"], _repository(call))]
        return json_answer(known[0].as_json(call.at)) if known else json_answer({"message": "Not Found"}, 404)

    def state(self) -> list[dict[str, Any]]:
        """Every run, with its inputs, which GitHub itself does not show."""
        return [{**run.as_json(self.now()), "inputs": run.inputs} for run in self.runs]


def _name(file: str) -> str:
    return file.rpartition(".")[0]


def _repository(call: Call) -> str:
    return f"{call.params['owner']}/{call.params['repository']}"


def _missing(call: Call) -> Answer | None:
    return json_answer({"message": "Not Found"}, 404) if call.params["workflow"].startswith("missing") else None


def _wrong_with(body: Any) -> Answer | None:
    if not isinstance(body, dict) or not isinstance(body.get("ref"), str) or not body["ref"]:
        return json_answer({"message": 'Invalid request.\n\n"ref" wasn\'t supplied.'}, 422)
    if body["ref"].startswith("missing"):
        return json_answer({"message": f"No ref found for: {body['ref']}"}, 422)
    inputs = body.get("inputs") or {}
    if not isinstance(inputs, dict) or len(inputs) > MOST_INPUTS:
        return json_answer({"message": f"Invalid request.\n\nAt most {MOST_INPUTS} inputs."}, 422)
    unexpected = [name for name in inputs if name.startswith("unexpected")]
    return json_answer({"message": f"Unexpected inputs provided: {unexpected}"}, 422) if unexpected else None
