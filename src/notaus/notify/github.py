"""GitHub: one issue for the root cause of an incident that has acted, and a comment at its end.

What happened is filled in; why is left to people, as the runbook's own questions. The issue is found again by a mark in
its text, so that a repetition never opens a second one.
Source: https://docs.github.com/en/rest/issues
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from notaus.core.page import Kind, Message, Remedy, Status
from notaus.notify.delivery import Api
from notaus.notify.text import cut, is_command, label, minute

TITLE_CHARACTERS = 256
BODY_CHARACTERS = 65_536
LOOK_BACK = 100
"""Newest issues looked through for the mark: GitHub's search may lag behind, its list does not."""
APART = "-\u200b-"
"""Two hyphens that do not end a comment."""
CHECKLIST = """\
- [ ] **Root cause**
  - [ ] Why did the deployment (or the change) fail?
  - [ ] Why did testing before production not catch it?
  - [ ] Which metrics would have shown it earlier?
- [ ] **Fix-forward plan**
  - [ ] Fix the root cause
  - [ ] Add tests that prevent a recurrence
  - [ ] Deploy to staging first
  - [ ] Roll out to production in steps
- [ ] **CI/CD**: smoke tests, a canary deployment, staging closer to production
- [ ] Update monitoring, if this is a new way to fail
- [ ] Post-mortem: timeline, root cause, impact, action items, lessons learned"""


@dataclass(frozen=True, slots=True)
class GitHub:
    """An entry of `channels.github`: a fine-grained token with write access to the repository's issues."""

    token: str = field(repr=False)
    repository: str
    """`owner/name`."""
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    """People and teams to be told by the issue, such as `owner/platform`."""
    url: str = "https://api.github.com"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.token,)


async def send(
    http: httpx.AsyncClient, entry: GitHub, to: str, message: Message, link: str | None, receipt: str | None
) -> str | None:
    """Open the issue once the incident has acted, and comment at its end; else nothing. Raises Undelivered."""
    acted = message.kind is Kind.PAGE and message.public.remedy is not Remedy.NONE
    if not acted or (receipt is not None and message.status is not Status.RESOLVED):
        return receipt
    api = _api(http, entry, to)
    number = receipt or await _found(api, message.thread) or await _opened(api, entry, message, link)
    if message.status is Status.RESOLVED:
        await api.ask("POST", f"/{number}/comments", {"body": comment(message, link)})
    return number


async def look(http: httpx.AsyncClient, entry: GitHub, to: str) -> str:
    """What can be said without opening an issue. Raises Undelivered."""
    await _found(_api(http, entry, to), "nothing")
    return f"the issues of {entry.repository} can be read; whether one can be opened only an incident shows"


def _api(http: httpx.AsyncClient, entry: GitHub, to: str) -> Api:
    return Api(http, f"{entry.url.rstrip('/')}/repos/{entry.repository}/issues", to, headers(entry))


def headers(entry: GitHub) -> dict[str, str]:
    return {
        "authorization": f"Bearer {entry.token}",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
        "user-agent": "notaus",
    }


async def _found(api: Api, thread: str) -> str | None:
    """The issue of the thread, if an earlier try has made it."""
    newest = await api.ask("GET", f"?state=all&sort=created&direction=desc&per_page={LOOK_BACK}")
    if not isinstance(newest, list):
        raise api.unexpected()
    for issue in newest:
        if isinstance(issue, dict) and mark(thread) in str(issue.get("body")):
            return _number(api, issue)
    return None


async def _opened(api: Api, entry: GitHub, message: Message, link: str | None) -> str:
    return _number(api, await api.ask("POST", "", issue(entry, message, link)))


def _number(api: Api, issue: Any) -> str:
    if not isinstance(issue, dict) or not isinstance(issue.get("number"), int):
        raise api.unexpected()
    return str(issue["number"])


def mark(thread: str) -> str:
    """A comment that GitHub does not show."""
    return f"<!-- notaus: {thread.replace('--', APART)} -->"


def issue(entry: GitHub, message: Message, link: str | None) -> dict[str, Any]:
    """The issue as GitHub takes it."""
    title = message.title.removeprefix(f"{message.service}: ")
    foot = "".join((f"\n\ncc {' '.join(_mention(m) for m in entry.mentions)}" if entry.mentions else "",
                    f"\n\n{mark(message.thread)}\n"))  # fmt: skip
    told = "\n".join(_told(message, link))
    body = cut(f"{told}\n\n## Root cause analysis\n\n{CHECKLIST}", BODY_CHARACTERS - len(foot)) + foot
    return {
        "title": cut(f"Root cause of {message.incident}: {title}", TITLE_CHARACTERS),
        "body": body,
        **({"labels": list(entry.labels)} if entry.labels else {}),
        **({"assignees": list(entry.assignees)} if entry.assignees else {}),
    }


def comment(message: Message, link: str | None) -> str:
    """The end of the incident: its facts as they are now, its timeline, and where the report is."""
    report = f"`notaus report {message.incident}` prints the report for the post-mortem."
    where = f"{report} The incident: {link}" if link is not None else report
    timeline = "\n".join(f"- {_harmless(line)}" for line in message.timeline) or "- nothing was noted"
    told = "\n".join(_told(message, None))
    return cut(f"{told}\n\n{where}\n\n## Timeline\n\n{timeline}", BODY_CHARACTERS)


def _told(message: Message, link: str | None) -> Iterator[str]:
    """What happened: a heading, the lines, the facts."""
    yield f"## {_harmless(message.banner or message.title)}"
    yield ""
    yield f"{_harmless(message.title)}, {minute(message.at)}."
    yield ""
    for key, value in message.facts.items():
        if is_command(key, value):
            yield f"- **{_harmless(label(key))}:** `{value.replace('`', chr(39))}`"
        else:
            yield f"- **{_harmless(label(key))}:** {_harmless(value)}"
    if link is not None:
        yield f"- **Incident:** {link}"


def _mention(name: str) -> str:
    return name if name.startswith("@") else f"@{name}"


def _harmless(text: str) -> str:
    """Text that calls nobody, links to no issue and closes none of our marks."""
    return re.sub(r"([@#])(?=\w)", "\\1\u200b", " ".join(text.split())).replace("<!--", "<\u200b!--")
