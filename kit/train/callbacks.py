"""Callbacks of a training: a notebook's live figure, a tracker. The training goes on if one of them fails."""

from collections.abc import Sequence
from typing import Any, Protocol

from kit.run import Run
from kit.system import progress


class Callback(Protocol):
    """What is told when a training begins, ends an epoch, and ends. Every method may raise.

    All that it needs stands in the run folder.

    Attributes:
        name: what it is, for the sentence that says that it failed.
    """

    name: str

    def begin(self, run: Run) -> None:
        """The training begins or goes on: config.json is written, history.csv holds the epochs of earlier sessions."""

    def epoch(self, run: Run) -> None:
        """An epoch has ended: history.csv has one more row."""

    def end(self, run: Run) -> None:
        """The training is finished, or was stopped, or failed; `run.finished` tells."""


class Callbacks:
    """The callbacks of the training of `run`; a context manager around it."""

    def __init__(self, callbacks: Sequence[Callback], run: Run):
        self._callbacks, self._run = list(callbacks), run

    def __enter__(self) -> "Callbacks":
        self._tell("begin")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._tell("end")

    def epoch(self) -> None:
        """Tell that an epoch has ended."""
        self._tell("epoch")

    def _tell(self, what: str) -> None:
        """Tell all; one that raises costs a line and hears no more."""
        for callback in list(self._callbacks):
            try:
                getattr(callback, what)(self._run)
            except Exception as error:  # of any library: a training is worth more than what shows it
                self._callbacks.remove(callback)
                progress.say(f"warning: {callback.name} is off from now on, the training goes on: {_reason(error)}")


def _reason(error: Any) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
