"""Start a training from a notebook: in this process, or through torchrun where several GPUs share it."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from kit.data import Dataset
from kit.errors import KitError
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
    """Run `command` and print its lines as they come.

    Raises:
        KitError: it failed.
    """
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path.cwd(),
                               env=_with_path(root))  # fmt: skip
    for line in process.stdout:
        print(line, end="", flush=True)
    if code := process.wait():
        raise KitError(f"the training ended with exit status {code}: the lines above say why")


def _with_path(root: Path) -> dict[str, str]:
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
