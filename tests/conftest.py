"""For every test: secrets one test makes known are not masked in the next; PostgreSQL for whoever needs it.

One server a session, where its programs are to be had (dev/postgresql).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import structlog
from structlog.dev import ConsoleRenderer

from notaus import log
from notaus.cli import GARBAGE
from tests.postgresql import PostgreSQL, a_server, programs

structlog.configure(
    # As it is before notaus has set it up, but for tracebacks: the usual ones take seconds each to be drawn.
    [
        ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if isinstance(each, ConsoleRenderer)
        else each
        for each in structlog.get_config()["processors"]
    ]
)


LONG = (
    "test_replicas.py",
    "test_demo.py",
    "test_without_daemon.py",
    "test_exploration.py",
    "test_replicas_in_a_pull.py",
    "test_processes.py",
    "test_wrangler.py",
    "test_orders.py",
    "test_crash.py",
    "test_collector.py",
    "test_approval.py",
    "test_drill.py",
    "test_load.py",
    "test_sources.py",
    "test_test.py",
    "test_workerd_loop.py",
    "test_app.py",
    "test_secrets.py",
    "test_description.py",
    "test_answers.py",
    "test_configuration.py",
    "test_codec.py",
    "test_exercise.py",
    "test_walk.py",
    "test_deploy.py",
    "test_check.py",
    "test_program.py",
)
"""Files that take a quarter of a minute or more beside others; the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those come first: files run side by side, and one that begins last would run alone at the end."""
    place = {name: n for n, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """What is there by now stays: not looking through it again and again for garbage saves up to a sixth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


@pytest.fixture(autouse=True)
def _secrets_known_to_one_test_only() -> Iterator[None]:
    """Otherwise a word one test gave as a token, such as `nowhere`, is missing from the messages another test reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "_known", set(log._known))
        patch.setattr(log, "_pattern", log._pattern)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL that is gone after the tests."""
    found = programs()
    if found is None:
        pytest.skip("not run: PostgreSQL is not installed, and there are no Debian packages to unpack")
    with a_server(found) as server:
        yield server


@pytest.fixture
def empty_postgresql(postgresql: PostgreSQL) -> str:
    """The URL of a schema of its own in PostgreSQL."""
    return postgresql.schema()
