"""Run a function in a process of its own with bounds on time and memory: what an attack may cost at most."""

import os
import resource
import signal
import traceback
from collections.abc import Callable
from typing import Any

from kit.errors import KitError

MEMORY = 512 << 20  # bytes beyond what the test's process has
SECONDS = 5  # of CPU


def sentence(function: Callable, *arguments: Any) -> str:
    """What `function` ends in: a KitError's sentence, or "done".

    Any other exception, more memory or CPU time than allowed, or 60 s by the clock fail the test.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _limited(writer, function, arguments)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"exit {status}: {said[-2000:]}"
    assert len(said) < 1000 and "\n" not in said, said[:2000]
    return said


def _limited(writer: int, function: Callable, arguments: tuple) -> None:
    """The child: never returns."""
    status, said = 1, ""
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[5]) * resource.getpagesize()
        # Writable memory only: allocators reserve far more addresses per thread than they ever use.
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        signal.alarm(60)
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
