"""The jobs of a sweep as one array job of Slurm, one run per task, submitted through submitit.

Slurm's queue decides when and on which node a task starts; this process asks `squeue` how the tasks go. It may end and
be started again: tasks that are still in the queue are found by the numbers that their run folders hold.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.sweep import cluster
from kit.sweep.jobs import Job
from kit.sweep.places import State, Work
from kit.sweep.slurmtask import ANSWER, Task
from kit.system import files
from kit.system.paths import workspace

INSTALL = "pip install 'submitit>=1.5.2'"
NUMBER = "slurm-job.json"  # in a run folder: its task's number, while the task is in the queue
SIGNAL_SECONDS = 120  # before the time limit, in which a task saves
_ANSWER_SECONDS = 90.0  # from the start of a task, in which its node has to show in the shared folder
_FILE_SECONDS = 15.0  # in which a shared file system shows what a task wrote at its end
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "CONFIGURING")
_NEVER = {  # why a task stays in the queue for ever, and what to do
    "PartitionTimeLimit": "give a shorter --slurm-time",
    "PartitionNodeLimit": "choose another --slurm-partition",
    "BadConstraints": "ask for what the partition has",
    "DependencyNeverSatisfied": "leave the dependency out",
}
_SQUEUE = ("squeue", "--me", "--array", "--noheader", "--format=%i|%T|%N|%r")


class SlurmEngine:
    """The queue of a Slurm cluster.

    Args:
        jobs: tasks at once; None leaves it to the queue.
        options: what `sbatch` gets, by name: partition, account, time, gres, cpus-per-task and others.

    Raises:
        KitError: submitit is not installed, or this machine has no sbatch.
    """

    poll_seconds = 5.0

    def __init__(self, jobs: int | None, options: Mapping[str, str]):
        self._submitit = _imported()
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise KitError("--on slurm needs sbatch and srun: type the command on a login node of the cluster")
        self.at_once, self._options = jobs or 256, options
        self.folder = workspace() / "build" / "slurm"
        self._queue: dict[str, tuple[str, str, str]] = {}
        self._asked = -self.poll_seconds

    def beginning(self) -> str:
        """Where the tasks wait."""
        return f"Slurm partition: {self._options.get('partition', 'the default one')}"

    def script(self, tasks: int) -> str:
        """The sbatch script of an array of so many tasks."""
        executor = self._executor()
        if tasks > 1:
            executor.parameters["map_count"] = tasks
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def take(self, jobs: Sequence[Job]) -> list[Work]:
        """Find the tasks that are in the queue already, and submit all other jobs as one array.

        Raises:
            KitError: sbatch refuses the array.
        """
        self.refresh(now=True)
        numbers = {job.name: number for job in jobs if (number := _number_of(job)) in self._queue}
        new = [job for job in jobs if job.name not in numbers]
        if new:
            numbers |= self._submit(new)
        return [_SlurmWork(self, job, numbers[job.name]) for job in jobs]

    def _submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        executor = self._executor()
        for job in jobs:
            job.folder.mkdir(parents=True, exist_ok=True)
            (job.folder / ANSWER).unlink(missing_ok=True)
        try:
            with executor.batch():
                submitted = [executor.submit(Task(job, cluster.environment(), Path.cwd())) for job in jobs]
        except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.FailedSubmissionError) as error:
            reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "no reason told")
            raise KitError(f"sbatch refuses the array of {len(jobs)} tasks: {reason.strip()}") from None
        for job, task in zip(jobs, submitted, strict=True):
            files.write_json(job.folder / NUMBER, {"number": task.job_id})
        self.refresh(now=True)
        return {job.name: task.job_id for job, task in zip(jobs, submitted, strict=True)}

    def _executor(self) -> Any:
        """submitit's executor. `exec` and B: send the signals to our process alone: sent to all of them, they would
        end the notebook's kernel before it can save.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        executor = self._submitit.SlurmExecutor(self.folder, python=f"exec {shlex.quote(sys.executable)}")
        more = {"signal": f"B:USR2@{SIGNAL_SECONDS}", "requeue": True} | dict(self._options)
        executor.update_parameters(
            job_name="kit-sweep", array_parallelism=self.at_once, use_srun=False, stderr_to_stdout=True,
            setup=[f"export PYTHONPATH={shlex.quote(cluster.environment()['PYTHONPATH'])}"], additional_parameters=more,
        )  # fmt: skip
        return executor

    def refresh(self, now: bool = False) -> None:
        """Ask the queue, at most once in `poll_seconds`; a queue that does not answer changes nothing."""
        if not now and time.monotonic() - self._asked < self.poll_seconds / 2:
            return
        self._asked = time.monotonic()
        found = subprocess.run(_SQUEUE, capture_output=True, text=True)
        if found.returncode == 0:
            lines = [line.split("|", 3) for line in found.stdout.splitlines() if line.count("|") >= 3]
            self._queue = {number: (state, node, reason) for number, state, node, reason in lines}

    def told(self, number: str) -> tuple[str, str, str] | None:
        """State, node and reason of a task in the queue; None if it has left the queue."""
        self.refresh()
        return self._queue.get(number)

    def result(self, number: str) -> int | None:
        """The exit status of a task's job; None if the task has not written it."""
        task = self._submitit.SlurmJob(self.folder, number)
        try:
            return int(task.result()) if task.paths.result_pickle.exists() else None
        except self._submitit.core.utils.FailedJobError:
            return None

    def close(self) -> None:
        """Tasks in the queue stay there."""


