"""`notaus rollback`: deploys the last known-stable version, or the one named."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Reason, Service, Wait
from notaus.cli.orders import give


def command(
    service: Service,
    by: By,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="A version id or tag; else the last known-stable one.")
    ] = None,
    reason: Reason = "",
    accept_changed_secrets: Annotated[
        bool, typer.Option("--accept-changed-secrets", help="Deploy it though secrets have changed since.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    wait: Wait = True,
    json_: Json = False,
) -> None:
    """Deploy the last known-stable version of a service, and verify it."""
    body = {"by": by, "to": to, "reason": reason, "accept_changed_secrets": accept_changed_secrets}
    give(config, service, "rollback", body, machine=json_, wait=wait)
