"""Whole messages, as people read them: both example services, from the first page to the verdict, by the real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from notaus.backtest.runner import play
from notaus.backtest.scenario import read
from notaus.config import load
from tests.config.texts import CONFIG, ENVIRON

SCENARIOS = Path(__file__).parents[1] / "scenarios"
GOLDEN = Path(__file__).parent / "golden"
RULE = "\n" + "-" * 80 + "\n"


@pytest.mark.parametrize(
    ("service", "scenario"), [("pix-immo", "03-critical.yaml"), ("bookstrack", "13-bad-deployment.yaml")]
)
def test_the_pages_of_an_incident_read_as_agreed(service: str, scenario: str) -> None:
    """A fact that is missing, doubled or misplaced is seen here first, and not at 3 a.m.

    Where the change is meant: `python -m tests.notify.test_golden` writes the files anew, to be read before they are
    committed.
    """
    assert told(scenario) == (GOLDEN / f"{service}.txt").read_text(encoding="utf-8")


def told(scenario: str) -> str:
    run = play(read(SCENARIOS / scenario), load(CONFIG, ENVIRON))
    return RULE.join(h.value["text"] for h in run.happenings if h.kind in ("page", "notice")) + "\n"


if __name__ == "__main__":
    for name, file in (("pix-immo", "03-critical.yaml"), ("bookstrack", "13-bad-deployment.yaml")):
        (GOLDEN / f"{name}.txt").write_text(told(file), encoding="utf-8")
