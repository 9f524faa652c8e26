"""Version cohorts between the core, which knows standings, and readers, which know ids."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from notaus.config.sources import Entry, Workers
from notaus.core.sample import Readings, Sample
from notaus.daemon import cohorts
from tests.builders import T0, a_deployment, a_registry, a_view

OLD, TENTH, ALL = (
    a_deployment(T0 - 90_000, "v1"),
    a_deployment(T0 - 600, ("v1", 90), ("v2", 10)),
    a_deployment(T0 - 300, "v2"),
)
NUMBERS = {"api": 0, "id-of-v1": 1, "id-of-v2": 2}
NAMES = ("api.error_rate", "suspect.error_rate", "stable.error_rate")


class Reader:
    """Gives each version its number; leaves a time out where it cannot read it."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], list[int]]] = []

    async def read(self, entry: Entry, times: Sequence[int]) -> Readings:
        self.asked.append((entry.signals, list(times)))
        return {
            name: tuple(Sample(at, Fraction(NUMBERS[name.partition(".")[0]])) for at in times) for name in entry.signals
        }


async def read(reader: Reader, *times: int, signals: tuple[str, ...] = NAMES, at: int = T0) -> list[list[object]]:
    view = a_view(ALL, TENTH, OLD, at=at)
    entry = Entry("books", "account", "api", Workers("api-worker", True), signals, 60, 0)
    found = await cohorts.read(reader, entry, times, a_registry(view, "v1"), view)
    return [[(s.at - T0, s.value) for s in found[name]] for name in signals]


@pytest.mark.asyncio
async def test_each_sample_is_of_the_version_that_was_meant_then() -> None:
    """The old version's trouble would be blamed on the new one, from the minute of its deployment."""
    reader = Reader()
    api, suspect, stable = await read(reader, T0 - 615, T0 - 600, T0 - 585, T0 - 285, T0)
    assert api == [(-615, 0), (-600, 0), (-585, 0), (-285, 0), (0, 0)]
    assert suspect == [(-615, 1), (-600, 1), (-585, 2), (-285, 2), (0, 2)]
    assert stable == [(-615, 1), (-600, 1), (-585, 1), (-285, None), (0, None)]
    assert [len(times) for _, times in reader.asked] == [2, 1, 2]  # one read for each stand of things


@pytest.mark.asyncio
async def test_a_time_after_the_newest_look_stays_pending() -> None:
    """A deployment that nobody has seen yet may have made another version the suspect."""
    reader = Reader()
    assert await read(reader, T0 - 15, T0, at=T0 - 1) == [[(-15, 0)], [(-15, 2)], [(-15, None)]]
    found = await cohorts.read(
        reader, Entry("b", "a", "api", Workers("x", True), NAMES), [T0], a_registry(a_view()), None
    )
    assert set(found.values()) == {()}


@pytest.mark.asyncio
async def test_where_no_version_is_meant_nothing_is_asked() -> None:
    """A call of the budget for nothing."""
    reader = Reader()
    assert await read(reader, T0, signals=("stable.error_rate",)) == [[(0, None)]]
    assert reader.asked == []
