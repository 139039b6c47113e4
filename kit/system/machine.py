"""The cores that this process may use, and an environment in which its child processes find the kit."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kit.system.paths import ROOT


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_of_child(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with `changes`, in which `python -m kit` works from any folder."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **(changes or {}), "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Set environment variables while the `with` block runs, for the processes that it starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
