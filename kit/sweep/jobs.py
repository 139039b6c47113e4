"""One training of a sweep: the train notebook in a process of its own, the same wherever it runs.

`python -m kit.sweep.jobs FOLDER PARAMETERS PARENT` is that process. It imports no torch; the notebook's kernel does.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.system import locks
from kit.system.interrupt import ignore_ctrl_c
from kit.workflow import execute

LOG = "sweep.log"
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

    @property
    def log(self) -> Path:
        """What the process prints. The file is kept when the run goes on."""
        return self.folder / LOG

    @property
    def saved(self) -> int:
        """When the run's checkpoint was written, in ns since 1970; 0 without one."""
        path = self.folder / "checkpoint.pt"
        return path.stat().st_mtime_ns if path.is_file() else 0

    @property
    def words(self) -> list[str]:
        """Arguments of the Python that runs the job, but for the last one: the process number of its parent."""
        return ["-m", "kit.sweep.jobs", str(self.folder), json.dumps(dict(self.parameters))]

    def start(self, environment: Mapping[str, str], cwd: Path | None = None) -> subprocess.Popen:
        """Start its process, whose parent this process is; what it prints goes to `log`.

        Args:
            environment: the whole environment of the process.
            cwd: the folder that it works in; None is that of this process.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *self.words, str(os.getpid())]
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=cwd
            )

    def failure(self, code: int) -> str | None:
        """Why its process failed: the last line of its log, or the signal that ended it; None if it did not fail.

        Args:
            code: the exit status, or minus the number of the signal.
        """
        if code == 0:
            return None
        if code < 0:
            return f"{signal.Signals(-code).name} ended it (see {self.log})"
        lines = self.log.read_text(errors="replace").split("\n")
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
    """Let the training save and end when the process that started it is no more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
