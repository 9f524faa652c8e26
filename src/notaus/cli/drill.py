"""`notaus drill`: the quarterly drill of both runbooks, on a staging service, measured against their targets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notaus.cli.options import DEFAULT_CONFIG, By, Config, Json, Service
from notaus.cli.terminal import NO, emit, errors
from notaus.errors import ConfigurationError, NotausError

if TYPE_CHECKING:
    from notaus.config import Configuration
    from notaus.drill import Held, Review


def command(
    service: Service,
    by: By,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also on a service without `staging: true`: its users are sent elsewhere.")
    ] = False,
    bad: Annotated[
        str | None,
        typer.Option("--bad", metavar="VERSION", help="An uploaded version, deployed as the test change; id or tag."),
    ] = None,
    fault: Annotated[
        bool, typer.Option("--fault", help="Inject the service file's fault: the rules have to find it by themselves.")
    ] = False,
    page: Annotated[bool, typer.Option("--page", help="Send a test page to each contact.")] = False,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Write the report there.")] = None,
    config: Config = DEFAULT_CONFIG,
    json_: Json = False,
) -> None:
    """Hold the quarterly drill: emergency stop or rollback, measured, and everything put back.

    A KV key: emergency stop, back, each rung between, the way back to normal. Deployments: the test change (--bad; without
    it the live version itself), rollback, back. Then the thresholds over 90 days. Exit code 0 if every target is met.
    """
    from notaus import config as files
    from notaus import drill, log

    configuration = files.load(config)
    log.configure("terminal", "error")
    held, review = asyncio.run(_hold(config, configuration, service, by, yes, bad, fault, page, quiet=json_))
    one = configuration.service(service)
    text = drill.markdown(held, one, review)
    path = None if to is None else drill.kept(held, text, to)
    if json_:
        emit({**drill.as_json(held, review), "path": None if path is None else str(path), "markdown": text})
    else:
        typer.echo(text if path is None else f"written: {path}\n{drill.summary(held)}")
    if not held.passed:
        raise typer.Exit(NO)


async def _hold(
    directory: Path,
    configuration: Configuration,
    name: str,
    by: str,
    sure: bool,
    bad: str | None,
    fault: bool,
    page: bool,
    *,
    quiet: bool,
) -> tuple[Held, Review | None]:
    import httpx

    from notaus import drill
    from notaus.app import Outside
    from notaus.app.drills import hands
    from notaus.cli.desk import desk
    from notaus.clock import SystemClock
    from notaus.cloudflare.budget import Ledger
    from notaus.config.problems import near_miss
    from notaus.drill import Exercise
    from notaus.metrics import Metrics

    names = [each.name for each in configuration.services]
    if name not in names:
        raise ConfigurationError(f"no service is called {name!r}; {near_miss(name, names)}")
    service, settings = configuration.service(name), configuration.settings
    clock = SystemClock(settings.clock.speed, settings.clock.anchor)
    say = (lambda text: None) if quiet else (lambda text: errors().print(f"… {text}", style="dim", markup=False))
    async with httpx.AsyncClient(timeout=10.0) as http, desk(directory, name) as at:
        refused = drill.refusals(service, (await at.status())["services"].get(name), sure=sure)
        if refused:
            raise NotausError(f"no drill of {name} now: {'; '.join(refused)}")
        outside = Outside(configuration, clock, Metrics(), http, Ledger())
        made = hands(outside, service, int(clock.now()), page=page, say=say)
        exercise = Exercise(service, at, made, clock, by, bad=bad or service.drill.bad, fault=fault)
        try:
            held = await exercise.run()
        finally:
            told = exercise.held
            body: dict[str, Any] = {"by": by, "passed": told.passed, "restored": not told.unrestored}
            await at.order(name, "drilled", {**body, "text": drill.summary(told), "where": None})
            if told.unrestored:
                errors().print(f"NOT PUT BACK: {'; '.join(told.unrestored)}", style="bold red", markup=False)
        return held, await _reviewed(configuration, service, held, int(clock.now()))


async def _reviewed(configuration: Configuration, service: Any, held: Held, now: int) -> Review | None:
    from notaus.app.drills import reviewed

    try:
        return await asyncio.to_thread(reviewed, configuration.settings, service, now)
    except NotausError as error:
        held.problems.append(f"the thresholds could not be reviewed: {error}")
        return None
