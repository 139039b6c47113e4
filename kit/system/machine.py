"""What this process hands on of its machine: the cores it may use, and an environment in which others find the kit."""

import os
from collections.abc import Mapping

from kit.system.paths import ROOT


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_of_child(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with `changes`, in which `python -m kit` works from any folder."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **(changes or {}), "PYTHONPATH": os.pathsep.join(paths)}
