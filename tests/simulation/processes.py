"""The process of one simulated daemon: everything that runs in it can be stopped dead, at any await.

A kill runs no line of the program any more, no `finally` and no `except CancelledError`. So a process drives each of its
coroutines itself: it counts their steps, which are the awaits that end, and once it is dead it gives them no further one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

_RUNNING: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """What one daemon's tasks have in common: that they live, and how many steps they have taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.steps = 0
        self.tasks: dict[_Driven, asyncio.Task[Any] | None] = {}
        self.uncommitted: dict[str, Any] = {}
        """By service, what it has written down and not yet taken over."""
        self._fatal: tuple[int, Callable[[], None]] | None = None
        self._context = copy_context()
        self._context.run(_RUNNING.set, self)

    def call(self, what: Callable[..., Any], *given: Any) -> Any:
        """Call `what` as the process itself would: the tasks that it starts are the process's."""
        return self._context.copy().run(what, *given)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this process."""
        return asyncio.get_running_loop().create_task(coroutine, context=self._context.copy())

    def doom(self, steps: int, then: Callable[[], None]) -> None:
        """Let `then` be called instead of the step after so many more; it is to kill the process."""
        self._fatal = (self.steps + steps, then)

    def spare(self) -> None:
        """Let it live after all."""
        self._fatal = None

    def kill(self) -> None:
        """Nothing of it runs any more. What it had asked of the loop is let go of."""
        self.alive = False
        for task in self.tasks.values():
            if task is not None:
                task.cancel()

    def bury(self) -> None:
        """At the end of the run: close the coroutines that were left where they stood."""
        for driven in self.tasks:
            with contextlib.suppress(BaseException):
                driven.inner.close()
        self.tasks.clear()

    def step(self) -> bool:
        """Count a step that is about to be taken; whether it may be."""
        self.steps += 1
        if self.alive and self._fatal is not None and self.steps > self._fatal[0]:
            (_, then), self._fatal = self._fatal, None
            then()
        return self.alive


class _Driven(Coroutine[Any, Any, Any]):
    """A coroutine of a process, one step at a time."""

    __slots__ = ("inner", "process")

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self.inner, self.process = inner, process

    def send(self, value: Any) -> Any:
        if not self.process.step():
            return self._never()
        try:
            return self.inner.send(value)
        except BaseException:
            self._ended()
            raise

    def throw(self, kind: Any, *more: Any) -> Any:
        if not self.process.step():
            raise asyncio.CancelledError
        try:
            return self.inner.throw(kind, *more)
        except BaseException:
            self._ended()
            raise

    def _ended(self) -> None:
        if self.process.alive:
            self.process.tasks.pop(self, None)

    @staticmethod
    def _never() -> asyncio.Future[None]:
        """What a task waits for that is never to go on."""
        future = asyncio.get_running_loop().create_future()
        future._asyncio_future_blocking = True
        return future

    def close(self) -> None:
        """Left as it stands: `bury` closes it."""

    def __await__(self) -> Any:
        raise NotImplementedError("a task drives it")


def tasks_of_processes(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
) -> asyncio.Task[Any]:
    """A task factory: what is started by a process belongs to it."""
    process = context.get(_RUNNING) if context is not None else _RUNNING.get()
    if process is None:
        return asyncio.Task(coroutine, loop=loop, context=context)
    driven = _Driven(coroutine, process)
    process.tasks[driven] = None
    task = process.tasks[driven] = asyncio.Task(driven, loop=loop, context=context)
    if not process.alive:
        task.cancel()
    return task
