"""The program: every command in its group, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from notaus import __version__
from notaus.cli import (
    approve,
    backtest,
    check,
    close,
    demo,
    deny,
    drill,
    hold,
    incidents,
    release,
    report,
    restore,
    rollback,
    sandbox,
    schema,
    set_,
    status,
    stop,
    test,
    trigger,
    versions,
)
from notaus.cli import run as run_
from notaus.cli.terminal import NO, WRONG, complain
from notaus.errors import ConfigurationError, NotausError

COMMANDS: dict[str, tuple[tuple[str, Callable[..., Any]], ...]] = {
    "Guard": (("run", run_.command), ("check", check.command), ("status", status.command)),
    "Incidents": (
        ("incidents", incidents.command),
        ("approve", approve.command),
        ("deny", deny.command),
        ("close", close.command),
        ("report", report.command),
    ),
    "Levers by hand": (
        ("stop", stop.command),
        ("set", set_.command),
        ("rollback", rollback.command),
        ("restore", restore.command),
        ("trigger", trigger.command),
    ),
    "Limits": (("hold", hold.command), ("release", release.command), ("versions", versions.command)),
    "Try and test": (
        ("demo", demo.command),
        ("sandbox", sandbox.command),
        ("test", test.command),
        ("schema", schema.command),
        ("backtest", backtest.command),
        ("drill", drill.command),
    ),
}
"""By their panel in the help."""

app = typer.Typer(
    name="notaus",
    help="The emergency stop for services on Cloudflare Workers.\n\n"
    "Exit codes: 0 done, 1 the answer is no, 2 usage or configuration.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"notaus {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _panel, _commands in COMMANDS.items():
    for _name, _command in _commands:
        app.command(_name, rich_help_panel=_panel)(_command)


def run() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    try:
        app()
    except ConfigurationError as error:
        complain(error)
        code = WRONG
    except NotausError as error:
        complain(error)
        code = NO
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = NO
    except Exception as error:
        complain(NotausError(f"notaus made a mistake: {type(error).__name__}: {error} ({_place(error)})"))
        code = NO
    _leave(code)


def _leave(code: int) -> None:
    try:
        sys.stdout.flush()
    except OSError:  # whoever read us has left: what remains is for nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _place(error: BaseException) -> str:
    """Where it happened, for a report to the maintainers: the last of our own lines."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        if f"{os.sep}notaus{os.sep}" in code.co_filename:
            place = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
