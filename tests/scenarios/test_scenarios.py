"""Every scenario beside this file holds, by the same code as `notaus test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from notaus.cli.test import play

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
SCENARIOS = [(path, PROJECT / "config") for path in sorted(HERE.glob("*.yaml"))]
SCENARIOS += [(path, HERE / "config") for path in sorted((HERE / "custom").glob("*.yaml"))]


@pytest.mark.parametrize(("path", "config"), SCENARIOS, ids=[path.stem for path, _ in SCENARIOS])
def test_it_holds(path: Path, config: Path) -> None:
    """What the service files promise would not be so."""
    result = play(path, config)
    assert result.code == 0, "\n".join(result.lines)


def test_the_given_scenarios_are_here() -> None:
    """A glob that finds nothing tests nothing."""
    assert len(SCENARIOS) >= 15
