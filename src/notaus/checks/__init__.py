"""How notaus makes sure that a step took effect: one file per check. Adding a check is copying one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from notaus.checks.http import check_http
from notaus.checks.read_back import ReadBackCheck
from notaus.checks.websocket import check_websocket
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.core.effect import RunChecks
from notaus.core.service import Service
from notaus.core.verification import Check, CheckResult, HttpCheck, ReadBack, SignalCheck, WebSocketCheck

CHECK_SECONDS = 15.0
"""No check takes longer; the machine's seconds."""

Found = tuple[bool, str]
"""Whether the check passed, and what it found."""


class Checks:
    """Runs the checks of a step once: a `Checker`."""

    def __init__(self, client: Client, edge: Edge) -> None:
        self._edge = edge
        self._read_back = ReadBackCheck(client)

    async def check(self, service: Service, effect: RunChecks) -> tuple[CheckResult, ...]:
        """One result for each check that applies to the rung, all at once; signal checks report with the verdict."""
        applying = [check for check in service.checks_at(effect.rung) if not isinstance(check.kind, SignalCheck)]
        return tuple(await asyncio.gather(*(self._one(service, effect, check) for check in applying)))

    async def _one(self, service: Service, effect: RunChecks, check: Check) -> CheckResult:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                passed, detail = await self._run(service, effect, check)
        except TimeoutError:
            passed, detail = False, f"not finished within {CHECK_SECONDS:g} s"
        return CheckResult(check.name, passed, detail, check.advisory)

    def _run(self, service: Service, effect: RunChecks, check: Check) -> Coroutine[Any, Any, Found]:
        match check.kind:
            case ReadBack():
                return self._read_back.run(service, effect, check.kind)
            case HttpCheck():
                return check_http(self._edge, check.kind, effect.variables)
            case WebSocketCheck():
                return check_websocket(self._edge, check.kind)
            case SignalCheck():
                raise AssertionError("signal checks are left out above")
