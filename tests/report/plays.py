"""Scenarios played to their end, with the journal that they leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from notaus.backtest import scenario
from notaus.backtest.runner import _Stage
from notaus.backtest.virtual_time import run
from notaus.config import load
from notaus.core.service import Service
from notaus.journal import Journal

PROJECT = Path(__file__).parents[2]
T = TypeVar("T")


def played(text: str, tmp_path: Path, look: Callable[[Journal, Service], T]) -> T:
    """What `look` makes of the journal after the scenario `text`."""
    file = tmp_path / "scenario.yaml"
    file.write_text(text, encoding="utf-8")
    read, configuration = scenario.read(file), load(PROJECT / "config", lenient=True)

    async def stage(loop: object) -> T:
        on = _Stage(read, configuration, loop)  # type: ignore[arg-type]
        try:
            await on._play()
            return look(on.journal, on.service)
        finally:
            for app in on.apps:
                await app.crash()
            on.journal.close()

    return run(stage)
