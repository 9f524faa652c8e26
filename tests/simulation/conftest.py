"""Options of the simulation: `--seed N` replays one, `--seeds N` runs as many, `--first N` from there, `--hours H` each.
`--twice N` plays every Nth of them a second time, in another process.

They exist where this folder is named on the command line; elsewhere the defaults hold. At the end of a run stands what was
injected and what came of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulation.elsewhere import Elsewhere
from tests.simulation.tally import table

SEEDS = 200
HOURS = 6.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--seed", type=int, default=None, help="replay this seed, and print its story")
    group.addoption("--seeds", type=int, default=SEEDS, help="how many seeds to run")
    group.addoption("--first", type=int, default=0, help="the first of them")
    group.addoption("--twice", type=int, default=1, help="play every Nth seed a second time, in another process")
    group.addoption("--hours", type=float, default=HOURS, help="simulated hours of each")


def option(config: pytest.Config, name: str, usual: Any) -> Any:
    """The option's value; the usual one where this folder was not named on the command line."""
    return config.getoption(f"--{name}", usual)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a `seed` runs for each of them."""
    if "seed" not in metafunc.fixturenames:
        return
    only = option(metafunc.config, "seed", None)
    first = option(metafunc.config, "first", 0)
    seeds = [only] if only is not None else range(first, first + option(metafunc.config, "seeds", SEEDS))
    metafunc.parametrize("seed", seeds)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The counts of all seeds, wherever they ran."""
    total: Counter[str] = Counter()
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        total.update(dict(report.user_properties).get("tally", {}))
    if total:
        terminalreporter.section("the simulation")
        terminalreporter.write("\n".join(table(total)) + "\n")


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Elsewhere]:
    """Another process that plays the same seeds."""
    other = Elsewhere()
    yield other
    other.close()


@pytest.fixture
def twice(request: pytest.FixtureRequest, seed: int) -> bool:
    """Whether the seed is played a second time, in another process."""
    return seed % int(option(request.config, "twice", 1)) == 0


@pytest.fixture
def hours(request: pytest.FixtureRequest) -> float:
    """Simulated hours of each seed."""
    return float(option(request.config, "hours", HOURS))


@pytest.fixture
def told(request: pytest.FixtureRequest) -> bool:
    """Whether the story is wanted in any case."""
    return option(request.config, "seed", None) is not None
