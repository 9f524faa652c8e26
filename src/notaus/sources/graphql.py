"""What the GraphQL sources share: a node per grid time, and the evidence that a dataset is alive.

A dataset without rows for a script, a bucket or a host says nothing by itself. One further node, over the whole
dataset, shows how far its data reaches: up to there, no rows are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from notaus.cloudflare.graphql import GraphQL, Node, Rows, Scope, time_literal, trailing
from notaus.config.sources import Entry
from notaus.errors import NotausError, ReadFailed
from notaus.sources.measure import measure_of


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as one source reads it."""

    scope: Scope
    name: str
    filter: Mapping[str, object]
    """What picks the service's own rows."""


async def rows_by_time(
    graphql: GraphQL, dataset: Dataset, entry: Entry, times: Sequence[int], fields: str
) -> dict[int, Rows]:
    """The rows of the window that ends at each of `times`. Raises ReadFailed."""
    nodes = [Node(dataset.name, {**dataset.filter, **trailing(at, entry.window)}, fields) for at in times]
    return dict(zip(times, await _ask(graphql, dataset, nodes), strict=True))


async def alive_until(
    graphql: GraphQL, dataset: Dataset, entry: Entry, times: Sequence[int], counts: Sequence[str]
) -> int:
    """Up to when (epoch seconds) the dataset shows data of anyone; 0 without evidence. Raises ReadFailed.

    Asked only where a signal of the entry is one of `counts`: a rate or a quantile of nothing is unknown anyway.
    """
    if not any(measure_of(signal) in counts for signal in entry.signals):
        return 0
    reach = {
        "datetime_gt": time_literal(min(times) - entry.window),
        "datetime_leq": time_literal(max(times) + entry.settle),
    }
    node = Node(
        dataset.name, reach, "dimensions { datetimeMinute }", limit=1, order_by="datetimeMinute_DESC", head=True
    )
    (rows,) = await _ask(graphql, dataset, [node])
    if not rows:
        return 0
    return int(datetime.fromisoformat(rows[0]["dimensions"]["datetimeMinute"]).timestamp())


async def _ask(graphql: GraphQL, dataset: Dataset, nodes: Sequence[Node]) -> list[Rows]:
    try:
        return await graphql.rows(dataset.scope, nodes)
    except NotausError as failure:
        raise ReadFailed(f"{dataset.name}: {failure}") from None
