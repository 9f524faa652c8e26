"""`notaus versions`: a service's versions with their standing, and a person's word on one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notaus.cli.desk import settings_of
from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Service
from notaus.cli.orders import give
from notaus.cli.terminal import clock, console, emit, table
from notaus.errors import ConfigurationError, NotausError

if TYPE_CHECKING:
    from notaus.core.state import State


def command(
    service: Service,
    by: By,
    flag: Annotated[str | None, typer.Option("--flag", metavar="VERSION", help="No rollback ever goes there.")] = None,
    clear: Annotated[
        str | None, typer.Option("--clear", metavar="VERSION", help="It was not to blame after all.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """List the versions of a service with their standing, or give a person's word on one."""
    if flag is not None and clear is not None:
        raise ConfigurationError("--flag and --clear are two orders; give one at a time")
    judged = flag or clear
    if judged is not None:
        body = {"by": by, "version": judged, "flagged": flag is not None}
        give(config, service, "judge", body, machine=json_)
        return
    found = _read(config, service)
    if json_:
        emit(found)
        return
    listed = table("version", "id", "created (UTC)", "standing", "last served (UTC)")
    for each in found:
        listed.add_row(each["label"], each["id"], clock(each["created"]), each["standing"], _served(each))
    console().print(listed)


def _served(each: Mapping[str, Any]) -> str:
    if each["live"]:
        return "live"
    return clock(each["served_until"]) or ("never alone" if each["served"] else "never")


def _read(config: Config, service: str) -> list[dict[str, Any]]:
    """Newest first, from the journal: the daemon keeps it up to date at every poll."""
    from notaus.cli.records import Records

    with Records.opened(config, settings_of(config)) as records:
        names = [each.name for each in records.configuration.services]
        if service not in names:
            raise ConfigurationError(f"no service is called {service!r}; there are: {', '.join(names)}")
        state = records.state(service)
    if state is None or state.view is None:
        raise NotausError(f"no deployments of {service} are known: it is steered by a KV key, or was never polled")
    return listed(state)


def listed(state: State) -> list[dict[str, Any]]:
    """The versions of a service's registry, newest first."""
    live = {id for id, _ in state.view.live.versions} if state.view is not None and state.view.live is not None else ()
    blocked = state.view.blocked if state.view is not None else {}
    found = []
    for version in sorted(state.registry.names.values(), key=lambda v: -v.created):
        standing = state.registry.of(version.id)
        found.append(
            {
                "id": version.id,
                "label": version.label,
                "created": version.created,
                "live": version.id in live,
                "standing": _standing(state, version.id, blocked.get(version.id)),
                "stable_since": standing.stable_since,
                "presumed": standing.presumed,
                "doubt": None if standing.doubt is None else str(standing.doubt),
                "blocked": blocked.get(version.id),
                "served": standing.served,
                "served_until": standing.served_until,
            }
        )
    return found


def _standing(state: State, version: str, blocked: str | None) -> str:
    """In words."""
    standing = state.registry.of(version)
    words = "known-stable" if standing.stable_since is not None else "not known-stable"
    if standing.presumed:
        words += ", presumed from the history"
    if standing.doubt is not None:
        words = f"{standing.doubt}: no target until `--clear {version[:8]}`"
    return f"{words}; cannot be deployed now: {blocked}" if blocked else words
