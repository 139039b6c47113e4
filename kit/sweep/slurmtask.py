"""What a task of Slurm does: run the job process, let it save before the time limit, and ask for another turn."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from kit.sweep import cluster
from kit.sweep.jobs import Job
from kit.system import files
from kit.system.interrupt import call_on

ANSWER = "slurm-node.json"  # in a run folder: the node on which its task began


class Task:
    """A job that submitit calls on a node. submitit passes over SIGTERM, so this takes the signals itself.

    SIGTERM asks the job to save and end. SIGUSR2, which Slurm sends before the time limit, does too, and then the task
    asks Slurm for another turn, which goes on from the checkpoint.

    Args:
        job: what to run.
        environment: variables for it, in addition to those of the node.
        folder: in which it works.
    """

    def __init__(self, job: Job, environment: dict[str, str], folder: Path):
        self.job, self.environment, self.folder = job, environment, folder
        self._signals: list[int] = []
        self._process: subprocess.Popen | None = None

    def __call__(self) -> int:
        """Run it and return its exit status, or minus the number of the signal that ended it."""
        call_on(self._pass_on, signal.SIGTERM, signal.SIGUSR2)
        files.write_json(self.job.folder / ANSWER, {"node": socket.gethostname()})
        before = self.job.saved
        cores = int(os.environ.get("SLURM_CPUS_PER_TASK") or 1)
        changes = self.environment | {"OMP_NUM_THREADS": cluster.threads(cores, self.environment)}
        changes.setdefault("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        self._process = self.job.start(os.environ | changes, self.folder)
        if self._signals:  # it came before there was a process
            self._process.terminate()
        code = self._process.wait()
        if code and self._signals == [signal.SIGUSR2] and self.job.saved != before:
            _ask_for_another_turn()
        return code

    def _pass_on(self, signum: int) -> None:
        self._signals.append(signum)
        if self._process is not None and len(self._signals) == 1:
            self._process.terminate()


def _ask_for_another_turn() -> None:
    """Put this task into the queue again; Slurm then ends this process. If Slurm refuses, the task has failed."""
    number = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        number = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if subprocess.run(["scontrol", "requeue", number]).returncode == 0:
        sys.exit(0)  # not a return: submitit would note a result, and the task has none yet
