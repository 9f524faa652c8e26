"""A single number that somebody else worked out (SQL, a database, PromQL): what counts as one, and in which unit."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from notaus.core.sample import Sample
from notaus.errors import ReadFailed

Number = int | float | Decimal


def scalar(at: int, value: object, *, percent: bool, said: str) -> Sample:
    """The sample of `value` at grid time `at`; unknown where it is NULL, NaN or infinite.

    `percent`: a 3 is 3 %. Raises ReadFailed where it is no number; `said` names the source in it.
    """
    if value is None or value == "":
        return Sample(at)
    if isinstance(value, bool):  # `SELECT EXISTS (…)`
        value = int(value)
    if not isinstance(value, Number):
        raise ReadFailed(f"{said}: gives {type(value).__name__} {str(value)[:60]!r}, and must give a number")
    if not math.isfinite(value):
        return Sample(at)
    number = Fraction(str(value))
    return Sample(at, number / 100 if percent else number)
