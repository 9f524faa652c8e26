"""The command line: one file per command, put together in `program`. Heavy imports wait until a command needs them."""

import gc

GARBAGE = (50_000, 20, 50)
"""Thresholds of the garbage collector: notaus makes little, and at the usual ones looking for it is a tenth of a start."""


def main() -> None:
    """The console script `notaus`."""
    gc.set_threshold(*GARBAGE)
    from notaus.cli.program import run

    run()
