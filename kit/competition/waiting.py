"""Wait for Kaggle: every call has a time limit, and prints a line while it waits."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import requests

from kit.system.progress import quiet

PATIENCE = 30.0  # seconds without any sign of progress, after which a call is given up
LONG_PATIENCE = 120.0  # seconds for a call that changes something at Kaggle, and is not repeated
SAY_EVERY = 10.0  # seconds between two lines that tell of the waiting
_LOOK_EVERY = 0.2  # seconds between two looks at the progress

_Answer = TypeVar("_Answer")


class _Call(threading.Thread):
    """A call in a thread of its own, so that it can be given up whatever it waits for."""

    def __init__(self, call: Callable[[], Any]):
        super().__init__(daemon=True)
        self._call = call
        self.answer: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answer = self._call()
        except BaseException as error:  # raised again in the thread that waits
            self.error = error

    def give_up(self) -> None:
        """End the thread as soon as it runs Python code again, so that a call given up sends and writes nothing."""
        if self.is_alive() and self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(SystemExit))


def patiently(
    call: Callable[[], _Answer], progress: Callable[[], int] = int, patience: float | None = None,
    screen: TextIO | None = None,
) -> _Answer:  # fmt: skip
    """The answer of `call`, which is given up after `patience` seconds in which `progress` did not change.

    Args:
        call: what to do; it runs in a thread.
        progress: a number that grows while the call gets on, such as the bytes that have arrived. It may raise an
            error to end the call.
        patience: seconds; PATIENCE by default.
        screen: takes the lines that tell of the waiting; standard error by default.

    Raises:
        requests.Timeout: the call was given up.
        Exception: what `call` or `progress` raises.
    """
    patience, screen = patience or PATIENCE, screen or sys.stderr
    thread = _Call(call)
    thread.start()
    began = moved = said = time.monotonic()
    seen = 0
    try:
        while True:
            thread.join(_LOOK_EVERY)
            if not thread.is_alive():
                break
            now = time.monotonic()
            if (done := progress()) != seen:
                seen, moved = done, now
            if now - moved > patience:
                raise requests.Timeout(f"nothing came for {patience:.0f} s")
            if now - said >= SAY_EVERY and not quiet():
                arrived = f", {seen / 1e6:.1f} MB so far" if seen else ""
                print(f"waiting for Kaggle: {now - began:.0f} s{arrived}", file=screen, flush=True)
                said = now
    finally:
        thread.give_up()
    if thread.error is not None:
        raise thread.error
    return thread.answer
