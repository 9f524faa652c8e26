"""How the demo speaks: rich on a terminal, or one JSON event a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from notaus.cli.terminal import clock, console, emit_line, table

if TYPE_CHECKING:
    from rich.status import Status

    from notaus.cli.demo.stage import Stage


class Teller:
    """Tells each event once, as it happens."""

    def __init__(self, machine: bool) -> None:
        self.machine = machine
        self.begun = time.monotonic()
        self.missing: list[str] | None = None
        """What the story found missing, once it is told."""
        self.out = console()
        self._waiting: Status | None = None

    def chapter(self, event: str, title: str) -> None:
        """A new part of the story."""
        self.still()
        if self.machine:
            self._emit(event, title)
        else:
            self.out.print()
            self.out.rule(f"[bold]{title}", align="left")

    def tell(self, event: str, text: str, at: float | None = None, **more: Any) -> None:
        """Something happened; `at` is the demo's time, where it matters."""
        if self.machine:
            self._emit(event, text, at=at, **more)
            return
        when = f"[cyan]{clock(at)[11:]}[/] " if at is not None else ""
        self.out.print(f"  {when}", end="")
        self.out.print(text, markup=False)

    def check(self, met: bool, text: str) -> None:
        """Something the runbook asks for, held against what really is."""
        if self.machine:
            self._emit("check", text, ok=met)
        else:
            self.out.print(f"  [{'green' if met else 'red'}]{'✓' if met else '✗'}[/] ", end="")
            self.out.print(text, markup=False)

    def watch(self, text: str) -> None:
        """What is being waited for, on the terminal's last line."""
        if self.machine or not self.out.is_terminal:
            return
        if self._waiting is None:
            self._waiting = self.out.status(text)
            self._waiting.start()
        self._waiting.update(text)

    def still(self) -> None:
        """Nothing is being waited for any more."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def timeline(self, incident: Mapping[str, Any]) -> None:
        """An incident from its beginning."""
        if self.machine:
            self._emit("incident", incident["summary"], incident=dict(incident))
            return
        listed = table("time (UTC)", "what happened", title=f"{incident['id']} ({incident['phase']})")
        for entry in incident["timeline"]:
            listed.add_row(clock(entry["at"]), entry["text"])
        self.out.print(listed)

    def end(self, missing: list[str]) -> None:
        """How it went."""
        self.still()
        self.missing = missing
        took = time.monotonic() - self.begun
        if self.machine:
            self._emit("end", "handled" if not missing else "not handled", ok=not missing, missing=missing)
        elif missing:
            self.out.print(f"[bold red]Not handled as the runbooks say ({took:.0f} s):[/]")
            for each in missing:
                self.out.print(f"  ✗ {each}", markup=False)
        else:
            self.out.print(f"[bold green]Handled as the runbooks say ({took:.0f} s).[/]")

    def keeping(self, stage: Stage) -> None:
        """What can be looked at while both go on running."""
        look = f". {stage.directory}/env && notaus status"
        self.tell("keeping", f"both go on until Ctrl-C; in another terminal: {look}", directory=str(stage.directory))

    def _emit(self, event: str, text: str, **more: Any) -> None:
        elapsed = round(time.monotonic() - self.begun, 1)
        emit_line(
            {"event": event, "elapsed": elapsed, "text": text, **{k: v for k, v in more.items() if v is not None}}
        )
