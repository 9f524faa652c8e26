"""The split of the traffic: does a cohort's share fit the rung? A sample ratio mismatch is told, and nothing is done about it.

What a rung gives is the chance with which a *visitor* without a cohort gets one. Two things follow from that. Visitors keep the
cohort they were given (`sticky`), so the share of requests may lie anywhere between what the rungs in force in that time give,
and only outside of that is it wrong. And the requests of one visitor all go one way, so their number scatters more than that of
independent draws: by the design effect of a cluster sample (Kish 1965), about the requests of a visitor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from notaus.core.baseline import effective_counts
from notaus.core.evidence import percent
from notaus.core.ladder import Share
from notaus.core.paging import duration, end_notice, notice
from notaus.core.rule import Severity
from notaus.core.state import Split
from notaus.core.turn import Turn

HOUR = 3600
"""Seconds of samples that are compared, all of them since the key last changed (pix.immo runbook, sections 1 and 4)."""
EVERY = 300
"""Seconds between two looks."""
VISITOR = 20
"""Requests of a visitor in an hour, on the high side: more visitors than that tells make the comparison stricter, not looser."""
LEAST = 200
"""Visitors; with fewer nothing is said."""
Z = 4.4
"""Standard deviations: by chance outside them in one of 90,000 hours, ten years."""
NOTICEABLE = Fraction(1, 100)
"""A smaller difference does no harm, whatever its cause."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the largest share that would be right, 0 to 1."""

    low: Fraction
    high: Fraction

    def hold(self, share: Fraction, among: Fraction) -> bool:
        """Whether `share` of `among` requests fits, chance considered."""
        return self.low - _margin(self.low, among) <= share <= self.high + _margin(self.high, among)

    def __str__(self) -> str:
        low, high = percent(float(self.low)), percent(float(self.high))
        return low if low == high else f"between {low} and {high}"


def watch(turn: Turn) -> None:
    """At a tick: remember what the key gives, and tell of a share that does not fit it."""
    share = turn.service.ladder.share
    if share is None or share.signal not in turn.service.signals:
        return
    changed = _remember(turn, share)
    if changed:
        end_notice(turn, "split")
    if turn.at % EVERY == 0:
        _compare(turn, share)


def _remember(turn: Turn, share: Share) -> bool:
    """Whether what the key gives is another than before."""
    given = (turn.state.fields or {}).get(share.field)
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    splits = turn.state.splits
    now = Split(turn.at, _drained(turn, share) or Fraction(str(given)) / 100)
    if splits and splits[-1].share == now.share:
        return False
    oldest = turn.at - share.sticky
    kept = [each for each, following in pairwise(splits) if following.since > oldest]
    turn.change(splits=(*kept, *splits[-1:], now))
    return bool(splits)


def _drained(turn: Turn, share: Share) -> Fraction | None:
    """At a rung that drains a cohort: its share is 0, whatever visitors were given."""
    cohort = turn.service.ladder.drains.get(turn.rung.name) if turn.rung is not None else None
    if cohort is None:
        return None
    return Fraction(0 if turn.service.signals[share.signal].cohort == cohort else 1)


def _compare(turn: Turn, share: Share) -> None:
    counts = _last_hour(turn, share)
    if counts is None:
        return
    of, among = counts
    bounds = _bounds(turn, share)
    if bounds.hold(of / among, among):
        end_notice(turn, "split")
        return
    notice(
        turn,
        "split",
        Severity.WARNING,
        f"the split of the traffic is wrong: {share.signal} is {percent(float(of / among))}, {bounds} would be right",
        f"Over the last hour: {round(of):,} of {round(among):,} requests that were counted.",
        f"{share.field} has stood since {duration(turn.at - turn.state.splits[-1].since)} ago; "
        f"visitors are taken to keep what they were given for {duration(share.sticky)}.",
        "notaus does nothing about it: look at the cookie's stickiness, at KV's propagation, at callers without cookies.",
    )


def _last_hour(turn: Turn, share: Share) -> tuple[Fraction, Fraction] | None:
    """Requests of the cohort and of all, in windows side by side; None where the hour is not over, or had too few."""
    signal, step = turn.service.signals[share.signal], turn.service.step
    newest = (turn.at - signal.settle) // step * step
    if not turn.state.splits or newest - HOUR < turn.state.splits[-1].since + turn.service.propagation:
        return None
    times = range(newest, newest - HOUR, -signal.window)
    known = [counts for at in times if (counts := effective_counts(turn.history.at(signal.name, at))) is not None]
    of, among = sum((c[0] for c in known), Fraction(0)), sum((c[1] for c in known), Fraction(0))
    return (of, among) if among >= LEAST * VISITOR else None


def _bounds(turn: Turn, share: Share) -> Bounds:
    """Of the present split alone where a cohort is drained or nobody is sticky, else of all that visitors may still have."""
    now, oldest = turn.state.splits[-1].share, turn.at - share.sticky
    still = [each.share for each, following in pairwise(turn.state.splits) if following.since > oldest]
    if _drained(turn, share) is not None:
        still = []
    return Bounds(min(now, *still, now), max(now, *still, now))


def _margin(share: Fraction, among: Fraction) -> Fraction:
    scatter = Z * math.sqrt(float(share * (1 - share) * VISITOR / among))
    return max(NOTICEABLE, Fraction(scatter))
