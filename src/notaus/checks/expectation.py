"""What an expectation stands for: `$canary_percent`, `$target.tag`, or plain text, filled in from the step."""

from __future__ import annotations

import re
from collections.abc import Mapping

from notaus.core.verification import Expected

VARIABLE = re.compile(r"\$([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")

Variables = Mapping[str, str | int | float | bool]


class Unfilled(Exception):
    """An expectation names something that the step does not set."""


def filled(expected: Expected, variables: Variables) -> Expected:
    """`expected` with its `$names` filled in; a lone name keeps the value's type. Raises Unfilled."""
    if not isinstance(expected, str):
        return expected
    whole = VARIABLE.fullmatch(expected)
    if whole is not None and whole[1] in variables:
        return variables[whole[1]]
    return VARIABLE.sub(lambda match: _text(match[1], variables), expected)


def filled_text(expected: str, variables: Variables) -> str:
    """`expected` as text: what a header can hold. Raises Unfilled."""
    return VARIABLE.sub(lambda match: _text(match[1], variables), expected)


def _text(name: str, variables: Variables) -> str:
    """The value of the longest known name that `name` begins with: `$a.b` may be `$a` and then `.b`."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        known = ".".join(parts[:length])
        if known in variables:
            value = variables[known]
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return ".".join([text, *parts[length:]])
    raise Unfilled(f"${name} is not known for this step; known are: {', '.join(sorted(variables)) or 'none'}")
