"""Signals: every handler of SIGTERM and SIGINT (Ctrl-C) that the kit installs, and the deadline of a training."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None  # what signal.signal takes and returns
TOGETHER_SECONDS = 5.0  # SIGTERMs this close together are one request


class Stopped(Exception):
    """A signal ended the training after everything was saved; the message says how to go on."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [str(self)]


class _Handlers:
    """Handlers of SIGTERM and SIGINT that stand until they are taken back.

    Python allows them in the main thread only; in another thread nothing is installed.
    """

    def __init__(self) -> None:
        self._previous: dict[int, Handler] = {}

    def _install(self, *signals: int) -> None:
        if threading.current_thread() is threading.main_thread():
            self._previous = {signum: signal.getsignal(signum) for signum in signals}
            for signum in signals:
                signal.signal(signum, self._handle)

    def _take_back(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        raise NotImplementedError


class StopRequest(_Handlers):
    """Collects requests to stop while its `with` block runs: SIGTERM, SIGINT and a deadline.

    A signal only sets a flag, so that the step at work ends and the state that is saved is whole. A second signal
    acts as if the block were not there, except for a SIGTERM that follows within five seconds: schedulers such as Slurm
    send it to every process of a job, and parents pass it on as well. Outside the main thread the deadline alone works.

    Args:
        max_hours: hours from now after which to stop, above 0; None never stops.
    """

    def __init__(self, max_hours: float | None = None):
        super().__init__()
        self.signum: int | None = None
        self.max_hours = max_hours
        self._deadline = None if max_hours is None else time.monotonic() + max_hours * 3600
        self._asked = 0.0

    def __enter__(self) -> "StopRequest":
        self._install(signal.SIGTERM, signal.SIGINT)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._take_back()

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum, self._asked = signum, time.monotonic()
            signal.signal(signal.SIGINT, self._previous[signal.SIGINT])
        elif time.monotonic() - self._asked > TOGETHER_SECONDS:  # SIGTERM, as SIGINT is given back
            self._take_back()
            signal.raise_signal(signum)

    @property
    def reason(self) -> str | None:
        """Why to stop, in words, or None to go on."""
        if self.signum is not None:
            return signal.Signals(self.signum).name
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"max_hours {self.max_hours:g}"
        return None


class PassedOn(_Handlers):
    """Passes this process's SIGTERM and SIGINT on to another process, as one SIGTERM, from `begin` to `end`.

    The other process gets one signal only: a training takes a second one for "end at once, unsaved". A second SIGINT
    acts on this process. A signal that this process ignored before is not passed on.

    Args:
        pid: returns the number of the other process, or None once it has ended.
    """

    def __init__(self, pid: Callable[[], int | None]):
        super().__init__()
        self._pid, self._done = pid, False

    def begin(self) -> None:
        """Pass signals on from now on, if this is the main thread."""
        both = (signal.SIGTERM, signal.SIGINT)
        self._install(*(signum for signum in both if signal.getsignal(signum) is not signal.SIG_IGN))

    def end(self) -> None:
        """Handle signals as before `begin`."""
        self._take_back()

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGINT:
            signal.signal(signum, self._previous[signum])
        pid = self._pid()
        if not self._done and pid is not None:
            self._done = True
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def call_on(handler: Callable[[int], None], *signals: int) -> None:
    """Call `handler` with the number of each of these signals, from now on, in place of what was done before."""
    for signum in signals:
        signal.signal(signum, lambda number, _frame: handler(number))


def ignore_ctrl_c() -> None:
    """Ignore SIGINT. A terminal sends it to every process of a command, but the one that started this one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
