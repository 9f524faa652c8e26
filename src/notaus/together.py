"""What is asked at the same moment is answered together, so that requests do not grow with the number of askers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True)
class Asked(Generic[Q, A]):
    """A question, and who waits for its answer."""

    question: Q
    answered: asyncio.Future[A]

    def answer(self, answer: A) -> None:
        if not self.answered.done():  # whoever asked may have gone
            self.answered.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


class Together(Generic[Q, A]):
    """Hands the questions of one moment to `answer`, which settles each as soon as it can."""

    def __init__(self, answer: Callable[[Sequence[Asked[Q, A]]], Awaitable[None]], turns: int = 2) -> None:
        """`turns` of the loop are waited: one for the other askers of this turn, one for those whom they started."""
        self._answer, self._turns = answer, turns
        self._waiting: list[Asked[Q, A]] = []
        self._answering: set[asyncio.Task[None]] = set()

    def ask(self, question: Q) -> asyncio.Future[A]:
        """The answer, in time."""
        loop = asyncio.get_running_loop()
        asked: Asked[Q, A] = Asked(question, loop.create_future())
        self._waiting.append(asked)
        if len(self._waiting) == 1:
            task = loop.create_task(self._flush())
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        return asked.answered

    async def _flush(self) -> None:
        for _ in range(self._turns):
            await asyncio.sleep(0)
        asked, self._waiting = self._waiting, []
        try:
            await self._answer(asked)
        except Exception as error:  # nobody must wait for ever
            for each in asked:
                each.fail(error)


def chunks(items: Sequence[Q], size: int) -> list[Sequence[Q]]:
    """`items` in pieces of at most `size`."""
    return [items[i : i + size] for i in range(0, len(items), size)]
