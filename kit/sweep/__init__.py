"""Many runs: plan them, place them on this machine's GPUs, follow their progress.

In: rows of RECIPES and seeds. Out: one run folder per training and one table.
May import: every room but bench.
"""

from kit.sweep.plan import add_options, asks_for_sweep
from kit.sweep.running import run

__all__ = [
    "add_options",
    "asks_for_sweep",
    "run",
]
