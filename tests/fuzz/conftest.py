"""`--rounds N`: so many times what `make test` does; `--begin SEED`: from another seed. Where this folder is named."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz")
    group.addoption("--rounds", type=int, default=1, help="how many times the usual amount of senselessness")
    group.addoption("--begin", type=int, default=0, help="the first seed")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rounds", 1))


@pytest.fixture
def begin(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--begin", 0))
