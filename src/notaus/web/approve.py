"""/approve/TOKEN: the page behind a signed link. GET shows and asks, and changes nothing: previews and scanners get too."""

from __future__ import annotations

import structlog
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from notaus.core.approval import proposal
from notaus.core.event import Answer
from notaus.core.paging import duration
from notaus.core.service import Service
from notaus.core.state import Request, State
from notaus.web.answers import Problem
from notaus.web.door import Door
from notaus.web.links import Link, Links
from notaus.web.page import page, respond
from notaus.web.ports import DaemonView

OTHERWISE = "`notaus status` shows what is going on, and `notaus approve` answers a request that is open."

log = structlog.get_logger(__name__)


class Approve:
    """The pages of one daemon."""

    def __init__(self, daemon: DaemonView, links: Links) -> None:
        self._daemon, self._links, self._door = daemon, links, Door(daemon)
        self.route = Route("/approve/{token}", self.answer, methods=["GET", "POST"])

    async def answer(self, http: HttpRequest) -> Response:
        """What the link would do, or that it is done, or why it cannot be."""
        link = self._links.read(http.path_params["token"])
        if link is None:
            return respond(404, page("This link is not one of ours", ["It may have been cut off.", OTHERWISE]))
        if self._daemon.now() >= link.expires:
            log.info(
                "an expired link was opened", service=link.service, request=link.request, contact=str(link.contact)
            )
            return respond(410, page("This link has expired", ["Nothing was done by opening it.", OTHERWISE]))
        service = next((each for each in self._daemon.configured() if each.name == link.service), None)
        state = self._daemon.state(link.service)
        if service is None or state is None:
            return respond(503, page("This cannot be answered here now", ["Another replica guards it.", OTHERWISE]))
        if http.method == "POST":
            return await self._give(link)
        return self._ask(link, service, state)

    def _ask(self, link: Link, service: Service, state: State) -> Response:
        request = state.request
        if request is None or request.id != link.request:
            return self._over(link, state)
        if link.contact not in service.contacts.approvers:
            return respond(403, page(f"{link.contact} is no approver any more", [OTHERWISE]))
        verb = "Approve" if link.approved else "Deny"
        what = proposal(state, request)
        happens = "It is carried out at once." if link.approved else "Nothing is done for this breach."
        return respond(200, page(f"{verb} {what}?", [happens], _facts(link, state, request), f"{verb} {what}"))

    def _over(self, link: Link, state: State) -> Response:
        how = state.answered.get(link.request, "over")
        return respond(
            410, page(f"The request is {how} already", ["Nothing was done by opening this link.", OTHERWISE])
        )

    async def _give(self, link: Link) -> Response:
        """By way of the core also where the request is over: late answers stand in the journal."""
        by = f"{link.contact}, by link"
        order = Answer(self._daemon.now(), by, link.approved, link.request, link.contact)
        try:
            reply = await self._door.order(link.service, order)
        except Problem as problem:
            return respond(problem.status, page("This could not be taken", [problem.error, problem.hint]))
        said = ("Approved" if link.approved else "Denied") if reply.accepted else "Not done"
        return respond(200 if reply.accepted else 409, page(said, [f"{reply.text}.", OTHERWISE]))


def _facts(link: Link, state: State, request: Request) -> list[tuple[str, str]]:
    incident = state.incident.facts if state.incident is not None else {}
    known = [(name.capitalize(), incident[name]) for name in ("values", "evidence", "release") if name in incident]
    return [
        ("Service", link.service),
        ("Rule", ", ".join(request.rules)),
        *known,
        ("Why it asks", request.reason),
        ("Expires in", duration(max(0, request.left))),
        ("Request", request.id),
        ("You answer as", str(link.contact)),
    ]
