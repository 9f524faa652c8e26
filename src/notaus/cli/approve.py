"""`notaus approve`: answers an approval request."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Wait
from notaus.cli.requests import answer


def command(
    by: By,
    request: Annotated[
        str | None, typer.Argument(metavar="[REQUEST]", help="Its id; left out, the only one that is open.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    wait: Wait = True,
    json_: Json = False,
) -> None:
    """Approve a request: everything is checked again, then it is done."""
    answer(config, request, "approve", by, machine=json_, wait=wait)
