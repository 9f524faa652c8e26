"""`notaus close`: ends an incident."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from notaus.cli.desk import reading
from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json
from notaus.cli.orders import give
from notaus.errors import ConfigurationError


def command(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, as `notaus incidents` lists it.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in its timeline.")],
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """Close an incident; what it did stays in force."""
    service = asyncio.run(_service_of(config, incident))
    give(config, service, "close", {"by": by, "incident": incident, "reason": reason}, machine=json_)


async def _service_of(config: Config, incident: str) -> str:
    async with reading(config) as at:
        found = await at.incident(incident)
    if found is None:
        raise ConfigurationError(f"there is no incident {incident!r}; `notaus incidents` lists them")
    return str(found["service"])
