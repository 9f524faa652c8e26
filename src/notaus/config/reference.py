"""The reference of the configuration language: `python -m notaus.config.reference > docs/configuration.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from notaus.config import daemon_keys as daemon
from notaus.config import keys as key
from notaus.config.conditions import EXAMPLES
from notaus.config.environment import PREFIX
from notaus.config.table import Key, Keys
from notaus.core.signal import Unit

_HEAD = f"""# Configuration

This page is generated from the declarations that the loader reads: `python -m notaus.config.reference`.

A configuration is a directory: `notaus.yaml` for the daemon, `services/*.yaml` with one service each. `notaus check`
tells every mistake at once, each with file, line and what would be right, and [contradictions](check.md) as warnings;
`notaus schema` prints a JSON Schema for editors.

## How it is written

- **YAML 1.2**: `no`, `on` and `3:00` are words. A key stands once. Quote what begins with `#`, and `${{X}}` within
  braces or brackets.
- **Durations** have a unit: `90s`, `5m`, `1h30m`, `24h`, `30d`.
- **`${{X}}`** is taken from the environment, within text too; `${{X:-default}}` where it may be unset. If X is not set
  but X_FILE is, the file it names holds the value. Messages and logs show `${{X}}`, never what it stands for.
- **The daemon's keys** can be set in the environment too: `{PREFIX}` and the path of the key with `__` between, such
  as `{PREFIX}LISTEN__PORT=9465`; mappings and lists as JSON. With `_FILE` behind it, the variable names a file that
  holds the value. A variable replaces the whole value of its key, and wins over the file.
- **The inner wins**: `defaults` of the daemon, then the service, then the signal, the rule or the ladder.

## Conditions

`SIGNAL OP BOUND`: OP is `>`, `>=`, `<` or `<=`; BOUND is a number with a unit, or another signal of the same unit, plus
or minus a percentage of it (`proxy.latency_p90 + 20%`) or a number with a unit (`proxy.latency_p90 + 50ms`).
Comparisons are exact. What a bound may be depends on the signal:
"""

_UNIT_WORDS = {
    Unit.RATIO: "rates, ratios, shares",
    Unit.MILLISECONDS: "latencies",
    Unit.COUNT: "counts (`requests`, `errors`, `operations`, `failures`); a rate is held against the count within the"
    " signal's window, which must be at least as long",
    Unit.PER_MINUTE: "signals declared with `unit: /min`",
    Unit.PER_HOUR: "signals declared with `unit: /hour`",
    Unit.PLAIN: "`failed`, and signals without a declared unit",
}


def reference() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *_units(), "", *_shared(), *_levels()]).rstrip() + "\n"


def _units() -> Iterator[str]:
    yield "| signal | bound |"
    yield "|---|---|"
    for unit, words in _UNIT_WORDS.items():
        yield f"| {words} | {EXAMPLES[unit]} |"


def _shared() -> Iterator[str]:
    yield "## Keys of several levels\n"
    yield "| key | levels, outer to inner | takes | default | meaning |"
    yield "|---|---|---|---|---|"
    for shared in key.SERVICE_LEVEL:
        levels = ["daemon (`defaults`)", "service"]
        levels += ["signal"] if shared in key.SIGNAL_LEVEL else []
        levels += ["ladder"] if shared in key.LADDER_LEVEL else []
        levels += ["rule"] if shared in key.RULE_LEVEL else []
        levels += ["lever (deployment)"] if shared is key.STABLE_AFTER else []
        yield f"| `{shared.name}` | {', '.join(levels)} | {_cells(shared)} |"
    yield ""


def _levels() -> Iterator[str]:
    yield "## Service: `services/*.yaml`\n"
    for table in service_tables():
        yield from _section(table, skip=key.SERVICE_LEVEL if table is not key.DEPLOYMENT_LEVER else ())
    yield "## Daemon: `notaus.yaml`\n"
    for table in daemon_tables():
        yield from _section(table, variables=True)


def service_tables() -> tuple[Keys, ...]:
    """Every level of a service file, from without to within."""
    return (
        key.SERVICE,
        *key.SOURCES.values(),
        key.COHORT_KEYS,
        key.RATIO_KEYS,
        key.LADDER,
        *key.LEVERS.values(),
        *key.OWN_RUNGS.values(),
        key.WORKFLOW_KEYS,
        key.SHARE_KEYS,
        key.RULE,
        key.TRIGGER_KEYS,
        *key.CHECKS.values(),
        *key.QUESTIONS.values(),
        key.RESTORE_KEYS,
        key.ATTEST_KEYS,
        key.RAMP_KEYS,
        key.PAGE_KEYS,
        key.DRILL_KEYS,
    )


def daemon_tables() -> tuple[Keys, ...]:
    """Every level of `notaus.yaml`."""
    return (
        daemon.DAEMON,
        daemon.LISTEN_KEYS,
        daemon.CLOUDFLARE_KEYS,
        daemon.ACTIONS_KEYS,
        daemon.CHANNELS_KEYS,
        daemon.PAGERDUTY_KEYS,
        daemon.SLACK_KEYS,
        daemon.WEBHOOK_KEYS,
        daemon.STATUSPAGE_KEYS,
        daemon.GITHUB_KEYS,
        daemon.APPRISE_KEYS,
        daemon.HOOKS_KEYS,
        daemon.HOOK_KEYS,
        daemon.LOG_KEYS,
        daemon.CLOCK_KEYS,
        daemon.RETENTION_KEYS,
        daemon.BUDGETS_KEYS,
    )


def _section(table: Keys, skip: Iterable[Key[Any]] = (), *, variables: bool = False) -> Iterator[str]:
    yield f"### {table.level}\n"
    if table.meaning:
        yield f"{table.meaning}\n"
    left_out = [shared for shared in skip if shared in table.keys]
    yield f"| key |{' variable |' if variables else ''} takes | default | meaning |"
    yield f"|---|{'---|' if variables else ''}---|---|---|"
    for one in table.keys:
        if one not in left_out:
            yield f"| `{one.name}` | {_variable(table, one) if variables else ''}{_cells(one)} |"
    if left_out:
        yield f"\nand, from the keys of several levels: {', '.join(f'`{one.name}`' for one in left_out)}."
    yield ""


def _variable(table: Keys, one: Key[Any]) -> str:
    """The environment variable of a daemon's key; one under a name of the user's own has none (it is within JSON)."""
    if "NAME" in table.level:
        return "| "
    path = one.name if table is daemon.DAEMON else f"{table.level}__{one.name}"
    return f"`{PREFIX}{path.upper()}` | "


def _cells(one: Key[Any]) -> str:
    default = f"`{one.default}`" if one.default else one.default_words or "none"
    default = "must be given" if one.required else default
    secret = " Secret." if one.secret else ""
    return " | ".join(cell.replace("|", "\\|") for cell in (one.kind.words, default, one.meaning + secret))


if __name__ == "__main__":
    sys.stdout.write(reference())
