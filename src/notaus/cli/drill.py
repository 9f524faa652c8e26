"""`notaus drill`: the quarterly drill; not in this release."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.later import not_yet
from notaus.cli.options import Json


def command(
    service: Annotated[str | None, typer.Argument(metavar="[SERVICE]", help="A staging service.")] = None,
    json_: Json = False,
) -> None:
    """Run the quarterly drill on a staging service (not available yet)."""
    raise not_yet("drill", "`notaus demo` shows an incident from end to end")
