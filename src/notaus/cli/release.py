"""`notaus release`: ends a hold, or hands an override back."""

from __future__ import annotations

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Service
from notaus.cli.orders import give


def command(service: Service, by: By, config: Config = DEFAULT_CONFIG, json_: Json = False) -> None:
    """End a hold or an override: notaus acts again."""
    give(config, service, "release", {"by": by}, machine=json_)
