"""Approval requests: which service an answer is for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from notaus.cli.desk import reading
from notaus.cli.orders import give
from notaus.errors import ConfigurationError, NotausError


def answer(directory: Path, request: str | None, name: str, by: str, *, machine: bool, wait: bool = False) -> None:
    """Answer a request: the one named, or the only one that is open."""
    service, request = asyncio.run(_found(directory, request))
    give(directory, service, name, {"by": by, "request": request}, machine=machine, wait=wait)


async def _found(directory: Path, request: str | None) -> tuple[str, str]:
    """Service and id. Raises NotausError where none, or more than one, could be meant."""
    async with reading(directory) as at:
        services: dict[str, Any] = dict((await at.status())["services"])
    if request is not None:
        service = request.rpartition("-")[0]
        if service not in services:
            raise ConfigurationError(f"{request!r} is no request; they are called SERVICE-N, such as bookstrack-12")
        return service, request
    open_ = {service: state["request"] for service, state in services.items() if state["request"]}
    if not open_:
        raise NotausError("no request is open")
    if len(open_) > 1:
        raise ConfigurationError(f"several requests are open: {', '.join(open_.values())}; name one")
    return next(iter(open_.items()))
