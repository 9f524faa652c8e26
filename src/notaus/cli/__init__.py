"""The command line: one file per command, put together in `program`. Heavy imports wait until a command needs them."""


def main() -> None:
    """The console script `notaus`."""
    from notaus.cli.program import run

    run()
