"""`notaus incidents`: the list, or the timeline of one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from notaus.cli.desk import reading
from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.cli.terminal import clock, console, emit, errors, table
from notaus.errors import NotausError


def command(
    incident: Annotated[str | None, typer.Argument(metavar="[ID]", help="Its timeline.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="The newest so many.")] = 20,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """List the incidents, or show the timeline of one."""
    through, found = asyncio.run(_read(config, incident, limit))
    if found is None:
        raise NotausError(f"there is no incident {incident!r}; `notaus incidents` lists them")
    if json_:
        emit(found)
        return
    if through == "journal":
        errors().print("no daemon answers: this is from the journal", style="yellow")
    if isinstance(found, Mapping):
        show(found)
    else:
        _list(found)


async def _read(config: Config, incident: str | None, limit: int) -> tuple[str, Any]:
    async with reading(config) as at:
        return at.through, await (at.incidents(limit) if incident is None else at.incident(incident))


def _list(found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        console().print("no incident yet")
        return
    listed = table("id", "opened (UTC)", "closed (UTC)", "severity", "phase", "last")
    listed.columns[0].no_wrap = True
    listed.columns[-1].no_wrap, listed.columns[-1].overflow = True, "ellipsis"
    for each in found:
        closed = clock(each["closed_at"]) or "[bold]open[/]"
        opened = clock(each["opened_at"])
        listed.add_row(each["id"], opened, closed, each["severity"], each["phase"], each["summary"])
    console().print(listed)


def show(found: Mapping[str, Any]) -> None:
    """One incident with its facts and its timeline."""
    out = console()
    open_ = "closed" if found["closed_at"] else "open"
    out.print(f"[bold]{found['id']}[/]  {found['severity']}, {found['phase']}, {open_}")
    for name, text in (found["facts"] or {}).items():
        out.print(f"  {name}: {text}", markup=False)
    timeline = table("time (UTC)", "what happened")
    for entry in found["timeline"] or ():
        timeline.add_row(clock(entry["at"]), entry["text"])
    out.print(timeline)
