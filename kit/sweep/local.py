"""The jobs of a sweep as processes of this machine: one per GPU, or several that share the CPU cores."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.sweep.jobs import Job
from kit.sweep.places import State, Work
from kit.system.machine import environment_of_child


def slots(jobs: int, gpus: Sequence[str], cores: int) -> list[dict[str, str]]:
    """The environment of each of `jobs` places at work: its GPU in turn, or on a CPU its share of the threads.

    Args:
        jobs: how many trainings at once.
        gpus: what CUDA_VISIBLE_DEVICES takes, one name per GPU; empty on a CPU.
        cores: CPU cores that this process may use.
    """
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(jobs)]
    return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(cores // jobs, 1))} for _ in range(jobs)]


@dataclass(eq=False)
class _Process:
    """A job at work in one of the places."""

    job: Job
    place: Mapping[str, str]
    process: subprocess.Popen

    @property
    def where(self) -> str:
        return f"GPU {self.place['CUDA_VISIBLE_DEVICES']}" if "CUDA_VISIBLE_DEVICES" in self.place else ""

    def state(self) -> State:
        return State.RUNNING if self.process.poll() is None else State.ENDED

    def stop(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def failure(self) -> str | None:
        return self.job.failure(self.process.returncode)


class LocalEngine:
    """This machine.

    Args:
        places: the environment of each place, from `slots`.
    """

    poll_seconds = 0.2

    def __init__(self, places: Sequence[Mapping[str, str]]):
        self.at_once = len(places)
        self._places = places
        self._works: list[_Process | None] = [None] * len(places)

    def beginning(self) -> str:
        """How many GPUs there are in use, or how many threads each job has."""
        gpus = {place["CUDA_VISIBLE_DEVICES"] for place in self._places if "CUDA_VISIBLE_DEVICES" in place}
        return f"GPUs in use: {len(gpus)}" if gpus else f"threads each: {self._places[0]['OMP_NUM_THREADS']}"

    def take(self, jobs: Sequence[Job]) -> list[Work]:
        """Start a job in every free place."""
        taken: list[Work] = []
        for number, work in enumerate(self._works):
            if len(taken) < len(jobs) and (work is None or work.state() is State.ENDED):
                job, place = jobs[len(taken)], self._places[number]
                self._works[number] = started = _Process(job, place, _start(job, place))
                taken.append(started)
        return taken

    def close(self) -> None:
        """Nothing belongs to this engine."""


def _start(job: Job, place: Mapping[str, str]) -> subprocess.Popen:
    return job.start(environment_of_child(place))
