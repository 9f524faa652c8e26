"""What the GraphQL sources share: a node per grid time, and the evidence that a dataset is alive.

A dataset without rows for a script, a bucket or a host says nothing by itself. One further node, over the whole
dataset, shows how far its data reaches: up to there, no rows are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from notaus.cloudflare.graphql import Node, Rows, Scope, time_literal, trailing
from notaus.config.sources import Entry
from notaus.errors import NotausError, ReadFailed
from notaus.sources.context import Context
from notaus.sources.measure import measure_of


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as one source reads it."""

    scope: Scope
    name: str
    own: tuple[str, str]
    """The dimension that tells the service's rows from others', and its value there."""
    filter: Mapping[str, object] = field(default_factory=dict)
    """What else picks the rows."""


async def rows_by_time(
    context: Context, dataset: Dataset, entry: Entry, times: Sequence[int], fields: str
) -> dict[int, Rows]:
    """The rows of the window that ends at each of `times`, as far as they could be read. Raises ReadFailed if none could.

    The newest are asked for first: where the API budget does not reach further, the rest comes later.
    """
    newest_first = sorted(times, reverse=True)
    nodes = [
        Node(dataset.name, {**dataset.filter, **trailing(at, entry.window)}, fields, own=dataset.own)
        for at in newest_first
    ]
    found = dict(zip(newest_first, await context.graphql.each(dataset.scope, nodes), strict=True))
    failures = [f"{dataset.name}: {rows}" for rows in found.values() if isinstance(rows, NotausError)]
    if failures and len(failures) == len(found):
        raise ReadFailed(failures[0])
    if failures:
        context.on_problem(entry, failures[0])
    return {at: rows for at in times if not isinstance(rows := found[at], NotausError)}


async def alive_until(
    context: Context, dataset: Dataset, entry: Entry, times: Sequence[int], counts: Sequence[str]
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
    try:
        (rows,) = await context.graphql.rows(dataset.scope, [node])
    except NotausError as failure:
        raise ReadFailed(f"{dataset.name}: {failure}") from None
    if not rows:
        return 0
    return int(datetime.fromisoformat(rows[0]["dimensions"]["datetimeMinute"]).timestamp())
