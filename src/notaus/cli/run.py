"""`notaus run`: the daemon. SIGTERM and SIGINT stop it gracefully, SIGHUP reloads its configuration."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notaus.cli.options import DEFAULT_CONFIG, Config, Json
from notaus.cli.terminal import emit_line, problems

if TYPE_CHECKING:
    from notaus.app import App
    from notaus.config import Configuration, Settings

FIXED = ("store", "listen", "clock", "log")
"""Settings that take a restart to change."""


def command(config: Config = DEFAULT_CONFIG, json_: Json = False) -> None:
    """Run the daemon: watch, act, verify, page.

    SIGTERM and Ctrl-C finish or safely leave what is under way; SIGHUP reloads the configuration. Logs go to standard
    error. With --json, standard output gets one JSON object a line: ready, reloaded, refused, stopped.
    """
    from notaus import config as files
    from notaus import log

    configuration = files.load(config)
    log.configure(_format(configuration.settings), str(configuration.settings.log.level))
    asyncio.run(Run(config, configuration, json_).serve())


def _format(settings: Settings) -> Any:
    chosen = settings.log.format
    if chosen is not None:
        return str(chosen)
    return "terminal" if sys.stderr.isatty() else "json"


class Run:
    """One life of the daemon in this process."""

    def __init__(self, directory: Path, configuration: Configuration, machine: bool) -> None:
        import structlog

        self.directory, self.configuration, self.machine = directory, configuration, machine
        self.log = structlog.get_logger("notaus")
        self.stop = asyncio.Event()
        self.reloads: set[asyncio.Task[None]] = set()
        self.reloading = asyncio.Lock()

    async def serve(self) -> None:
        """Until a signal stops it. Raises NotausError where it cannot start."""
        from notaus.app import App, open_journal

        self._warn(self.configuration)
        with open_journal(self.configuration.settings) as journal:
            app = App(self.configuration, journal, incidents=self.configuration.settings.incidents)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._asked_to_stop, number)
            loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload, app)
            await app.run(self.stop, ready=self._ready)
        self.log.info("stopped")
        self._tell("stopped")

    def _ready(self, url: str) -> None:
        names = [service.name for service in self.configuration.services]
        self.log.info("guarding", services=names, url=url, config=self.configuration.hash)
        self._tell("ready", url=url, services=names)

    def _asked_to_stop(self, number: signal.Signals) -> None:
        self.log.info("stopping", signal=signal.Signals(number).name)
        self.stop.set()

    def _asked_to_reload(self, app: App) -> None:
        task = asyncio.create_task(self._reload(app), name="reload")
        self.reloads.add(task)
        task.add_done_callback(self.reloads.discard)

    async def _reload(self, app: App) -> None:
        """Take the files as they are now; anything wrong with them leaves the old configuration in force."""
        from notaus import config as files
        from notaus.errors import NotausError

        async with self.reloading:
            try:
                new = await asyncio.to_thread(files.load, self.directory)  # the loop turns meanwhile
                await app.reload(new)
            except NotausError as error:
                for problem in problems(error):
                    self.log.error("the old configuration stays in force", problem=problem)
                self._tell("refused", problems=problems(error))
                return
            self._warn(new)
            self._warn_of_restart(new)
            self.configuration = new
            self.log.info("reloaded", config=new.hash)
            self._tell("reloaded", config=new.hash)

    def _warn(self, configuration: Configuration) -> None:
        for warning in configuration.warnings:
            self.log.warning("configuration", problem=str(warning))

    def _warn_of_restart(self, new: Configuration) -> None:
        for name in FIXED:
            if getattr(new.settings, name) != getattr(self.configuration.settings, name):
                self.log.warning(f"`{name}` has changed: it takes a restart to come into force")

    def _tell(self, event: str, **more: object) -> None:
        if self.machine:
            emit_line({"event": event, **more})
