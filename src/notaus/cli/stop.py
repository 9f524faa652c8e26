"""`notaus stop`: the emergency stop."""

from __future__ import annotations

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Reason, Service, Wait
from notaus.cli.orders import give


def command(
    service: Service,
    by: By,
    reason: Reason = "",
    config: Config = DEFAULT_CONFIG,
    wait: Wait = True,
    json_: Json = False,
) -> None:
    """The emergency stop: move a service to its safest rung, and verify it."""
    give(config, service, "stop", {"by": by, "reason": reason}, machine=json_, wait=wait)
