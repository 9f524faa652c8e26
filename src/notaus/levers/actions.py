"""GitHub's Actions API, as far as a lever needs it: look at a workflow, dispatch it, list its runs, look at one.

Source: https://docs.github.com/en/rest/actions/workflows and https://docs.github.com/en/rest/actions/workflow-runs
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from notaus import body as bodies
from notaus.core.ladder import WorkflowLever
from notaus.errors import Busy, CallFailed, Refused, Silent

DEADLINE_SECONDS = 10.0
ANSWER_BYTES = 4_000_000
"""A hundred runs, each with its repository and its newest commit."""
SAID_CHARACTERS = 200
LISTED = 100
GATEWAY = frozenset({502, 504})
"""Of a dispatch: whoever stands in front gave up waiting, and it may have been taken."""


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run as the API shows it."""

    id: int
    url: str
    """For people."""
    title: str = ""
    """Of the run: what `run-name` makes of its inputs; without that, the workflow's name."""
    workflow: str = ""
    """The workflow's name."""
    created: int = 0
    conclusion: str | None = None
    """None until it is completed."""


class Actions:
    """The Actions API with one token (`Actions: read and write` on the repositories)."""

    def __init__(
        self, http: httpx.AsyncClient, token: SecretStr, url: str, before_write: Callable[[], None] = lambda: None
    ) -> None:
        """`before_write` is called before a dispatch leaves; it raises where another acts by now."""
        self._http, self._token, self._url, self._before_write = http, token, url.rstrip("/"), before_write

    async def dispatch(self, lever: WorkflowLever, inputs: Mapping[str, str]) -> WorkflowRun | None:
        """Start the workflow; None where the API does not say which run it became.

        Raises CallFailed: Silent where it may have been started.
        """
        self._before_write()
        body = {"ref": lever.ref, "inputs": dict(inputs), "return_run_details": True}
        said = await self._ask("POST", f"{_workflow(lever)}/dispatches", body)
        if not isinstance(said, dict) or not isinstance(said.get("workflow_run_id"), int):
            return None
        return WorkflowRun(said["workflow_run_id"], str(said.get("html_url") or said.get("run_url") or ""))

    async def runs(self, lever: WorkflowLever, since: int) -> tuple[WorkflowRun, ...]:
        """The newest dispatched runs of the workflow created since, the newest first. Raises CallFailed."""
        created = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
        asked = f"event=workflow_dispatch&created={quote(f'>={created}')}&per_page={LISTED}"
        said = await self._ask("GET", f"{_workflow(lever)}/runs?{asked}")
        found = said.get("workflow_runs") if isinstance(said, dict) else None
        if not isinstance(found, list):
            raise Silent("GitHub: the list of runs is not shaped as expected")
        return tuple(_run(one) for one in found)

    async def workflow(self, lever: WorkflowLever) -> str:
        """The state of the workflow itself: `active`, or why it is not. Raises CallFailed."""
        said = await self._ask("GET", _workflow(lever))
        state = said.get("state") if isinstance(said, dict) else None
        if not isinstance(state, str):
            raise Silent("GitHub: the workflow is not shaped as expected")
        return state

    async def run(self, lever: WorkflowLever, id: int) -> WorkflowRun:
        """Raises CallFailed."""
        return _run(await self._ask("GET", f"{_repository(lever)}/actions/runs/{id}"))

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {
            "authorization": f"Bearer {self._token.get_secret_value()}",
            "accept": "application/vnd.github+json",
            "accept-encoding": bodies.ACCEPTED,
            "x-github-api-version": "2022-11-28",
            "user-agent": "notaus",
        }
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                async with self._http.stream(
                    method, self._url + path, json=body, headers=headers, timeout=DEADLINE_SECONDS
                ) as response:
                    content = await bodies.read(response, ANSWER_BYTES)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Busy(f"GitHub: could not connect ({type(error).__name__})") from None
        except (TimeoutError, httpx.TimeoutException):
            raise Silent(f"GitHub: no answer within {DEADLINE_SECONDS:g} s") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Refused("GitHub: `github: url:` in notaus.yaml is no http(s) URL") from None
        except httpx.HTTPError as error:
            raise Silent(
                f"GitHub: the connection broke before the answer was complete ({type(error).__name__})"
            ) from None
        if not response.is_success:
            raise _failed(response, content, safe=method == "GET")
        if not content:
            return None
        try:
            return bodies.as_json(content)
        except ValueError:
            raise Silent(f"GitHub: answered {response.status_code}, but no JSON") from None


def _repository(lever: WorkflowLever) -> str:
    return f"/repos/{quote(lever.repository)}"


def _workflow(lever: WorkflowLever) -> str:
    return f"{_repository(lever)}/actions/workflows/{quote(lever.file, safe='')}"


def _run(said: Any) -> WorkflowRun:
    try:
        concluded = said["conclusion"] if said["status"] == "completed" else None
        created = int(datetime.fromisoformat(said["created_at"]).timestamp())
        title, name = str(said.get("display_title") or ""), str(said.get("name") or "")
        return WorkflowRun(int(said["id"]), str(said["html_url"]), title, name, created, concluded)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Silent("GitHub: a run is not shaped as expected") from None


def _failed(response: httpx.Response, content: bytes, *, safe: bool) -> CallFailed:
    status = response.status_code
    said = _said(content)
    text = f"GitHub answered {status}{f': {said}' if said else ''}"
    wait = response.headers.get("retry-after", "").strip()
    retry_after = float(wait) if wait.isascii() and wait.isdigit() else None
    # GitHub says "too many" with a 403, too, and by these two headers.
    throttled = status == 403 and (retry_after is not None or response.headers.get("x-ratelimit-remaining") == "0")
    if status in GATEWAY and not safe:
        return Silent(text, status=status)
    if status in (408, 429) or status >= 500 or throttled:
        return Busy(text, status=status, retry_after=retry_after)
    return Refused(f"{text}{HINTS.get(status, '')}", status=status)


HINTS = {
    401: "; the token under `github:` in notaus.yaml is not valid",
    403: "; the token needs `Actions: read and write` on the repository",
    404: "; is the repository, the workflow's file and the token's access to them right?",
    422: "; does the workflow have `workflow_dispatch` with these inputs, on that ref?",
}


def _said(content: bytes) -> str:
    try:
        message = bodies.as_json(content)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return " ".join(str(message).split())[:SAID_CHARACTERS]
