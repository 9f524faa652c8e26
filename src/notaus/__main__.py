"""``python -m notaus``: the command line."""

from notaus.cli import main

main()
