"""`notaus status`: per service the rung, each rule with its value and how much of its hold is used up, what is open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notaus.cli.desk import reading
from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.cli.terminal import clock, console, emit, errors, joined, span, table
from notaus.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

BAR = 10


def command(
    service: Annotated[str | None, typer.Argument(metavar="[SERVICE]", help="Only this one.")] = None,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """What is going on: rungs, rules against their bounds, holds, incidents, the pre-flight answer."""
    through, status = asyncio.run(_read(config))
    services = status["services"]
    if service is not None:
        if service not in services:
            raise ConfigurationError(f"no service is called {service!r}; there are: {', '.join(services) or 'none'}")
        services = {service: services[service]}
    if json_:
        emit({**status, "services": services, "through": through})
        return
    if through == "journal":
        errors().print("no daemon answers: this is from the journal, as it was last written", style="yellow")
    for name, state in services.items():
        _show(console(), name, state)


async def _read(config: Config) -> tuple[str, Mapping[str, Any]]:
    async with reading(config) as at:
        return at.through, await at.status()


def _show(out: Console, name: str, state: Mapping[str, Any]) -> None:
    age = "never polled" if state["age_seconds"] is None else f"polled {span(max(0, state['age_seconds']))} ago"
    rung = state["rung"] or "between rungs, or unknown"
    out.print()
    out.print(f"[bold]{name}[/]  {rung}  [dim]{joined((state['mode'], ' '.join(state['states']), age))}[/]")
    for line in _lines(state):
        out.print(f"  {line}", markup=False)
    rules = table("rule", "now", "hold", "when", "then")
    for rule in state["rules"]:
        rules.add_row(rule["name"], _value(rule), _bar(rule), rule["when"], f"{rule['then']} ({rule['severity']})")
    out.print(rules)


def _lines(state: Mapping[str, Any]) -> list[str]:
    """What else is the case, one line each."""
    found = [
        f"{label}: {state[key]}"
        for key, label in (
            ("incident", "incident"),
            ("request", "waits for approval"),
            ("hold", "on hold"),
            ("problem", "cannot be read"),
            ("stopped", "STOPPED ACTING"),
        )
        if state[key]
    ]
    if state["override_until"]:
        found.append(f"a person's decision stands until {clock(state['override_until'])}; `notaus release` ends it")
    found += [f"notice: {notice}" for notice in state["notices"]]
    if state["rollback"] is not None:
        found.append(_preflight(state["rollback"]))
    return found


def _preflight(rollback: Mapping[str, Any]) -> str:
    live = " and ".join(rollback["live"])
    if not rollback["possible"]:
        return f"live: {live}; no rollback now: {rollback['reason']}"
    presumed = " (presumed stable from its history)" if rollback["presumed"] else ""
    return f"live: {live}; a rollback would go to {rollback['target']}{presumed}"


def _value(rule: Mapping[str, Any]) -> str:
    values = ", ".join(rule["values"].values()) or "a report"
    mark = {"true": "[red]", "unknown": "[yellow]"}.get(rule["now"], "")
    said = rule["now"] if rule["now"].startswith("rests") else values
    return f"{mark}{said}[/]" if mark else said


def _bar(rule: Mapping[str, Any]) -> str:
    ratio = min(1.0, rule["hold_ratio"])
    if not ratio:
        return ""
    full = round(ratio * BAR)
    colour = "red" if rule["breached"] else "yellow"
    return f"[{colour}]{'█' * full}{'░' * (BAR - full)}[/] {ratio:.0%}"
