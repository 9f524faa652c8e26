"""Prints docs/incident.md: the incident's phases and moves, drawn from the one table that the program itself uses."""

from __future__ import annotations

import sys

from notaus.core import incident
from notaus.core.incident import TRANSITIONS, Cause, Phase

HEAD = """\
# The life of an incident

Generated from the table in `src/notaus/core/incident.py` by `make docs`.

{theory}

```mermaid
stateDiagram-v2
    [*] --> watching
{arrows}
    closed --> [*]
```

From every phase but `closed` a step leads to `acting`, an override to `held`, a person's restore to `ramping`, and closing to
`closed`; these, and causes that change nothing, are left out of the drawing. A cause that a phase does not list cannot happen
there: an assertion would stop notaus from acting on that service, and page.

| phase | {causes} |
|---|{rules}|
{rows}
"""


def main() -> None:
    """The page, on standard output."""
    everywhere = {
        c for c in Cause if all(c in moves for phase, moves in TRANSITIONS.items() if phase is not Phase.CLOSED)
    }
    everywhere -= {Cause.ASKED, Cause.ANSWERED, Cause.MOVED}
    arrows = [
        f"    {phase} --> {after}: {cause}"
        for phase, moves in TRANSITIONS.items()
        for cause, after in moves.items()
        if after is not phase and (cause not in everywhere or (phase, cause) == (Phase.WATCHING, Cause.STEPPED))
    ]
    arrows.append("    watching --> closed: closed")
    causes = list(Cause)
    rows = [
        f"| `{phase}` | " + " | ".join(f"{moves[c]}" if c in moves else "" for c in causes) + " |"
        for phase, moves in TRANSITIONS.items()
    ]
    theory = (incident.__doc__ or "").partition("Theory of operation. ")[2].strip()
    sys.stdout.write(
        HEAD.format(
            theory=theory,
            arrows="\n".join(arrows),
            causes=" | ".join(str(c) for c in causes),
            rules="|".join("---" for _ in causes),
            rows="\n".join(rows),
        )
    )


if __name__ == "__main__":
    main()
