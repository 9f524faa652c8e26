"""`notaus restore`: the way back to normal."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Service, Wait
from notaus.cli.orders import give


def command(
    service: Service,
    by: By,
    attest: Annotated[
        list[str] | None,
        typer.Option("--attest", metavar="TEXT", help="A prerequisite that you vouch for; repeatable."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    wait: Wait = True,
    json_: Json = False,
) -> None:
    """Start the way back to normal, or list the prerequisites that are not met."""
    give(config, service, "restore", {"by": by, "attest": attest or []}, machine=json_, wait=wait)
