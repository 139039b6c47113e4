"""Trainings side by side: each the train notebook in a process of its own, on a GPU of its own where there are several.

`python -m kit.sweep.jobs FOLDER PARAMETERS` is such a process; it imports no torch, which its notebook's kernel does.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.system import locks
from kit.system.interrupt import StopRequest, ignore_ctrl_c
from kit.system.machine import environment_of_child
from kit.workflow import execute

LOG = "sweep.log"
_POLL_SECONDS = 0.2
_CLAIM_SECONDS = 90.0  # a kernel whose sweep was killed ends within two, one on a machine that died is silent for 60


@dataclass(frozen=True)
class Job:
    """One training: its run folder and the parameters of the train notebook."""

    folder: Path
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name


Began = Callable[[Job, Mapping[str, str]], None]
Ended = Callable[[Job, str | None], None]


def slots(jobs: int, gpus: Sequence[str], cores: int) -> list[dict[str, str]]:
    """The environment of each of `jobs` places at work: its GPU in turn, or on a CPU its share of the threads.

    Args:
        jobs: how many trainings at once.
        gpus: what CUDA_VISIBLE_DEVICES takes, one a GPU; empty on a CPU.
        cores: CPU cores that this process may use.
    """
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(jobs)]
    return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(cores // jobs, 1))} for _ in range(jobs)]


def run_jobs(jobs: Sequence[Job], places: Sequence[Mapping[str, str]], stop: StopRequest, began: Began,
             ended: Ended) -> None:  # fmt: skip
    """Run all jobs, as many at once as there are places; a stop asks those at work to save, and waits until they have.

    Args:
        jobs: what to run, in this order.
        places: the environment of each place, from `slots`.
        stop: asked between polls; nothing is started any more once it has a reason.
        began: told of every start, with its place.
        ended: told of every end, with the reason where it failed.
    """
    waiting, asked = list(jobs), False
    running: dict[int, tuple[Job, subprocess.Popen]] = {}  # by the number of the place
    try:
        while running or (waiting and not stop.reason):
            for number, place in enumerate(places):
                if number not in running and waiting and not stop.reason:
                    job = waiting.pop(0)
                    running[number] = job, _start(job, place)
                    began(job, place)
            if stop.reason and not asked:
                asked = True
                for _, process in running.values():
                    process.terminate()
            time.sleep(_POLL_SECONDS)
            for number in [n for n, (_, process) in running.items() if process.poll() is not None]:
                job, process = running.pop(number)
                ended(job, _failure(job, process.returncode))
    except KeyboardInterrupt:  # the second one: at once, unsaved
        for _, process in running.values():
            process.kill()
        raise


def _start(job: Job, place: Mapping[str, str]) -> subprocess.Popen:
    job.folder.mkdir(parents=True, exist_ok=True)
    words = [str(job.folder), json.dumps(dict(job.parameters)), str(os.getpid())]
    command = [sys.executable, "-m", "kit.sweep.jobs", *words]
    with (job.folder / LOG).open("a") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment_of_child(place)
        )


def _failure(job: Job, code: int) -> str | None:
    """Why a process failed: the last line of its log, or the signal that ended it."""
    if code == 0:
        return None
    if code < 0:
        return f"{signal.Signals(-code).name} ended it (see {job.folder / LOG})"
    lines = (job.folder / LOG).read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "").removeprefix("error: ")


def main(folder: str, parameters: str, parent: str) -> int:
    """Execute the train notebook into a run folder; the sweep that started it reads the log."""
    ignore_ctrl_c()
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    try:
        with _free_folder(Path(folder)):
            execute("train", json.loads(parameters), Path(folder) / "train.ipynb", log=sys.stdout)
    except KitError as error:
        print(f"error: {error}", flush=True)
        return 2
    return 0


@contextmanager
def _free_folder(folder: Path) -> Iterator[None]:
    """Own the folder among the jobs of all sweeps, once no training owns it any more.

    The kernel of a job that was killed saves and ends within seconds; its training holds the run's own lock until then.

    Raises:
        KitError: another process has the folder, and goes on having it.
    """
    with locks.owned(folder / locks.JOB, str(folder), wait=_CLAIM_SECONDS):
        with locks.owned(folder / locks.TRAINING, str(folder), wait=_CLAIM_SECONDS):
            pass  # from here on it is the kernel's
        yield


def _end_with(parent: int) -> None:
    """Let the training save and end when the sweep that started it is no more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
