"""`notaus test`: scenarios against the service files, a line each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.cli.terminal import NO, WRONG, emit, problems
from notaus.errors import ConfigurationError

if TYPE_CHECKING:
    from notaus.config import Configuration

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one file."""

    file: str
    name: str
    code: int
    """0 it holds, 1 it differs, 2 it cannot be run."""
    lines: tuple[str, ...] = ()
    """The first difference explained, or what is wrong with the file."""

    def as_json(self) -> dict[str, object]:
        return {"file": self.file, "name": self.name, "ok": self.code == 0, "difference": "\n".join(self.lines) or None}


def command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Scenario files; a directory means every *.yaml in it.")
    ],
    config: Config = DEFAULT_CONFIG,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=0, help="Processes; 0: one per processor.")] = 0,
    json_: Json = False,
) -> None:
    """Run scenarios: given this history and these events, these actions at these times.

    Exit code 0 if all hold, 1 if one differs, 2 if a scenario or the configuration is broken.
    """
    _hush()
    paths = list(scenario_files(files))
    results = []
    for result in played(paths, config, jobs):
        results.append(result)
        if not json_:
            _print(result)
    if json_:
        emit([result.as_json() for result in results])
    code = max((result.code for result in results), default=0)
    raise typer.Exit(code)


def scenario_files(given: Iterable[Path]) -> Iterator[Path]:
    """The files named, and those of the directories named. Raises ConfigurationError for an empty directory."""
    for path in given:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
        if not inside:
            raise ConfigurationError(f"{path}: there is no scenario in this directory; they are called *.yaml")
        yield from inside


def played(paths: list[Path], config: Path, jobs: int = 0) -> Iterator[Result]:
    """The results of the scenarios, in order. Raises ConfigurationError for a broken configuration."""
    from notaus.config import load

    load(config, lenient=True)  # its mistakes are told once, not once a file
    workers = min(jobs or os.cpu_count() or 1, len(paths))
    if workers <= 1:
        yield from (play(path, config) for path in paths)
        return
    with ProcessPoolExecutor(workers, initializer=_hush) as pool:
        yield from pool.map(partial(play, config=config), paths)


def play(path: Path, config: Path) -> Result:
    """Run one scenario file; whatever goes wrong in it is its result."""
    from notaus.backtest import judge, runner, scenario

    name = path.stem
    try:
        read = scenario.read(path)
        name = read.name
        run = runner.play(read, _loaded(config))
        found = judge.differences(read, run)
        lines = tuple(judge.explain(found[0], read, run)) if found else ()
    except ConfigurationError as error:
        return Result(str(path), name, WRONG, tuple(problems(error)))
    except Exception as error:
        return Result(str(path), name, NO, (f"the run broke off: {type(error).__name__}: {error}",))
    return Result(str(path), name, NO if found else 0, lines)


_configurations: dict[Path, Configuration] = {}


def _loaded(config: Path) -> Configuration:
    """The configuration, read once a process."""
    from notaus.config import load

    if config not in _configurations:
        _configurations[config] = load(config, lenient=True)
    return _configurations[config]


def _hush() -> None:
    """A scenario's daemon logs as any does; here only what it does counts."""
    import logging

    from notaus import log

    log.configure("json", "error")
    logging.disable(logging.CRITICAL)


def _print(result: Result) -> None:
    if result.code == 0:
        typer.echo(f"ok {result.name}")
        return
    typer.echo(f"FAIL {result.name}")
    for line in result.lines:
        typer.echo(f"notaus: {line}" if result.code == WRONG else f"    {line}", err=result.code == WRONG)
