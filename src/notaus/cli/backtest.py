"""`notaus backtest`: history through the whole ladder; not in this release."""

from __future__ import annotations

from notaus.cli.later import not_yet
from notaus.cli.options import Json


def command(json_: Json = False) -> None:
    """Replay history through the whole ladder (not available yet)."""
    raise not_yet("backtest", "`notaus test` runs scenarios")
