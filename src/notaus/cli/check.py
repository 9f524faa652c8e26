"""`notaus check`: is everything ready? A table of yes and no with reasons; nothing is changed."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.cli.terminal import NO, console, emit, table

MARKS = {"yes": "[green]yes[/]", "no": "[red]no[/]", "?": "[yellow]?[/]"}


def command(
    config: Config = DEFAULT_CONFIG,
    page: Annotated[bool, typer.Option("--page", help="Send a test message to every channel that is named.")] = False,
    json_: Json = False,
) -> None:
    """Is everything ready: configuration, token, permissions, queries, rollback target, channels, clock.

    Nothing is changed. Exit code 1 if anything is not ready. `?` is what cannot be told beforehand.
    """
    from notaus import config as files
    from notaus import log
    from notaus.cli.inspection import Inspection

    configuration = files.load(config)
    log.configure("terminal", "error")
    findings = asyncio.run(Inspection.of(configuration, page=page))
    ready = all(finding.answer != "no" for finding in findings)
    if json_:
        emit({"ready": ready, "findings": [finding.as_json() for finding in findings]})
    else:
        listed = table("what", "ready", "why")
        for finding in findings:
            listed.add_row(finding.what, MARKS[finding.answer], log.scrub(finding.why).replace("[", r"\["))
        console().print(listed)
    if not ready:
        raise typer.Exit(NO)
