"""`notaus set`: moves a service to a rung."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Reason, Service, Wait
from notaus.cli.orders import give


def command(
    service: Service,
    rung: Annotated[str, typer.Argument(metavar="RUNG", help="A rung of its ladder.")],
    by: By,
    reason: Reason = "",
    config: Config = DEFAULT_CONFIG,
    wait: Wait = True,
    json_: Json = False,
) -> None:
    """Move a service to a rung, up or down the ladder, and verify it."""
    give(config, service, "set", {"by": by, "rung": rung, "reason": reason}, machine=json_, wait=wait)
