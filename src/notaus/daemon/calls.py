"""Calls of the journal: a local one is called inline, a remote one in a thread, so that one that hangs stalls nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""One for the engine, which writes one step at a time; the leases, a recovery and a reader beside it."""


class Calls(Protocol):
    """Has `work` done, and gives or raises what comes of it."""

    async def __call__(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T: ...


async def inline(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Here and now: what is short and local needs no turn of the loop, and nothing comes between."""
    return work(*given, **named)


class Threaded:
    """In a thread. `work` has deadlines of its own; one that is no longer waited for is carried through all the same."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="journal")

    async def __call__(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *given, **named))
