"""Start a training from a notebook: in this process, or through torchrun where several GPUs share it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait

import torch

from kit.data import Dataset
from kit.errors import KitError
from kit.machine import environment_of_child
from kit.parameters import Settings, as_arguments
from kit.run import Run
from kit.train import train


def launch(settings: Settings, dataset: Dataset) -> Run:
    """Train as the settings say and return the run.

    Raises:
        KitError: there are fewer GPUs than asked for, or a process of a shared training failed.
    """
    run = Run(settings.run)
    if settings.gpus == 1:
        return train(settings.recipe, dataset, run, amp=settings.amp, compile=settings.compile,
                     resume=settings.resume, max_hours=settings.hours)  # fmt: skip
    if settings.gpus > torch.cuda.device_count():
        there = max(torch.cuda.device_count(), 1)
        raise KitError(f"gpus has to be at most {there} on this machine, not {settings.gpus}")
    stream(torchrun(settings.gpus, as_arguments(settings, "train")))
    return Run.load(run.folder)


def torchrun(processes: int, arguments: list[str]) -> list[str]:
    """The command that trains in `processes` processes of this machine.

    The lone `--` keeps torchrun from reading `--run` as an abbreviation of its own `--run-path`.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*start, "-m", "--", "kit.train", *arguments]


def stream(command: list[str]) -> None:
    """Run `command` and print its lines as they come; an interrupt asks it to save, and waits until it has.

    Raises:
        KitError: it failed.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment_of_child()
    )
    with ThreadPoolExecutor(1) as reader:
        lines = reader.submit(_print_lines, process)
        try:
            wait([lines])
        except KeyboardInterrupt:
            process.terminate()  # asks a training to save and end; leaving the block waits until it has
            raise
    if code := process.wait():
        raise KitError(f"the training ended with exit status {code}: the lines above say why")


def _print_lines(process: subprocess.Popen) -> None:
    for line in process.stdout:
        print(line, end="", flush=True)
