"""`notaus trigger`: a report that no metric can see."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Service, Wait
from notaus.cli.orders import give


def command(
    service: Service,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="A rule with `trigger: true`, such as 'data loss'.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What was seen, and by whom.")],
    config: Config = DEFAULT_CONFIG,
    wait: Wait = True,
    json_: Json = False,
) -> None:
    """Report what no metric can see (confirmed data loss); the rule acts at once."""
    give(config, service, "trigger", {"by": by, "rule": rule, "reason": reason}, machine=json_, wait=wait)
