"""`notaus deny`: answers an approval request."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json
from notaus.cli.requests import answer


def command(
    by: By,
    request: Annotated[
        str | None, typer.Argument(metavar="[REQUEST]", help="Its id; left out, the only one that is open.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """Deny a request: nothing is done."""
    answer(config, request, "deny", by, machine=json_)
