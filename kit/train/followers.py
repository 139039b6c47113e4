"""Who follows a training: a notebook's live figure, a tracker. The training goes on if one of them fails."""

from collections.abc import Sequence
from typing import Any, Protocol

from kit.run import Run
from kit.system import progress


class Follower(Protocol):
    """What is told of a training's course. All it needs stands in the run folder; every method may raise.

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


class Followers:
    """Those who follow the training of `run`; a context manager around it."""

    def __init__(self, followers: Sequence[Follower], run: Run):
        self._followers, self._run = list(followers), run

    def __enter__(self) -> "Followers":
        self._tell("begin")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._tell("end")

    def epoch(self) -> None:
        """Tell that an epoch has ended."""
        self._tell("epoch")

    def _tell(self, what: str) -> None:
        """Tell all; one that raises costs a line and hears no more."""
        for follower in list(self._followers):
            try:
                getattr(follower, what)(self._run)
            except Exception as error:  # of any library: a training is worth more than what shows it
                self._followers.remove(follower)
                progress.say(f"warning: {follower.name} is off from now on, the training goes on: {_reason(error)}")


def _reason(error: Any) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
