"""Rate budgets: how many calls may still go out in a sliding window. Cloudflare's own headers do not show this."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import SecretStr

WINDOW_SECONDS = 300
UNHURRIED = 0.6
"""The share of a budget up to which calls go out that can wait."""
PRESSING = 0.8
"""That up to which we look where something is going on: further on only signals are read, and in the end levers pulled."""


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

    def wait(self, now: float, *, lever: bool, unhurried: bool = False) -> float:
        """Seconds until a call may go out; 0 is now. A lever's call always may: better a refusal than no attempt."""
        if lever:
            return 0.0
        if now < self._paused_until:
            return self._paused_until - now
        self._forget(now)
        allowed = self._allowed(UNHURRIED if unhurried else 1.0)
        if len(self._calls) < allowed:
            return 0.0
        return self._calls[len(self._calls) - allowed] + WINDOW_SECONDS - now if allowed > 0 else float(WINDOW_SECONDS)

    def spare(self, now: float, share: float) -> int:
        """How many calls may go out now, so that no more than this `share` of the limit is used."""
        self._forget(now)
        return 0 if now < self._paused_until else max(0, self._allowed(share) - len(self._calls))

    def _allowed(self, share: float) -> int:
        return int(self.limit * min(1 - self.reserve, share))

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


@dataclass(slots=True)
class Ledger:
    """The calls of this process by token, as Cloudflare counts them: for all accounts together, and across reloads."""

    _spent: dict[tuple[SecretStr, Family], Budget] = field(default_factory=dict)

    def budget(self, token: SecretStr, family: Family, limit: int, reserve: float) -> Budget:
        """The budget of a token, with the limits now in force."""
        found = self._spent.setdefault((token, family), Budget(limit, reserve))
        found.limit, found.reserve = limit, reserve
        return found
