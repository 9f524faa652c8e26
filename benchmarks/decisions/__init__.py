"""How often each policy acts on a service that is well, and how soon on one that is not, on the same traffic.

    python -m benchmarks.decisions            # about 25 minutes of one core
    python -m benchmarks.decisions --quick    # a few minutes, with wider intervals
    python -m benchmarks.decisions --only bursts --markdown decisions.md

The same seed gives the same tables. numpy comes with the development dependencies (`make venv`); the daemon does not need it.
docs/decisions.md tells the method and what came of it.
"""
