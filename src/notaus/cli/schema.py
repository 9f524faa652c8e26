"""`notaus schema`: the JSON Schema of the configuration files."""

from __future__ import annotations

import json

import typer

from notaus.cli.options import Json


def command(json_: Json = True) -> None:
    """Print the JSON Schema of the configuration files, for editors and CI."""
    from notaus.config import schema

    typer.echo(json.dumps(schema(), ensure_ascii=False, indent=2))
