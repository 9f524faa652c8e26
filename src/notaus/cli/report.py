"""`notaus report`: the document about an incident, made of the journal alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.errors import NotausError


def command(
    incident: Annotated[str, typer.Argument(metavar="ID", help="The incident; `notaus incidents` lists them.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Write it there with its charts, such as docs/INCIDENTS."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a document that is there already.")] = False,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """The post-incident document in Markdown: printed, or written with its charts."""
    from notaus.cli.desk import settings_of
    from notaus.cli.records import Records
    from notaus.cli.terminal import emit
    from notaus.report import find, kept, place, render

    settings = settings_of(config)
    with Records.opened(config, settings) as records:
        row = records.journal.incident(incident)
        if row is None:
            raise NotausError(f"there is no incident {incident!r}; `notaus incidents` lists them")
        service = next((s for s in records.configuration.services if s.name == row.service), None)
        if service is None:
            raise NotausError(
                f"{incident} is of `{row.service}`, which {config} does not configure: name its directory"
            )
        document = render(find(records.journal, service, incident, settings.incidents / incident))
    path = None if to is None else kept(document, to, force=force)
    if to is not None and path is None:
        raise NotausError(f"{place(document, to)} is there already, and may have been edited: --force writes it anew")
    if json_:
        emit({"incident": incident, "path": None if path is None else str(path), "markdown": document.markdown})
    else:
        typer.echo(document.markdown if path is None else f"written: {path}")
