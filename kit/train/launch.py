"""Start a training from a notebook: in this process, or through torchrun if several GPUs share it."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import torch

from kit.data import Dataset
from kit.errors import KitError
from kit.parameters import Settings, as_arguments
from kit.run import Run
from kit.system import progress
from kit.system.interrupt import Stopped, StopRequest
from kit.system.machine import environment_of_child
from kit.train.budget import fit_to_budget
from kit.train.callbacks import Callback, Callbacks
from kit.train.loop import train

POLL_SECONDS = 0.5  # longest time until a signal is passed on


def launch(settings: Settings, dataset: Dataset, callbacks: Sequence[Callback] = ()) -> Run:
    """Train with these settings and return the run.

    Args:
        settings: of the train notebook.
        dataset: images and labels.
        callbacks: what is told of every epoch.

    Raises:
        KitError: the machine has fewer GPUs than `gpus`, one of the processes failed, or a budget is too small.
        Stopped: SIGTERM or SIGINT came; everything is saved.
    """
    settings = fit_to_budget(settings, dataset)
    run = Run(settings.run)
    if settings.gpus == 1:
        return train(settings.recipe, dataset, run, amp=settings.amp, compile=settings.compile,
                     resume=settings.resume, max_hours=settings.hours, track=settings.track,
                     callbacks=callbacks)  # fmt: skip
    if settings.gpus > torch.cuda.device_count():
        most = max(torch.cuda.device_count(), 1)
        raise KitError(f"gpus has to be at most {most} on this machine, not {settings.gpus}")
    with Callbacks(callbacks, run) as told:
        run_and_print(torchrun(settings.gpus, as_arguments(settings, "train")), _Epochs(run, told).look)
    return Run.load(run.folder)


class _Epochs:
    """Sees the epochs of a training in other processes end, by its history.csv."""

    def __init__(self, run: Run, callbacks: Callbacks):
        self._path, self._callbacks, self._seen = run.history_path, callbacks, 0.0

    def look(self) -> None:
        """Tell the callbacks if there is a new row."""
        with suppress(OSError):  # not there yet
            changed = self._path.stat().st_mtime
            if changed != self._seen:
                self._seen = changed
                self._callbacks.epoch()


def torchrun(processes: int, arguments: list[str]) -> list[str]:
    """The command that trains in `processes` processes on this machine.

    Without the `--` before `kit.train`, torchrun would read `--run` as short for its own `--run-path`.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*start, "-m", "--", "kit.train", *arguments]


def run_and_print(command: list[str], look: Callable[[], None] = lambda: None) -> None:
    """Run `command`, print its lines as they come, and call `look` twice a second.

    SIGTERM and SIGINT ask the command to save and end; this function then waits for its end. The command runs in its
    own session: a terminal sends Ctrl-C to every process of a session, and a second signal would end the training
    unsaved.

    Raises:
        KitError: the command failed.
        Stopped: SIGTERM or SIGINT came.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=environment_of_child(), start_new_session=True)  # fmt: skip
    with ThreadPoolExecutor(1) as reader, StopRequest() as stop:
        lines = reader.submit(_print_lines, process)
        while not wait([lines], timeout=POLL_SECONDS).done:
            look()
            if stop.signum is not None:
                process.terminate()
                wait([lines])
    code = process.wait()
    if code and stop.signum is not None:
        words = f"what is saved is in its run folder: {progress.run_again()} to go on"
        raise Stopped(f"stopped by {stop.reason}; {words}", stop.signum)
    if code:
        raise KitError(f"the training ended with exit status {code}: the lines above say why")


def _print_lines(process: subprocess.Popen) -> None:
    for line in process.stdout or ():
        print(line, end="", flush=True)
