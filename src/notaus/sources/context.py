"""What readers share: the ways to ask, and how the answers of several questions are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from notaus.cloudflare.analytics_engine import AnalyticsEngine
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.graphql import GraphQL
from notaus.cloudflare.telemetry import Telemetry
from notaus.config.sources import Entry
from notaus.core.sample import Readings, Sample
from notaus.errors import NotausError, ReadFailed

Problem = Callable[[Entry, str], None]


def _untold(entry: Entry, message: str) -> None:
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class Context:
    """Built once by the composition root."""

    client: Client
    edge: Edge
    on_problem: Problem = _untold
    """Called where some of an entry could not be read while the rest could; that part stays pending."""
    graphql: GraphQL = field(init=False)
    engine: AnalyticsEngine = field(init=False)
    telemetry: Telemetry = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graphql", GraphQL(self.client))
        object.__setattr__(self, "engine", AnalyticsEngine(self.client))
        object.__setattr__(self, "telemetry", Telemetry(self.client))

    async def gathered(self, entry: Entry, questions: Iterable[Coroutine[Any, Any, Readings]]) -> Readings:
        """The readings of all `questions`, asked at once. Raises ReadFailed where every one of them failed."""
        answers = await asyncio.gather(*questions, return_exceptions=True)
        failures = [_understood(a) for a in answers if isinstance(a, BaseException)]
        if failures and len(failures) == len(answers):
            raise ReadFailed(f"{entry.name}: {failures[0]}")
        for failure in failures:
            self.on_problem(entry, str(failure))
        return _joined([a for a in answers if not isinstance(a, BaseException)])


def _understood(failure: BaseException) -> NotausError:
    """What an answer of another shape does to the code that reads it, as what it is; raises anything else."""
    if isinstance(failure, NotausError):
        return failure
    if isinstance(failure, (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)):
        return ReadFailed(f"the answer is not shaped as expected ({type(failure).__name__}: {str(failure)[:100]})")
    raise failure


def _joined(parts: Iterable[Readings]) -> Readings:
    found: dict[str, list[Sample]] = {}
    for part in parts:
        for signal, samples in part.items():
            found.setdefault(signal, []).extend(samples)
    return {signal: tuple(sorted(samples, key=lambda s: s.at)) for signal, samples in found.items()}
