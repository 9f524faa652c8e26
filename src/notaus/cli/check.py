"""`notaus check`: is everything ready? A table of yes and no with reasons; nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.cli.terminal import NO, emit, escape

if TYPE_CHECKING:
    from notaus.cli.findings import Finding

MARKS = {"yes": "[green]yes[/]", "no": "[red]NO[/]", "?": "[yellow]?[/]"}
WIDE = 100
"""Columns: what fits beside a browser, and on a terminal at 3 a.m."""
ROOM = 44
"""Columns of `what` at the most."""


def command(
    config: Config = DEFAULT_CONFIG,
    page: Annotated[bool, typer.Option("--page", help="Send a test message to every channel that is named.")] = False,
    json_: Json = False,
) -> None:
    """Is everything ready: configuration, permissions one by one, queries, thresholds, target, channels, clock.

    Nothing is changed. Exit code 1 with the reasons if anything is not ready. `?` is what cannot be told beforehand.
    """
    from notaus import config as files
    from notaus import log
    from notaus.cli.inspection import Inspection

    configuration = files.load(config)
    log.configure("terminal", "error")
    found = asyncio.run(Inspection.of(configuration, page=page))
    missing = [finding for finding in found if finding.answer == "no"]
    if json_:
        emit({"ready": not missing, "findings": [finding.as_json() for finding in found]})
    else:
        _show(found, missing)
    if missing:
        raise typer.Exit(NO)


def _show(found: Sequence[Finding], missing: Sequence[Finding]) -> None:
    """A table for each service, and for what all of them share; then what is missing."""
    from notaus.cli.terminal import console, table
    from notaus.log import scrub

    out = console(WIDE)
    for about in dict.fromkeys(finding.about for finding in found):
        listed = table("what", "ready", "why", title=about)
        listed.columns[0].min_width, listed.columns[0].max_width = ROOM // 2, ROOM
        listed.columns[1].min_width = len("ready")
        for finding in found:
            if finding.about == about:
                listed.add_row(escape(finding.what), MARKS[finding.answer], escape(scrub(finding.why)))
        out.print(listed)
    if not missing:
        unsure = sum(finding.answer == "?" for finding in found)
        out.print(f"ready: {len(found)} things looked at, {unsure} of them cannot be told beforehand", style="green")
        return
    out.print(f"NOT READY: {len(missing)} of {len(found)}", style="bold red")
    for finding in missing:
        out.print(f"- {finding.named}: {scrub(finding.why)}", markup=False)
