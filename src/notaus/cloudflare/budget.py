"""Rate budgets: how many calls may still go out in a sliding window. Cloudflare's own headers do not show this."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

WINDOW_SECONDS = 300


class Family(StrEnum):
    """Calls that Cloudflare counts together."""

    API = "api"
    GRAPHQL = "graphql"


@dataclass(frozen=True, slots=True)
class Budgets:
    """Calls per five minutes, and the share of them that only levers may use."""

    api: int = 1200
    graphql: int = 300
    reserve: float = 0.1

    def limit(self, family: Family) -> int:
        return self.api if family is Family.API else self.graphql


@dataclass(slots=True)
class Budget:
    """The calls of one family and token within the last five minutes. Times are seconds of the clock."""

    limit: int
    reserve: float
    _calls: deque[float] = field(default_factory=deque)
    _paused_until: float = 0.0

    def wait(self, now: float, *, lever: bool) -> float:
        """Seconds until a call may go out; 0 is now. A lever's call always may: better a refusal than no attempt."""
        if lever:
            return 0.0
        if now < self._paused_until:
            return self._paused_until - now
        self._forget(now)
        allowed = int(self.limit * (1 - self.reserve))
        if len(self._calls) < allowed:
            return 0.0
        return self._calls[len(self._calls) - allowed] + WINDOW_SECONDS - now if allowed > 0 else float(WINDOW_SECONDS)

    def spend(self, now: float) -> None:
        self._calls.append(now)

    def pause(self, now: float, seconds: float) -> None:
        """Cloudflare asked for a break; everything but levers keeps it, for five minutes at most."""
        self._paused_until = max(self._paused_until, now + min(seconds, WINDOW_SECONDS))

    def remaining(self, now: float) -> float:
        """The share of the limit that is left, 0 to 1, the reserve included."""
        self._forget(now)
        return max(0.0, 1 - len(self._calls) / self.limit) if self.limit > 0 else 0.0

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0] <= now - WINDOW_SECONDS:
            self._calls.popleft()
