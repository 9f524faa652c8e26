"""Which handler answers which path, what it takes to be allowed there, and which faults can hit it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .wire import Call, Handler


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern such as ``client/v4/accounts/{account}``; a last ``{rest*}`` takes all that is left.

    ``area`` is "api", "service", "origin", "status", "page", "workflow", "workflow.get" or "admin"; ``faults`` are the
    fault targets that mean this route.
    """

    method: str
    pattern: str
    handler: Handler
    area: str
    permission: str | None = None
    faults: frozenset[str] = frozenset()
    workers: bool = False
    graphql: bool = False

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The path's parameters, or None where it is another path."""
        params: dict[str, str] = {}
        wanted = self.pattern.split("/")
        if wanted[-1].endswith("*}"):
            params["rest"] = "/".join(segments[len(wanted) - 1 :])
            wanted = wanted[:-1]
        elif len(wanted) != len(segments):
            return None
        if len(segments) < len(wanted):
            return None
        for want, got in zip(wanted, segments, strict=False):
            if want.startswith("{"):
                params[want[1:-1]] = got
            elif want != got:
                return None
        return params


@dataclass(slots=True)
class Router:
    """Routes by method; the first that fits is taken."""

    _routes: dict[str, list[Route]] = field(default_factory=lambda: defaultdict(list))

    def add(self, routes: Iterable[Route]) -> None:
        for route in routes:
            for method in route.method.split("|"):
                self._routes[method].append(route)

    def find(self, call: Call) -> tuple[Route, Call] | None:
        """The route of a call, and the call with the path's parameters filled in."""
        for route in self._routes.get(call.method, ()):
            params = route.match(call.segments)
            if params is not None:
                return route, replace(call, params=params)
        return None
