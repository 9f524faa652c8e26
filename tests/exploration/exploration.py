"""The exploration: breadth first over the real `fleet.step`, every event in every node, one node of each picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pytest

from notaus.core.incident import Cause, Incident, Phase
from tests.exploration.checks import Rest, check_halt, check_step
from tests.exploration.events import everything
from tests.exploration.node import Node
from tests.exploration.picture import picture

Entry = tuple[Phase, Cause]
T = TypeVar("T")


@dataclass
class Explored:
    """What was found from one start."""

    depth: int = 0
    states: int = 1
    transitions: int = 0
    open: int = 0
    """Nodes at the depth reached whose own events were not tried; 0: there is nothing beyond."""
    taken: Counter[Entry] = field(default_factory=Counter)
    """Entries of the table that were used."""
    ends: int = 0
    """Different pictures at which the service comes to rest."""


def explore(start: Node, depth: int) -> Explored:
    """Every node within `depth` events of `start`, each step and node checked."""
    found = Explored()
    rest = Rest(picture)
    seen: set[Hashable] = {picture(start)}
    front = [start]
    with _moves(found.taken):
        while front and found.depth < depth:
            following = []
            for node in front:
                for after in _checked(node, everything(node)):
                    found.transitions += 1
                    if (look := picture(after)) not in seen:
                        seen.add(look)
                        following.append(after)
            for node in following:
                _blamed(node, partial(rest.check, node))
                _blamed(node, partial(check_halt, node))
            front = following
            found.depth += 1
    found.states, found.open, found.ends = len(seen), len(front), len(rest.ends)
    return found


def _checked(node: Node, nodes: Iterator[Node]) -> Iterator[Node]:
    while (after := _blamed(node, partial(next, nodes, None))) is not None:
        _blamed(after, partial(check_step, node, after))
        yield after


def _blamed(node: Node, work: Callable[[], T]) -> T:
    """What `work` gives; whatever fails in it is told with the way to the node."""
    try:
        return work()
    except Exception as error:
        way = "\n  ".join(node.path)
        raise AssertionError(f"{type(error).__name__}: {error}\nafter:\n  {way}\n{node.state.words}") from error


@contextmanager
def _moves(taken: Counter[Entry]) -> Iterator[None]:
    """Counts every move of an incident by its entry of the table."""
    moved = Incident.moved

    def counted(incident: Incident, cause: Cause) -> Incident:
        taken[incident.phase, cause] += 1
        return moved(incident, cause)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Incident, "moved", counted)
        yield
