"""Each seed a second time, in another process with other hash seeds: `python -m tests.simulation.elsewhere` plays seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.faults import drawn
from tests.simulation.world import play

ROOT = Path(__file__).parents[2]
HASH_SEED = "4711"
"""Any: the hash seed of the process that asks is drawn by chance."""


class Elsewhere:
    """The other process. It plays while its caller does something else, and is asked one seed at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": HASH_SEED},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, seed: int, hours: float) -> None:
        """Let it play a seed."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seed} {hours}\n")
        self._process.stdin.flush()

    def digest(self) -> str:
        """Of the seed asked for; empty where the process ended, which tells why on the standard error."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    for line in sys.stdin:
        seed, hours = line.split()
        sys.stdout.write(play(drawn(int(seed), float(hours))).digest() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
