"""Stopping in time: signals and a deadline that ask a training to save and end."""

import signal
import threading
import time
from types import FrameType


class Stopped(Exception):
    """A signal ended the training after everything was saved; the message says how to go on."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum


class StopRequest:
    """Collects requests to stop while its `with` block runs: SIGTERM, SIGINT (Ctrl-C) and a deadline.

    A signal only sets a flag, so that the step at work ends and the state that is saved is whole. A second signal
    acts as if the block were not there. Outside the main thread, where Python allows no handlers, the deadline
    alone works.

    Args:
        max_hours: hours from now after which to stop, above 0; None never stops.
    """

    def __init__(self, max_hours: float | None = None):
        self.signum: int | None = None
        self.max_hours = max_hours
        self._deadline = None if max_hours is None else time.monotonic() + max_hours * 3600
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = signum
        for each, handler in self._previous.items():
            signal.signal(each, handler)

    @property
    def reason(self) -> str | None:
        """Why to stop, in words, or None to go on."""
        if self.signum is not None:
            return signal.Signals(self.signum).name
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"max_hours {self.max_hours:g}"
        return None
