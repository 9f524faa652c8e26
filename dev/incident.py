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
`closed`; these, and causes that change nothing, are left out of the drawing, not of the table.

| phase | {causes} |
|---|{rules}|
{rows}

An empty place is a move that cannot happen: an assertion fails, notaus stops acting on that service, and pages. That every other
one does happen, and that there is a way out of every state, is shown by `tests/exploration`.

| phase | ends by itself | ends by a person |
|---|---|---|
{ends}
"""

ENDS: dict[Phase, tuple[str, str]] = {
    Phase.WATCHING: (
        "where nothing was done: after 30 minutes clear; by a step; a rollback service's: once a later version is known-stable",
        "`close`, `restore`, `set`, `rollback`",
    ),
    Phase.AWAITING_APPROVAL: ("once the condition clears or the request expires", "`approve`, `deny`, `close`"),
    Phase.ACTING: (
        "by the lever's outcome; what failed is tried again, and dropped once its condition has cleared",
        "between two tries: `close`",
    ),
    Phase.VALIDATING: ("by the verdict, at the latest one more `validate` after it was due", "`close`, `restore`"),
    Phase.MITIGATED: ("a rollback service's: once a later version is known-stable", "`close`, `restore`"),
    Phase.UNRESOLVED: (
        "by a breach that calls for a safer rung; a rollback service's as above",
        "`close`, `restore`, `set`, `rollback`",
    ),
    Phase.HELD: ("after the override's time", "`release`, `close`, `restore`, `set`, `rollback`"),
    Phase.RAMPING: ("at the end of the ramp, or by a breach", "`stop`, `set`, `close`"),
}
"""What leads out of each phase, for people."""


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
    ends = [f"| `{phase}` | {itself} | {person} |" for phase, (itself, person) in ENDS.items()]
    theory = (incident.__doc__ or "").partition("Theory of operation. ")[2].strip()
    sys.stdout.write(
        HEAD.format(
            theory=theory,
            arrows="\n".join(arrows),
            causes=" | ".join(str(c) for c in causes),
            rules="|".join("---" for _ in causes),
            rows="\n".join(rows),
            ends="\n".join(ends),
        )
    )


if __name__ == "__main__":
    main()
