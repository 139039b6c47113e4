"""Run a function in a process of its own with bounds on time and memory: what an attack may cost at most.

The bound on memory is RLIMIT_DATA, which counts what a process has written or may write: its heap and its private
mappings. RLIMIT_AS would count addresses, of which PyTorch and the allocator's arenas reserve many gigabytes that
nobody ever uses, so that a bound of 512 MB would fail before any attack begins.
"""

import functools
import inspect
import os
import resource
import signal
import traceback
from collections.abc import Callable
from typing import Any

import torch

from kit.errors import KitError

MEMORY = 512 << 20  # bytes beyond what the test's process has
SECONDS = 5  # of CPU


def sentence(function: Callable, *arguments: Any) -> str:
    """What `function` ends in: a KitError's sentence, or "done".

    Any other exception, more memory or CPU time than allowed, or 60 s by the clock fail the test.
    """
    said = _in_child(function, arguments, SECONDS, 60)
    assert len(said) < 1000 and "\n" not in said, said[:2000]
    return said


def within_limits(test: Callable) -> Callable:
    """Decorate a property test: all its examples run in one child that has MEMORY, and SECONDS each by their deadline.

    The child inherits the fixtures. What it changes in memory is lost; what it writes to the disk stays.
    """

    @functools.wraps(test, updated=())
    def in_child(**fixtures: Any) -> None:
        said = _in_child(lambda: test(**fixtures), (), 200, 400)
        assert said == "done", said

    in_child.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del in_child.__wrapped__  # or pytest takes it for a test of hypothesis
    return in_child


def _in_child(function: Callable, arguments: tuple, cpu_seconds: int, clock_seconds: int) -> str:
    """A KitError's sentence or "done"."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _limited(writer, function, arguments, cpu_seconds, clock_seconds)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"exit {status}: {said[-6000:]}"
    return said


def _limited(writer: int, function: Callable, arguments: tuple, cpu_seconds: int, clock_seconds: int) -> None:
    """The child: never returns."""
    status, said = 1, ""
    try:
        torch.set_num_threads(1)  # the threads of the parent's pool are not here
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        signal.alarm(clock_seconds)
        try:
            function(*arguments)
            status, said = 0, "done"
        except KitError as error:
            status, said = 0, str(error)
    except BaseException:
        said = traceback.format_exc()
    finally:
        os.write(writer, said[:60_000].encode(errors="replace"))
        os._exit(status)
