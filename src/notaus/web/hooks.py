"""POST /hooks/…: what others tell the daemon. Each hook has a secret and a rate; a repetition changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from notaus.core import event
from notaus.core.rule import Rule
from notaus.errors import NotausError
from notaus.web import senders
from notaus.web.answers import Answer, Problem, unknown
from notaus.web.bucket import Bucket
from notaus.web.deliveries import Alerts, Deployment, Notification, Pushed, Report, read
from notaus.web.door import Door, body_of
from notaus.web.ports import DaemonView
from notaus.web.slack import Buttons

BODY_BYTES = 256 * 1024
REFUSED_RATE = (60, 60)
"""Calls without proof that are answered with more than "wait": guessing gets nowhere, and costs little."""

PROOFS: dict[str, tuple[senders.Proof, str]] = {
    "alertmanager": (senders.bearer, "send `Authorization: Bearer SECRET` (`http_config: authorization:`)"),
    "cloudflare": (
        senders.cloudflare,
        "enter the hook's secret where the webhook is added: it comes as `cf-webhook-auth`",
    ),
    "push": (senders.signed, "send `Authorization: Bearer SECRET`, or sign the body; docs/hooks.md says how"),
    "slack": (senders.slack, "enter the app's signing secret as the hook's secret, and look at this machine's clock"),
    "deploy": (senders.signed, "send `Authorization: Bearer SECRET`, or sign the body; docs/hooks.md says how"),
}
"""By the last part of the path: how a sender proves itself, and what to tell one that did not."""

Taken = Callable[[bytes], Awaitable[Mapping[str, Any]]]


class Hooks:
    """The routes under /hooks."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon, self._door = daemon, Door(daemon)
        self._buttons = Buttons(daemon, self._door)
        self._buckets: dict[str, Bucket] = {}
        self._takes: dict[str, Taken] = {
            "alertmanager": lambda raw: self._reports("alertmanager", read(Alerts, raw).reports()),
            "cloudflare": lambda raw: self._reports("cloudflare", read(Notification, raw).reports()),
            "deploy": self._deployment,
            "push": self._values,
            "slack": self._buttons.take,
        }
        self.router = Router([Route("/{hook}", self.call, methods=["POST"])])

    async def call(self, request: Request) -> Response:
        """One delivery: from a known sender, not too often, of the right shape."""
        name = request.path_params["hook"]
        if name not in PROOFS:
            raise unknown("hook", name, PROOFS)
        body = await self._admitted(name, request)
        if name == "slack":
            self._buttons.once(request.headers)
        return Answer(await self._takes[name](body))

    async def _admitted(self, name: str, request: Request) -> bytes:
        """The body, if the sender proves itself and its rate allows it. Raises Problem (401, 404, 413, 429)."""
        hook = self._daemon.settings().hooks.get(name)
        if hook is None:
            raise Problem(404, f"the hook {name} is shut", f"open it in notaus.yaml: `hooks: {name}: {{secret: …}}`")
        body = await body_of(request, BODY_BYTES, f"a hook takes at most {BODY_BYTES} bytes")
        is_proven, hint = PROOFS[name]
        proven = is_proven(hook.secret.get_secret_value(), request.headers, body, self._daemon.now())
        wait = self._bucket(f"{name} {proven}", hook.rate if proven else REFUSED_RATE).take()
        if wait:
            raise Problem(429, f"{name} is called too often", f"again in {wait} s", {"retry-after": str(wait)})
        if not proven:
            raise Problem(401, "the sender has not shown that it knows the hook's secret", hint)
        return body

    def _bucket(self, name: str, rate: tuple[int, int]) -> Bucket:
        found = self._buckets.get(name)
        if found is None or found.rate != rate:  # a reload may change it
            found = self._buckets[name] = Bucket(rate, self._daemon.now)
        return found

    async def _reports(self, hook: str, reports: tuple[Report, ...]) -> Mapping[str, Any]:
        """All that is guarded here is done before a sender is told to come again for the rest."""
        wanted = [
            (report, service.name, rule)
            for report in reports
            for service in self._daemon.configured()
            for rule in service.rules
            if any(alert.is_met(hook, report.said) for alert in rule.alerts)
        ]
        wanted.sort(key=lambda each: self._daemon.state(each[1]) is None)
        taken = [await self._report(hook, report, service, rule) for report, service, rule in wanted]
        return {"alerts": len(reports), "taken": taken}

    async def _report(self, hook: str, report: Report, service: str, rule: Rule) -> Mapping[str, Any]:
        now, name = self._daemon.now(), rule.name
        order: event.Order = event.Cleared(now, hook, name, report.text)
        if not report.over:
            order = event.Trigger(now, hook, name, report.text, True, f"{hook}/{name}/{report.fingerprint}")
        reply = await self._owned(service, order)
        return {"service": service, "rule": name, "accepted": reply.accepted, "text": reply.text}

    async def _deployment(self, raw: bytes) -> Mapping[str, Any]:
        told = read(Deployment, raw)
        self._check_service(told.service)
        reply = await self._owned(told.service, told.order(self._daemon.now()))
        self._daemon.look(told.service)
        return {"accepted": reply.accepted, "text": reply.text}

    async def _values(self, raw: bytes) -> Mapping[str, Any]:
        """Values that were sent again replace themselves. Raises Problem (409) with what was wrong with one."""
        told = read(Pushed, raw)
        self._check_service(told.service)
        self._check_owned(told.service)
        try:
            reply = await self._daemon.push(told.service, told.signal, told.series(self._daemon.now()))
        except NotausError as error:
            raise Problem(503, str(error), "send it again") from None
        if not reply.accepted:
            raise Problem(409, reply.text, "none of the values was taken; send them again without what is wrong")
        return {"accepted": True, "text": reply.text}

    def _check_service(self, name: str) -> None:
        names = [service.name for service in self._daemon.configured()]
        if name not in names:
            raise unknown("service", name, names)

    async def _owned(self, service: str, order: event.Order) -> event.Reply:
        self._check_owned(service)
        return await self._door.order(service, order)

    def _check_owned(self, service: str) -> None:
        """503 where another replica guards the service: senders come again."""
        if self._daemon.state(service) is None:
            raise Problem(503, f"{service} is guarded by another replica now", "send it again, to the other one")
