"""The inbox: events on their way to the engine, each service's in order; services with more than a poll come first."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

L = TypeVar("L")


class Inbox(Generic[L]):
    """Letters by service, `most` at most."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._letters: dict[str, deque[tuple[L, bool]]] = {}
        self._urgent: dict[str, None] = {}
        self._usual: dict[str, None] = {}
        self._come = asyncio.Event()

    def __len__(self) -> int:
        return self._size

    def put(self, service: str, letter: L, *, urgent: bool) -> None:
        """Put a letter behind those of its service. Raises asyncio.QueueFull."""
        if self._size >= self._most:
            raise asyncio.QueueFull
        self._letters.setdefault(service, deque()).append((letter, urgent))
        self._size += 1
        self._come.set()
        if urgent:
            self._usual.pop(service, None)
            self._urgent[service] = None
        elif service not in self._urgent:
            self._usual[service] = None

    async def take(self, most: int) -> list[L]:
        """The next letter of up to `most` services, alone those with something urgent if there are any; waits for one."""
        await self._come.wait()
        letters = [self._next(service) for service in list(self._urgent or self._usual)[:most]]
        if not self._size:
            self._come.clear()
        return letters

    def _next(self, service: str) -> L:
        waiting = self._letters[service]
        letter, _ = waiting.popleft()
        self._size -= 1
        self._urgent.pop(service, None)
        self._usual.pop(service, None)
        if not waiting:
            del self._letters[service]
        elif any(urgent for _, urgent in waiting):
            self._urgent[service] = None
        else:
            self._usual[service] = None
        return letter
