"""Where the runs of a sweep work: one interface for this machine, a Ray cluster and Slurm, and the loop around it.

An `Engine` takes jobs; each becomes a `Work` that can be asked how it goes, asked to save and end, and read for the
reason of its failure. The loop decides what starts and when everything stops; an engine decides on which machine.
"""

import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from kit.sweep.jobs import Job
from kit.system.interrupt import StopRequest


class State(Enum):
    """How a job goes."""

    WAITING = auto()  # for a machine
    RUNNING = auto()
    ENDED = auto()


class Work(Protocol):
    """A job that an engine took."""

    @property
    def job(self) -> Job:
        """What was handed over."""

    @property
    def where(self) -> str:
        """The place in words, such as "GPU 3", as soon as it runs; empty if there is one place alone."""

    def state(self) -> State:
        """How it goes. Never blocks for more than a moment."""

    def stop(self) -> None:
        """Ask it to save and end. A job that still waits ends without having started."""

    def kill(self) -> None:
        """End it at once, unsaved."""

    def failure(self) -> str | None:
        """Why it failed, once it has ended; None if it did not."""


class Engine(Protocol):
    """Machines that run jobs.

    Attributes:
        at_once: how many jobs work at the same time.
        poll_seconds: how often the works are asked how they go.
    """

    at_once: int
    poll_seconds: float

    def beginning(self) -> str:
        """What there is to work with, in words."""

    def take(self, jobs: Sequence[Job]) -> list[Work]:
        """Take as many of the jobs as there is room for, the first ones first."""

    def close(self) -> None:
        """Give back what belongs to the engine; jobs that still work are not touched."""


Began = Callable[[Job, str], None]
Ended = Callable[[Job, str | None], None]


def run_jobs(jobs: Sequence[Job], engine: Engine, stop: StopRequest, began: Began, ended: Ended,
             working: Callable[[], None] = lambda: None) -> None:  # fmt: skip
    """Run all jobs on the engine; a stop asks those at work to save, and waits until they have.

    Args:
        jobs: what to run, in this order.
        engine: where they run.
        stop: asked between polls; nothing is started any more once it has a reason.
        began: told of every start, with its place in words.
        ended: told of every end, with the reason if it failed.
        working: called at every poll.
    """
    waiting, works, told, asked = list(jobs), list[Work](), set[str](), False
    try:
        while works or (waiting and not stop.reason):
            if waiting and not stop.reason:
                works += (taken := engine.take(waiting))
                del waiting[: len(taken)]
                _tell_starts(taken, told, began)
            if stop.reason and not asked:
                asked = True
                for work in works:
                    work.stop()
            time.sleep(engine.poll_seconds)
            working()
            _tell_starts(works, told, began)
            for work in [each for each in works if each.state() is State.ENDED]:
                works.remove(work)
                if not asked and work.job.name not in told:  # it came and went between two polls
                    began(work.job, work.where)
                    told.add(work.job.name)
                if work.job.name in told:
                    ended(work.job, work.failure())
    except KeyboardInterrupt:  # the second one: at once, unsaved
        for work in works:
            work.kill()
        raise


def _tell_starts(works: Sequence[Work], told: set[str], began: Began) -> None:
    for work in works:
        if work.job.name not in told and work.state() is State.RUNNING:
            told.add(work.job.name)
            began(work.job, work.where)
