"""The option of the exploration: `--deeper N` goes N events further than `make test` does."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("exploration").addoption("--deeper", type=int, default=0, help="explore so many events further")


@pytest.fixture
def deeper(request: pytest.FixtureRequest) -> int:
    """It exists only where this folder is named on the command line."""
    return int(request.config.getoption("--deeper", 0))
