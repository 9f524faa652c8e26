"""``python -m notaus.sandbox``: the emulated account, served until stopped."""

from .server import command_line

command_line()
