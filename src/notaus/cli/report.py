"""`notaus report`: the post-incident document; not in this release."""

from __future__ import annotations

from typing import Annotated

import typer

from notaus.cli.later import not_yet
from notaus.cli.options import Json


def command(
    incident: Annotated[str | None, typer.Argument(metavar="[ID]", help="The incident.")] = None, json_: Json = False
) -> None:
    """The post-incident document in Markdown (not available yet)."""
    raise not_yet("report", "`notaus incidents ID` prints the timeline")
