"""The options that several commands share."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import Annotated

import typer


def _somebody() -> str:
    """Who gives an order, unless `--by` says so."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "somebody"


Config = Annotated[
    Path, typer.Option("--config", envvar="NOTAUS_CONFIG", metavar="DIR", help="The configuration directory.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine output: JSON on standard output.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who gives the order.", default_factory=_somebody)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the outcome and its verification are known.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="The name of a service.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal and shown on pages.")]

DEFAULT_CONFIG = Path("config")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> int:
    """A duration such as `90s`, `30m`, `1h`, `1h30m`, in seconds. Raises typer.BadParameter."""
    parts = re.findall(r"(\d+)([smhd])", text.strip())
    if not parts or "".join(n + u for n, u in parts) != text.strip():
        raise typer.BadParameter(f"{text!r} is no duration; write it with its unit, such as 90s, 30m or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
