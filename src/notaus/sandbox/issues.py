"""GitHub's issues over its REST API: lists, new ones, changes and comments, with its authentication and its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .sinks import Sinks, body_of
from .wire import Answer, Call, iso_seconds, json_answer

BODY_CHARACTERS: Final = 65_536
MOST_A_PAGE: Final = 100


@dataclass(slots=True)
class Issues:
    """Repositories by their name, all of which exist; a token that begins with ``wrong`` is no token."""

    sinks: Sinks
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[str]] = field(default_factory=dict)
    """By the issue's number."""

    def listed(self, call: Call) -> Answer:
        """``GET /repos/{owner}/{repository}/issues``: open ones, the newest first, unless asked otherwise."""
        if (wrong := wrong_with_access(call)) is not None:
            return wrong
        state = call.query.get("state", "open")
        found = [i for i in self.issues if i["repository"] == _repository(call) and state in (i["state"], "all")]
        found = found if call.query.get("direction") == "asc" else found[::-1]
        size = call.query.get("per_page", "30")
        return json_answer(found[: min(int(size) if size.isdigit() else 30, MOST_A_PAGE)])

    def create(self, call: Call) -> Answer:
        """``POST /repos/{owner}/{repository}/issues``."""
        body = body_of(call)
        wrong = wrong_with_access(call) or _wrong_with(body)
        self.sinks.received(call, "github", body, wrong is None)
        if wrong is not None:
            return wrong
        number, repository = len(self.issues) + 1, _repository(call)
        issue = {
            "id": 10_000 + number,
            "number": number,
            "state": "open",
            "html_url": f"https://github.com/{repository}/issues/{number}",
            "repository": repository,
            "created_at": iso_seconds(call.at),
            "title": body["title"],
            "body": body.get("body"),
            "labels": [{"name": name} for name in body.get("labels", ())],
            "assignees": [{"login": name} for name in body.get("assignees", ())],
        }
        self.issues.append(issue)
        return json_answer(issue, 201)

    def update(self, call: Call) -> Answer:
        """``PATCH …/issues/{number}``."""
        return self._about_one(call, lambda issue, body: self._patched(issue, body))

    def comment(self, call: Call) -> Answer:
        """``POST …/issues/{number}/comments``."""
        return self._about_one(call, lambda issue, body: self._commented(issue, body))

    def repository(self, call: Call) -> Answer:
        """``GET /repos/{owner}/{repository}``."""
        return wrong_with_access(call) or json_answer({"full_name": _repository(call), "has_issues": True})

    def _about_one(self, call: Call, act: Any) -> Answer:
        body, number = body_of(call), call.params["number"]
        known = self.issues[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(self.issues) else None
        wrong = wrong_with_access(call) or (json_answer({"message": "Not Found"}, 404) if known is None else None)
        if wrong is None and not isinstance(body, dict):
            wrong = json_answer({"message": "Problems parsing JSON"}, 400)
        self.sinks.received(call, "github", body, wrong is None)
        answer: Answer = wrong or act(known, body)
        return answer

    def _patched(self, issue: dict[str, Any], body: dict[str, Any]) -> Answer:
        issue.update({k: v for k, v in body.items() if k in ("title", "body", "state")})
        return json_answer(issue)

    def _commented(self, issue: dict[str, Any], body: dict[str, Any]) -> Answer:
        text = str(body.get("body") or "")
        if not text or len(text) > BODY_CHARACTERS:
            return json_answer({"message": "Validation Failed", "errors": [{"field": "body"}]}, 422)
        self.comments.setdefault(issue["number"], []).append(text)
        return json_answer({"id": len(text), "body": text}, 201)


def _repository(call: Call) -> str:
    return f"{call.params['owner']}/{call.params['repository']}"


def wrong_with_access(call: Call) -> Answer | None:
    """What GitHub says to a call without an agent's name or a token; None where both are there."""
    if not call.headers.get("user-agent"):
        return json_answer({"message": "Request forbidden by administrative rules."}, 403)
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    if kind.lower() not in ("bearer", "token") or not token:
        return json_answer({"message": "Requires authentication"}, 401)
    return json_answer({"message": "Bad credentials"}, 401) if token.startswith("wrong") else None


def _wrong_with(body: Any) -> Answer | None:
    if not isinstance(body, dict) or not body.get("title"):
        errors = [{"resource": "Issue", "field": "title", "code": "missing_field"}]
        return json_answer({"message": "Validation Failed", "errors": errors}, 422)
    if len(str(body.get("body") or "")) > BODY_CHARACTERS:
        return json_answer({"message": "Validation Failed", "errors": ["body is too long"]}, 422)
    return None
