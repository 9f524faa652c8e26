"""`notaus hold`: no version rollbacks for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Service, seconds
from notaus.cli.orders import give


def command(
    service: Service,
    by: By,
    for_: Annotated[int, typer.Option("--for", metavar="DURATION", parser=seconds, help="How long, such as 1h.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; shown on pages meanwhile.")],
    everything: Annotated[bool, typer.Option("--all", help="No KV steps either.")] = False,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """Block version rollbacks for a while (a migration, say); KV steps stay allowed unless --all."""
    body = {"by": by, "seconds": for_, "reason": reason, "all": everything}
    give(config, service, "hold", body, machine=json_)