class _SlurmWork:
    """A task in the queue."""

    def __init__(self, engine: SlurmEngine, job: Job, number: str):
        self.job, self.where, self.number = job, "", number
        self._engine = engine
        self._running_since: float | None = None
        self._left: float | None = None  # when it was first seen to have left the queue
        self._failure: str | None = None
        self._ended = self._stopped = False

    def state(self) -> State:
        if self._ended:
            return State.ENDED
        told = self._engine.told(self.number)
        if told is None:
            return self._after_the_queue()
        self._left = None
        state, node, reason = told
        if reason in _NEVER or "held" in reason.lower():
            _scancel(self.number)
            return self._end(f"Slurm does not start it ({reason}): {_NEVER.get(reason, 'see `scontrol show job`')}")
        if state in _WAITING:
            return State.WAITING
        self.where = self.where or node
        return self._check_answer(node)

    def _check_answer(self, node: str) -> State:
        """RUNNING, unless its node does not show in the shared folder for too long."""
        self._running_since = self._running_since or time.monotonic()
        late = time.monotonic() - self._running_since > _ANSWER_SECONDS
        if late and not (self.job.folder / ANSWER).is_file():
            _scancel(self.number)
            return self._end(cluster.not_shared(f"the Slurm node {node}", "wrote nothing into the run folder in time"))
        return State.RUNNING

    def _after_the_queue(self) -> State:
        """Ended, as soon as the shared file system shows what the task wrote at its end, or too late for that."""
        self._left = self._left or time.monotonic()
        if self._stopped and not self.where:
            return self._end(None)  # it never started
        if (code := self._engine.result(self.number)) is not None:
            return self._end(self.job.failure(code))
        if time.monotonic() - self._left > _FILE_SECONDS:
            return self._end(self._lost())
        return State.RUNNING if self.where else State.WAITING

    def _end(self, failure: str | None) -> State:
        self._ended = True
        self._failure = failure
        (self.job.folder / NUMBER).unlink(missing_ok=True)
        return State.ENDED

    def _lost(self) -> str:
        found = subprocess.run(["scontrol", "--oneliner", "show", "job", self.number], capture_output=True, text=True)
        words = dict(word.partition("=")[::2] for word in found.stdout.split())
        state = words.get("JobState", "unknown")
        logs = self._engine.folder / f"{self.number}_0_log.out"
        if not (self.job.folder / ANSWER).is_file():
            return cluster.not_shared(f"the Slurm node {words.get('NodeList', '')}", f"wrote nothing (state {state})")
        return f"Slurm ended it (state {state}; see {logs})"

    def stop(self) -> None:
        self._stopped = True
        if self.state() is State.RUNNING:
            _scancel("--batch", "--signal=TERM", self.number)
        else:
            _scancel(self.number)

    def kill(self) -> None:
        _scancel("--batch", "--signal=KILL", self.number)

    def failure(self) -> str | None:
        return self._failure


def _number_of(job: Job) -> str:
    """The number of the task that was submitted for a run, perhaps long ago; empty if there was none."""
    try:
        return str(files.read_json(job.folder / NUMBER)["number"])
    except (KitError, KeyError, TypeError):
        return ""


def _scancel(*words: str) -> None:
    subprocess.run(["scancel", *words], capture_output=True)


def _imported() -> Any:
    try:
        import submitit
        import submitit.core.utils
    except ImportError:
        raise KitError(f"--on slurm needs submitit, which is not installed here: type `{INSTALL}`") from None
    return submitit
